"""Stabilize: remove gate weave and shake, to a fraction of a pixel."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import cv2
import numpy as np

from oldfilm.imaging.color import luma
from oldfilm.imaging.content import is_flat
from oldfilm.imaging.flow import WORKING_SIDE, flow, warp
from oldfilm.imaging.resample import divided_size, resize, scaled_size
from oldfilm.imaging.trend import before_cut, changes_between, same_scene, trend_weights
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo, Frame, Option, Window

REACH = 20
"""Frames on either side that the trend of the camera is computed from."""

MARGIN = 0.05
"""The largest shift of a frame, as a fraction of its width and height."""

CROP = Option("crop", bool, False, "crop the moving borders instead of filling them")


@dataclass(frozen=True)
class Thresholds:
    """What belongs to the picture, and what moves in it.

    matte: rows and columns at the edge of the scan that are darker than this in every frame do not
    belong to the picture. dark: lines at the edge of the film with less than this fraction of the
    brightness further in are darkened. step: how far the difference of two frames next to a
    filled border may be from its median; beyond that, something moves.
    """

    matte: float = 0.05
    dark: float = 0.93
    step: float = 0.06


THRESHOLDS = Thresholds()


class Stabilize(RunnableStage):
    """Removes gate weave and shake; pans stay.

    Every frame is shifted to the trend of the camera around it, within its own shot. The motion of
    most of the picture counts, so that moving objects do not. Exposed borders are filled from the
    nearest frames that cover them, or cropped. Where no frame covers them or something moves, the
    outermost pixels are repeated. A black matte stays in place. Frames are shifted, not rotated.
    """

    name = "Stabilize"
    options = (CROP,)
    window = Window(core=16, before=REACH, after=REACH)

    def __init__(self, output: str = "output", *, crop: bool = False) -> None:
        """output: folder that `run` writes to. crop: crop a margin of 5% and the film's dark edge
        on every side instead of filling exposed borders.
        """
        super().__init__(output)
        self.crop = CROP.check(crop)

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film, smaller if it is cropped."""
        across, down = self._margins(info.width, info.height)
        return replace(info, width=info.width - 2 * across, height=info.height - 2 * down)

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame itself."""
        return 4 * info.width * info.height * info.channels

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Shift every frame of the core to the trend of the camera around it."""
        height, width = frames[0].image.shape[:2]
        scale = min(1.0, WORKING_SIDE / max(height, width))
        picture = _inside_matte([frame.image for frame in frames])
        images = [frame.image[picture] for frame in frames]
        dark = _dark_sides(images)
        small = [_reduced(image, scale) for image in images]
        flat = [is_flat(image) for image in small]
        steps = changes_between(small, flat, camera_motion, np.zeros(2))
        largest = MARGIN * np.array([width, height])
        across, down = self._margins(width, height)
        inside = np.s_[down : height - down, across : width - across]
        for index in range(core.start, core.stop):
            if flat[index]:
                yield replace(frames[index], image=frames[index].image[inside])
                continue
            before, after = _places_around(steps, index)
            shift = _correction(before, after, largest * scale) / scale
            moved = shifted(images[index], shift)
            if not self.crop:
                places = _numbered(index, before, after)
                views = [
                    (images[number], shift + place / scale)
                    for number, place in places
                    if not flat[number]
                ]
                _fill_border(moved, shift, views, dark)
            image = moved
            if moved.shape != frames[index].image.shape:
                image = frames[index].image.copy()
                image[picture] = moved
            yield replace(frames[index], image=image[inside])

    def _margins(self, width: int, height: int) -> tuple[int, int]:
        """Columns and rows to crop on either side."""
        if not self.crop:
            return 0, 0
        edge = _edge(width, height)
        return int(np.ceil(MARGIN * width)) + edge, int(np.ceil(MARGIN * height)) + edge


def _edge(width: int, height: int) -> int:
    """The number of pixels that the edge of the film may darken."""
    return max(2, round(0.015 * max(width, height)))


class _Sides(NamedTuple):
    """Pixels, x and y, at the left and upper sides, and at the right and lower ones."""

    start: np.ndarray
    end: np.ndarray


def _dark_sides(images: Sequence[np.ndarray]) -> _Sides:
    """The pixels on every side that the film's edge darkens in all images."""
    edge = _edge(images[0].shape[1], images[0].shape[0])
    top, right, bottom, left = (
        _dark_lines(np.mean([np.rot90(i, k)[: 2 * edge].mean(axis=2) for i in images], 0), edge)
        for k in range(4)
    )
    return _Sides(np.array([left, top]), np.array([right, bottom]))


