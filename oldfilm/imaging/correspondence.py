"""Find in one picture what another one shows: by likeness of features, and by motion.

Features are those of a network at a fraction of a picture's size; see `Features`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from oldfilm.imaging.resample import resize

TEMPERATURE = 0.02
"""Difference of likeness at which a place counts 1/e as much as the most similar one."""

_QUERIES = 1024
"""Places that are compared at a time, which bounds the memory."""

_NEAR = 0.05
"""A round trip that ends this close to its start, in longer sides of the picture, is mutual."""


@dataclass(frozen=True)
class Features:
    """The features of a picture on a grid: rows of unit length, float32 [h * w, c].

    size: (w, h) of the grid.
    """

    rows: np.ndarray
    size: tuple[int, int]


@dataclass(frozen=True)
class Match:
    """What one picture shows, as a mixture of places of another.

    likeness: float32 [h, w] in [-1, 1], that of the most similar place. values: float32 [h, w, c],
    the other's values, mixed by likeness. best: int [h, w], the most similar place. mutual: the
    share of places whose most similar place has, in turn, its most similar place near them.
    """

    likeness: np.ndarray
    values: np.ndarray
    best: np.ndarray
    mutual: float


def joined_features(maps: Sequence[np.ndarray]) -> Features:
    """Join feature maps, each [c, h, w], on the grid of the first.

    Each map counts equally. Its mean is removed, because it is the same in all pictures.
    """
    size = maps[0].shape[:0:-1]
    parts = []
    for each in maps:
        centered = each - each.mean((1, 2), keepdims=True)
        planes = [resize(np.ascontiguousarray(plane), size) for plane in centered]
        rows = np.stack(planes, -1).reshape(-1, len(planes))
        parts.append(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6))
    joined = np.concatenate(parts, 1) / np.sqrt(np.float32(len(parts)))
    return Features(joined.astype(np.float32), size)


def match(features: Features, other: Features, values: np.ndarray) -> Match:
    """Find every place of a picture in another one.

    values: float32 [h * w, c] of the other's grid.

    Method: non-local attention, as in "Deep Exemplar-based Video Colorization" (Zhang et al., CVPR
    2019), with the cosine of features as likeness.
    """
    count = len(features.rows)
    mixed = np.empty((count, values.shape[1]), np.float32)
    likeness, best = np.empty(count, np.float32), np.empty(count, np.int64)
    back, back_likeness = np.zeros(len(other.rows), np.int64), np.full(len(other.rows), -2.0)
    for first in range(0, count, _QUERIES):
        part = slice(first, first + _QUERIES)
        table = features.rows[part] @ other.rows.T
        rows, columns = np.arange(len(table)), np.arange(len(other.rows))
        best[part] = table.argmax(1)
        likeness[part] = table[rows, best[part]]
        nearest = table.argmax(0)
        is_closer = table[nearest, columns] > back_likeness
        back[is_closer] = first + nearest[is_closer]
        back_likeness[is_closer] = table[nearest, columns][is_closer]
        weights = np.exp((table - likeness[part, None]) / TEMPERATURE)
        mixed[part] = weights @ values / weights.sum(1, keepdims=True)
    width, height = features.size
    return Match(
        likeness.reshape(height, width),
        mixed.reshape(height, width, -1),
        best.reshape(height, width),
        _mutual(back[best], width, height),
    )


def _mutual(ends: np.ndarray, width: int, height: int) -> float:
    """The share of places whose round trip, to `ends`, misses them by little."""
    starts = np.arange(width * height)
    miss = np.hypot(ends % width - starts % width, ends // width - starts // width)
    return float((miss <= max(1.0, _NEAR * max(width, height))).mean())


def motion_guess(best: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Turn the most similar places on a grid of the same shape into a flow field.

    best: as in `Match`. size: (width, height) of the field. Returns float32 [height, width, 2], in
    pixels; single outliers are removed.
    """
    height, width = best.shape
    across = (best % width - np.arange(width)).astype(np.float32)
    down = (best // width - np.arange(height)[:, None]).astype(np.float32)
    scale = (size[0] / width, size[1] / height)
    planes = [cv2.medianBlur(plane, 5) * s for plane, s in zip((across, down), scale)]
    return resize(np.stack(planes, 2).astype(np.float32), size)
