"""Damage clean photographs: cracks, creases, dust, hairs, stains and holes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from oldfilm.imaging.color import LUMA_WEIGHTS

VISIBLE = 0.06
"""A change of luma, in [0, 1], above which a pixel counts as damaged."""

VISIBLE_CREASE = 0.035
"""As VISIBLE, for creases: a line is visible where an equally faint speck is not."""

OVERLAY_SCALES = 0.4, 1.3


def damaged(
    image: np.ndarray, overlays: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Damage a photograph, and report where.

    image: float32 [h, w, 3] in [0, 1]. overlays: uint8 [h, w, 4] each; only the alpha is used.
    Returns the damaged picture, and a mask float32 [h, w] that is 1 where the damage is visible.
    """
    result = image
    for _ in range(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])):
        if rng.random() < 0.35:
            alpha, soft = cracks(image.shape[:2], rng), 1.0
        else:
            alpha = _piece(overlays[rng.integers(len(overlays))], image.shape[:2], rng)
            soft = rng.uniform(0.55, 1.0)
        result = result + (alpha * soft)[..., None] * (_matter(image.shape, rng) - result)
    result = np.clip(result, 0, 1).astype(np.float32)
    mask = np.abs((result - image) @ LUMA_WEIGHTS) > VISIBLE
    return result, mask.astype(np.float32)


def cracks(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw a net of cracks, or a straight fold: its alpha, float32 [h, w] in [0, 1]."""
    height, width = shape
    alpha = np.zeros(shape, np.float32)
    size = np.hypot(height, width)
    start = rng.uniform(0, 1, 2) * (width, height)
    branches = [(start, rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 3.0))]
    straight = rng.random() < 0.3
    for _ in range(1 if straight else rng.integers(1, 7)):
        if not branches:
            break
        place, angle, thickness = branches.pop(rng.integers(len(branches)))
        step, turn = rng.uniform(3, 8), 0.03 if straight else rng.uniform(0.1, 0.5)
        strength = rng.uniform(0.5, 1.0)
        for _ in range(int(rng.uniform(0.2, 1.2) * size / step)):
            angle += rng.normal(0, turn)
            ahead = place + step * np.array([np.cos(angle), np.sin(angle)])
            if rng.random() < 0.9:  # Paper breaks in dashes.
                width_here = max(1, round(thickness * rng.uniform(0.5, 1.5)))
                ends = [tuple(int(v * 8) for v in point) for point in (place, ahead)]
                cv2.line(alpha, *ends, strength * rng.uniform(0.6, 1), width_here, cv2.LINE_AA, 3)
            if not straight and rng.random() < 0.06:
                bend = rng.choice([-1, 1]) * rng.uniform(0.4, 1.6)
                branches.append((ahead, angle + bend, thickness))
            place = ahead
    return np.minimum(cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.3, 0.8)), 1)


def creased(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Crease a print, which bends its image layer without breaking it, and report where.

    The ridge catches the light, a shadow runs next to it, and both fade toward the end of the
    crease. Shapes as in `damaged`.
    """
    shape = image.shape[:2]
    luma = image @ LUMA_WEIGHTS
    change = np.zeros(shape, np.float32)
    for _ in range(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])):
        change += (_crease if rng.random() < 0.65 else _crumpled)(shape, rng)
    even = rng.random()  # A bent layer changes by a factor, bare paper by an amount.
    change = change * (even + (1 - even) * luma)
    result = np.clip(image + change[..., None], 0, 1).astype(np.float32)
    mask = (np.abs(result @ LUMA_WEIGHTS - luma) > VISIBLE_CREASE).astype(np.float32)
    return result, cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3)))


