"""PP-MSVSR lite: two recurrent cells that run frame by frame, on flow from outside."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from oldfilm.apps.base import as_input, as_output
from oldfilm.engine import Graph, InputShape
from oldfilm.imaging.flow import flow, warp
from oldfilm.imaging.resample import resize
from oldfilm.stage import FilmInfo

OVERSHOOT = 0.1
"""How far a result may exceed the local range of its sources, as a share of that range."""

LEAST_OVERSHOOT = 0.02
"""Overshoot that is always allowed, in [0, 1]."""

_RELEASED = np.empty(0, np.float32)


class LiteEnlarger:
    """Enlarges with `PPMSVSRLite`: back through the window first, then forward."""

    def __init__(self, graph: Callable[..., Graph], channels: int) -> None:
        """graph: `Predictor.graph` of `PPMSVSRLite`. channels: of its hidden features."""
        self._graph = graph
        self._channels = channels

    def bytes_per_frame(self, info: FilmInfo, tile_scale: int) -> int:
        """Return the memory of one more frame in the window.

        For each pixel of the source, in float32: the frame as it came, in the window's array and
        as the network's input (3 values each), and the features from the backward pass. Results
        are returned one by one, except those of tiles, which wait for their neighbors.
        tile_scale: the scale of the results if frames are tiled, else 0.
        """
        pixels = info.width * info.height
        return 4 * (3 * 3 + self._channels + 3 * tile_scale**2) * pixels

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """As `Predictor.restore`."""
        images = [as_input(frame) for frame in frames]
        later = self._backward(frames, images)
        height, width, channels = frames.shape[1:]
        forward_cell = self._graph("forward_cell", **self._inputs("hidden", "later"))
        hidden = self._zeros(height, width)
        for i in range(core.stop):
            before = max(i - 1, 0)
            motion = _flow(frames, i, before)
            hidden, image = forward_cell(images[i], images[before], motion, hidden, later[i])
            later[i] = _RELEASED  # the largest array of a frame
            if i >= core.start:
                moved = warp(frames[before], motion[0].transpose(1, 2, 0))
                yield _limit_overshoot(as_output(image, channels), [frames[i], moved])

    def _backward(self, frames: np.ndarray, images: list[np.ndarray]) -> list[np.ndarray]:
        """Return each frame's features from the frames after it: [1, channels, h, w]."""
        backward_cell = self._graph("backward_cell", **self._inputs("hidden"))
        hidden = self._zeros(*frames.shape[1:3])
        later = []
        for i in reversed(range(len(frames))):
            after = min(i + 1, len(frames) - 1)
            (hidden,) = backward_cell(images[i], images[after], _flow(frames, i, after), hidden)
            later.append(hidden)
        return later[::-1]

    def _zeros(self, height: int, width: int) -> np.ndarray:
        return np.zeros((1, self._channels, height, width), np.float32)

    def _inputs(self, *features: str) -> dict[str, InputShape]:
        """Return names and shapes of a cell's inputs."""
        picture, motion = (1, 3, None, None), (1, 2, None, None)
        hidden = dict.fromkeys(features, (1, self._channels, None, None))
        return {"frame": picture, "neighbor": picture, "flow": motion, **hidden}


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


def _flow(frames: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return the flow between two frames in pixels, float32 [1, 2, h, w]; 0 for the same frame."""
    if start == stop:
        return np.zeros((1, 2, *frames.shape[1:3]), np.float32)
    return np.ascontiguousarray(flow(frames[start], frames[stop]).transpose(2, 0, 1)[None])
