"""PP-MSVSR lite: two recurrent cells that run frame by frame, on classical optical flow."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from oldfilm.apps.base import as_input
from oldfilm.engine import Graph, InputShape
from oldfilm.imaging.color import luma
from oldfilm.imaging.flow import flow, warp
from oldfilm.stage import FilmInfo

OVERSHOOT = 0.1
"""How far a result may exceed the local range of its sources, as a share of that range."""

LEAST_OVERSHOOT = 0.02
"""Overshoot that is always allowed, in [0, 1]."""


@dataclass(frozen=True)
class Jump:
    """When a frame does not continue its neighbor: a splice, a slip, a double exposure.

    grain: sigma of the blur, in pixels, that hides grain. gain: change of brightness, as a factor,
    that counts as flicker. level, contrast: difference between the frame and its warped neighbor
    that still matches, in [0, 1], and as a share of the mean luma around. around: side of the
    square, in pixels, whose pixels decide together. share: how many of these may differ; dust and
    scratches cover less. picture: share of a frame that must differ.
    """

    grain: float = 1.5
    gain: float = 1.5
    level: float = 0.02
    contrast: float = 0.12
    around: int = 15
    share: float = 0.35
    picture: float = 0.35


JUMP = Jump()

SCALE = 4
"""Of both sides."""

_LARGEST = 32767

_NEW: Any = None
"""A destination that OpenCV makes; its type stubs lack it."""


class LiteEnlarger:
    """Enlarges with `PPMSVSRLite`: back through the window first, then forward."""

    def __init__(self, graph: Callable[..., Graph], channels: int) -> None:
        """graph: `Predictor.graph` of `PPMSVSRLite`. channels: of its hidden features."""
        self._graph = graph
        self._channels = channels

    def bytes_per_frame(self, info: FilmInfo, tile_scale: int) -> int:
        """Return the memory of one more frame in the window.

        For each pixel of the source: the frame as it came, and in the window's array (3 values
        each, float32), and the features from the backward pass, which wait in 16 bits. Results are
        returned one by one, except those of tiles, which wait for their neighbors.
        tile_scale: the scale of the results if frames are tiled, else 0.
        """
        pixels = info.width * info.height
        return (4 * (3 * 2 + 3 * tile_scale**2) + 2 * self._channels) * pixels

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """As `Predictor.restore`."""
        later = self._backward(frames)
        inputs, nothing = self._inputs, self._nothing(frames)
        cell = self._graph("forward_cell", **inputs, later=inputs["seen"])
        hidden = nothing
        _, height, width, channels = frames.shape
        scratch = np.empty((SCALE * height, SCALE * width, channels), np.float32)
        for i in range(core.stop):
            before, motion = _neighbor(frames, i, i - 1)
            seen = _warped(hidden if before != i else nothing, motion)
            pictures = _pictures(frames[i], frames[before], motion)
            hidden, detail = cell(pictures, seen, later.pop().unpacked())
            if i >= core.start:
                image = _large_picture(detail, channels)
                image += _enlarged(frames[i], scratch)
                np.clip(image, 0, 1, out=image)
                yield _limit_overshoot(image, [frames[i], warp(frames[before], motion)], scratch)

    def _backward(self, frames: np.ndarray) -> list[PackedFeatures]:
        """Return each frame's features from the frames after it, those of the last frame first."""
        cell = self._graph("backward_cell", **self._inputs)
        hidden = nothing = self._nothing(frames)
        later = []
        for i in reversed(range(len(frames))):
            after, motion = _neighbor(frames, i, i + 1)
            seen = _warped(hidden if after != i else nothing, motion)
            (hidden,) = cell(_pictures(frames[i], frames[after], motion), seen)
            later.append(PackedFeatures.of(hidden))
        return later

    def _nothing(self, frames: np.ndarray) -> np.ndarray:
        return np.zeros((1, *frames.shape[1:3], self._channels), np.float32)

    @property
    def _inputs(self) -> dict[str, InputShape]:
        """Names and shapes of the inputs of both cells."""
        return {"pictures": (1, 6, None, None), "seen": (1, None, None, self._channels)}


