"""Whether the disk has room for a result, estimated before the work begins."""

from __future__ import annotations

import logging
import math
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from oldfilm.errors import MachineError
from oldfilm.stage import FilmInfo

logger = logging.getLogger(__name__)

COPIES = 2
"""Files that exist at the same time: the segments and the film joined from them."""

NOTED_BYTES = 1e9
"""Bytes of saved frames from which a note says how much they take."""


@dataclass(frozen=True)
class Rate:
    """Bytes per pixel, or in all: the least that is plausible, and a usual value."""

    least: float
    usual: float


LOSSLESS, PRORES, LOSSY = Rate(0.05, 1.5), Rate(0.1, 0.4), Rate(0.001, 0.1)


def _frames(result: FilmInfo, seconds: Fraction | None) -> int:
    """Return how many frames are restored."""
    if seconds is None:
        return result.frames
    return min(result.frames, math.ceil(seconds * result.rate * result.slowdown))


def expected_bytes(
    result: FilmInfo,
    destination: Path,
    codec: str | None = None,
    seconds: Fraction | None = None,
    pictures: bool = False,
) -> Rate:
    """Return the bytes that a job takes on the disk while it runs; see `check_free_space`."""
    rate = _rate(destination.suffix.lower(), codec)
    pixels = result.width * result.height * _frames(result, seconds)
    least, usual = COPIES * rate.least * pixels, COPIES * rate.usual * pixels
    if pictures:
        return Rate(least + LOSSLESS.least * pixels, usual + LOSSLESS.usual * pixels)
    return Rate(least, usual)


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free on the disk of a folder, which need not exist yet."""
    while not folder.exists():
        folder = folder.absolute().parent
    return shutil.disk_usage(folder).free


def check_free_space(
    folder: Path,
    result: FilmInfo,
    destination: Path,
    codec: str | None = None,
    seconds: Fraction | None = None,
    pictures: bool = False,
) -> None:
    """Compare the free space with what the result will take; warn if it is likely too little.

    folder: where segments are kept. destination: the result, whose suffix decides the codec unless
    `codec` does. seconds: how much of the source is restored, if it is not all. pictures: whether
    the frames are also saved as PNG files; a note says so if they take much.

    Raises:
        MachineError: there is clearly too little.
    """
    frames = _frames(result, seconds)
    expected = expected_bytes(result, destination, codec, seconds, pictures)
    hint = "make room, or give another `work_dir` or `output`."
    if pictures:
        hint = "make room, give another `work_dir` or `output`, or set `save_frames=False`."
        _note_pictures(LOSSLESS.usual * result.width * result.height * frames)
    free = free_bytes(folder)
    if free < expected.least:
        raise MachineError(
            f"{folder.parent}: the disk has {_size(free)} free, and {frames} frames of "
            f"{result.width}x{result.height} take at least {_size(expected.least)}: "
            f"{hint}"
        )
    if free < expected.usual:
        logger.warning(
            "The disk has %s free, which may be too little: the result and its segments often take "
            "about %s.",
            _size(free),
            _size(expected.usual),
        )


def _note_pictures(count: float) -> None:
    """Say how many bytes the frames take as PNG files, if that is much."""
    if count > NOTED_BYTES:
        logger.warning(
            "The frames of the result take about %s as PNG files; `save_frames=False` leaves them "
            "out.",
            _size(count),
        )


def _rate(suffix: str, codec: str | None) -> Rate:
    if codec == "ffv1" or suffix in (".gif", ".apng", ".webp", ".png"):
        return LOSSLESS
    is_prores = "prores" in codec if codec else suffix == ".mov"
    return PRORES if is_prores else LOSSY


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
