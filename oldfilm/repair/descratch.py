"""Descratch: vertical scratches that stay for many frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np

from oldfilm.imaging.flow import flow
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo, Frame, Window

REACH = 4
"""Frames on either side that must show a scratch too, most of them; at a shot's ends twice as many
on one side."""

WIDEST = 5
"""Pixels of the widest scratch, in a frame of 720 lines or fewer; more in a larger one."""


class Descratch(RunnableStage):
    """Takes away thin upright lines that stand still while the picture moves.

    What a scratch lets through of the picture is kept. In a shot where nothing moves only lines
    that cross the whole frame are taken for scratches. A shot of fewer than five frames comes
    back as it was.
    """

    name = "Descratch"
    window = Window(core=8, before=2 * REACH, after=2 * REACH)

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film."""
        return info

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame, and how thin lines show in it."""
        return 4 * info.width * info.height * (info.channels + 1)

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Take the scratches out of the core's frames."""
        if len(frames) < 5:
            yield from frames[core]
            return
        images = [frame.image for frame in frames]
        plain = [_without_lines(image) for image in images]
        lines = [_lines(image, without) for image, without in zip(images, plain)]
        steps = [_sideways(one, other) for one, other in zip(plain, plain[1:])]
        places = np.cumsum([np.zeros_like(steps[0]), *steps], axis=0)
        for index in range(core.start, core.stop):
            mask = scratches(lines, places, index)
            image = images[index]
            yield replace(frames[index], image=_mended(image, mask) if mask.any() else image)


def _without_lines(image: np.ndarray) -> np.ndarray:
    """Luma [h, w], of which every row is smoothed by a median: without upright thin lines."""
    luma = np.ascontiguousarray(image.mean(axis=2))
    reach = _widest(luma.shape[0])
    padded = np.pad(luma, ((0, 0), (reach, reach)), mode="edge")
    beside = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
    return np.median(beside, axis=2).astype(np.float32)


def _lines(image: np.ndarray, without: np.ndarray) -> np.ndarray:
    """How much brighter upright thin lines are than what is beside them: float32 [h, w].

    What stands out of its row's median (`without`), averaged over an eighth of the height.
    """
    thin = np.clip(image.mean(axis=2) - without, -0.1, 0.1)
    return cv2.blur(thin, (1, max(3, len(thin) // 8)))


def _widest(height: int) -> int:
    return WIDEST * max(1, round(height / 720))


def _sideways(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How many pixels the picture moves to the right, in wide surroundings: float32 [h, w].

    one, other: luma without lines, float32 [h, w]; a scratch would hold the flow back.
    """
    height, width = one.shape
    motion = cv2.resize(
        flow(one[..., None], other[..., None], longest=256)[..., 0],
        (32, 24),
        interpolation=cv2.INTER_AREA,
    )
    return cv2.resize(cv2.medianBlur(motion, 5), (width, height), interpolation=cv2.INTER_LINEAR)


def scratches(lines: Sequence[np.ndarray], places: np.ndarray, index: int) -> np.ndarray:
    """Where a frame is scratched: bool [h, w].

    lines: what `_lines` gives, frame by frame. places: how far the picture has moved to the right
    by each frame, in pixels: float32 [t, h, w].

    Method: after Kokaram (1996) and Joyeux et al. (2001), thin lines of constant brightness in the
    same column of most frames; here they must stand still where the picture does not.
    """
    first = min(max(index - REACH, 0), max(len(lines) - 2 * REACH - 1, 0))
    around = range(first, min(first + 2 * REACH + 1, len(lines)))
    ways = [places[t] - places[index] for t in around]
    # A line is two pixels wide or so, and three where it wavers: what moved less says nothing.
    tells = [np.clip((np.abs(way) - 1) / 2, 0, 1) for way in ways]
    told = np.sum(tells, axis=0)
    own = lines[index]
    height, width = own.shape
    columns = np.arange(width, dtype=np.float32)
    rows = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], own.shape)
    mask = np.zeros(own.shape, bool)
    for sign in (1, -1):
        # A scratch may waver by a pixel.
        near = [cv2.dilate(sign * lines[t], np.ones((1, 3), np.uint8)) for t in around]
        still = np.median(near, axis=0)
        stays = np.sum([tell * line for tell, line in zip(tells, near)], axis=0)
        goes = [
            cv2.remap(line, columns + way, rows, cv2.INTER_LINEAR) for line, way in zip(near, ways)
        ]
        along = np.sum([tell * line for tell, line in zip(tells, goes)], axis=0)
        level = max(0.008, 3 * 1.48 * float(np.median(np.abs(still))))
        found = np.minimum(still, sign * own) > level
        whole = found.mean(axis=0, keepdims=True) > 0.95
        found &= np.where(told >= 2, stays > 1.5 * along.clip(0), whole)
        faint = (sign * own > level / 3) & (still > level / 2)
        mask |= _upright(faint, found)
    return mask


def _upright(faint: np.ndarray, found: np.ndarray) -> np.ndarray:
    """What of `faint` is as tall as a third of the frame and mostly `found` too: bool [h, w].

    And is no wider than a scratch, and leans by no more: rails under a tram stand as still.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(faint.astype(np.uint8), connectivity=8)
    tall = stats[:, cv2.CC_STAT_HEIGHT]
    sure = np.zeros(len(stats), int)
    for row_labels, row_found in zip(labels, found):
        sure[np.unique(row_labels[row_found])] += 1
    thin = stats[:, cv2.CC_STAT_AREA] <= _widest(len(faint)) * tall
    kept = thin & (tall >= len(faint) // 3) & (sure >= 2 * tall // 3)
    kept[0] = False
    for number in np.flatnonzero(kept):
        rows, columns = np.nonzero(labels == number)
        lean = np.polyfit(rows, columns, 1)[0] * tall[number]
        kept[number] = abs(lean) <= _widest(len(faint)) - 3
    return kept[labels]


def _mended(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image with what is in the mask drawn from its row, and its own texture laid over it."""
    across = _across(image, mask)
    height = image.shape[0]
    excess = image - across
    weight = cv2.blur(mask.astype(np.float32), (1, height // 32 * 2 + 1))[..., None]
    slow = cv2.blur(excess, (1, height // 32 * 2 + 1)).reshape(image.shape)
    texture = excess - slow / np.maximum(weight, 1e-6)
    usual = image - cv2.blur(image, (5, 5)).reshape(image.shape)
    limit = 2 * cv2.blur(np.abs(usual), (15, 15)).reshape(image.shape)
    mended = across + np.clip(texture, -limit, limit)
    return np.clip(np.where(mask[..., None], mended, image), 0, 1).astype(np.float32)


def _across(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image with the mask's pixels interpolated between the nearest others of their row."""
    width = mask.shape[1]
    columns = np.broadcast_to(np.arange(width), mask.shape)
    left = np.maximum.accumulate(np.where(mask, -1, columns), axis=1)
    right = np.minimum.accumulate(np.where(mask, width, columns)[:, ::-1], axis=1)[:, ::-1]
    left, right = np.where(left < 0, right, left), np.where(right == width, left, right)
    # A row that is all scratch has nothing to draw from.
    left, right = np.clip(left, 0, width - 1), np.clip(right, 0, width - 1)
    share = ((columns - left) / np.maximum(right - left, 1))[..., None]
    rows = np.arange(mask.shape[0])[:, None]
    steady = cv2.blur(image, (1, 3)).reshape(image.shape)
    drawn = steady[rows, left] * (1 - share) + steady[rows, right] * share
    return np.where(mask[..., None], drawn, image).astype(np.float32)
