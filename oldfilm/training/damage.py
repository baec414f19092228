"""Damages clean photographs as time and hands do: cracks and folds, dust, hairs, stains, holes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

VISIBLE = 0.06
"""A pixel is damaged where its luma has changed by more; in [0, 1]."""

SCALES = 0.4, 1.3
"""How much smaller or larger overlays are made."""

LUMA = np.float32([0.299, 0.587, 0.114])


def damaged(
    image: np.ndarray, overlays: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Damage a photograph, and tell where.

    image: float32 [h, w, 3] in [0, 1]. overlays: uint8 [h, w, 4] each, of which the alpha counts.
    Returns the damaged picture and a mask: float32 [h, w], 1 where it is visibly damaged.
    """
    found = image
    for _ in range(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])):
        if rng.random() < 0.35:
            alpha, soft = cracks(image.shape[:2], rng), 1.0
        else:
            alpha = _piece(overlays[rng.integers(len(overlays))], image.shape[:2], rng)
            soft = rng.uniform(0.55, 1.0)
        found = found + (alpha * soft)[..., None] * (_matter(image.shape, rng) - found)
    found = np.clip(found, 0, 1).astype(np.float32)
    mask = np.abs((found - image) @ LUMA) > VISIBLE
    return found, mask.astype(np.float32)


def cracks(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Alpha of a net of cracks, or of a fold: float32 [h, w] in [0, 1]."""
    height, width = shape
    alpha = np.zeros(shape, np.float32)
    size = np.hypot(height, width)
    start = rng.uniform(0, 1, 2) * (width, height)
    ways = [(start, rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 3.0))]
    straight = rng.random() < 0.3
    for _ in range(1 if straight else rng.integers(1, 7)):
        if not ways:
            break
        place, angle, thickness = ways.pop(rng.integers(len(ways)))
        step, turn = rng.uniform(3, 8), 0.03 if straight else rng.uniform(0.1, 0.5)
        strength = rng.uniform(0.5, 1.0)
        for _ in range(int(rng.uniform(0.2, 1.2) * size / step)):
            angle += rng.normal(0, turn)
            ahead = place + step * np.array([np.cos(angle), np.sin(angle)])
            if rng.random() < 0.9:  # paper breaks in dashes
                wide = max(1, round(thickness * rng.uniform(0.5, 1.5)))
                ends = [tuple(int(v * 8) for v in point) for point in (place, ahead)]
                cv2.line(alpha, *ends, strength * rng.uniform(0.6, 1), wide, cv2.LINE_AA, 3)
            if not straight and rng.random() < 0.06:
                ways.append((ahead, angle + rng.choice([-1, 1]) * rng.uniform(0.4, 1.6), thickness))
            place = ahead
    return np.minimum(cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.3, 0.8)), 1)


def _piece(overlay: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """The alpha of a piece of an overlay that holds some of its damage: float32 [h, w]."""
    alpha = np.rot90(overlay[..., 3], rng.integers(4))[:, :: rng.choice([-1, 1])]
    scale = np.exp(rng.uniform(*np.log(SCALES)))
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
    """What shows where the picture is gone: paper, dust or dirt, not quite even."""
    bright = rng.random() < 0.6
    colour = rng.uniform(0.75, 1.0) if bright else rng.uniform(0.0, 0.3)
    tint = np.float32([1, rng.uniform(0.9, 1), rng.uniform(0.7, 1)])
    uneven = rng.normal(0, 0.08 * rng.random() ** 2, (max(shape[0] // 8, 2), max(shape[1] // 8, 2)))
    uneven = cv2.resize(uneven, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.clip(colour * tint + uneven[..., None], 0, 1).astype(np.float32)
