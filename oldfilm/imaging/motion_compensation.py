"""Choose reference frames, motion-compensate them, and find spots that they do not show.

Frames are float32 [h, w, c], RGB or luma, in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from oldfilm.imaging.color import channel_mean
from oldfilm.imaging.flow import warp
from oldfilm.imaging.resample import divided_size, fitted_size, resize

_SQUARE = np.ones((3, 3), np.uint8)

_THUMBNAIL_SIDE = 256


def thumbnail(image: np.ndarray) -> np.ndarray:
    """A small gray copy of a frame, at most 256 pixels a side: [h, w]."""
    height, width = image.shape[:2]
    return resize(channel_mean(image), fitted_size(width, height, _THUMBNAIL_SIDE))


def pick_references(index: int, thumbnails: Sequence[np.ndarray], reach: int) -> list[int]:
    """Choose the frames to compare a frame with: their indices, nearest first.

    thumbnails: of consecutive frames of a shot. reach: frames on either side, at most.

    Frames that repeat the picture before them do not count, unless nothing moves at all. At a
    shot's first or last frame, all references are on one side, and one more is taken. Returns at
    least two indices, or none if the shot has fewer than three frames.
    """
    count = len(thumbnails)
    if count < 3:
        return []
    before = _changes(thumbnails, range(index, -1, -1))
    after = _changes(thumbnails, range(index, count))
    if before and after:
        return sorted([*before[:reach], *after[:reach]], key=lambda n: abs(n - index))
    for one_side in (before, after):
        if len(one_side) > 1:
            return one_side[: reach + 1]
    if 0 < index < count - 1:
        return [index - 1, index + 1]
    return [1, 2] if index == 0 else [index - 1, index - 2]


def _changes(thumbnails: Sequence[np.ndarray], order: range) -> list[int]:
    """The frames, in this order, that differ from the last different one."""
    changes, last = [], thumbnails[order[0]]
    for index in order[1:]:
        if not _is_repeat(last, thumbnails[index]):
            changes.append(index)
            last = thumbnails[index]
    return changes


def _is_repeat(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two thumbnails differ by no more than compression noise."""
    difference = cv2.absdiff(one, other)
    return bool(difference.mean() < 0.006 and cv2.blur(difference, (8, 8)).max() < 0.05)


def motion_compensate(image: np.ndarray, neighbor: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Warp `neighbor` onto `image` and match its brightness.

    motion: float32 [h, w, 2], flow from `image` to `neighbor`, in pixels.

    Differences in brightness that vary slowly over the frame are flicker. They are measured as
    medians over an eighth of the frame, which blotches and moving objects do not affect.
    """
    moved = warp(neighbor, motion)
    height, width = image.shape[:2]
    small_size = divided_size(width, height, max(1, max(height, width) // 40))
    small = resize(channel_mean(image - moved), small_size, cv2.INTER_AREA)
    flicker = cv2.blur(cv2.medianBlur(small, 5), (5, 5))
    return moved + resize(flicker, (width, height), cv2.INTER_LINEAR)[..., None]


def grain_sigma(image: np.ndarray, compensated: Sequence[np.ndarray]) -> float:
    """Estimate the standard deviation of the grain, in [0, 1].

    compensated: the two nearest neighbors, after `motion_compensate`.
    """
    difference = np.abs(channel_mean(image - (compensated[0] + compensated[1]) / 2))
    return float(1.48 * np.median(difference) / 1.5**0.5)


def rank_order_outliers(image: np.ndarray, pair: Sequence[np.ndarray], sigma: float) -> np.ndarray:
    """Find spots that are brighter or darker than both neighbors: bool [h, w].

    pair: two neighbors, after `motion_compensate`. sigma: standard deviation of the grain.

    Method: a rank-ordered difference detector (Nadenau and Mitra 1997) with hysteresis. A spot
    needs one pixel that clearly exceeds even the 3 x 3 pixels around the same place in both
    neighbors, so that an edge misplaced by a pixel is not a spot. It then includes all connected
    pixels that exceed the neighbors at all.
    """
    strong, weak = max(0.035, 8 * sigma), max(0.015, 2.5 * sigma)
    spots = np.zeros(image.shape[:2], bool)
    for channel, *both in zip(*(cv2.split(one) for one in (image, *pair))):
        high, low = np.maximum(*both), np.minimum(*both)
        for excess, certain in (
            (channel - high, channel - cv2.dilate(high, _SQUARE)),
            (low - channel, cv2.erode(low, _SQUARE) - channel),
        ):
            candidates = (excess > weak).astype(np.uint8)
            count, labels = cv2.connectedComponents(candidates, connectivity=8)
            hit = np.zeros(count, bool)
            hit[labels[certain > strong]] = True
            hit[0] = False
            spots |= hit[labels]
    return spots
