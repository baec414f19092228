"""Which device runs the networks, and how Paddle is imported for it."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import warnings
from importlib import metadata
from pathlib import Path
from types import ModuleType

from oldfilm.errors import NetworkError, OptionError
from oldfilm.system.threads import threads

Device = str
"""A device in Paddle's words: "cpu", "gpu", "gpu:1"."""

_INSTALL = (
    "PaddlePaddle is not installed: `pip install 'oldfilm[cpu]'`, "
    "or `pip install 'oldfilm[gpu]'` for an NVIDIA GPU."
)


def choose_device(wanted: str | None = None) -> Device:
    """The device to use: `wanted`, or else a GPU where Paddle has one, or else the CPU.

    Raises:
        OptionError: `wanted` is no device of Paddle's.
        NetworkError: `wanted` is a GPU that Paddle cannot use here.
    """
    if wanted in (None, "auto"):
        return "gpu" if _has_distribution("paddlepaddle-gpu") and _gpus() else "cpu"
    if wanted == "cpu":
        return "cpu"
    kind, _, index = str(wanted).partition(":")
    if kind != "gpu" or not (index == "" or index.isdigit()):
        raise OptionError(f"--device {wanted}: give cpu, gpu, or gpu:0, gpu:1, ...")
    if int(index or 0) >= _gpus():
        raise NetworkError(f"Paddle finds no device {wanted} here: use --device cpu.")
    return str(wanted)


def import_paddle() -> ModuleType:
    """Import Paddle, with the settings that make it fast on this processor.

    They only count before the first import, and are left alone where the user has set them.

    Raises:
        NetworkError: Paddle is not installed.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(threads()))
    if _is_amd():
        # Paddle's MKL takes a slow path on AMD: 4 times slower matrix products without this.
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            # It warns of threads, and of compilers that it might miss one day.
            warnings.simplefilter("ignore")
            import paddle
    except ImportError as error:
        if _has_distribution("paddlepaddle") or _has_distribution("paddlepaddle-gpu"):
            raise NetworkError(f"PaddlePaddle is installed but does not load: {error}") from error
        raise NetworkError(_INSTALL) from error
    paddle.base.core.set_num_threads(threads())
    dynamic_here(paddle)
    return paddle


def dynamic_here(paddle: ModuleType) -> None:
    """Let this thread compute on the dynamic graph: only the one that imported Paddle first does.

    Every segment has a thread of its own.
    """
    if not paddle.in_dynamic_mode():
        paddle.disable_static()


def _gpus() -> int:
    paddle = import_paddle()
    return paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0


def _has_distribution(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _is_amd() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        return "AuthenticAMD" in cpuinfo.read_text(errors="replace")
    return "AuthenticAMD" in platform.processor()
