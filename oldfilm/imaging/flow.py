"""Dense optical flow that old film's grain and flicker do not shake, and warping by it."""

from __future__ import annotations

import cv2
import numpy as np

WORKING_SIDE = 512
"""Flow of a frame whose longer side is more than this many pixels is sought at this size."""

_SMALLEST_SIDE = 32
"""DIS fails on frames that hold fewer than a few of its 8-pixel patches at its finest scale."""


def flow(
    a: np.ndarray, b: np.ndarray, *, width: int | None = None, fine: bool = False
) -> np.ndarray:
    """Dense optical flow from `a` to `b`: what `a` shows at p, `b` shows at p + flow(p).

    a, b: float32 [h, w, c], RGB or luma, in [0, 1], of the same size. width: pixels of the longer
    side at which motion is sought, at most (WORKING_SIDE by default). fine: seek it down to single
    pixels of that size, not pairs of them, which takes four times as long.
    Returns float32 [h, w, 2], in pixels of the frames given: x, then y.

    Method: Dense Inverse Search (Kroeger et al. 2016), OpenCV's medium preset.
    """
    height, full_width = a.shape[:2]
    shrink = min(1.0, (width or WORKING_SIDE) / max(height, full_width))
    size = (max(1, round(full_width * shrink)), max(1, round(height * shrink)))
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0 if fine else 1)
    images = _steady(a, size), _steady(b, size)
    found = search.calc(*images, None)[: size[1], : size[0]]  # type: ignore[call-overload]
    return resize_flow(found, (full_width, height))


def resize_flow(field: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The same motion in a frame of another size, given as (width, height)."""
    height, width = field.shape[:2]
    if size == (width, height):
        return np.ascontiguousarray(field)
    scaled = cv2.resize(field, size, interpolation=cv2.INTER_LINEAR)
    return scaled * np.array([size[0] / width, size[1] / height], np.float32)


def warp(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Backward warp: the result shows at p what `image` shows at p + field(p).

    image: float32 [h, w, c] (or [h, w]). field: float32 [h, w, 2], in pixels. Bilinear; what lies
    outside the image repeats its border. Returns an array of the image's shape.
    """
    height, width = image.shape[:2]
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    warped = cv2.remap(
        image,
        field[..., 0] + columns,
        field[..., 1] + rows,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return warped.reshape(image.shape)


def consistency(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """How far to trust `forward`: 1 where `backward` leads home again, towards 0 where occluded.

    forward, backward: float32 [h, w, 2], flow of a pair both ways, in pixels. A round trip may miss
    by half a pixel and a tenth of the way (after Sundaram et al. 2010); confidence is
    exp(-(miss / allowed)^2). Returns float32 [h, w] in [0, 1].
    """
    there_and_back = forward + warp(backward, forward)
    miss = np.square(there_and_back).sum(axis=2)
    way = np.square(forward).sum(axis=2)
    return np.exp(-miss / (0.25 + 0.01 * way))


def project(field: np.ndarray, weight: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
    """RetryState the flow of frame 0 into flow from time `time` back to frame 0.

    Every vector is carried along itself to where it is at `time`; where several meet, they are
    averaged by their weights, so that what lies in front (or is more certain) wins. Where none
    arrives, the nearest ones to the left, right, above and below are averaged.
    field: float32 [h, w, 2], in pixels. weight: float32 [h, w], above 0. time: in (0, 1).
    Returns float32 [h, w, 2] in pixels, and bool [h, w]: where a vector arrived.

    Method: depth-aware flow projection (DAIN, Bao et al. 2019, section 3.1), with bilinear shares
    for the four pixels around a landing point.
    """
    height, width = weight.shape
    moved = field * time
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
    sums = sums.reshape(3, height, width).astype(np.float32)
    arrived = sums[0] > 1e-4
    projected = -sums[1:].transpose(1, 2, 0) / np.where(arrived, sums[0], 1)[..., None]
    return _fill(projected, arrived), arrived


def _fill(field: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Give unknown pixels the mean of the nearest known ones in the four directions, 0 if none."""
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
    """The motion between two frames, sought once, and given for any time between them.

    first, second: float32 [h, w, c], RGB or luma, in [0, 1].
    """

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self._frames = (first, second)
        self._forward = flow(first, second, fine=True)
        self._backward = flow(second, first, fine=True)
        self._sure = (
            consistency(self._forward, self._backward),
            consistency(self._backward, self._forward),
        )
        self._weights = (
            _weight(self._sure[0], first, warp(second, self._forward)),
            _weight(self._sure[1], second, warp(first, self._backward)),
        )

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How the frame at `time`, in (0, 1), is found in both.

        Returns float32 [h, w, 4], flow from `time` to the first frame and to the second, in pixels,
        by projection; [h, w, 2] in [0, 1], how far to trust either, 0 where nothing arrived; and
        [h, w, 4c], what the frame may look like: the first and the second frame warped by these
        flows, then both warped by the flow that was found at the same place, unprojected.
        """
        flows, trust = [], []
        parts = zip((self._forward, self._backward), self._weights, self._sure, (time, 1 - time))
        for field, weight, sure, way in parts:
            projected, arrived = project(field, weight, way)
            flows.append(projected)
            trust.append(warp(sure, projected) * arrived)
        unprojected = (self._backward * time, self._forward * (1 - time))
        candidates = [
            warp(frame, field)
            for fields in (flows, unprojected)
            for frame, field in zip(self._frames, fields)
        ]
        return (
            np.concatenate(flows, axis=2),
            np.stack(trust, axis=2),
            np.concatenate(candidates, axis=2),
        )


def _weight(sure: np.ndarray, image: np.ndarray, fetched: np.ndarray) -> np.ndarray:
    """Whose vector wins where several meet: the one whose way home and color both fit.

    It takes the place of DAIN's inverse depth: what is hidden by something nearer fits neither.
    """
    difference = np.abs(image - fetched).mean(axis=2)
    return 1e-3 + sure * np.exp(-10 * difference)


def _steady(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Luma as DIS sees it, uint8: smoothed for grain, slow brightness taken out for flicker.

    Never smaller than _SMALLEST_SIDE: the right and lower borders are repeated.
    """
    luma = image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if size != (image.shape[1], image.shape[0]):
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    luma = cv2.GaussianBlur(luma, (0, 0), 0.8)
    missing = [max(0, _SMALLEST_SIDE - side) for side in size]
    luma = cv2.copyMakeBorder(luma, 0, missing[1], 0, missing[0], cv2.BORDER_REPLICATE)
    around = cv2.blur(luma, (max(size) // 4 | 1,) * 2)
    return np.clip(127 * luma / (around + 0.02), 0, 255).astype(np.uint8)
