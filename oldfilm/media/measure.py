"""Brightness, flicker and sharpness of a film over time."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from oldfilm.imaging.color import luma
from oldfilm.media.decode import decode
from oldfilm.media.film import Film

WIDTH = 512
"""Of the frames that are measured, so that films of different sizes compare."""

READ_FRAMES, STRETCH = 6000, 50
"""A longer film is measured in stretches of `STRETCH` frames, `READ_FRAMES` in all."""

POINTS = 400
"""How many points a curve has at most."""


@dataclass(frozen=True)
class Curves:
    """Properties of a film over time.

    times: in seconds. brightness: mean luma, in [0, 1]. flicker: how far the brightness of a frame
    is outside that of its two neighbors, so that fades and cuts do not count. sharpness: standard
    deviation of the Laplacian of luma.
    """

    times: tuple[float, ...]
    brightness: tuple[float, ...]
    flicker: tuple[float, ...]
    sharpness: tuple[float, ...]


def measure(film: Film, part: range | None = None) -> Curves:
    """Measure a film, or a part of its frames; of a long film, only stretches of it.

    Raises:
        MediaError: not a single frame can be decoded.
    """
    part = range(film.frames) if part is None else part
    rows: list[tuple[float, float, float, float]] = []
    for stretch in _stretches(part):
        rows += _rows(film, stretch)
    step = max(1, -(-len(rows) // POINTS))
    means = [np.mean(rows[i : i + step], axis=0) for i in range(0, len(rows), step)]
    columns = np.array(means).reshape(-1, 4).T
    return Curves(*(tuple(column.tolist()) for column in columns))


def _stretches(part: range) -> list[range]:
    if len(part) <= READ_FRAMES:
        return [part]
    count = READ_FRAMES // STRETCH
    starts = [part.start + i * (len(part) - STRETCH) // (count - 1) for i in range(count)]
    return [range(start, start + STRETCH) for start in starts]


def _rows(film: Film, part: range) -> list[tuple[float, float, float, float]]:
    """Return time, brightness, flicker and sharpness of consecutive frames."""
    width = min(WIDTH, film.width)
    height = max(1, round(film.height * width / film.width))
    size = {"width": width, "height": height}
    times, brightness, sharpness = [], [], []
    frames = decode(film, part.start, part.stop, **size, dtype=np.uint8)  # type: ignore[arg-type]
    with contextlib.closing(frames):
        for frame in frames:
            gray = luma(frame.image)
            times.append(frame.time)
            brightness.append(float(gray.mean()) / 255)
            sharpness.append(float(cv2.Laplacian(gray, cv2.CV_32F).std()) / 255)
    around = [
        abs(now - sorted((before, now, after))[1])
        for before, now, after in zip(brightness, brightness[1:], brightness[2:])
    ]
    flicker = [0.0, *around, 0.0][: len(times)]
    return [
        (float(Fraction(time)), light, jump, detail)
        for time, light, jump, detail in zip(times, brightness, flicker, sharpness)
    ]