def _dark_lines(mean: np.ndarray, edge: int) -> int:
    """How many of the first `edge` rows are darker than as many rows after them."""
    further_in = np.maximum(mean[edge:].mean(axis=0), THRESHOLDS.matte)
    lit = np.median(mean[:edge] / further_in, axis=1) >= THRESHOLDS.dark
    return int(lit.argmax()) if lit.any() else edge


def _inside_matte(images: Sequence[np.ndarray]) -> tuple[slice, slice]:
    """Rows and columns of the picture, without the black matte around it.

    The matte belongs to the scan: it does not weave with the film. Its soft inner edge is taken to
    be one pixel wide.
    """
    brightest = functools.reduce(np.maximum, (image.max(axis=2) for image in images))
    sides = []
    for axis in (1, 0):
        lit = np.flatnonzero(np.quantile(brightest, 0.8, axis=axis) > THRESHOLDS.matte)
        length = brightest.shape[1 - axis]
        if not lit.size or lit[0] > length // 4 or lit[-1] < 3 * length // 4:
            sides.append(slice(0, length))
            continue
        start = lit[0] + 1 if lit[0] else 0
        sides.append(slice(start, lit[-1] if lit[-1] < length - 1 else length))
    return sides[0], sides[1]


def shifted(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Shift an image: the result shows at p what `image` shows at p + shift.

    image: float32 [h, w, c]. shift: x, y in pixels. The border is repeated outside the image.

    Method: Lanczos' kernel of eight pixels.
    """
    if np.abs(shift).max() < 1 / 64:  # OpenCV rounds to 1/32
        return image
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    moved = cv2.warpAffine(
        image,
        matrix,
        image.shape[1::-1],
        flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return moved.reshape(image.shape).clip(0, 1)


def _reduced(image: np.ndarray, scale: float) -> np.ndarray:
    """A small copy of the luma: float32 [h, w, 1]."""
    height, width = image.shape[:2]
    return resize(luma(image), scaled_size(width, height, scale))[..., None]


def camera_motion(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """Measure how far most of the picture moves from `a` to `b`: x, y in pixels.

    a, b: luma, float32 [h, w, 1] in [0, 1], of the same size.
    Returns None if the frames show different scenes.

    Method: the median of dense flow where there is detail. Direct alignment (ECC) was less exact
    in our measurements wherever something moves.
    """
    field = flow(a, b, fine=True)
    detail = cv2.morphologyEx(a[..., 0], cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    detailed = detail >= max(float(np.median(detail)), 0.01)
    if not detailed.any():
        return np.zeros(2)
    if not same_scene(warp(b, field)[..., 0], a[..., 0]):
        return None
    return np.median(field[detailed], axis=0).astype(np.float64)


def _fill_border(
    image: np.ndarray,
    shift: np.ndarray,
    views: Sequence[tuple[np.ndarray, np.ndarray]],
    dark: _Sides,
) -> None:
    """Fill the border exposed by the shift, in place, from the first view that covers it.

    views: other frames, and the shift that aligns each with `image`. dark: pixels that the film's
    edge darkens. On exposed sides they are filled too, and they are used only where no view has
    better ones.
    """
    edge = _edge(image.shape[1], image.shape[0])
    exposed = _Sides(np.where(shift < -0.5, dark.start, 0), np.where(shift > 0.5, dark.end, 0))
    bare = _uncovered(image, shift, exposed)
    rows, columns = (np.flatnonzero(~bare.all(axis=axis)) for axis in (1, 0))
    for ignored in (dark, _Sides(np.zeros(2), np.zeros(2))):
        for other, move in views:
            if not bare.any():
                return
            covered = ~_uncovered(other, move, ignored)
            if (bare & covered).any():
                view = shifted(other, move)
                moving = _fill_from(image, view, bare, covered, edge)
                y, x = np.nonzero(moving)
                image[y, x] = image[y.clip(rows[0], rows[-1]), x.clip(columns[0], columns[-1])]
                bare &= ~covered


def _fill_from(
    image: np.ndarray, view: np.ndarray, bare: np.ndarray, covered: np.ndarray, edge: int
) -> np.ndarray:
    """Fill the bare pixels that a view covers, in place, as bright as the picture next to them.

    Returns bool [h, w]: the filled pixels where something moves and the view is wrong.
    """
    fill = bare & covered
    square = np.ones((2 * edge + 1, 2 * edge + 1), np.uint8)
    rim = (cv2.dilate(bare.astype(np.uint8), square) > 0) & ~bare & covered
    moving = np.zeros_like(bare)
    if rim.any():
        view = view + _brightness_offset(image, view, rim, edge)
        moving = fill & _moving(image, view, rim, edge)
    image[fill] = view[fill].clip(0, 1)
    return moving


def _moving(image: np.ndarray, view: np.ndarray, rim: np.ndarray, edge: int) -> np.ndarray:
    """Find where `view` differs from `image` in the nearest pixels of the rim: bool [h, w].

    rim: bool [h, w], where both can be compared; they are equally bright there.
    """
    difference, known = np.zeros((2, *rim.shape), np.float32)
    difference[rim] = np.abs(image[rim] - view[rim]).mean(axis=1)
    known[rim] = 1
    around = (2 * edge + 1, 2 * edge + 1)
    local = cv2.blur(difference, around) / np.maximum(cv2.blur(known, around), 1e-6)
    moving = rim & (local > np.median(difference[rim]) + THRESHOLDS.step)
    reach = np.ones((4 * edge + 1, 4 * edge + 1), np.uint8)
    return cv2.dilate(moving.astype(np.uint8), reach) > 0


def _brightness_offset(
    image: np.ndarray, view: np.ndarray, rim: np.ndarray, divisor: int
) -> np.ndarray:
    """How much brighter `image` is than `view`, spread smoothly from the rim: float32 [h, w, c].

    rim: bool [h, w], where both can be compared. Differences far from their median are clipped,
    because something moves there. divisor: the offset is spread in a copy this many times
    smaller; in full size, a blur of hundreds of pixels takes seconds.
    """
    height, width = rim.shape
    difference = image[rim] - view[rim]
    usual = np.median(difference, axis=0)
    known = np.zeros_like(image)
    known[rim] = np.clip(difference - usual, -THRESHOLDS.step, THRESHOLDS.step)
    size = divided_size(width, height, divisor)

    def spread(plane: np.ndarray) -> np.ndarray:
        small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(small, (0, 0), 3).reshape(size[1], size[0], -1)

    smooth = spread(known) / np.maximum(spread(rim.astype(np.float32)), 1e-6)
    large = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
    return usual + large.reshape(image.shape)


def _uncovered(image: np.ndarray, shift: np.ndarray, ignored: _Sides) -> np.ndarray:
    """Pixels that a shifted image does not cover, by half a pixel or more: bool [h, w].

    ignored: pixels on every side of the image that do not count.
    """
    height, width = image.shape[:2]
    columns, rows = np.arange(width) + shift[0], np.arange(height)[:, None] + shift[1]
    (left, top), (right, bottom) = ignored
    outside = (columns < left - 0.5) | (columns > width - right - 0.5)
    return outside | (rows < top - 0.5) | (rows > height - bottom - 0.5)


def _correction(
    before: list[np.ndarray], after: list[np.ndarray], largest: np.ndarray
) -> np.ndarray:
    """The shift that brings a frame to the trend: x, y in pixels, at most `largest`.

    before, after: places of its neighbors, nearest first. Where the camera sways further than a
    frame may be shifted, the slow part of the sway remains, and the fast shake is removed.
    """
    slow = _trend(before, after, REACH)
    fast = _trend(before, after, REACH // 3)
    limited = fast + np.clip(slow - fast, -largest / 2, largest / 2)
    return -np.clip(limited, -largest, largest)


def _trend(before: list[np.ndarray], after: list[np.ndarray], reach: int) -> np.ndarray:
    """The trend of the places, relative to the frame itself. before, after: nearest first."""
    before, after = before[:reach], after[:reach]
    places = np.array([*before[::-1], np.zeros(2), *after])
    return trend_weights(len(before), len(after), reach) @ places


def _places_around(
    steps: Sequence[np.ndarray | None], index: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Places of the frames before and after frame `index`, relative to its own, nearest first.

    steps: the motion from each frame of the window to the next.
    """
    past = [None if step is None else -step for step in steps[:index][::-1]]
    return _places(past), _places(steps[index:])


def _places(steps: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """Sum up steps to places, up to where the scene changes."""
    return list(accumulate(before_cut(steps[:REACH])))


def _numbered(
    index: int, before: Sequence[np.ndarray], after: Sequence[np.ndarray]
) -> list[tuple[int, np.ndarray]]:
    """The neighbors of frame `index`, by number and place, nearest first."""
    neighbors = [(index - n, place) for n, place in enumerate(before, 1)]
    neighbors += [(index + n, place) for n, place in enumerate(after, 1)]
    return sorted(neighbors, key=lambda neighbor: abs(neighbor[0] - index))
