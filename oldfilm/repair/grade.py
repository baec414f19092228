"""Grade: levels, white balance and saturation, measured and steady."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo, Frame, Window

REACH = 12
"""Frames of the same shot on either side that a frame's tones are measured with."""

BLACK, WHITE = 0.03, 0.98
"""What faded blacks and whites become; what is darker, or brighter, has not faded."""

DEEPEST_BLACK, LOWEST_WHITE = 0.14, 0.66
"""What is brighter is no faded black, what is darker no faded white: a night stays a night."""

CAST_OF_BLACK, CAST_OF_WHITE = 0.01, 0.1
"""How far a channel's black and white may lie from their mean: a sunset and a sea stay what they
are."""

GRAY, FULL, LARGEST_SATURATION = 0.01, 0.02, 1.3
"""Mean chroma below which a film is gray, and above which it needs no more of it."""


@dataclass(frozen=True)
class Tones:
    """What a frame's tones are.

    black, white: float [c], the value that a thousandth of a channel's pixels are below, and
    above. chroma: mean distance from gray.
    """

    black: np.ndarray
    white: np.ndarray
    chroma: float


class Grade(RunnableStage):
    """Brings faded blacks and whites, color casts and pale colors back, within limits.

    Each frame's tones are measured over the frames around it, in its own shot, those nearest
    counting most: what is measured moves slowly, and nothing pumps.
    """

    name = "Grade"
    window = Window(core=8, before=REACH, after=REACH)

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film."""
        return info

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame."""
        return 4 * info.width * info.height * info.channels

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Grade the core's frames."""
        measured = [tones(frame.image) for frame in frames]
        for index in range(core.start, core.stop):
            around = range(max(index - REACH, 0), min(index + REACH + 1, len(frames)))
            shares = np.array([1 - abs(i - index) / (REACH + 1) for i in around])
            mean = _mean([measured[i] for i in around], shares / shares.sum())
            yield replace(frames[index], image=graded(frames[index].image, mean))


def tones(image: np.ndarray) -> Tones:
    """The tones of a frame, float32 [h, w, c] in [0, 1]."""
    height, width = image.shape[:2]
    shrink = min(1.0, 320 / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], -1)
    luma = small.mean(axis=2)
    black, white = np.quantile(small, (0.001, 0.999), axis=(0, 1))
    return Tones(black, white, float(np.abs(small - luma[..., None]).mean()))


def _mean(measured: Sequence[Tones], shares: np.ndarray) -> Tones:
    return Tones(
        black=shares @ np.stack([one.black for one in measured]),
        white=shares @ np.stack([one.white for one in measured]),
        chroma=float(shares @ [one.chroma for one in measured]),
    )


def graded(image: np.ndarray, measured: Tones) -> np.ndarray:
    """`image` with the tones that it should have: float32 [h, w, c] in [0, 1].

    Every channel's faded black and white become BLACK and WHITE, as far as the limits go; so whites
    and blacks, which no light of the scene colors, lose their cast, and what is colored stays.
    """
    black = _near_mean(measured.black, CAST_OF_BLACK)
    white = _near_mean(measured.white, CAST_OF_WHITE)
    black, white = np.minimum(black, DEEPEST_BLACK), np.maximum(white, LOWEST_WHITE)
    deep, bright = np.minimum(black, BLACK), np.maximum(white, WHITE)
    gain = (bright - deep) / (white - black)
    leveled = deep + (image - black) * gain
    if image.shape[2] == 1 or measured.chroma < GRAY:
        return np.clip(leveled, 0, 1).astype(np.float32)
    chroma = measured.chroma * float(gain.mean())
    saturation = min(max(FULL / chroma, 1.0), LARGEST_SATURATION)
    luma = leveled.mean(axis=2, keepdims=True)
    return np.clip(luma + saturation * (leveled - luma), 0, 1).astype(np.float32)


def _near_mean(levels: np.ndarray, limit: float) -> np.ndarray:
    mean = levels.mean()
    return np.clip(levels, mean - limit, mean + limit)
