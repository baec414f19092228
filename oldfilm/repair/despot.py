"""Despot: dust, hairs and blotches that live for one frame."""

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
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo, Frame, Window

LARGEST = 0.1
"""A blotch takes at most this part of the frame; what is larger is another thing."""

SMALL = 0.001
"""What takes less of the frame may be what the neighbors show too, only sharper."""

_SQUARE = np.ones((3, 3), np.uint8)


class Despot(RunnableStage):
    """Takes away what is in one frame and in none of its neighbors.

    A frame that is shown twice (as when film was brought to another rate) counts once. A shot with
    fewer than three frames comes back as it was.
    """

    name = "Despot"
    window = Window(core=8, before=6, after=6)

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film."""
        return info

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame, as it was and cleaned."""
        return 8 * info.width * info.height * info.channels

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Take the spots out of the core's frames.

        Twice: against two neighbors as they are, and then against four that were cleaned so.
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
    """`image` without anything that the two neighbors do not show, be it damage or not.

    image, near: float32 [h, w, c] in [0, 1]. What is in one frame only has no motion, and leads
    the flow around it astray; this picture is only to seek motion in.
    """
    motions = [flow(image, other) for other in near]
    fetched = [motion_compensate(image, other, motion) for other, motion in zip(near, motions)]
    spots = rank_order_outliers(image, fetched, grain_sigma(image, fetched)).astype(np.uint8)
    if not spots.any():
        return image
    grown = cv2.dilate(spots, np.ones((5, 5), np.uint8))
    motions = [_interpolated(motion, grown) for motion in motions]
    fetched = [motion_compensate(image, other, motion) for other, motion in zip(near, motions)]
    return _filled(image, fetched, spots)


def despotted(
    image: np.ndarray, guess: np.ndarray, near: Sequence[np.ndarray], between: bool
) -> np.ndarray:
    """`image` without what none of its neighbors shows.

    image, near: float32 [h, w, c] in [0, 1], the neighbors nearest first. guess: what `image`
    shows without its spots, as far as is known. between: whether `image` lies between the
    neighbors in time; else they all follow it, or it follows them.

    Method: what lies outside the range of motion-compensated neighbors (the rank ordered
    difference detector, Nadenau and Mitra 1997; Kokaram 1998), of the two that agree best at every
    place; judged spot by spot, and filled from them.
    """
    motions = [flow(guess, other) for other in near]
    fetched = [motion_compensate(guess, other, motion) for other, motion in zip(near, motions)]
    noise = grain_sigma(guess, fetched)
    pair, apart = _agreeing(fetched, [_inside(motion) for motion in motions], noise)
    spots = rank_order_outliers(image, pair, noise) & (apart < 1)
    if not spots.any():
        return image
    seen = [(other, _most(np.abs(guess - other))) for other in fetched[:2]]
    nearest = [(channel_mean(other), motion) for other, motion in zip(near[:2], motions)]
    mask = _damage(spots, _Evidence(image, pair, apart, seen, nearest, noise, between))
    return _filled(image, pair, mask) if mask.any() else image


def _most(image: np.ndarray) -> np.ndarray:
    """The largest of the channels: [h, w]. (NumPy's own reduction is slow on short axes.)"""
    most = image[..., 0]
    for channel in range(1, image.shape[2]):
        most = np.maximum(most, image[..., channel])
    return most