def _crease(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw one crease: the luma that it adds, float32 [h, w]."""
    height, width = shape
    path, directions, strength = _bend(shape, rng)
    inside = ((path >= 0) & (path < (width, height))).all(1)
    if not inside.any():
        return np.zeros(shape, np.float32)
    path, directions, strength = path[inside], directions[inside], strength[inside]
    nearest = _nearest_points(shape, path)
    across, along = _path_coordinates(path, directions, nearest)
    relief = _relief(across, rng)
    relief *= strength[nearest] * np.exp(-((along / 1.5) ** 2))
    return (_light(rng) * relief).astype(np.float32)


def _nearest_points(shape: tuple[int, int], path: np.ndarray) -> np.ndarray:
    """The index of the point of a path, [n, 2], that is nearest to each pixel: int [h, w]."""
    columns, rows = path.astype(int).T
    off = np.ones(shape, np.uint8)
    off[rows, columns] = 0
    kind = cv2.DIST_LABEL_PIXEL
    labels = cv2.distanceTransformWithLabels(off, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=kind)[1]
    nearest = np.zeros(labels.max() + 1, int)
    nearest[labels[rows, columns]] = np.arange(len(path))
    return nearest[labels]


def _relief(across: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Profile of a crease: a bright ridge, a dark groove next to it, and a slope on one side.

    across: distance from the ridge in pixels, with a sign for the side, [h, w].
    """
    width = rng.uniform(0.5, 1.4)
    ridge = np.exp(-((across / width) ** 2) / 2)
    apart, wider = width * rng.uniform(1.2, 2.5), width * rng.uniform(0.8, 2.0)
    groove = rng.uniform(0, 0.9) * np.exp(-(((across - apart) / wider) ** 2) / 2)
    side = rng.choice([-1, 1])
    slope = np.exp(-np.abs(across) / rng.uniform(1, 8)) * (side * across > 0)
    return ridge - groove - rng.uniform(-0.6, 0.3) * slope


def _crumpled(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw a net of ragged creases and their shadows: the luma they add, float32 [h, w]."""
    net = cracks(shape, rng)
    shift = np.float32([[1, 0, rng.uniform(-2.5, 2.5)], [0, 1, rng.uniform(-2.5, 2.5)]])
    shadow = cv2.warpAffine(net, shift, shape[::-1])
    return _light(rng) * (net - rng.uniform(0, 1) * shadow)


def _light(rng: np.random.Generator) -> np.float32:
    """The change of luma on the ridge: bright, or darker once in four."""
    sign = rng.choice([-1, 1], p=[0.25, 0.75])
    return np.float32(sign * np.exp(rng.uniform(*np.log((0.08, 0.5)))))


def _bend(
    shape: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of a crease, one pixel apart, (x, y); its directions and strengths at them."""
    size = np.hypot(*shape)
    length = max(8, int(rng.uniform(0.1, 1.2) * size))
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, rng.uniform(0, 0.06), length))
    place = np.arange(length)
    bends = np.arange(0, length + 8, rng.uniform(3, 8))
    angles += np.interp(place, bends, rng.normal(0, rng.uniform(0, 0.7), len(bends)))
    directions = np.stack([np.cos(angles), np.sin(angles)], 1)
    path = rng.uniform(0, 1, 2) * shape[::-1] + np.cumsum(directions, 0)
    path += rng.normal(0, 0.15, path.shape)
    known = np.linspace(0, length, max(3, length // rng.integers(8, 40)))
    strength = np.interp(place, known, rng.uniform(0.5, 1.0, len(known)))
    return (
        path,
        directions,
        strength * np.minimum(1, (length - place) / rng.uniform(1, 0.6 * length)),
    )


def _path_coordinates(
    path: np.ndarray, directions: np.ndarray, nearest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of each pixel from its nearest point, across and along the path.

    nearest: indices of those points, [h, w].
    """
    y, x = np.mgrid[: nearest.shape[0], : nearest.shape[1]] + 0.5
    x, y = x - path[nearest, 0], y - path[nearest, 1]
    direction_x, direction_y = directions[nearest, 0], directions[nearest, 1]
    return x * direction_y - y * direction_x, x * direction_x + y * direction_y


def _piece(overlay: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Cut a piece with damage out of an overlay: its alpha, float32 [h, w] in [0, 1]."""
    alpha = np.rot90(overlay[..., 3], rng.integers(4))[:, :: rng.choice([-1, 1])]
    scale = np.exp(rng.uniform(*np.log(OVERLAY_SCALES)))
    alpha = cv2.resize(
        np.ascontiguousarray(alpha), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    height, width = shape
    alpha = cv2.copyMakeBorder(alpha, height, height, width, width, cv2.BORDER_CONSTANT, value=0)
    rows, columns = np.nonzero(alpha > 64)
    top = left = 0
    if len(rows):
        one = rng.integers(len(rows))
        top, left = np.array([rows[one], columns[one]]) - rng.integers(0, shape)
    return alpha[top : top + height, left : left + width].astype(np.float32) / 255


def _matter(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Uneven paper, dust or dirt, which shows where the picture is missing."""
    bright = rng.random() < 0.6
    color = rng.uniform(0.75, 1.0) if bright else rng.uniform(0.0, 0.3)
    tint = np.float32([1, rng.uniform(0.9, 1), rng.uniform(0.7, 1)])
    uneven = rng.normal(0, 0.08 * rng.random() ** 2, (max(shape[0] // 8, 2), max(shape[1] // 8, 2)))
    uneven = cv2.resize(uneven, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.clip(color * tint + uneven[..., None], 0, 1).astype(np.float32)
