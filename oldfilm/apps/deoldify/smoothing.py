"""Temporal smoothing of chroma."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from oldfilm.imaging.flow import flow, resize_flow, warp
from oldfilm.imaging.resample import resize

OFFSETS = (1, 2, 3, 4, 6, 8, 10, 12, 15, 18, 21, 24, 28, 32, 36, 40)
"""Distances in frames at which neighbors count: most of a shot, more densely nearby."""

_LUMA_TOLERANCE = 0.3
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
        half = tuple(-(-side // 2) for side in luma.shape[::-1])
        self.half = resize(np.dstack([luma, chroma]), half, cv2.INTER_AREA)
        """Luma and chroma at half the size."""
        self._motions: dict[tuple[SmallFrame, ...], np.ndarray] = {}

    def motion(self, others: Sequence[SmallFrame]) -> np.ndarray:
        """Return the flow at half the size to the last of the frames next to this one.

        It is composed of the flow from frame to frame; every part is computed once.
        """
        way = tuple(others)
        if way not in self._motions:
            if len(way) == 1:
                found = flow(self.luma[..., None], way[0].luma[..., None])
                self._motions[way] = resize_flow(found, self.half.shape[1::-1])
            else:
                self._motions[way] = _joined(self.motion(way[:-1]), way[-2].motion(way[-1:]))
        return self._motions[way]

    def forget(self, kept: set[SmallFrame]) -> None:
        """Drop the motion to frames that are not kept."""
        self._motions = {way: found for way, found in self._motions.items() if kept.issuperset(way)}


def temporally_smoothed(frames: Sequence[SmallFrame], index: int, reach: int) -> np.ndarray:
    """Average the chroma of one frame with that of its neighbors along their motion.

    frames: consecutive frames of one shot. reach: frames on either side that may count. A neighbor
    counts where its warped luma matches that of the frame. Motion is followed from frame to frame:
    that finds what has moved far, and every step serves many frames. The average is taken at half
    the size: motion has no more detail, and the network's chroma has less.
    """
    frame = frames[index]
    total, weight = frame.half.copy(), np.ones((*frame.half.shape[:2], 1), np.float32)
    for side in (frames[index::-1], frames[index:]):
        motion, at = None, 0
        for distance in OFFSETS:
            if distance > min(reach, len(side) - 1):
                break
            step = side[at].motion(side[at + 1 : distance + 1])
            motion, at = step if motion is None else _joined(motion, step), distance
            if side[at].shown:
                warped = warp(side[at].half, motion)
                confidence = _confidence(frame, side[at], warped[..., 0])
                total += confidence * warped
                weight += confidence
    change = (total / weight - frame.half)[..., 1:]
    return frame.chroma + resize(change, frame.luma.shape[::-1], cv2.INTER_LINEAR)


def _confidence(frame: SmallFrame, other: SmallFrame, warped: np.ndarray) -> np.ndarray:
    """Return how well the warped luma of another frame matches, float32 [h, w, 1]."""
    gain = np.clip(frame.level / max(other.level, 1e-3), *_GAIN_RANGE)
    difference = cv2.blur(warped * np.float32(gain) - frame.half[..., 0], (3, 3))
    matches = np.exp(-np.square(difference / _LUMA_TOLERANCE))[..., None]
    return matches * np.float32(other.shown)


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the flow along two fields, one after the other."""
    return first + warp(second, first)


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
