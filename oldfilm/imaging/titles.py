"""Recognize intertitles: lines of letters on a plain ground."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from oldfilm.imaging.resample import fitted_size, resize


@dataclass(frozen=True)
class Thresholds:
    """What an intertitle looks like.

    side: longer side, in pixels, of the copy that is examined. ground: difference from the ground,
    in [0, 1], that grain and uneven light may make. letter: difference of a letter. plain: share of
    the picture that is ground. between: pixels that are neither, as a multiple of the letters'.
    other: share of the picture that may differ in the other direction. height, width: range of a
    letter's or word's sides, as shares of the picture's. count: letters or words at least. lined:
    share of them that stand in a line with two others.
    """

    side: int = 384
    ground: float = 0.12
    letter: float = 0.25
    plain: float = 0.65
    between: float = 2.0
    other: float = 0.01
    height: tuple[float, float] = (0.015, 0.16)
    width: tuple[float, float] = (0.004, 0.5)
    count: int = 8
    lined: float = 0.75


THRESHOLDS = Thresholds()


def is_title(luma: np.ndarray) -> bool:
    """Whether a picture shows nothing but lines of letters: luma, float32 [h, w] in [0, 1]."""
    height, width = luma.shape
    small = resize(luma[..., None], fitted_size(width, height, THRESHOLDS.side), cv2.INTER_AREA)
    plane = small.reshape(small.shape[:2])
    difference = plane - np.median(plane)
    if np.mean(difference > THRESHOLDS.letter) < np.mean(difference < -THRESHOLDS.letter):
        difference = -difference
    letters = difference > THRESHOLDS.letter
    ground = np.abs(difference) < THRESHOLDS.ground
    between = 1 - ground.mean() - letters.mean()
    return bool(
        ground.mean() > THRESHOLDS.plain
        and between < THRESHOLDS.between * letters.mean()
        and np.mean(difference < -THRESHOLDS.ground) < THRESHOLDS.other
        and _in_lines(letters)
    )


def _in_lines(letters: np.ndarray) -> bool:
    """Whether most connected areas are of the size of letters, and stand in lines."""
    boxes = cv2.connectedComponentsWithStats(letters.astype(np.uint8))[2][1:]
    sides = boxes[:, [cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH]] / letters.shape
    limits = np.array([THRESHOLDS.height, THRESHOLDS.width])
    fits = np.all((sides >= limits[:, 0]) & (sides <= limits[:, 1]), axis=1)
    found = boxes[fits]
    if len(found) < THRESHOLDS.count or found[:, cv2.CC_STAT_AREA].sum() < 0.5 * letters.sum():
        return False
    tops, heights = found[:, cv2.CC_STAT_TOP], found[:, cv2.CC_STAT_HEIGHT]
    bottoms = tops + heights
    overlap = np.minimum(bottoms, bottoms[:, None]) - np.maximum(tops, tops[:, None])
    in_line = overlap > 0.5 * np.minimum(heights, heights[:, None])
    return bool(np.mean(in_line.sum(1) > 2) > THRESHOLDS.lined)
