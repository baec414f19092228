"""Descratch: remove vertical scratches that stay for many frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np

from oldfilm.imaging.flow import flow
from oldfilm.imaging.resample import resize
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo, Frame, Window

REACH = 4
"""Frames on either side that must mostly show a scratch too; twice as many on one side at the ends
of a shot."""

SHORTEST_SHOT = 5
"""Shots with fewer frames are not repaired."""

WIDEST = 5
"""Width of the widest scratch, in pixels, in a frame of up to 720 lines; it grows with the
lines."""


class Descratch(RunnableStage):
    """Removes thin vertical lines that stand still while the picture moves.

    The texture of the picture that shows through a scratch is kept. In a shot without motion, only
    lines across the whole frame count as scratches. Shots of fewer than five frames are returned
    unchanged.
    """

    name = "Descratch"
    counts_repairs = True
    window = Window(core=8, before=2 * REACH, after=2 * REACH)

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame, and its thin lines."""
        return 4 * info.width * info.height * (info.channels + 1)

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Remove the scratches from the core's frames."""
        if len(frames) < SHORTEST_SHOT:
            yield from frames[core]
            return
        images = [frame.image for frame in frames]
        plain = [_without_lines(image) for image in images]
        lines = [_lines(image, without) for image, without in zip(images, plain)]
        steps = [_horizontal_motion(one, other) for one, other in zip(plain, plain[1:])]
        places = np.cumsum([np.zeros_like(steps[0]), *steps], axis=0)
        for index in range(core.start, core.stop):
            mask = scratches(lines, places, index)
            image = images[index]
            yield replace(frames[index], image=_repaired(image, mask) if mask.any() else image)


