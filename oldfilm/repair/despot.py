"""Despot: remove dust, hairs and blotches that appear in a single frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import cv2
import numpy as np

from oldfilm.imaging.color import channel_mean
from oldfilm.imaging.flow import flow
from oldfilm.imaging.motion_compensation import (
    grain_sigma,
    motion_compensate,
    pick_references,
    rank_order_outliers,
    thumbnail,
)
from oldfilm.imaging.resample import divided_size
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo, Frame, Window

_SQUARE = np.ones((3, 3), np.uint8)

Box = tuple[slice, slice]
"""Rows and columns of a rectangle."""


@dataclass(frozen=True)
class Criteria:
    """How spots are judged.

    largest: fraction of the frame above which a spot is not damage. small: fraction below which a
    spot may be detail of the picture that is sharper than in the neighbors. ring: how many times
    more a spot must differ from the neighbors than the pixels around it do. overlay, sharper,
    object: fraction of the difference that may remain after a spot is explained as one color over
    the picture, as sharper detail, or as a moving object. certainty: how many times more a spot
    must differ from its neighbors than they differ from each other; at the ends of a shot,
    certainty_at_end. Both grow by half for every match nearby.
    """

    largest: float = 0.1
    small: float = 0.001
    ring: float = 3
    overlay: float = 0.5
    sharper: float = 0.5
    object: float = 0.4
    certainty: float = 3
    certainty_at_end: float = 4


CRITERIA = Criteria()


class Despot(RunnableStage):
    """Removes what appears in one frame but in none of its neighbors.

    A repeated frame, as in a film converted to another rate, counts once. Shots of fewer than three
    frames are returned unchanged.
    """

    name = "Despot"
    counts_repairs = True
    window = Window(core=8, before=6, after=6)

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame, before and after."""
        return 8 * info.width * info.height * info.channels

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Remove the spots from the core's frames.

        There are two passes: against two neighbors as they are, then against four cleaned ones.
        """
        images = [frame.image for frame in frames]
        thumbnails = [thumbnail(image) for image in images]
        cleaned: dict[int, np.ndarray] = {}

        def clean(index: int) -> np.ndarray:
            if index not in cleaned:
                near = pick_references(index, thumbnails, 1)
                others = [images[n] for n in near]
                guess = roughly_filled(images[index], others)
                cleaned[index] = despotted(images[index], guess, others, _between(index, near))
            return cleaned[index]

        for index in range(core.start, core.stop):
            near = pick_references(index, thumbnails, 2)
            if not near:
                yield frames[index]
                continue
            others = [clean(n) for n in near]
            image = despotted(images[index], clean(index), others, _between(index, near))
            yield replace(frames[index], image=image)


def _between(index: int, near: Sequence[int]) -> bool:
    return min(near) < index < max(near)


def roughly_filled(image: np.ndarray, near: Sequence[np.ndarray]) -> np.ndarray:
    """Replace everything in `image` that its two neighbors do not show, damaged or not.

    image, near: float32 [h, w, c] in [0, 1].

    The result is only good for computing flow, which spots would lead astray.
    """
    motions = [flow(image, other) for other in near]
    compensated = _compensated(image, near, motions)
    sigma = grain_sigma(image, compensated)
    spots = rank_order_outliers(image, compensated, sigma).astype(np.uint8)
    if not spots.any():
        return image
    grown = cv2.dilate(spots, np.ones((5, 5), np.uint8))
    motions = [_interpolated(motion, grown) for motion in motions]
    return _filled(image, _compensated(image, near, motions), spots)


def _compensated(
    image: np.ndarray, near: Sequence[np.ndarray], motions: Sequence[np.ndarray]
) -> list[np.ndarray]:
    return [motion_compensate(image, other, motion) for other, motion in zip(near, motions)]


def despotted(
    image: np.ndarray, guess: np.ndarray, near: Sequence[np.ndarray], between: bool
) -> np.ndarray:
    """Remove from `image` what none of its neighbors shows.

    image, near: float32 [h, w, c] in [0, 1], the neighbors nearest first. guess: `image` without
    its spots, as well as is known. between: whether there are neighbors both before and after
    `image`.

    Method: the rank-ordered difference detector (Nadenau and Mitra 1997; Kokaram 1998) on
    motion-compensated neighbors, using the two that agree best at every pixel. Every spot is then
    judged by itself, and filled from these two.
    """
    motions = [flow(guess, other) for other in near]
    compensated = _compensated(guess, near, motions)
    sigma = grain_sigma(guess, compensated)
    known = [_inside(motion) for motion in motions]
    pair, disagreement = _most_consistent_pair(compensated, known, sigma)
    spots = rank_order_outliers(image, pair, sigma) & (disagreement < 1)
    if not spots.any():
        return image
    expected = (pair[0] + pair[1]) / 2
    evidence = _Evidence(
        image=image,
        expected=expected,
        difference=_channel_max(np.abs(image - expected)),
        disagreement=disagreement,
        compensated=[(c, _channel_max(np.abs(guess - c))) for c in compensated[:2]],
        nearest=[(channel_mean(other), motion) for other, motion in zip(near[:2], motions)],
        sigma=sigma,
        between=between,
    )
    mask = _damage(spots, evidence)
    return _filled(image, pair, mask) if mask.any() else image


def _channel_max(image: np.ndarray) -> np.ndarray:
    """The largest of the channels: [h, w]. (NumPy's own reduction is slow on short axes.)"""
    largest = image[..., 0]
    for channel in range(1, image.shape[2]):
        largest = np.maximum(largest, image[..., channel])
    return largest


def _most_consistent_pair(
    compensated: Sequence[np.ndarray], known: Sequence[np.ndarray], sigma: float
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Pick the two neighbors that agree best at every pixel; the nearest two if they nearly do.

    compensated: float32 [h, w, c] each, nearest first. known: where their motion stays inside the
    frame, bool [h, w] each.
    Returns the two, and how much they differ, float32 [h, w]; at least 1 where no two are known.
    """

    def distance(a: int, b: int) -> np.ndarray:
        difference = cv2.blur(_channel_max(np.abs(compensated[a] - compensated[b])), (5, 5))
        return difference + ~(known[a] & known[b])

    one, other, disagreement = compensated[0], compensated[1], distance(0, 1)
    bar = disagreement / 2 - sigma
    for a, b in list(combinations(range(len(compensated)), 2))[1:]:
        between = distance(a, b)
        better = between < bar
        bar = np.where(better, between, bar)
        disagreement = np.where(better, between, disagreement)
        one = np.where(better[..., None], compensated[a], one)
        other = np.where(better[..., None], compensated[b], other)
    return (one, other), disagreement


def _inside(motion: np.ndarray) -> np.ndarray:
    """Where motion does not lead out of the frame or to its border: bool [h, w]."""
    height, width = motion.shape[:2]
    x = motion[..., 0] + np.arange(width, dtype=np.float32)
    y = motion[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return (x > 3) & (x < width - 4) & (y > 3) & (y < height - 4)


@dataclass(frozen=True)
class _Evidence:
    """What spots are judged by.

    image: the frame, float32 [h, w, c]. expected: the mean of the two neighbors that agree best,
    the same shape. difference: of these two, the largest of the channels, [h, w]. disagreement: how
    much the two neighbors differ, [h, w]. compensated: the two nearest neighbors after motion
    compensation, and their difference from the frame without spots, [h, w]. nearest: the channel
    mean of these two before compensation, [h, w], and the motion to them. sigma: of the grain.
    between: as in `despotted`.
    """

    image: np.ndarray
    expected: np.ndarray
    difference: np.ndarray
    disagreement: np.ndarray
    compensated: Sequence[tuple[np.ndarray, np.ndarray]]
    nearest: Sequence[tuple[np.ndarray, np.ndarray]]
    sigma: float
    between: bool


def _damage(spots: np.ndarray, evidence: _Evidence) -> np.ndarray:
    """Keep the spots that are damage and not part of the picture: uint8 [h, w], 0 or 1."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        spots.astype(np.uint8), connectivity=8
    )
    damaged = np.zeros(count, np.uint8)
    for number in range(1, count):
        damaged[number] = _is_damage(number, labels, stats[number], evidence)
    return damaged[labels]


def _is_damage(number: int, labels: np.ndarray, stats: np.ndarray, evidence: _Evidence) -> bool:
    """Judge one spot. labels: int [h, w], the number of every pixel's spot, or 0."""
    area = stats[cv2.CC_STAT_AREA]
    if area > CRITERIA.largest * labels.size:
        return False
    box = _around(stats, 3, labels.shape)
    spot = labels[box] == number
    near = cv2.dilate(spot.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    ring = near & (labels[box] == 0)
    difference = evidence.difference[box]
    contrast = float(difference[spot].mean())
    if ring.any() and contrast < CRITERIA.ring * float(difference[ring].mean()):
        return False  # motion compensation failed here
    seen, expected = evidence.image[box], evidence.expected[box]
    if not _is_overlay(seen[spot], expected[spot], contrast):
        return False
    lumas = channel_mean(seen), channel_mean(expected)
    if area < CRITERIA.small * labels.size and _is_only_sharper(*lumas, spot):
        return False
    wide = _around(stats, _search_range(labels.shape), labels.shape)
    match = _match_nearby(evidence, wide, labels[wide] == number, contrast)
    certainty = CRITERIA.certainty if evidence.between else CRITERIA.certainty_at_end
    certainty += certainty / 2 * match
    if contrast < certainty * float(evidence.disagreement[box][near].mean()):
        return False  # the neighbors disagree on what belongs here
    return not _is_moving_object(evidence, box, spot)


def _search_range(shape: Sequence[int]) -> int:
    """How far a moving object may be from its place in the next frame, in pixels."""
    return max(12, max(shape) // 20)


def _around(stats: np.ndarray, margin: int, shape: tuple[int, ...]) -> Box:
    """The bounding box of a connected component with a margin, clipped to the frame."""
    left, top, width, height = stats[:4]
    rows = slice(max(top - margin, 0), min(top + height + margin, shape[0]))
    return rows, slice(max(left - margin, 0), min(left + width + margin, shape[1]))


def _is_overlay(seen: np.ndarray, expected: np.ndarray, contrast: float) -> bool:
    """Whether a spot is one color, opaque or translucent, over the picture.

    seen, expected: [n, c], the spot's pixels in the frame, and as the neighbors show them.
    """
    known = np.stack([expected.ravel(), np.ones(expected.size, np.float32)], axis=1)
    shares = np.linalg.lstsq(known, seen.ravel(), rcond=None)[0]
    left = np.abs(seen.ravel() - known @ shares).mean()
    return bool(left < CRITERIA.overlay * contrast)


def _is_only_sharper(luma: np.ndarray, expected: np.ndarray, spot: np.ndarray) -> bool:
    """Whether the neighbors show the spot too, with another contrast or sharpness.

    Frames of old film are not equally sharp.

    luma, expected: [h, w] around the spot, in the frame and in the neighbors. The frame is fitted
    by a weighted sum of the neighbors, a blurred copy of them, and a constant.
    """
    soft = cv2.GaussianBlur(expected, (0, 0), 1.5)
    known = np.stack([expected.ravel(), soft.ravel(), np.ones(luma.size, np.float32)], axis=1)
    shares = np.linalg.lstsq(known, luma.ravel(), rcond=None)[0]
    left = np.abs(luma.ravel() - known @ shares).reshape(luma.shape)[spot].mean()
    return bool(left < CRITERIA.sharper * np.abs(luma - expected)[spot].mean())


def _match_nearby(evidence: _Evidence, box: Box, spot: np.ndarray, contrast: float) -> float:
    """How many pixels with the spot's colors are new near it in both neighbors.

    Returns their number as a fraction of the spot's pixels. A bird, a spoke or a hand that the flow
    missed is nearby in both neighbors, even if turned or bent; dust is not.
    """
    colors = evidence.image[box][spot]
    low, high = np.quantile(colors, (0.1, 0.9), axis=0)
    margin = max(0.03, 2 * evidence.sigma)
    new = max(0.03, 4 * evidence.sigma, 0.35 * contrast)
    counts = []
    for compensated, difference in evidence.compensated:
        shown = compensated[box]
        alike = ((shown > low - margin) & (shown < high + margin)).all(axis=2)
        counts.append(np.count_nonzero(alike & (difference[box] > new)))
    return min(counts) / len(colors)


def _is_moving_object(evidence: _Evidence, box: Box, spot: np.ndarray) -> bool:
    """Whether both neighbors show the spot elsewhere, on one path.

    A bird, a spoke or a hand that the flow missed is equally far on either side; dust is not. At
    the ends of a shot only the nearest neighbor counts, because the second is too far away.
    """
    patch = channel_mean(evidence.image[box])
    shape = cv2.dilate(spot.astype(np.uint8), _SQUARE).astype(np.float32)
    grain, offsets = 2 * evidence.sigma**2, []
    for neighbor, motion in evidence.nearest:
        background = np.median(motion[box].reshape(-1, 2), axis=0)
        offset, error, error_in_place = _best_match(patch, shape, neighbor, box, background)
        if error - grain > CRITERIA.object * (error_in_place - grain):
            return False
        if not evidence.between:
            return True
        offsets.append(offset)
    one, other = offsets
    return float(np.hypot(*(one + other))) <= 3 + 0.5 * float(np.hypot(*one))


def _best_match(
    patch: np.ndarray,
    shape: np.ndarray,
    neighbor: np.ndarray,
    box: Box,
    background: np.ndarray,
) -> tuple[np.ndarray, float, float]:
    """Find a patch in a neighbor by template matching.

    patch: the frame in the box, [h, w]. shape: which of its pixels count, [h, w]. background: the
    motion around it, x, y in pixels.
    Returns the offset of the best match from the background's motion, x, y in pixels, and two mean
    square errors: of the best match, and at the background's motion.
    """
    reach = _search_range(neighbor.shape)
    height, width = patch.shape
    top = int(np.clip(box[0].start + round(background[1]), 0, neighbor.shape[0] - height))
    left = int(np.clip(box[1].start + round(background[0]), 0, neighbor.shape[1] - width))
    rows = slice(max(top - reach, 0), min(top + height + reach, neighbor.shape[0]))
    columns = slice(max(left - reach, 0), min(left + width + reach, neighbor.shape[1]))
    field = np.ascontiguousarray(neighbor[rows, columns])
    errors = cv2.matchTemplate(field, np.ascontiguousarray(patch), cv2.TM_SQDIFF, mask=shape)
    row, column = np.unravel_index(int(errors.argmin()), errors.shape)
    offset = np.array([column + columns.start - left, row + rows.start - top], np.float32)
    in_place = errors[top - rows.start, left - columns.start]
    return offset, float(errors[row, column] / shape.sum()), float(in_place / shape.sum())


def _interpolated(motion: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Replace the masked motion by a smooth interpolation of its surroundings.

    motion: float32 [h, w, 2]. mask: uint8 [h, w], 1 where the motion is unreliable.
    """
    height, width = mask.shape
    size = divided_size(width, height, 8)
    known = (mask == 0).astype(np.float32)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(motion * known[..., None], size, interpolation=cv2.INTER_AREA)
    smooth, missing = np.zeros_like(total), np.ones(weight.shape, bool)
    for sigma in (0.8, 2.0, 6.0):
        share = cv2.GaussianBlur(weight, (0, 0), sigma)
        mean = cv2.GaussianBlur(total, (0, 0), sigma) / np.maximum(share, 1e-6)[..., None]
        here = missing & (share > 0.05)
        smooth[here] = mean[here]
        missing &= ~here
    smooth = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(mask[..., None] > 0, smooth, motion)


def _filled(image: np.ndarray, pair: Sequence[np.ndarray], mask: np.ndarray) -> np.ndarray:
    """Fill the mask with the mean of two neighbors, with an invisible seam.

    Next to the mask, every pixel becomes the median of the image and the two: sound ones stay.
    """
    mean = (pair[0] + pair[1]) / 2
    median = np.maximum(np.minimum(image, np.maximum(*pair)), np.minimum(*pair))
    inside = cv2.dilate(mask, _SQUARE).astype(np.float32)[..., None]
    repaired = mean * inside + median * (1 - inside)
    around = cv2.dilate(mask, np.ones((7, 7), np.uint8)).astype(np.float32)
    seam = cv2.blur(around, (3, 3))[..., None]
    return np.clip(image + (repaired - image) * seam, 0, 1).astype(np.float32)
