"""Temporal smoothing of chroma."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from oldfilm.imaging.flow import flow, warp

OFFSETS = (1, 2, 3, 4, 6, 8, 10, 12, 15, 18, 21, 24, 28, 32, 36, 40)
"""Distances in frames at which neighbors count: most of a shot, more densely nearby."""

_LUMA_TOLERANCE = 0.2
"""Difference of luma at which a neighbor's weight falls to 1/e."""

_GAIN_RANGE = (0.85, 1.18)
"""Changes of brightness between frames that count as flicker and are compensated."""


class SmallFrame:
    """A frame at the network's size."""

    def __init__(self, luma: np.ndarray, chroma: np.ndarray, shown: float) -> None:
        """luma: float32 [h, w] in [0, 1]. chroma: float32 [h, w, c]. shown: the frame's `content`;
        the chroma of a flat frame is invented, and does not count.
        """
        self.luma = luma
        self.chroma = chroma
        self.shown = shown
        self.level = float(luma.mean())
        self.strength = float(np.square(chroma).sum(axis=2).mean())  # The mean squared chroma.
        self.mean = chroma.mean((0, 1))
        self._motions: dict[SmallFrame, np.ndarray] = {}

    def motion(self, other: SmallFrame) -> np.ndarray:
        """Return the flow to a frame next to this one, computed once."""
        if other not in self._motions:
            self._motions[other] = flow(self.luma[..., None], other.luma[..., None])
        return self._motions[other]

    def forget(self, kept: set[SmallFrame]) -> None:
        """Drop the motion to frames that are not kept."""
        self._motions = {other: found for other, found in self._motions.items() if other in kept}


def temporally_smoothed(frames: Sequence[SmallFrame], index: int, reach: int) -> np.ndarray:
    """Average the chroma of one frame with that of its neighbors along their motion.

    frames: consecutive frames of one shot. reach: frames on either side that may count. A neighbor
    counts where its warped luma matches that of the frame. Motion is followed from frame to frame:
    that finds what has moved far, and every step serves many frames.
    """
    frame = frames[index]
    total, weight = frame.chroma.copy(), np.ones((*frame.luma.shape, 1), np.float32)
    for step in (-1, 1):
        motion = np.zeros((*frame.luma.shape, 2), np.float32)
        for distance in range(1, reach + 1):
            here = index + step * distance
            if not 0 <= here < len(frames):
                break
            motion = motion + warp(frames[here - step].motion(frames[here]), motion)
            if distance in OFFSETS and frames[here].shown:
                confidence = _confidence(frame, frames[here], motion)
                total += confidence * warp(frames[here].chroma, motion)
                weight += confidence
    return total / weight


@dataclass(frozen=True)
class ShotColor:
    """The color of a frame and of its neighbors.

    strength: the root mean square of the chroma. mean: of the chroma, float32 [c]. frames: how many
    frames these are from; 0 if all are flat, and everything else is then 0 as well.
    """

    strength: float
    mean: np.ndarray
    frames: int


def shot_color(frames: Sequence[SmallFrame], index: int, reach: int) -> ShotColor:
    """Return the color of a frame and of its neighbors. Parameters: as `temporally_smoothed`."""
    near = [f for f in frames[max(index - reach, 0) : index + reach + 1] if f.shown]
    if not near:
        return ShotColor(0.0, np.zeros_like(frames[index].mean), 0)
    strength = float(np.sqrt(np.mean([f.strength for f in near])))
    return ShotColor(strength, np.mean([f.mean for f in near], axis=0), len(near))


def _confidence(frame: SmallFrame, other: SmallFrame, motion: np.ndarray) -> np.ndarray:
    gain = np.clip(frame.level / max(other.level, 1e-3), *_GAIN_RANGE)
    difference = cv2.blur(warp(other.luma, motion) * np.float32(gain) - frame.luma, (3, 3))
    matches = np.exp(-np.square(difference / _LUMA_TOLERANCE))[..., None]
    return matches * np.float32(other.shown)