@dataclass(frozen=True)
class PackedFeatures:
    """Features in half of their memory: a fixed-point number of 16 bits each.

    Half-precision floats would be less exact, and NumPy takes four times as long to convert them.
    """

    values: np.ndarray
    largest: float

    @classmethod
    def of(cls, features: np.ndarray) -> PackedFeatures:
        """Pack float32 [1, h, w, channels]."""
        plane = features.reshape(features.shape[1], -1)
        largest = cv2.norm(plane, cv2.NORM_INF)
        values = cv2.normalize(plane, _NEW, _LARGEST, 0, cv2.NORM_INF, cv2.CV_16S)
        return cls(values.reshape(features.shape), largest)

    def unpacked(self) -> np.ndarray:
        """Return them as float32 again."""
        plane = self.values.reshape(self.values.shape[1], -1)
        features = cv2.normalize(plane, _NEW, self.largest, 0, cv2.NORM_INF, cv2.CV_32F)
        return features.reshape(self.values.shape)


def _warped(features: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Warp features [1, h, w, channels], with 0 beyond the border."""
    return warp(features[0], motion, beyond=cv2.BORDER_CONSTANT)[None]


def _pictures(frame: np.ndarray, neighbor: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Return a frame and its warped neighbor, RGB or luma, as the network sees them."""
    moved = warp(neighbor, motion, beyond=cv2.BORDER_CONSTANT)
    return np.concatenate([as_input(frame), as_input(moved)], 1)


def _large_picture(detail: np.ndarray, channels: int) -> np.ndarray:
    """Return what a network's `detail` adds to the enlarged frame: [4h, 4w, channels]."""
    _, height, width, _ = detail.shape
    if channels == 1:
        pixels = detail.reshape(height, width * SCALE**2, 3)
        detail = cv2.transform(pixels, np.full((1, 3), 1 / 3)).reshape(height, width, SCALE**2)
    # One item per row of an enlarged pixel: NumPy moves a few bytes as slowly as many.
    rows = detail.view(f"V{4 * SCALE * channels}").reshape(height, width, SCALE)
    picture = np.ascontiguousarray(rows.transpose(0, 2, 1)).view(np.float32)
    return picture.reshape(SCALE * height, SCALE * width, channels)


def _limit_overshoot(
    large: np.ndarray, sources: Sequence[np.ndarray], scratch: np.ndarray
) -> np.ndarray:
    """Limit `large` to the local range of its sources, plus a small overshoot.

    The network puts a light and a dark line along edges that are softer than those of its training
    data. sources: the frame, and the frame before it warped to its place, which does not have its
    dust: float32 [h, w, c]. large is changed. scratch: an array like it.
    """
    square = np.ones((3, 3), np.uint8)
    low = functools.reduce(np.minimum, (cv2.erode(source, square) for source in sources))
    high = functools.reduce(np.maximum, (cv2.dilate(source, square) for source in sources))
    margin = OVERSHOOT * (high - low) + LEAST_OVERSHOOT
    # Enlarge one limit at a time: each is as large as the result.
    np.maximum(large, _enlarged(low - margin, scratch), out=large)
    return np.minimum(large, _enlarged(high + margin, scratch), out=large)


def _enlarged(small: np.ndarray, scratch: np.ndarray) -> np.ndarray:
    """Enlarge into `scratch`, and return it."""
    size = scratch.shape[1::-1]
    made = cv2.resize(small, size, dst=scratch, interpolation=cv2.INTER_LINEAR)
    return made.reshape(scratch.shape)


def _neighbor(frames: np.ndarray, index: int, other: int) -> tuple[int, np.ndarray]:
    """Return the neighbor that the network sees, and the flow to it in pixels: [h, w, 2].

    It is `index` itself, with a flow of 0, where the window ends and where the other frame shows
    something else: there the network starts over, or it would repeat the other frame's content.
    """
    if 0 <= other < len(frames):
        motion = flow(frames[index], frames[other])
        if not _jumps(frames[index], frames[other], motion):
            return other, motion
    return index, np.zeros((*frames.shape[1:3], 2), np.float32)


def _jumps(frame: np.ndarray, neighbor: np.ndarray, motion: np.ndarray) -> bool:
    """Whether the warped neighbor differs from the frame over much of the picture."""
    sides = luma(frame), warp(luma(neighbor), motion)
    plane, moved = (cv2.GaussianBlur(side, (0, 0), JUMP.grain) for side in sides)
    far = (max(plane.shape) // 4 | 1,) * 2
    level, moved_level = (cv2.blur(side, far) + 0.02 for side in (plane, moved))
    gain = np.clip(level / moved_level, 1 / JUMP.gain, JUMP.gain)
    differs = np.abs(plane - moved * gain) > JUMP.level + JUMP.contrast * level
    around = cv2.blur(differs.astype(np.float32), (JUMP.around, JUMP.around))
    return bool(np.mean(around > JUMP.share) > JUMP.picture)
