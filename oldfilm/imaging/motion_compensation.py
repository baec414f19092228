"""The frames beside a frame: which it is compared with, and what they show where it has things."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from oldfilm.imaging.flow import warp

_SQUARE = np.ones((3, 3), np.uint8)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """A small gray copy of float32 [h, w, c], no side longer than 256 pixels: [h, w]."""
    height, width = image.shape[:2]
    shrink = min(1.0, 256 / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    return cv2.resize(gray(image), size, interpolation=cv2.INTER_AREA)


def beside(index: int, thumbnails: Sequence[np.ndarray], reach: int) -> list[int]:
    """The frames that a frame is compared with, at most `reach` on either side, nearest first.

    Those that show another picture; where nothing moves, simply the nearest. Where there are none
    on one side, one more on the other. At least two; none where there are fewer than three frames.

    thumbnails: of consecutive frames of a shot.
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
    """Which frames, in this order, show another picture than the one before them."""
    changes, last = [], thumbnails[order[0]]
    for index in order[1:]:
        if not _same(last, thumbnails[index]):
            changes.append(index)
            last = thumbnails[index]
    return changes


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two thumbnails show the same picture but for compression."""
    difference = cv2.absdiff(one, other)
    return bool(difference.mean() < 0.006 and cv2.blur(difference, (8, 8)).max() < 0.05)


def followed(image: np.ndarray, neighbor: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """`neighbor` moved to where `image` has things, and as bright as `image` is there.

    image, neighbor: float32 [h, w, c] in [0, 1]. motion: float32 [h, w, 2], flow from `image` to
    `neighbor`, in pixels. Slow diff of brightness are flicker, and taken out: their median
    over an eighth of the frame, which no blotch and no thing that moves sways.
    """
    moved = warp(neighbor, motion)
    height, width = image.shape[:2]
    step = max(1, max(height, width) // 40)
    small = cv2.resize(
        gray(image - moved),
        (max(1, width // step), max(1, height // step)),
        interpolation=cv2.INTER_AREA,
    )
    slow = cv2.blur(cv2.medianBlur(small, 5), (5, 5))
    return moved + cv2.resize(slow, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]


def noise_between(image: np.ndarray, fetched: Sequence[np.ndarray]) -> float:
    """Standard deviation of the grain, as far as it differs from the nearest two neighbors'.

    image, fetched: float32 [h, w, c], the frame and what these show there (`followed`).
    """
    diff = np.abs(gray(image - (fetched[0] + fetched[1]) / 2))
    return float(1.48 * np.median(diff) / 1.5**0.5)


def unlike(image: np.ndarray, pair: Sequence[np.ndarray], noise: float) -> np.ndarray:
    """Where a channel lies outside the range of both neighbors: bool [h, w].

    image, pair: float32 [h, w, c], the frame and what two neighbors show there (`followed`).
    noise: the standard deviation of the grain. A spot has a pixel that no pixel beside the same
    place of either neighbor comes near (so that an edge which compensation misses by a pixel is
    none), and all around it that differs at all.
    """
    strong, weak = max(0.035, 8 * noise), max(0.015, 2.5 * noise)
    spots = np.zeros(image.shape[:2], bool)
    for channel, *both in zip(*(cv2.split(one) for one in (image, *pair))):
        high, low = np.maximum(*both), np.minimum(*both)
        for above, beyond in (
            (channel - high, channel - cv2.dilate(high, _SQUARE)),
            (low - channel, cv2.erode(low, _SQUARE) - channel),
        ):
            count, labels = cv2.connectedComponents((above > weak).astype(np.uint8), connectivity=8)
            hit = np.zeros(count, bool)
            hit[labels[beyond > strong]] = True
            hit[0] = False
            spots |= hit[labels]
    return spots


def gray(image: np.ndarray) -> np.ndarray:
    """The mean of the channels of float32 [h, w, c]: [h, w]."""
    channels = image.shape[2]
    if channels == 1:
        return np.ascontiguousarray(image[..., 0])
    return cv2.transform(image, np.full((1, channels), 1 / channels, np.float32))
