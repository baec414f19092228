"""Dense optical flow that withstands grain and flicker, and warping by it.

A flow field is float32 [h, w, 2], x then y, in pixels: what the first frame shows at p, the second
shows at p + field(p).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from oldfilm.imaging.color import luma
from oldfilm.imaging.resample import fitted_size, resize

WORKING_SIDE = 512
"""Frames with a longer side than this, in pixels, are shrunk before flow is computed."""

_FINE_DESCENT, _FINE_REFINEMENT = 12, 3
"""Iterations of a fine search, in place of 25 and 5 of OpenCV's preset: interpolated frames differ
from the true ones by 0.1 % more, and it takes 70 % of the time."""

_CACHED = 1 << 14
"""Values that are warped together, so that they stay in the processor's cache."""

_SMALLEST_SIDE = 32
"""DIS fails on frames that hold fewer than a few of its 8-pixel patches at its finest scale."""


def flow(
    a: np.ndarray,
    b: np.ndarray,
    *,
    longest: int = WORKING_SIDE,
    fine: bool = False,
    guess: np.ndarray | None = None,
) -> np.ndarray:
    """Compute dense optical flow from `a` to `b`.

    a, b: float32 [h, w, c], RGB or luma, in [0, 1], of the same size. longest: flow is computed on
    copies whose longer side is at most this many pixels. fine: compute it for every pixel of these
    copies instead of every second one, which takes four times as long. guess: a field from which
    the search begins, for large motion.
    Returns a field in pixels of the given frames.

    Method: Dense Inverse Search (Kroeger et al. 2016), OpenCV's medium preset.
    """
    height, width = a.shape[:2]
    size = fitted_size(width, height, longest)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0 if fine else 1)
    if fine:
        search.setGradientDescentIterations(_FINE_DESCENT)
        search.setVariationalRefinementIterations(_FINE_REFINEMENT)
    images = _prepared(a, size), _prepared(b, size)
    start: Any = None
    if guess is not None:
        start = resize_flow(guess, size)
        right, below = (images[0].shape[axis] - size[1 - axis] for axis in (1, 0))
        start = cv2.copyMakeBorder(start, 0, below, 0, right, cv2.BORDER_REPLICATE)
    found = search.calc(*images, start)[: size[1], : size[0]]
    return resize_flow(found, (width, height))


