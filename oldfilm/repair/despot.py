"""Despot: dust, hairs and blotches that live for one frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np

from oldfilm.flow import flow, warp
from oldfilm.pipeline import Restorer
from oldfilm.stage import FilmInfo, Frame, Window

LARGEST = 0.05
"""A blotch takes at most this part of the frame; what is larger is another thing."""

_SQUARE = np.ones((3, 3), np.uint8)


class Despot(Restorer):
    """Takes away what is in one frame and in neither of its neighbours.

    A frame that is shown twice (as when film was brought to another rate) counts once. A shot with
    fewer than three frames comes back as it was.
    """

    name = "Despot"
    window = Window(core=8, before=4, after=4)

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film."""
        return info

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame."""
        return 4 * info.width * info.height * info.channels

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Take the spots out of the core's frames."""
        images = [frame.image for frame in frames]
        thumbnails = [_thumbnail(image) for image in images]
        for index in range(core.start, core.stop):
            pair = _neighbours(index, thumbnails)
            if pair is None:
                yield frames[index]
                continue
            one, other = pair
            between = one < index < other
            cleaned = despotted(images[index], images[one], images[other], between)
            yield replace(frames[index], image=cleaned)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    shrink = min(1.0, 256 / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    return cv2.resize(_luma(image), size, interpolation=cv2.INTER_AREA)


def _neighbours(index: int, thumbnails: Sequence[np.ndarray]) -> tuple[int, int] | None:
    """The frames that a frame is compared with: before and after, or two on one side.

    The nearest that show another picture; where nothing moves, simply the nearest.
    """
    count = len(thumbnails)
    if count < 3:
        return None
    before = _changes(thumbnails, range(index, -1, -1))
    after = _changes(thumbnails, range(index, count))
    if before and after:
        return before[0], after[0]
    for one_side in (before, after):
        if len(one_side) > 1:
            return one_side[0], one_side[1]
    if 0 < index < count - 1:
        return index - 1, index + 1
    return (1, 2) if index == 0 else (index - 1, index - 2)


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


def despotted(image: np.ndarray, one: np.ndarray, other: np.ndarray, between: bool) -> np.ndarray:
    """`image` without what neither of its neighbours shows.

    image, one, other: float32 [h, w, c] in [0, 1]. between: whether `image` lies between the two in
    time; else they follow it, or it follows them, nearest first.

    Method: what lies outside the range of both motion-compensated neighbours (the rank ordered
    difference detector, Nadenau and Mitra 1997; Kokaram 1998), grown to what is connected with it,
    judged spot by spot, and filled from the neighbours. Motion is sought twice: the second time
    in the frame without its spots.
    """
    motions = [flow(image, one), flow(image, other)]
    fetched = [followed(image, frame, motion) for frame, motion in zip((one, other), motions)]
    noise = _noise(_luma(image), [_luma(frame) for frame in fetched])
    spots = _spots(_luma(image), [_luma(frame) for frame in fetched], noise)
    if not spots.any():
        return image
    # What is only in this frame has no motion, and leads the flow around it astray.
    grown = cv2.dilate(spots.astype(np.uint8), np.ones((5, 5), np.uint8))
    motions = [_interpolated(motion, grown) for motion in motions]
    fetched = [followed(image, frame, motion) for frame, motion in zip((one, other), motions)]
    rough = _filled(image, fetched, spots.astype(np.uint8))
    motions = [flow(rough, one), flow(rough, other)]
    fetched = [followed(image, frame, motion) for frame, motion in zip((one, other), motions)]
    lumas = _luma(image), _luma(one), _luma(other)
    spots = _spots(lumas[0], [_luma(frame) for frame in fetched], noise)
    spots &= _inside(motions[0]) & _inside(motions[1])
    mask = _damage(spots, lumas, [_luma(frame) for frame in fetched], motions, noise, between)
    return _filled(image, fetched, mask) if mask.any() else image


def followed(image: np.ndarray, neighbour: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """`neighbour` moved to where `image` has things, and as bright as `image` is there.

    image, neighbour: float32 [h, w, c] in [0, 1]. motion: float32 [h, w, 2], flow from `image` to
    `neighbour`, in pixels. Slow differences of brightness are flicker, and taken out: their median
    over an eighth of the frame, which no blotch and no thing that moves sways.
    """
    moved = warp(neighbour, motion)
    height, width = image.shape[:2]
    difference = (image - moved).mean(axis=2)
    step = max(1, max(height, width) // 40)
    small = cv2.resize(
        difference,
        (max(1, width // step), max(1, height // step)),
        interpolation=cv2.INTER_AREA,
    )
    slow = cv2.blur(cv2.medianBlur(small, 5), (5, 5))
    return moved + cv2.resize(slow, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]


def _luma(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.mean(axis=2))


def _noise(luma: np.ndarray, fetched: Sequence[np.ndarray]) -> float:
    """Standard deviation of the grain, as far as it differs from the neighbours'."""
    return float(1.48 * np.median(np.abs(luma - (fetched[0] + fetched[1]) / 2)) / 1.5**0.5)


def _spots(luma: np.ndarray, fetched: Sequence[np.ndarray], noise: float) -> np.ndarray:
    """Where luma lies outside the range of both neighbours: bool [h, w].

    A spot has a pixel that no pixel beside the same place of either neighbour comes near (so that
    an edge which compensation misses by a pixel is none), and all around it that differs at all.
    """
    high, low = np.maximum(*fetched), np.minimum(*fetched)
    strong, weak = max(0.035, 8 * noise), max(0.015, 2.5 * noise)
    spots = np.zeros(luma.shape, bool)
    for above, beyond in (
        (luma - high, luma - cv2.dilate(high, _SQUARE)),
        (low - luma, cv2.erode(low, _SQUARE) - luma),
    ):
        count, labels = cv2.connectedComponents((above > weak).astype(np.uint8), connectivity=8)
        hit = np.zeros(count, bool)
        hit[labels[beyond > strong]] = True
        hit[0] = False
        spots |= hit[labels]
    return spots


def _inside(motion: np.ndarray) -> np.ndarray:
    """Where motion does not lead out of the frame, or to its border: bool [h, w]."""
    height, width = motion.shape[:2]
    x = motion[..., 0] + np.arange(width, dtype=np.float32)
    y = motion[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return (x > 3) & (x < width - 4) & (y > 3) & (y < height - 4)


def _damage(
    spots: np.ndarray,
    lumas: tuple[np.ndarray, np.ndarray, np.ndarray],
    fetched: Sequence[np.ndarray],
    motions: Sequence[np.ndarray],
    noise: float,
    between: bool,
) -> np.ndarray:
    """Which of the spots are damage, and no thing that moves: uint8 [h, w], 0 or 1."""
    luma = lumas[0]
    mask = np.zeros(spots.shape, np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        spots.astype(np.uint8), connectivity=8
    )
    expected = (fetched[0] + fetched[1]) / 2
    soft = cv2.GaussianBlur(expected, (0, 0), 1.5)
    for number in range(1, count):
        left, top, width, height, area = stats[number]
        if area > LARGEST * spots.size:
            continue
        box = _around(left, top, width, height, 3, spots.shape)
        spot = labels[box] == number
        near = cv2.dilate(spot.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        ring = near & ~spots[box]
        miss = np.abs(luma[box] - expected[box])
        contrast = float(miss[spot].mean())
        unlike = float(np.abs(fetched[0][box] - fetched[1][box])[near].mean())
        if ring.any() and contrast < 2.5 * float(miss[ring].mean()):
            continue  # motion is not understood here
        if contrast < 3 * unlike:
            continue  # the neighbours do not say what should be here
        if _only_sharper(luma[box], expected[box], soft[box], spot) or _moves(
            lumas, motions, box, spot, noise, between
        ):
            continue
        mask[box] |= spot
    return mask


def _only_sharper(
    luma: np.ndarray, expected: np.ndarray, soft: np.ndarray, spot: np.ndarray
) -> bool:
    """Whether a spot is what the neighbours show too, with more or less contrast or sharpness.

    Old film is not sharp in all frames alike. luma, expected, soft: [h, w] around the spot: the
    frame, what the neighbours show, and that blurred; luma is fitted with a sum of the two.
    """
    known = np.stack([expected.ravel(), soft.ravel(), np.ones(luma.size, np.float32)], axis=1)
    shares = np.linalg.lstsq(known, luma.ravel(), rcond=None)[0]
    left = np.abs(luma.ravel() - known @ shares).reshape(luma.shape)[spot].mean()
    return bool(left < 0.5 * np.abs(luma - expected)[spot].mean())


def _around(
    left: int, top: int, width: int, height: int, margin: int, shape: tuple[int, ...]
) -> tuple[slice, slice]:
    rows = slice(max(top - margin, 0), min(top + height + margin, shape[0]))
    return rows, slice(max(left - margin, 0), min(left + width + margin, shape[1]))


def _moves(
    lumas: tuple[np.ndarray, np.ndarray, np.ndarray],
    motions: Sequence[np.ndarray],
    box: tuple[slice, slice],
    spot: np.ndarray,
    noise: float,
    between: bool,
) -> bool:
    """Whether the neighbours show the spot elsewhere, on one way.

    A bird, a spoke or a hand that the flow has overlooked is somewhere near in either neighbour, as
    far on one side as on the other; dust is not. At a shot's end, where the second neighbour is too
    far away to say, the first is believed.
    """
    patch = lumas[0][box]
    shape = cv2.dilate(spot.astype(np.uint8), _SQUARE).astype(np.float32)
    ways = []
    for neighbour, motion in zip(lumas[1:], motions):
        background = np.median(motion[box].reshape(-1, 2), axis=0)
        way, miss, plain = _found(patch, shape, neighbour, box, background)
        if miss - 2 * noise**2 > 0.4 * (plain - 2 * noise**2):
            return False
        if not between:
            return True
        ways.append(way)
    there, back = ways
    return float(np.hypot(*(there + back))) <= 3 + 0.5 * float(np.hypot(*there))


def _found(
    patch: np.ndarray,
    shape: np.ndarray,
    neighbour: np.ndarray,
    box: tuple[slice, slice],
    background: np.ndarray,
) -> tuple[np.ndarray, float, float]:
    """Where `neighbour` shows most nearly what `patch`, the frame in the box, shows in `shape`.

    Returns the way there beyond the background's, in pixels: x, y; the mean square difference
    there; and that where the background went.
    """
    reach = max(12, max(neighbour.shape) // 20)
    height, width = patch.shape
    top = int(np.clip(box[0].start + round(background[1]), 0, neighbour.shape[0] - height))
    left = int(np.clip(box[1].start + round(background[0]), 0, neighbour.shape[1] - width))
    rows = slice(max(top - reach, 0), min(top + height + reach, neighbour.shape[0]))
    columns = slice(max(left - reach, 0), min(left + width + reach, neighbour.shape[1]))
    field = np.ascontiguousarray(neighbour[rows, columns])
    misses = cv2.matchTemplate(field, np.ascontiguousarray(patch), cv2.TM_SQDIFF, mask=shape)
    row, column = np.unravel_index(int(misses.argmin()), misses.shape)
    way = np.array([column + columns.start - left, row + rows.start - top], np.float32)
    plain = misses[top - rows.start, left - columns.start]
    return way, float(misses[row, column] / shape.sum()), float(plain / shape.sum())


def _interpolated(motion: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Motion with what lies in the mask taken smoothly from around it.

    motion: float32 [h, w, 2]. mask: uint8 [h, w], 1 where the motion is not to be trusted.
    """
    known = (mask == 0).astype(np.float32)[..., None]
    filled, missing = motion * known, known == 0
    for sigma in (3.0, 12.0, 48.0):
        weight = cv2.GaussianBlur(known, (0, 0), sigma)[..., None]
        mean = cv2.GaussianBlur(motion * known, (0, 0), sigma) / np.maximum(weight, 1e-6)
        here = missing & (weight > 1e-3)
        filled = np.where(here, mean, filled)
        missing = missing & ~here
    return filled.astype(np.float32)


def _filled(image: np.ndarray, fetched: Sequence[np.ndarray], mask: np.ndarray) -> np.ndarray:
    """`image` with the mask's places taken from the neighbours, and a seam that does not show.

    Where the mask was grown the median of the three stands: what is sound stays what it was.
    """
    mean = (fetched[0] + fetched[1]) / 2
    middle = np.maximum(np.minimum(image, np.maximum(*fetched)), np.minimum(fetched[0], fetched[1]))
    inside = cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.float32)[..., None]
    repaired = mean * inside + middle * (1 - inside)
    around = cv2.dilate(mask, np.ones((7, 7), np.uint8)).astype(np.float32)
    seam = cv2.blur(around, (3, 3))[..., None]
    return np.clip(image + (repaired - image) * seam, 0, 1).astype(np.float32)