def _without_lines(image: np.ndarray) -> np.ndarray:
    """Luma with a median along every row, which drops thin vertical lines: float32 [h, w]."""
    luma = np.ascontiguousarray(image.mean(axis=2))
    reach = _widest(luma.shape[0])
    padded = np.pad(luma, ((0, 0), (reach, reach)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
    return np.median(windows, axis=2).astype(np.float32)


def _lines(image: np.ndarray, without: np.ndarray) -> np.ndarray:
    """How much brighter thin vertical lines are than their surroundings: float32 [h, w].

    without: luma without lines. The difference from it is averaged over an eighth of the height.
    """
    thin = np.clip(image.mean(axis=2) - without, -0.1, 0.1)
    return cv2.blur(thin, (1, max(3, len(thin) // 8)))


def _widest(height: int) -> int:
    return WIDEST * max(1, round(height / 720))


def _horizontal_motion(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How many pixels large areas move to the right: float32 [h, w].

    one, other: luma without lines, float32 [h, w]; scratches would hold the flow back.
    """
    height, width = one.shape
    motion = flow(one[..., None], other[..., None], longest=256)[..., 0]
    coarse = cv2.medianBlur(resize(motion, (32, 24), cv2.INTER_AREA), 5)
    return resize(coarse, (width, height), cv2.INTER_LINEAR)


def scratches(lines: Sequence[np.ndarray], places: np.ndarray, index: int) -> np.ndarray:
    """Find the scratches of frame `index`: bool [h, w].

    lines: brightness of thin vertical lines against their surroundings, float32 [h, w], of every
    frame. places: how far the picture has moved to the right by each frame, in pixels, float32
    [t, h, w].

    Method: after Kokaram (1996) and Joyeux et al. (2001), thin lines of constant brightness in the
    same columns of most frames. Here they must also stand still while the picture moves.
    """
    first = min(max(index - REACH, 0), max(len(lines) - 2 * REACH - 1, 0))
    around = range(first, min(first + 2 * REACH + 1, len(lines)))
    shifts = [places[t] - places[index] for t in around]
    mask = np.zeros(lines[index].shape, bool)
    for sign in (1, -1):  # bright scratches, then dark ones
        # A scratch may waver by a pixel.
        near = [cv2.dilate(sign * lines[t], np.ones((1, 3), np.uint8)) for t in around]
        mask |= _still_lines(sign * lines[index], near, shifts)
    return mask


def _still_lines(
    own: np.ndarray, near: Sequence[np.ndarray], shifts: Sequence[np.ndarray]
) -> np.ndarray:
    """Find bright lines that stand still: bool [h, w].

    own: lines of the frame, float32 [h, w]. near: lines of the frames around it. shifts: how far
    the picture has moved in them.
    """
    height, width = own.shape
    columns = np.arange(width, dtype=np.float32)
    rows = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], own.shape)
    # A line is about two pixels wide, or three if it wavers: smaller shifts prove nothing.
    weights = [np.clip((np.abs(shift) - 1) / 2, 0, 1) for shift in shifts]
    followed = [
        cv2.remap(line, columns + shift, rows, cv2.INTER_LINEAR)
        for line, shift in zip(near, shifts)
    ]
    still = np.median(near, axis=0)
    in_place = np.sum([weight * line for weight, line in zip(weights, near)], axis=0)
    along = np.sum([weight * line for weight, line in zip(weights, followed)], axis=0)
    level = max(0.008, 3 * 1.48 * float(np.median(np.abs(still))))
    found = np.minimum(still, own) > level
    whole = found.mean(axis=0, keepdims=True) > 0.95
    found &= np.where(np.sum(weights, axis=0) >= 2, in_place > 1.5 * along.clip(0), whole)
    faint = (own > level / 3) & (still > level / 2)
    return _upright(faint, found)


def _upright(faint: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Keep the regions of `faint` that have the shape of a scratch: bool [h, w].

    A scratch is at least a third of the frame tall, `found` in two thirds of its rows, thin, and
    nearly vertical. Tram rails, for one, stand still but are wider or lean.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(faint.astype(np.uint8), connectivity=8)
    tall = stats[:, cv2.CC_STAT_HEIGHT]
    certain_rows = np.zeros(len(stats), int)
    for row_labels, row_found in zip(labels, found):
        certain_rows[np.unique(row_labels[row_found])] += 1
    thin = stats[:, cv2.CC_STAT_AREA] <= _widest(len(faint)) * tall
    kept = thin & (tall >= len(faint) // 3) & (certain_rows >= 2 * tall // 3)
    kept[0] = False
    for number in np.flatnonzero(kept):
        rows, columns = np.nonzero(labels == number)
        lean = np.polyfit(rows, columns, 1)[0] * tall[number]
        kept[number] = abs(lean) <= _widest(len(faint)) - 3
    return kept[labels]


def _repaired(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Interpolate the masked pixels along their rows, and add their own texture."""
    across = _interpolated_across(image, mask)
    column = (1, image.shape[0] // 32 * 2 + 1)
    excess = image - across
    weight = cv2.blur(mask.astype(np.float32), column)[..., None]
    scratch = cv2.blur(excess, column).reshape(image.shape)
    texture = excess - scratch / np.maximum(weight, 1e-6)
    detail = image - cv2.blur(image, (5, 5)).reshape(image.shape)
    limit = 2 * cv2.blur(np.abs(detail), (15, 15)).reshape(image.shape)
    repaired = across + np.clip(texture, -limit, limit)
    return np.clip(np.where(mask[..., None], repaired, image), 0, 1).astype(np.float32)


def _interpolated_across(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Interpolate the masked pixels between the nearest others of their row."""
    width = mask.shape[1]
    columns = np.broadcast_to(np.arange(width), mask.shape)
    left = np.maximum.accumulate(np.where(mask, -1, columns), axis=1)
    right = np.minimum.accumulate(np.where(mask, width, columns)[:, ::-1], axis=1)[:, ::-1]
    left, right = np.where(left < 0, right, left), np.where(right == width, left, right)
    # Keep the indices valid in rows that are masked entirely.
    left, right = np.clip(left, 0, width - 1), np.clip(right, 0, width - 1)
    share = ((columns - left) / np.maximum(right - left, 1))[..., None]
    rows = np.arange(mask.shape[0])[:, None]
    smooth = cv2.blur(image, (1, 3)).reshape(image.shape)
    drawn = smooth[rows, left] * (1 - share) + smooth[rows, right] * share
    return np.where(mask[..., None], drawn, image).astype(np.float32)
