"""Stabilize: gate weave and shake, taken out to sub-pixel."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from oldfilm.imaging.flow import WORKING_SIDE, flow, warp
from oldfilm.imaging.trend import same_scene, trend_weights
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo, FingerprintValue, Frame, Option, Window

REACH = 20
"""Frames on either side whose place a frame is brought to."""

MARGIN = 0.05
"""A frame is moved by at most this part of its width and height."""

_MATTE = 0.05
"""What is darker in every frame, along an edge of the scan, is no picture."""

_DARK = 0.93
"""Lines at an edge of the film that are darker than this part of those further in are left out."""

_STEP = 0.06
"""How far the step at a filled border may be from its median, and how much more than usual the
frames may differ there; where it is more, something moves."""

_SIDE = WORKING_SIDE
"""Frames are compared where their longer side is at most this."""


class Stabilize(RunnableStage):
    """Takes out gate weave and shake; pans stay.

    Every frame is moved to the trend of its neighbors' places, in its own shot. What shakes is the
    most of the picture: things that move in it do not count. Borders that are laid bare are filled
    from the nearest frames that show them (what none shows, or what moves there, repeats the
    outermost pixels), or are cropped. A black matte stays where it is. Frames are moved, not
    turned.
    """

    name = "Stabilize"
    options = (Option("crop", bool, False, "crop the moving borders instead of filling them"),)
    window = Window(core=16, before=REACH, after=REACH)

    def __init__(self, output: str = "output", *, crop: bool = False) -> None:
        """output: folder that `run` writes to. crop: leave out a margin of MARGIN on every side and
        the film's dark edge, in place of filled borders.
        """
        super().__init__(output)
        self.crop = crop

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Stage.fingerprint`."""
        return {"crop": self.crop}

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film, smaller where it is cropped."""
        across, down = self._margins(info.width, info.height)
        return replace(info, width=info.width - 2 * across, height=info.height - 2 * down)

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame itself."""
        return 4 * info.width * info.height * info.channels

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Move every frame of the core to the trend of the places around it."""
        height, width = frames[0].image.shape[:2]
        scale = min(1.0, _SIDE / max(height, width))
        picture = _within_matte([frame.image for frame in frames])
        images = [frame.image[picture] for frame in frames]
        dark = _Edges.dark(images)
        small = [_reduced(image, scale) for image in images]
        steps = [movement(a, b) for a, b in zip(small, small[1:])]
        most = MARGIN * np.array([width, height])
        across, down = self._margins(width, height)
        inside = np.s_[down : height - down, across : width - across]
        for index in range(core.start, core.stop):
            before, after = _places_around(steps, index)
            shift = _shake(before, after, most * scale) / scale
            moved = shifted(images[index], shift)
            if not self.crop:
                views = [(index - n, shift + p / scale) for n, p in enumerate(before, 1)]
                views += [(index + n, shift + p / scale) for n, p in enumerate(after, 1)]
                views.sort(key=lambda view: abs(view[0] - index))
                _fill(moved, shift, [(images[number], move) for number, move in views], dark)
            image = moved
            if moved.shape != frames[index].image.shape:
                image = frames[index].image.copy()
                image[picture] = moved
            yield replace(frames[index], image=image[inside])

    def _margins(self, width: int, height: int) -> tuple[int, int]:
        """Columns and rows that are cropped on either side: what a frame can be moved by."""
        if not self.crop:
            return 0, 0
        edge = _edge(width, height)
        return int(np.ceil(MARGIN * width)) + edge, int(np.ceil(MARGIN * height)) + edge


def _edge(width: int, height: int) -> int:
    """How many pixels of a picture the edge of the film may darken."""
    return max(2, round(0.015 * max(width, height)))


class _Edges(NamedTuple):
    """Pixels, x and y, at the left and upper sides, and at the right and lower ones."""

    start: np.ndarray
    end: np.ndarray

    @staticmethod
    def dark(images: Sequence[np.ndarray]) -> _Edges:
        """What the film's edge darkens in all of the images."""
        edge = _edge(images[0].shape[1], images[0].shape[0])
        top, right, bottom, left = (
            _dark_lines(np.mean([np.rot90(i, k)[: 2 * edge].mean(axis=2) for i in images], 0), edge)
            for k in range(4)
        )
        return _Edges(np.array([left, top]), np.array([right, bottom]))


