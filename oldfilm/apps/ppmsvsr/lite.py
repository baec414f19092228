"""PP-MSVSR lite: two recurrent cells that run frame by frame, on classical optical flow."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from oldfilm.apps.base import as_input, as_output
from oldfilm.engine import Graph, InputShape
from oldfilm.imaging.color import as_rgb, luma
from oldfilm.imaging.flow import flow, warp
from oldfilm.imaging.resample import resize
from oldfilm.stage import FilmInfo

OVERSHOOT = 0.1
"""How far a result may exceed the local range of its sources, as a share of that range."""

LEAST_OVERSHOOT = 0.02
"""Overshoot that is always allowed, in [0, 1]."""

_RELEASED = np.empty(0, np.float32)


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


class LiteEnlarger:
    """Enlarges with `PPMSVSRLite`: back through the window first, then forward."""

    def __init__(self, graph: Callable[..., Graph], channels: int) -> None:
        """graph: `Predictor.graph` of `PPMSVSRLite`. channels: of its hidden features."""
        self._graph = graph
        self._channels = channels

    def bytes_per_frame(self, info: FilmInfo, tile_scale: int) -> int:
        """Return the memory of one more frame in the window.

        For each pixel of the source: the frame as it came, in the window's array and as the
        network's input (3 values each, float32), and the features from the backward pass, which
        wait in half precision. Results are returned one by one, except those of tiles, which wait
        for their neighbors.
        tile_scale: the scale of the results if frames are tiled, else 0.
        """
        pixels = info.width * info.height
        return (4 * (3 * 3 + 3 * tile_scale**2) + 2 * self._channels) * pixels

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """As `Predictor.restore`."""
        images = [as_input(frame) for frame in frames]
        later = self._backward(frames, images)
        channels = frames.shape[3]
        forward_cell = self._graph(
            "forward_cell", **self._inputs, later=(1, None, None, self._channels)
        )
        hidden = nothing = self._nothing(frames)
        for i in range(core.stop):
            before, motion = _neighbor(frames, i, i - 1)
            seen = self._seen(frames[before], hidden if before != i else nothing, motion)
            hidden, image = forward_cell(images[i], seen, later[i].astype(np.float32))
            later[i] = _RELEASED  # the largest array of a frame
            if i >= core.start:
                moved = warp(frames[before], motion)
                yield _limit_overshoot(as_output(image, channels), [frames[i], moved])

    def _backward(self, frames: np.ndarray, images: list[np.ndarray]) -> list[np.ndarray]:
        """Return each frame's features from the frames after it: float16 [1, h, w, channels]."""
        backward_cell = self._graph("backward_cell", **self._inputs)
        hidden = nothing = self._nothing(frames)
        later: list[np.ndarray] = []
        for i in reversed(range(len(frames))):
            after, motion = _neighbor(frames, i, i + 1)
            seen = self._seen(frames[after], hidden if after != i else nothing, motion)
            (hidden,) = backward_cell(images[i], seen)
            later.append(hidden.astype(np.float16))
        return later[::-1]

    def _seen(self, frame: np.ndarray, hidden: np.ndarray, motion: np.ndarray) -> np.ndarray:
        """Warp a neighbor and its features, with 0 beyond the border: [1, h, w, 3 + channels]."""
        together = np.concatenate([as_rgb(frame), hidden[0]], 2)
        return warp(together, motion, beyond=cv2.BORDER_CONSTANT)[None]

    def _nothing(self, frames: np.ndarray) -> np.ndarray:
        return np.zeros((1, *frames.shape[1:3], self._channels), np.float32)

    @property
    def _inputs(self) -> dict[str, InputShape]:
        """Names and shapes of the inputs of both cells."""
        return {"frame": (1, 3, None, None), "seen": (1, None, None, 3 + self._channels)}


def _limit_overshoot(large: np.ndarray, sources: Sequence[np.ndarray]) -> np.ndarray:
    """Limit `large` to the local range of its sources, plus a small overshoot.

    The network puts a light and a dark line along edges that are softer than those of its training
    data. sources: the frame, and the frame before it warped to its place, which does not have its
    dust: float32 [h, w, c].
    """
    square = np.ones((3, 3), np.uint8)
    low = functools.reduce(np.minimum, (cv2.erode(source, square) for source in sources))
    high = functools.reduce(np.maximum, (cv2.dilate(source, square) for source in sources))
    margin = OVERSHOOT * (high - low) + LEAST_OVERSHOOT
    # Enlarge one limit at a time: each is as large as the result.
    np.maximum(large, _enlarged(low - margin, large), out=large)
    return np.minimum(large, _enlarged(high + margin, large), out=large)


def _enlarged(small: np.ndarray, like: np.ndarray) -> np.ndarray:
    return resize(small, like.shape[1::-1], cv2.INTER_LINEAR).reshape(like.shape)


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
