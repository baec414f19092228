"""DAIN as published: flow, depth and kernels once a pair, then every frame tile by tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from oldfilm.apps.base import as_planes
from oldfilm.apps.dain.padding import inner, pad
from oldfilm.engine import Graph
from oldfilm.imaging.color import as_rgb
from oldfilm.imaging.flow import resize_flow
from oldfilm.imaging.resample import resize

CONTEXT_REACH = 17
"""Pixels on either side that influence a feature of the context network."""

RECTIFY_REACH = 10
"""Pixels on either side that influence a pixel of the last step."""


class Pair(NamedTuple):
    """What all frames between two others share; all arrays are padded.

    frames: float32 [1, 4, h, w] each, RGB and log depth. flows: float32 [h, w, 2] each, from one
    frame to the other, in pixels. kernels: float32 [1, 32, h, w]. shape: of the unpadded frames.
    """

    frames: list[np.ndarray]
    flows: list[np.ndarray]
    kernels: np.ndarray
    shape: tuple[int, ...]


class PublishedInterpolation:
    """Interpolates with the authors' network (Bao et al., CVPR 2019)."""

    tile = 192
    """Height and width of the tiles of a frame; memory grows with its square."""

    def __init__(self, graph: Callable[..., Graph], motion_pixels: int) -> None:
        """graph: `Predictor.graph` of `DAIN`. motion_pixels: flow and depth of larger frames are
        estimated on a copy with about as many pixels.
        """
        self._graph = graph
        self._motion_pixels = motion_pixels

    def prepare(self, first: np.ndarray, second: np.ndarray) -> Pair:
        """Estimate flow, depth and interpolation kernels."""
        padded = [pad(as_rgb(image)) for image in (first, second)]
        full_size = padded[0].shape[1::-1]
        size = _working_size(full_size, self._motion_pixels)
        small = [as_planes(_resized(image, size)) for image in padded]
        flow = self._graph("flownets", first=(1, 3, None, None), second=(1, 3, None, None))
        depth = self._graph("depthNet", frame=(1, 3, None, None))
        # The network's unit is 20 pixels of its frame, of which one of its own is 4.
        flows = [
            resize_flow(5 * flow(one, other)[0][0].transpose(1, 2, 0), full_size)
            for one, other in (small, small[::-1])
        ]
        depths = [_resized(depth(image)[0][0, 0], full_size) for image in small]
        frames = [as_planes(np.dstack(known)) for known in zip(padded, depths)]
        return Pair(frames, flows, self._kernels(frames), first.shape)

    def between(self, prepared: Pair, time: float) -> np.ndarray:
        """Project the flow of the whole frame, then make the frame tile by tile."""
        project = self._graph("project", export=False)
        flows, reads = [], []
        for field, way, frame in zip(prepared.flows, (time, 1 - time), prepared.frames):
            projected, read = project(as_planes(field * np.float32(way)), frame[:, 3:])
            flows.append(projected)
            reads.append(read)
        rows, columns = inner(prepared.shape)
        made = np.empty((rows.stop - rows.start, columns.stop - columns.start, 3), np.float32)
        motion = np.concatenate(flows, 1)
        for tall in _tiles(rows, self.tile):
            for wide in _tiles(columns, self.tile):
                place = _shifted(tall, -rows.start), _shifted(wide, -columns.start)
                made[place] = self._tile(prepared, motion, reads, (tall, wide), time)
        made = np.clip(made, 0, 1, out=made)
        return made if prepared.shape[2] == 3 else made.mean(axis=2, keepdims=True)

    def _kernels(self, frames: list[np.ndarray]) -> np.ndarray:
        """Estimate float32 [1, 32, h, w]: 4x4 weights for either frame."""
        trunk = self._graph("initScaleNets_filter", frames=(1, 6, None, None))
        (features,) = trunk(np.concatenate([frame[:, :3] for frame in frames], 1))
        heads = ("initScaleNets_filter1", "initScaleNets_filter2")
        shape = (1, 16, None, None)
        return np.concatenate([self._graph(head, features=shape)(features)[0] for head in heads], 1)

    def _tile(
        self,
        pair: Pair,
        flows: np.ndarray,
        reads: list[np.ndarray],
        place: tuple[slice, slice],
        time: float,
    ) -> np.ndarray:
        """Make one tile [h, w, 3], identical to that part of the frame made as a whole."""
        around = [
            slice(max(side.start - RECTIFY_REACH, 0), min(side.stop + RECTIFY_REACH, length))
            for side, length in zip(place, flows.shape[2:])
        ]
        part_of = np.s_[:, :, around[0], around[1]]
        parts, local = [], []
        for frame, read in zip(pair.frames, reads):
            part, corner = _read_part(frame, read[part_of])
            parts.append(part)
            local.append(read[part_of] - corner)
        network = self._graph(
            first=(1, 4, None, None),
            second=(1, 4, None, None),
            reads=(1, 6, None, None),
            flows=(1, 4, None, None),
            kernels=(1, 32, None, None),
            time=(1, 1, 1, 1),
        )
        times = np.full((1, 1, 1, 1), time, np.float32)
        read_local = np.concatenate(local, 1)
        (made,) = network(*parts, read_local, flows[part_of], pair.kernels[part_of], times)
        rows, columns = (_shifted(side, -outer.start) for side, outer in zip(place, around))
        return made[0][:, rows, columns].transpose(1, 2, 0)


def _working_size(size: tuple[int, ...], pixels: int) -> tuple[int, int]:
    """Return (width, height) in multiples of 64, with about `pixels` pixels at most."""
    scale = min(1.0, (pixels / math.prod(size)) ** 0.5)
    width, height = (max(1, round(side * scale / 64)) * 64 for side in size)
    return width, height


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    smaller = size[0] < image.shape[1]
    return resize(image, size, cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _tiles(side: slice, length: int) -> Iterator[slice]:
    """Divide a side into parts of at most `length`."""
    for start in range(side.start, side.stop, length):
        yield slice(start, min(start + length, side.stop))


def _shifted(side: slice, by: int) -> slice:
    return slice(side.start + by, side.stop + by)


def _read_part(frame: np.ndarray, read: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crop a frame to what `read` (x, y, ...) refers to, and what its context depends on.

    Returns float32 [1, c, h, w], and the corner to subtract from `read`.
    """
    starts, stops = [], []
    for places, length in zip(read[0], frame.shape[:1:-1]):
        starts.append(max(int(places.min()) - 1 - CONTEXT_REACH, 0))
        stops.append(min(int(places.max()) + 3 + CONTEXT_REACH, length))
    corner = np.array([*starts, 0], np.float32).reshape(1, 3, 1, 1)
    return frame[:, :, starts[1] : stops[1], starts[0] : stops[0]], corner