def _prepared(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The uint8 luma that DIS compares: grain blurred, slow changes of brightness divided out.

    Sides below _SMALLEST_SIDE are padded by repeating the right and lower borders.
    """
    plane = cv2.GaussianBlur(resize(luma(image), size, cv2.INTER_AREA), (0, 0), 0.8)
    right, below = (max(0, _SMALLEST_SIDE - side) for side in size)
    plane = cv2.copyMakeBorder(plane, 0, below, 0, right, cv2.BORDER_REPLICATE)
    local_mean = cv2.blur(plane, (max(size) // 4 | 1,) * 2)
    return np.clip(127 * plane / (local_mean + 0.02), 0, 255).astype(np.uint8)


def resize_flow(field: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a field to (width, height) and scale its vectors to match."""
    height, width = field.shape[:2]
    if size == (width, height):
        return np.ascontiguousarray(field)
    scale = np.array([size[0] / width, size[1] / height], np.float32)
    if size[0] * size[1] > width * height:  # NumPy is slow at pairs: scale the smaller field
        return cv2.resize(field * scale, size, interpolation=cv2.INTER_LINEAR)
    return cv2.resize(field, size, interpolation=cv2.INTER_LINEAR) * scale


def warp(image: np.ndarray, field: np.ndarray, beyond: int = cv2.BORDER_REPLICATE) -> np.ndarray:
    """Warp backward: the result shows at p what `image` shows at p + field(p).

    image: float32 [h, w, c] or [h, w]. Bilinear, at 32nds of a pixel. beyond: what is outside the
    image: `cv2.BORDER_REPLICATE`, its border repeated, or `cv2.BORDER_CONSTANT`, 0.
    Returns an array of the image's shape.
    """
    x, y = cv2.split(field)
    return _remapped(image, x, y, beyond)


def warp_by_small(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Warp backward by a field of any size, as `warp` by `resize_flow` of it, but faster.

    image: as for `warp`; its border is repeated.
    """
    height, width = image.shape[:2]
    scales = width / field.shape[1], height / field.shape[0]
    x, y = (
        resize(plane * np.float32(scale), (width, height), cv2.INTER_LINEAR)
        for plane, scale in zip(cv2.split(field), scales)
    )
    return _remapped(image, x, y, cv2.BORDER_REPLICATE)


def _remapped(image: np.ndarray, x: np.ndarray, y: np.ndarray, beyond: int) -> np.ndarray:
    """Warp by the planes of a field, which are changed."""
    height, width = image.shape[:2]
    x += np.arange(width, dtype=np.float32)
    y += np.arange(height, dtype=np.float32)[:, None]
    moved = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=beyond)
    return moved.reshape(image.shape)


def warp_planes(planes: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Warp backward as `warp` does, at any fraction of a pixel, with the border repeated.

    planes: float32 [c, h, w]. field: float32 [2, h, w]. Returns an array of the planes' shape.
    """
    count, height, width = planes.shape
    flat, made = planes.reshape(count, -1), np.empty((count, height * width), np.float32)
    rows = max(1, _CACHED // width)
    for top in range(0, height, rows):
        band = field[:, top : top + rows]
        pixels = slice(top * width, top * width + band[0].size)
        together = max(1, _CACHED // band[0].size)
        places, across, down = _neighborhoods(band, top, height)
        for first in range(0, count, together):
            some = slice(first, first + together)
            left, right, low, corner = (flat[some].take(at, 1, mode="clip") for at in places)
            above, below = _between(left, right, across), _between(low, corner, across)
            made[some, pixels] = _between(above, below, down)
    return made.reshape(planes.shape)


def _neighborhoods(
    band: np.ndarray, top: int, height: int
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return the places of the four pixels around the ends of vectors, and the way between them.

    band: rows of a field of that height, [2, rows, w], from row `top`. Places are indices of the
    flat image; those beyond its right or lower border count for nothing. Returns the places of the
    two upper and the two lower pixels, and the way across and down, in pixels: [rows * w].
    """
    rows, width = band.shape[1:]
    x = band[0] + np.arange(width, dtype=np.float32)
    y = band[1] + np.arange(top, top + rows, dtype=np.float32)[:, None]
    x, y = np.clip(x, 0, width - 1).ravel(), np.clip(y, 0, height - 1).ravel()
    left, upper = np.floor(x), np.floor(y)
    at = upper.astype(np.intp) * width + left.astype(np.intp)
    return [at, at + 1, at + width, at + width + 1], x - left, y - upper


def _between(start: np.ndarray, end: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Interpolate linearly, in place."""
    end -= start
    end *= way
    start += end
    return start


def consistency(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Rate how well `backward` undoes `forward`: 1 where it does, towards 0 where occluded.

    forward, backward: the fields of a pair, in both directions. Returns float32 [h, w] in [0, 1].

    Method: the forward-backward check of Sundaram et al. (2010), as a soft confidence. A round trip
    may miss by half a pixel and a tenth of the way: exp(-(miss / allowed)^2).
    """
    round_trip = forward + warp(backward, forward)
    miss = np.square(round_trip).sum(axis=2)
    distance = np.square(forward).sum(axis=2)
    return np.exp(-miss / (0.25 + 0.01 * distance))


def project(field: np.ndarray, weight: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
    """Turn the flow of frame 0 to frame 1 into the flow from time `time` back to frame 0.

    weight: float32 [h, w], above 0. Where several vectors land, they are averaged by their weights.
    Where none lands, the nearest ones to the left, right, above and below are averaged. time: in
    (0, 1).
    Returns the field, and bool [h, w]: where a vector landed.

    Method: the depth-aware flow projection of DAIN (Bao et al. 2019, section 3.1), with bilinear
    shares for the four pixels around a landing point.
    """
    sums = _splatted(field * time, weight)
    landed = sums[0] > 1e-4
    projected = -sums[1:].transpose(1, 2, 0) / np.where(landed, sums[0], 1)[..., None]
    return _with_gaps_filled(projected, landed), landed


def _splatted(moved: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Add every vector to the four pixels around its end: float32 [3, h, w].

    The planes are the sums of the weights, of the weighted x and of the weighted y.
    """
    height, width = weight.shape
    x = moved[..., 0] + np.arange(width, dtype=np.float32)
    y = moved[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y, weight, moved = x[inside], y[inside], weight[inside], moved[inside]
    left, top = x.astype(np.int32), y.astype(np.int32)
    along, down = x - left, y - top

    sums = np.zeros((3, height * width))
    for across, share_x in ((0, 1 - along), (1, along)):
        for below, share_y in ((0, 1 - down), (1, down)):
            target = np.minimum(top + below, height - 1) * width
            target += np.minimum(left + across, width - 1)
            share = weight * share_x * share_y
            for total, values in zip(sums, (share, share * moved[:, 0], share * moved[:, 1])):
                total += np.bincount(target, values, height * width)
    return sums.reshape(3, height, width).astype(np.float32)


def _with_gaps_filled(field: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Replace unknown vectors by the mean of the nearest known ones in the four directions.

    Vectors without any known one in their row and column become 0.
    """
    height, width = known.shape
    rows, columns = np.nonzero(~known)
    total = np.zeros((len(rows), 2), np.float32)
    found = np.zeros(len(rows), np.float32)
    for axis, length in ((0, height), (1, width)):
        position = np.arange(length, dtype=np.int32)
        position = position[:, None] if axis == 0 else position[None]
        before = np.maximum.accumulate(np.where(known, position, -1), axis=axis)
        after = np.flip(
            np.minimum.accumulate(np.flip(np.where(known, position, length), axis), axis), axis
        )
        for nearest in (before[rows, columns], after[rows, columns]):
            hit = (nearest >= 0) & (nearest < length)
            at = np.clip(nearest, 0, length - 1)
            total += field[(at, columns) if axis == 0 else (rows, at)] * hit[:, None]
            found += hit
    filled = field.copy()
    filled[rows, columns] = total / np.maximum(found, 1)[:, None]
    return filled


class Motion:
    """The motion between two frames, computed once and available for any time between them."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        """first, second: float32 [h, w, c], RGB or luma, in [0, 1]."""
        self._frames = (first, second)
        self._forward = flow(first, second, fine=True)
        self._backward = flow(second, first, fine=True)
        self._confidence = (
            consistency(self._forward, self._backward),
            consistency(self._backward, self._forward),
        )
        self._weights = (
            _weight(self._confidence[0], first, warp(second, self._forward)),
            _weight(self._confidence[1], second, warp(first, self._backward)),
        )

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Project the motion to a time between the frames.

        time: in (0, 1).
        Returns three float32 arrays:
        [h, w, 4], the flow from `time` to the first frame and to the second, in pixels;
        [h, w, 2], the confidence in either flow, in [0, 1], 0 where no vector landed;
        [h, w, 4c], four candidates for the frame at `time`: the first and the second frame warped
        by these flows, then both warped by the unprojected flow of the same pixel.
        """
        flows, trust = [], []
        fields = (self._forward, self._backward)
        parts = zip(fields, self._weights, self._confidence, (time, 1 - time))
        for field, weight, confidence, way in parts:
            projected, landed = project(field, weight, way)
            flows.append(projected)
            trust.append(warp(confidence, projected) * landed)
        unprojected = (self._backward * time, self._forward * (1 - time))
        candidates = [
            warp(frame, field)
            for pair in (flows, unprojected)
            for frame, field in zip(self._frames, pair)
        ]
        return (
            np.concatenate(flows, axis=2),
            np.stack(trust, axis=2),
            np.concatenate(candidates, axis=2),
        )


def _weight(confidence: np.ndarray, image: np.ndarray, warped: np.ndarray) -> np.ndarray:
    """Weights for `project`: high where the flow is consistent and the colors match.

    They take the place of DAIN's inverse depth: an occluded pixel satisfies neither.
    """
    difference = np.abs(image - warped).mean(axis=2)
    return 1e-3 + confidence * np.exp(-10 * difference)
