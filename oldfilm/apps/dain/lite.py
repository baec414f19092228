"""DAIN lite: refine flow and blend two warped frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from oldfilm.apps.base import as_planes
from oldfilm.engine import Graph
from oldfilm.imaging.color import as_rgb
from oldfilm.imaging.flow import WORKING_SIDE, Motion, warp_by_small
from oldfilm.imaging.resample import fitted_size, resize


class Pair(NamedTuple):
    """Two frames [h, w, c], and the motion between them at the network's size."""

    first: np.ndarray
    second: np.ndarray
    motion: Motion


class LiteInterpolation:
    """Interpolates with `DAINLite` on top of DIS flow.

    The network works on a copy whose longer side is at most `WORKING_SIDE` pixels; its result is
    enlarged and applied to the full frames.
    """

    def __init__(self, graph: Callable[..., Graph]) -> None:
        """graph: `Predictor.graph` of `DAINLite`."""
        self._graph = graph

    def prepare(self, first: np.ndarray, second: np.ndarray) -> Pair:
        """Estimate the motion between two frames."""
        return Pair(first, second, Motion(_reduced(first), _reduced(second)))

    def between(self, prepared: Pair, time: float) -> np.ndarray:
        """As `Interpolator.between`."""
        flows, trust, candidates = prepared.motion.at(time)
        network = self._graph(
            candidates=(1, 12, None, None),
            flows=(1, 4, None, None),
            trust=(1, 2, None, None),
            time=(1, 1, None, None),
        )
        times = np.full_like(trust[..., :1], time)
        made = network(*map(as_planes, (candidates, flows, trust, times)))
        return synthesize(prepared.first, prepared.second, made[0][0].transpose(1, 2, 0))


def synthesize(first: np.ndarray, second: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Warp and blend two frames with the output of the lite network.

    first, second: float32 [h, w, c] in [0, 1], c 3 (RGB) or 1 (luma). made: float32 [h', w', 9]
    from `DAINLite`, at any size: flow to either frame, the first frame's share, the weight of the
    network's own picture, and that picture.
    Returns float32 [h, w, c] in [0, 1].
    """
    height, width, channels = first.shape
    size = (width, height)
    from_first = warp_by_small(first, made[..., :2])
    from_second = warp_by_small(second, made[..., 2:4])
    share, doubt = (cv2.resize(plane, size) for plane in cv2.split(made[..., 4:6]))
    sharp = cv2.blendLinear(from_first, from_second, share, 1 - share, from_first)
    del from_second  # as large as a frame
    soft = made[..., 6:] if channels == 3 else made[..., 6:].mean(axis=2)
    result = cv2.blendLinear(cv2.resize(soft, size), sharp, doubt, 1 - doubt, sharp)
    return np.clip(result, 0, 1, out=result).reshape(first.shape)


def _reduced(image: np.ndarray) -> np.ndarray:
    """Shrink a frame to the network's size, as RGB."""
    height, width = image.shape[:2]
    small = resize(image, fitted_size(width, height, WORKING_SIDE), cv2.INTER_AREA)
    return np.ascontiguousarray(as_rgb(small))
