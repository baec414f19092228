"""Choose the device that runs networks, and import Paddle for it."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import platform
import sys
import threading
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from oldfilm.errors import NetworkError, OptionError
from oldfilm.system.threads import threads

Device = str
"""A device by its name in Paddle: "cpu", "gpu", "gpu:1"."""

_importing = threading.Lock()
_PACKAGES = ("paddlepaddle", "paddlepaddle-gpu")
_INSTALL = (
    "PaddlePaddle is not installed: `pip install 'oldfilm[cpu]'`, "
    "or `pip install 'oldfilm[gpu]'` for an NVIDIA GPU."
)


def choose_device(wanted: str | None = None) -> Device:
    """Return the device to use.

    That is `wanted`, or the one that the program has set with `paddle.set_device`, or a GPU if
    Paddle finds one, or the CPU.

    Raises:
        OptionError: `wanted` is not a device that Paddle knows.
        NetworkError: `wanted` is a GPU that Paddle does not find.
    """
    if wanted in (None, "auto"):
        automatic = "gpu" if is_installed("paddlepaddle-gpu") and _gpus() else "cpu"
        return _set_by_program() or automatic
    if wanted == "cpu":
        return "cpu"
    kind, _, index = str(wanted).partition(":")
    if kind != "gpu" or not (index == "" or index.isdigit()):
        raise OptionError(f"`device={wanted}`: choose cpu, gpu, or gpu:0, gpu:1, ...")
    if int(index or 0) >= _gpus():
        raise NetworkError(f"Paddle finds no device {wanted} on this machine: use `device=cpu`.")
    return str(wanted)


def _set_by_program() -> Device | None:
    """Return the device that the program has set, or Paddle's default; None before its import."""
    paddle: Any = sys.modules.get("paddle")
    if not hasattr(paddle, "device"):  # also while another thread imports it
        return None
    name = paddle.device.get_device()
    if name == "gpu:0":
        return "gpu"
    return name if name == "cpu" or name.startswith("gpu:") else None


@contextlib.contextmanager
def computing_on(device: Device) -> Iterator[ModuleType]:
    """Make a device Paddle's current one while the body runs, in dynamic mode; yields Paddle."""
    paddle = sys.modules.get("paddle") or import_paddle()
    enable_dynamic_mode(paddle)
    before = paddle.device.get_device()
    if before == ("gpu:0" if device == "gpu" else device):
        yield paddle
        return
    paddle.set_device(device)
    try:
        yield paddle
    finally:
        paddle.set_device(before)


def import_paddle() -> ModuleType:
    """Import Paddle, with settings that make it fast on this processor.

    The settings take effect only before the first import; values that the user has set are kept.

    Raises:
        NetworkError: Paddle is not installed, or does not load.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(threads()))
    os.environ.setdefault("GLOG_minloglevel", "2")  # Only errors, from Paddle's C++ code.
    if _is_amd():
        # Without this, matrix products in Paddle's MKL are 4 times slower on AMD.
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")
    try:
        with _importing, _quiet_import():
            import paddle
    except ImportError as error:
        if any(map(is_installed, _PACKAGES)):
            raise NetworkError(f"PaddlePaddle is installed but does not load: {error}") from error
        raise NetworkError(_INSTALL) from error
    paddle.base.core.set_num_threads(threads())
    enable_dynamic_mode(paddle)
    return paddle


def require_paddle() -> None:
    """Check that PaddlePaddle is installed, without importing it, which takes seconds.

    Raises:
        NetworkError: it is not installed.
    """
    if importlib.util.find_spec("paddle") is None:
        raise NetworkError(_INSTALL)


@contextlib.contextmanager
def _quiet_import() -> Iterator[None]:
    """Suppress output and warnings of the first import, and undo changes to the root logger."""
    if "paddle" in sys.modules:
        yield
        return
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def enable_dynamic_mode(paddle: ModuleType) -> None:
    """Enable the dynamic graph in this thread.

    By default only the thread that imported Paddle has it, and every segment has its own thread.
    """
    if not paddle.in_dynamic_mode():
        paddle.disable_static()


def is_installed(package: str) -> bool:
    """Return whether pip has installed a package of this name."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _gpus() -> int:
    if is_installed("paddlepaddle") and not is_installed("paddlepaddle-gpu"):
        return 0  # The package for CPUs; importing it takes seconds.
    paddle = import_paddle()
    return paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0


def _is_amd() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        return "AuthenticAMD" in cpuinfo.read_text(errors="replace")
    return "AuthenticAMD" in platform.processor()