def _dark_lines(mean: np.ndarray, edge: int) -> int:
    """How many of the first `edge` rows are darker than as many that follow."""
    further_in = np.maximum(mean[edge:].mean(axis=0), _MATTE)
    lit = np.median(mean[:edge] / further_in, axis=1) >= _DARK
    return int(lit.argmax()) if lit.any() else edge


def _within_matte(images: Sequence[np.ndarray]) -> tuple[slice, slice]:
    """Rows and columns of the picture, without black edges that stand still in all of the images.

    A matte belongs to the scan, not to the film: it does not weave, and is never moved into the
    picture. Its inner edge is soft, and one pixel of it goes as well.
    """
    brightest = functools.reduce(np.maximum, (image.max(axis=2) for image in images))
    sides = []
    for axis in (1, 0):
        lit = np.flatnonzero(np.quantile(brightest, 0.8, axis=axis) > _MATTE)
        length = brightest.shape[1 - axis]
        if not lit.size or lit[0] > length // 4 or lit[-1] < 3 * length // 4:
            sides.append(slice(0, length))
            continue
        start = lit[0] + 1 if lit[0] else 0
        sides.append(slice(start, lit[-1] if lit[-1] < length - 1 else length))
    return sides[0], sides[1]


def shifted(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """What the image shows at p + shift, at p: float32 [h, w, c], Lanczos' kernel, eight pixels.

    Beyond the image its border is repeated. shift: x, y in pixels.
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
    """Luma, float32 [h, w, 1], small enough to compare."""
    height, width, channels = image.shape
    luma = image[..., 0] if channels == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(luma, size, interpolation=cv2.INTER_AREA)[..., None]


def movement(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """How far most of the picture moves from `a` to `b`: x, y in pixels; None: they differ.

    a, b: luma, float32 [h, w, 1] in [0, 1], of the same size.

    Method: the median of dense flow where there is detail. Aligning the frames directly over the
    pixels that move so (ECC) was measured to be less exact wherever something moves.
    """
    field = flow(a, b, fine=True)
    detail = cv2.morphologyEx(a[..., 0], cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    detailed = detail >= max(float(np.median(detail)), 0.01)
    if not detailed.any():
        return np.zeros(2)
    if not same_scene(warp(b, field)[..., 0], a[..., 0]):
        return None
    return np.median(field[detailed], axis=0).astype(np.float64)


def _fill(
    image: np.ndarray,
    shift: np.ndarray,
    views: Sequence[tuple[np.ndarray, np.ndarray]],
    darkened: _Edges,
) -> None:
    """Give what a shift laid bare of `image` what the first view shows there that shows it.

    views: other frames, and the shift that brings each to the same place. On a side that was laid
    bare the outermost pixels of the picture are filled as well where the film's edge darkens them.
    What is filled is as bright as the picture is beside it: exposures of old film differ. Where
    something moves beside it the view shows that elsewhere: the picture's pixels are repeated.
    """
    edge = _edge(image.shape[1], image.shape[0])
    on_bare_sides = _Edges(
        np.where(shift < -0.5, darkened.start, 0), np.where(shift > 0.5, darkened.end, 0)
    )
    bare = _bare(image, shift, on_bare_sides)
    rows, columns = (np.flatnonzero(~bare.all(axis=axis)) for axis in (1, 0))
    for unseen in (darkened, _Edges(np.zeros(2), np.zeros(2))):
        for other, move in views:
            if not bare.any():
                return
            seen = ~_bare(other, move, unseen)
            shown = bare & seen
            if shown.any():
                view = shifted(other, move)
                square = np.ones((2 * edge + 1, 2 * edge + 1), np.uint8)
                beside = (cv2.dilate(bare.astype(np.uint8), square) > 0) & ~bare & seen
                moving = np.zeros_like(bare)
                if beside.any():
                    view = view + _apart(image, view, beside, edge)
                    moving = shown & _moving(image, view, beside, edge)
                image[shown] = view[shown].clip(0, 1)
                y, x = np.nonzero(moving)
                image[y, x] = image[y.clip(rows[0], rows[-1]), x.clip(columns[0], columns[-1])]
                bare &= ~shown


def _moving(image: np.ndarray, view: np.ndarray, beside: np.ndarray, edge: int) -> np.ndarray:
    """Where `view` shows something else than `image` in the nearest of `beside`: bool [h, w].

    As `_apart`, after it: what both show is as bright.
    """
    apart, known = np.zeros((2, *beside.shape), np.float32)
    apart[beside] = np.abs(image[beside] - view[beside]).mean(axis=1)
    known[beside] = 1
    around = (2 * edge + 1, 2 * edge + 1)
    local = cv2.blur(apart, around) / np.maximum(cv2.blur(known, around), 1e-6)
    unlike = beside & (local > np.median(apart[beside]) + _STEP)
    reach = np.ones((4 * edge + 1, 4 * edge + 1), np.uint8)
    return cv2.dilate(unlike.astype(np.uint8), reach) > 0


def _apart(image: np.ndarray, view: np.ndarray, beside: np.ndarray, scale: int) -> np.ndarray:
    """How much brighter `image` is than `view`, smoothly, from where that is known.

    beside: bool [h, w], where it is known. What moves there counts little: what is far from the
    median is limited. scale: how many times smaller the copy is in which that is spread: blurs of
    hundreds of pixels take seconds. Returns float32, as the image.
    """
    height, width = beside.shape
    apart = image[beside] - view[beside]
    usual = np.median(apart, axis=0)
    known = np.zeros_like(image)
    known[beside] = np.clip(apart - usual, -_STEP, _STEP)
    size = max(1, width // scale), max(1, height // scale)

    def spread(plane: np.ndarray) -> np.ndarray:
        small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(small, (0, 0), 3).reshape(size[1], size[0], -1)

    smooth = spread(known) / np.maximum(spread(beside.astype(np.float32)), 1e-6)
    large = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
    return usual + large.reshape(image.shape)


def _bare(image: np.ndarray, shift: np.ndarray, unseen: _Edges) -> np.ndarray:
    """Where an image that is shifted has nothing to show, by half a pixel or more: bool [h, w].

    unseen: what of the image does not count.
    """
    height, width = image.shape[:2]
    columns, rows = np.arange(width) + shift[0], np.arange(height)[:, None] + shift[1]
    (left, top), (right, bottom) = unseen
    outside = (columns < left - 0.5) | (columns > width - right - 0.5)
    return outside | (rows < top - 0.5) | (rows > height - bottom - 0.5)


def _shake(before: list[np.ndarray], after: list[np.ndarray], most: np.ndarray) -> np.ndarray:
    """How far a frame is to be moved: x, y in pixels, at most `most`.

    before, after: places of its neighbors, nearest first. Where the camera itself sways by more
    than a frame may be moved, only the slow part of it is left, never the fast one that hurts.
    """
    slow = _trend(before, after, REACH)
    fast = _trend(before, after, REACH // 3)
    limited = fast + np.clip(slow - fast, -most / 2, most / 2)
    return -np.clip(limited, -most, most)


def _trend(before: list[np.ndarray], after: list[np.ndarray], reach: int) -> np.ndarray:
    """Where the trend of the places is; the frame itself lies at 0. before: nearest first."""
    before, after = before[:reach], after[:reach]
    places = np.array([*before[::-1], np.zeros(2), *after])
    return trend_weights(len(before), len(after), reach) @ places


def _places_around(
    steps: Sequence[np.ndarray | None], index: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Places of the frames before and after frame `index`, nearest first; its own is 0.

    steps: from each frame of the window to the next.
    """
    past = [None if step is None else -step for step in steps[:index][::-1]]
    return _places(past), _places(steps[index:])


def _places(steps: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """Where the next frames' pictures lie, as far as they show the same thing."""
    places: list[np.ndarray] = []
    place = np.zeros(2)
    for step in steps[:REACH]:
        if step is None:
            break
        place = place + step
        places.append(place)
    return places