def _agreeing(
    fetched: Sequence[np.ndarray], inside: Sequence[np.ndarray], noise: float
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The two neighbors that agree best, place by place: the nearest two where these do nearly.

    fetched: float32 [h, w, c] each, nearest first. inside: where their motion is known, bool
    [h, w] each. Returns the two, and how far they are apart, float32 [h, w]; 1 and more where no
    two are known.
    """

    def distance(a: int, b: int) -> np.ndarray:
        difference = cv2.blur(_most(np.abs(fetched[a] - fetched[b])), (5, 5))
        return difference + ~(inside[a] & inside[b])

    one, other, apart = fetched[0], fetched[1], distance(0, 1)
    bar = apart / 2 - noise
    for a, b in list(combinations(range(len(fetched)), 2))[1:]:
        between = distance(a, b)
        better = between < bar
        bar, apart = np.where(better, between, bar), np.where(better, between, apart)
        one = np.where(better[..., None], fetched[a], one)
        other = np.where(better[..., None], fetched[b], other)
    return (one, other), apart


def _inside(motion: np.ndarray) -> np.ndarray:
    """Where motion does not lead out of the frame, or to its border: bool [h, w]."""
    height, width = motion.shape[:2]
    x = motion[..., 0] + np.arange(width, dtype=np.float32)
    y = motion[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return (x > 3) & (x < width - 4) & (y > 3) & (y < height - 4)


@dataclass(frozen=True)
class _Evidence:
    """What spots are judged by.

    image: the frame, float32 [h, w, c]. pair: what two neighbors show there, the same shape.
    apart: how far these are apart, [h, w]. fetched: what the nearest two show there, and how far
    the frame without its spots is from it, [h, w]. nearest: luma of these two as they are, [h, w],
    and the motion to them. noise: the grain. between: as in `despotted`.
    """

    image: np.ndarray
    pair: tuple[np.ndarray, np.ndarray]
    apart: np.ndarray
    fetched: Sequence[tuple[np.ndarray, np.ndarray]]
    nearest: Sequence[tuple[np.ndarray, np.ndarray]]
    noise: float
    between: bool


def _damage(spots: np.ndarray, evidence: _Evidence) -> np.ndarray:
    """Which of the spots are damage, and no thing that moves: uint8 [h, w], 0 or 1."""
    mask = np.zeros(spots.shape, np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        spots.astype(np.uint8), connectivity=8
    )
    expected = (evidence.pair[0] + evidence.pair[1]) / 2
    miss = _most(np.abs(evidence.image - expected))
    for number in range(1, count):
        area = stats[number, cv2.CC_STAT_AREA]
        if area > LARGEST * spots.size:
            continue
        box = _around(stats[number], 3, spots.shape)
        spot = labels[box] == number
        near = cv2.dilate(spot.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        ring = near & ~spots[box]
        contrast = float(miss[box][spot].mean())
        if ring.any() and contrast < 3 * float(miss[box][ring].mean()):
            continue  # motion is not understood here
        seen, behind = evidence.image[box], expected[box]
        if not _veiled(seen[spot], behind[spot], contrast):
            continue
        lumas = channel_mean(seen), channel_mean(behind)
        if area < SMALL * spots.size and _only_sharper(*lumas, spot):
            continue
        wide = _around(stats[number], max(12, max(spots.shape) // 20), spots.shape)
        moved = _elsewhere(evidence, wide, labels[wide] == number, contrast)
        sure = 3 + 1.5 * moved if evidence.between else 4 + 2 * moved
        if contrast < sure * float(evidence.apart[box][near].mean()):
            continue  # the neighbors do not say what should be here
        if not _moves(evidence, box, spot):
            mask[box] |= spot
    return mask


def _around(stats: np.ndarray, margin: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a connected component, and `margin` pixels around it."""
    left, top, width, height = stats[:4]
    rows = slice(max(top - margin, 0), min(top + height + margin, shape[0]))
    return rows, slice(max(left - margin, 0), min(left + width + margin, shape[1]))


def _veiled(seen: np.ndarray, behind: np.ndarray, contrast: float) -> bool:
    """Whether a spot is of one color, through which the picture behind it shows more or less.

    seen, behind: [n, c], what the frame shows in the spot, and what should be there.
    """
    known = np.stack([behind.ravel(), np.ones(behind.size, np.float32)], axis=1)
    shares = np.linalg.lstsq(known, seen.ravel(), rcond=None)[0]
    return bool(np.abs(seen.ravel() - known @ shares).mean() < 0.5 * contrast)


def _only_sharper(luma: np.ndarray, expected: np.ndarray, spot: np.ndarray) -> bool:
    """Whether a spot is what the neighbors show too, with more or less contrast or sharpness.

    Old film is not sharp in all frames alike. luma, expected: [h, w] around the spot: the frame,
    and what the neighbors show; luma is fitted with a sum of that, it blurred, and a constant.
    """
    soft = cv2.GaussianBlur(expected, (0, 0), 1.5)
    known = np.stack([expected.ravel(), soft.ravel(), np.ones(luma.size, np.float32)], axis=1)
    shares = np.linalg.lstsq(known, luma.ravel(), rcond=None)[0]
    left = np.abs(luma.ravel() - known @ shares).reshape(luma.shape)[spot].mean()
    return bool(left < 0.5 * np.abs(luma - expected)[spot].mean())


def _elsewhere(
    evidence: _Evidence, box: tuple[slice, slice], spot: np.ndarray, contrast: float
) -> float:
    """How much of a spot's colors both neighbors show near it where the frame does not.

    1: as many pixels as the spot has. A bird, a spoke or a hand that flow has overlooked is
    somewhere near in either neighbor, turned or bent as it may be; dust is not.
    """
    colors = evidence.image[box][spot]
    least, most = np.quantile(colors, (0.1, 0.9), axis=0)
    margin = max(0.03, 2 * evidence.noise)
    new = max(0.03, 4 * evidence.noise, 0.35 * contrast)
    counts = []
    for fetched, difference in evidence.fetched:
        shown = fetched[box]
        like = ((shown > least - margin) & (shown < most + margin)).all(axis=2)
        counts.append(np.count_nonzero(like & (difference[box] > new)))
    return min(counts) / len(colors)


def _moves(evidence: _Evidence, box: tuple[slice, slice], spot: np.ndarray) -> bool:
    """Whether the neighbors show the spot elsewhere, on one way.

    A bird, a spoke or a hand that the flow has overlooked is somewhere near in either neighbor, as
    far on one side as on the other; dust is not. At a shot's end, where the second neighbor is too
    far away to say, the first is believed.
    """
    patch = channel_mean(evidence.image[box])
    shape = cv2.dilate(spot.astype(np.uint8), _SQUARE).astype(np.float32)
    grain, ways = 2 * evidence.noise**2, []
    for neighbor, motion in evidence.nearest:
        background = np.median(motion[box].reshape(-1, 2), axis=0)
        way, miss, plain = _found(patch, shape, neighbor, box, background)
        if miss - grain > 0.4 * (plain - grain):
            return False
        if not evidence.between:
            return True
        ways.append(way)
    there, back = ways
    return float(np.hypot(*(there + back))) <= 3 + 0.5 * float(np.hypot(*there))


def _found(
    patch: np.ndarray,
    shape: np.ndarray,
    neighbor: np.ndarray,
    box: tuple[slice, slice],
    background: np.ndarray,
) -> tuple[np.ndarray, float, float]:
    """Where `neighbor` shows most nearly what `patch`, the frame in the box, shows in `shape`.

    Returns the way there beyond the background's, in pixels: x, y; the mean square difference
    there; and that where the background went.
    """
    reach = max(12, max(neighbor.shape) // 20)
    height, width = patch.shape
    top = int(np.clip(box[0].start + round(background[1]), 0, neighbor.shape[0] - height))
    left = int(np.clip(box[1].start + round(background[0]), 0, neighbor.shape[1] - width))
    rows = slice(max(top - reach, 0), min(top + height + reach, neighbor.shape[0]))
    columns = slice(max(left - reach, 0), min(left + width + reach, neighbor.shape[1]))
    field = np.ascontiguousarray(neighbor[rows, columns])
    misses = cv2.matchTemplate(field, np.ascontiguousarray(patch), cv2.TM_SQDIFF, mask=shape)
    row, column = np.unravel_index(int(misses.argmin()), misses.shape)
    way = np.array([column + columns.start - left, row + rows.start - top], np.float32)
    plain = misses[top - rows.start, left - columns.start]
    return way, float(misses[row, column] / shape.sum()), float(plain / shape.sum())


def _interpolated(motion: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Motion with what lies in the mask taken smoothly from around it.

    motion: float32 [h, w, 2]. mask: uint8 [h, w], 1 where the motion is not to be trusted.
    """
    height, width = mask.shape
    size = max(1, width // 8), max(1, height // 8)
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
    """`image` with the mask's places taken from the neighbors, and a seam that does not show.

    Where the mask was grown the median of the three stands: what is sound stays what it was.
    """
    mean = (pair[0] + pair[1]) / 2
    middle = np.maximum(np.minimum(image, np.maximum(*pair)), np.minimum(*pair))
    inside = cv2.dilate(mask, _SQUARE).astype(np.float32)[..., None]
    repaired = mean * inside + middle * (1 - inside)
    around = cv2.dilate(mask, np.ones((7, 7), np.uint8)).astype(np.float32)
    seam = cv2.blur(around, (3, 3))[..., None]
    return np.clip(image + (repaired - image) * seam, 0, 1).astype(np.float32)
