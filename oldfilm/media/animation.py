"""Animated PNG, WebP, AVIF and GIF, decoded here where ffmpeg does not show them as browsers do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from oldfilm.errors import MediaError
from oldfilm.media import apng
from oldfilm.media.contents import Contents
from oldfilm.media.film import Film, FrameTimes
from oldfilm.media.frame_rate import animation_rate
from oldfilm.media.picture import TRANSPARENCY
from oldfilm.media.picture_formats import bit_depth
from oldfilm.media.pillow import opened

if TYPE_CHECKING:
    from PIL import Image

_FORMATS = ("GIF", "PNG", "WEBP", "AVIF")
_ANIMATED = (".png", ".webp", ".avif")
"""Suffixes of photographs that may be animations."""

_CARRIED = {"icc_profile": "color profile (ICC)", "exif": "EXIF data", "xmp": "XMP data"}
"""By Pillow's names."""

_HEADER = 2**16
"""Bytes at the beginning that show whether a file is an animation."""
_TICK = Fraction(1, 1000)
_SHORTEST, _INSTEAD = 10, 100
"""Browsers show a frame whose delay is 10 ms or less for 100 ms."""


def is_animation(path: Path) -> bool:
    """Return whether a file whose suffix is that of a photograph is an animation."""
    if path.suffix.lower() not in _ANIMATED or not path.is_file():
        return False
    start = _start_of(path)
    return _is_png(start) or _is_unread(start)


def is_decoded_here(path: Path) -> bool:
    """Return whether a file is an animation that `AnimationFrames` decodes, not ffmpeg.

    That is the case for formats that ffmpeg does not read, for delays that browsers lengthen, and
    for frames of a PNG that clear their area.
    """
    start = _start_of(path)
    if start.startswith(b"GIF8") or _is_png(start):
        return short_delays(path) > 0 or _clears(path)
    return _is_unread(start)


def _start_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEADER)
    except OSError:
        return b""


def _is_png(start: bytes) -> bool:
    """Return whether a file is an animated PNG: a chunk before the image counts the frames."""
    image = start.find(b"IDAT")
    at = start.find(b"acTL", 0, image if image >= 0 else None)
    is_png = start.startswith(b"\x89PNG\r\n") and at > 0
    return is_png and int.from_bytes(start[at + 4 : at + 8], "big") > 1


def _is_unread(start: bytes) -> bool:
    if start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8X":
        return len(start) > 20 and bool(start[20] & 2)
    return start[4:8] == b"ftyp" and (start[8:12] == b"avis" or b"avis" in start[16:40])


def plays(path: Path) -> int:
    """Return how often an animation plays, 0 for endless; 0 for any other file."""
    start = _start_of(path)
    if not (start.startswith(b"GIF8") or _is_png(start) or _is_unread(start)):
        return 0
    with contextlib.suppress(Exception):  # A damaged file may raise anything.
        picture = opened(path.read_bytes(), ("GIF", "PNG", "WEBP"))
        if picture is not None:
            loop = picture.info.get("loop")
            if (
                picture.format == "GIF"
            ):  # A GIF counts repetitions after the first play; 0 is endless.
                return 1 if loop is None else loop + bool(loop)
            return int(loop or 0)
    return 0


def short_delays(path: Path) -> int:
    """Return how many frames of an animation have delays that browsers lengthen to 100 ms."""
    with contextlib.suppress(Exception):  # A damaged file may raise anything.
        picture = opened(path.read_bytes(), _FORMATS)
        if picture is not None:
            return sum(delay <= _SHORTEST for _, delay in _frames(picture))
    return 0


def _clears(path: Path) -> bool:
    return _is_png(_start_of(path)) and apng.clears(path.read_bytes())


def _frames(picture: Image.Image) -> Iterator[tuple[Image.Image, int]]:
    """Yield the frames of an opened animation with their delays in milliseconds."""
    # A PNG may begin with a still image for programs that cannot show animations.
    first = 1 if picture.info.get("default_image") else 0
    for number in range(first, getattr(picture, "n_frames", 1)):
        picture.seek(number)
        picture.load()
        yield picture, round(picture.info.get("duration") or 0)


@dataclass(frozen=True)
class AnimationFrames:
    """Decodes the frames of an animation that ffmpeg does not read."""

    path: Path

    def __iter__(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield (time, delay, image), both in milliseconds; images are uint8 [h, w, 4] RGBA.

        Raises:
            MediaError: the file is damaged before its second frame.
        """
        time = Fraction(0)
        try:
            for image, delay in self._images():
                shown = delay if delay > _SHORTEST else Fraction(_INSTEAD)
                yield round(time), round(time + shown) - round(time), image
                time += shown
        except Exception as error:  # A damaged file may raise anything.
            if not time:
                raise MediaError(f"{self.path}: the animation is damaged ({error})") from error

    def _images(self) -> Iterator[tuple[np.ndarray, Fraction]]:
        data = self.path.read_bytes()
        if _clears(self.path):
            yield from apng.composed(data)
            return
        picture = opened(data, _FORMATS)
        if picture is None:
            raise ValueError("its header")
        for frame, delay in _frames(picture):
            yield np.array(frame.convert("RGBA")), Fraction(delay)


def open_animation(path: Path) -> Film:
    """Probe an animation that ffmpeg does not read.

    Raises:
        MediaError: it is damaged.
    """
    stamps, last, alpha, shape = [], Fraction(0), False, (0, 0)
    for time, delay, image in AnimationFrames(path):
        stamps.append(time)
        last, shape = delay * _TICK, image.shape[:2]
        alpha = alpha or bool((image[..., 3] < 255).any())
    every = np.array(stamps, np.int64)
    times = FrameTimes(every, every, _TICK)
    rate, variable = animation_rate(times, last)
    carried = _carried(path) | ({TRANSPARENCY} if alpha else set())
    return Film(
        path=path,
        notes=tuple(_notes(path, len(stamps))),
        width=shape[1],
        height=shape[0],
        rate=rate,
        frames=times.slot(stamps[-1], rate) + max(1, round(last * rate)),
        pixel_format="rgba" if alpha else "rgb24",
        rgb=True,
        alpha=alpha,
        variable_rate=variable,
        contents=Contents(picture=frozenset(carried)),
        times=times,
        animation=True,
    )


def _carried(path: Path) -> set[str]:
    """Return the kinds of metadata in an animation that its result will lack."""
    picture = opened(path.read_bytes(), _FORMATS)
    info = picture.info if picture else {}
    return {name for key, name in _CARRIED.items() if info.get(key)}


def _notes(path: Path, read: int) -> list[str]:
    """Return sentences on how an animation was read. read: how many frames."""
    data, notes = path.read_bytes(), []
    picture, short, bits = opened(data, _FORMATS), short_delays(path), bit_depth(data)
    first = 1 if picture and picture.info.get("default_image") else 0
    stored = getattr(picture, "n_frames", read) - first
    if read < stored:
        notes.append(f"only {read} of {stored} frames can be read: the file is damaged")
    if short:
        notes.append(
            f"{short} frames have delays of 10 ms or less: they are shown for 100 ms, as browsers "
            "do"
        )
    if bits is None and picture and picture.format == "PNG" and data[24] == 16:
        bits = 16
    if bits:
        notes.append(f"its {bits} bits were read as 8")
    return [f"{path}: {note}" for note in notes]
