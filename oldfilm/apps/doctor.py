"""Check what oldfilm needs on this machine, and say what to do where something is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from oldfilm import __version__, media
from oldfilm.apps import STAGES, predictor_class
from oldfilm.apps.base import Predictor
from oldfilm.engine.device import choose_device, import_paddle, is_installed
from oldfilm.errors import OldfilmError
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo
from oldfilm.system.memory import available_memory
from oldfilm.system.paths import cache_folder
from oldfilm.system.threads import threads
from oldfilm.weights import configs, model
from oldfilm.weights.commands import fetch_command
from oldfilm.weights.search import find

OK, NOTE, FAILED = "ok", "note", "failed"

ENCODERS = {"h264": ".mp4", "h265": ".mp4", "vp9": ".webm", "prores": ".mov", "ffv1": ".mkv"}
"""The codecs of results, each with a suffix."""

LEAST_FREE, LEAST_MEMORY = 5e9, 3 << 30
"""Bytes of disk and of memory that a short film needs."""

FRAMES, SIDE = 6, 64
"""The film of the self-test."""


@dataclass(frozen=True)
class Check:
    """The result of one check.

    status: "ok", "note" (works, but could be better) or "failed". found: the result in words.
    advice: what to do, or "".
    """

    name: str
    status: str
    found: str
    advice: str = ""


def examine(self_test: bool = True) -> Iterator[Check]:
    """Check this machine, and yield each result at once.

    self_test: also restore a few small frames with every stage whose weights are here.
    """
    checks: list[Callable[[], Check]] = [_python, _paddle, _device, _engine, _threads, _memory]
    checks += [_ffmpeg, *(partial(_encoder, codec) for codec in ENCODERS), _cache]
    for check in checks:
        yield check()
    yield from _all_weights()
    if self_test:
        yield from _all_stages()


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.platform()}; oldfilm {__version__}"
    if sys.version_info < (3, 13):
        return Check("Python", OK, found)
    advice = "networks run about three times as fast on Python 3.12, which paddle2onnx supports."
    return Check("Python", NOTE, found, advice)


def _paddle() -> Check:
    try:
        return Check("PaddlePaddle", OK, import_paddle().__version__)
    except OldfilmError as error:
        return Check("PaddlePaddle", FAILED, "does not work", str(error))


def _device() -> Check:
    try:
        device = choose_device()
    except OldfilmError as error:
        return Check("device", FAILED, "none", str(error))
    if device == "cpu" and shutil.which("nvidia-smi") and not is_installed("paddlepaddle-gpu"):
        advice = "an NVIDIA driver is installed: paddlepaddle-gpu would use its GPU."
        return Check("device", NOTE, device, advice)
    return Check("device", OK, device)


def _engine() -> Check:
    names = ("onnxruntime", "paddle2onnx")
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        advice = (
            f"`pip install 'oldfilm[cpu]'` installs {', '.join(missing)}, about 3 times as fast."
        )
        return Check("fast CPU engine", NOTE, "not installed", advice)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    return Check("fast CPU engine", OK, versions)


def _threads() -> Check:
    count, processors = threads(), os.cpu_count() or 1
    found = f"{count} of {processors} processors"
    if count < processors and "OMP_NUM_THREADS" in os.environ:
        return Check("threads", NOTE, found, "unset OMP_NUM_THREADS to use all processors.")
    return Check("threads", OK, found)


def _memory() -> Check:
    free = available_memory()
    if free is None:
        return Check("memory", OK, "unknown on this system")
    found = f"{free / 2**30:.1f} GiB available"
    if free >= LEAST_MEMORY:
        return Check("memory", OK, found)
    return Check("memory", NOTE, found, "films may need more: close other programs.")


def _ffmpeg() -> Check:
    try:
        return Check("ffmpeg", OK, f"{media.ffmpeg_version()} at {media.ffmpeg_executable()}")
    except (OldfilmError, OSError) as error:
        return Check("ffmpeg", FAILED, "not found", str(error))


def _encoder(codec: str) -> Check:
    info = FilmInfo(SIDE, SIDE, Fraction(25), FRAMES)
    name = f"encoder {codec}"
    with tempfile.TemporaryDirectory(prefix="oldfilm-") as folder:
        path = Path(folder, f"trial{ENCODERS[codec]}")
        try:
            media.Encoder(path, info, media.EncodeSettings(codec)).check()
        except (OldfilmError, OSError) as error:
            advice = "reinstall imageio-ffmpeg, or let IMAGEIO_FFMPEG_EXE name a complete ffmpeg."
            return Check(name, FAILED, str(error), advice)
    return Check(name, OK, "works")


def _cache() -> Check:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        advice = "make the folder writable, or let OLDFILM_CACHE name another."
        return Check("cache", FAILED, f"{folder}: {error.strerror}", advice)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    found = f"{folder}: {size / 1e6:.0f} MB, {free / 1e9:.1f} GB free"
    if free >= LEAST_FREE:
        return Check("cache", OK, found)
    return Check("cache", NOTE, found, "make room, or let OLDFILM_CACHE name another folder.")


def _all_weights() -> Iterator[Check]:
    """Check the weights of each model; one check names all models without any."""
    missing = []
    for config in configs():
        check = _weights(config)
        if check:
            yield check
        else:
            missing.append(model(config))
    if missing:
        first, example = missing[0], next(iter(missing[0].variants.values()))
        advice = (
            f"they are optional: `oldfilm weights list` describes them, and "
            f"`{fetch_command(first, example)}` downloads those of {first.name}."
        )
        names = ", ".join(known.name for known in missing)
        yield Check("other weights", NOTE, f"not here: {names}", advice)


def _weights(config: str) -> Check | None:
    """Check the weights of one model; None if there are none."""
    known = model(config)
    name = f"weights of {known.name}"
    here: list[str] = []
    for variant in known.variants.values():
        try:
            if find(known, variant):
                here.append(variant.name)
        except OldfilmError as error:
            return Check(name, FAILED, variant.name, str(error))
    return Check(name, OK, ", ".join(here)) if here else None


NEEDED: Mapping[str, Mapping[str, Any]] = {
    "MPR": {"task": "Deblurring"},
    "AOTGAN": {"mask": np.ones((SIDE, SIDE, 1), np.float32)},
}
"""Options without which stages do not run."""


def _all_stages() -> Iterator[Check]:
    """Test each stage; one check names those without weights."""
    missing = []
    for name in STAGES:
        if name == "BasiVSRPlusPlus":  # another spelling
            continue
        check = _stage(name)
        if check:
            yield check
        else:
            missing.append(name)
    if missing:
        names = ", ".join(missing)
        yield Check("other stages", OK, f"not tested, because their weights are not here: {names}")


def _stage(name: str) -> Check | None:
    """Restore a few frames with a stage; None if its weights are not here."""
    label, stage = f"stage {name}", predictor_class(name)
    needed = NEEDED.get(name, {})
    variant: dict[str, str] = {}
    if any(option.name == "variant" for option in stage.options):
        variant = {"variant": "lite"}
        if issubclass(stage, Predictor) and not model(stage.config).get("lite"):
            if stage.missing_weights(options=needed) is not None:
                return None
            variant = {}
    began = time.monotonic()
    try:
        problem = _trial(stage(**needed, **variant))
    except Exception as error:  # Any error of any library is a finding.
        problem = f"{type(error).__name__}: {error}"
    if problem:
        advice = "reinstall oldfilm, or report this with the output of `oldfilm doctor`."
        return Check(label, FAILED, problem, advice)
    return Check(label, OK, f"works, {time.monotonic() - began:.1f} s with loading")


def _trial(stage: RunnableStage) -> str:
    """Restore a drifting texture; returns what is wrong with the result, or ""."""
    y, x = np.mgrid[:SIDE, :SIDE]
    images = [
        0.5 + 0.2 * np.sin((x + 2 * i) / 5) + 0.2 * np.cos((y - i) / 7) for i in range(FRAMES)
    ]
    frames = np.stack(images).astype(np.float32)[..., None]
    alone = stage.restored(frames[:1]) if stage.name == "OldPhoto" else stage.restored(frames)
    if not alone:
        return "returned no frame"
    return "" if all(np.isfinite(image).all() for image in alone) else "returned invalid numbers"
