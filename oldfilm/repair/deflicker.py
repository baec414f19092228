"""Deflicker: remove changes of brightness and contrast from frame to frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import cv2
import numpy as np

from oldfilm.imaging.color import luma
from oldfilm.imaging.content import blend_by_content, content
from oldfilm.imaging.flow import flow, warp
from oldfilm.imaging.resample import fitted_size, resize
from oldfilm.imaging.trend import (
    before_cut,
    changes_between,
    same_scene,
    trend_weights,
    unsteadiness,
)
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo, Frame, Option, Window

REACH = 10
"""Frames on either side that the trend is computed from."""

STRENGTH = Option(
    "strength", float, 1.0, "how much of the flicker to remove", minimum=0, maximum=1, metavar="X"
)


@dataclass(frozen=True)
class Limits:
    """What is measured, and how much may be corrected.

    side: longer side, in pixels, of the copies on which exposures are compared. region: side of a
    region, in pixels of these copies. toe: added to luma before ratios are taken, because ratios of
    dark pixels are noise. exposed: fraction of a frame that must be neither black nor burnt out.
    gain, shift: the largest correction of a whole frame.
    """

    side: int = 192
    region: int = 24
    toe: float = 0.05
    exposed: float = 0.3
    gain: float = 2.0
    shift: float = 0.25


LIMITS = Limits()


@dataclass(frozen=True)
class Exposure:
    """A change of exposure: (gain x + shift + toe) exp(regions) - toe.

    regions: float [rows, columns], the logarithm of what remains in each region after gain and
    shift.
    """

    gain: float
    shift: float
    regions: np.ndarray

    def then(self, other: Exposure) -> Exposure:
        """This change followed by another."""
        gain, shift = self.gain * other.gain, self.shift * other.gain + other.shift
        return Exposure(gain, shift, self.regions + other.regions)

    def inverse(self) -> Exposure:
        """The change that undoes this one."""
        return Exposure(1 / self.gain, -self.shift / self.gain, -self.regions)


class Deflicker(RunnableStage):
    """Removes flicker, in the whole frame and in regions of it.

    Every frame is corrected to the trend of exposure around it, within its own shot. A fade is its
    own trend and stays. Exposures are compared along the motion, on what both frames show, so that
    a bright object entering the picture is not mistaken for flicker.
    """

    name = "Deflicker"
    options = (STRENGTH,)
    window = Window(core=16, before=REACH, after=REACH)

    def __init__(self, output: str = "output", *, strength: float = 1.0) -> None:
        """output: folder that `run` writes to. strength: 0 removes nothing, 1 all flicker.

        Raises:
            OptionError: strength is outside [0, 1].
        """
        super().__init__(output)
        self.strength = STRENGTH.check(strength)

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame itself."""
        return 4 * info.width * info.height * info.channels

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Correct every frame of the core to the trend of exposure around it."""
        small = [_reduced(frame.image) for frame in frames]
        unchanged = Exposure(1.0, 0.0, np.zeros(_grid(small[0])))
        shown = [content(image[..., None]) for image in small]
        flat = [value == 0 for value in shown]
        changes = changes_between(small, flat, exposure_change, unchanged)
        for index in range(core.start, core.stop):
            frame = frames[index]
            correction = _correction(changes, index, float(small[index].mean()))
            corrected = self._corrected(frame.image, correction)
            yield replace(frame, image=blend_by_content(frame.image, corrected, shown[index]))

    def _corrected(self, image: np.ndarray, correction: Exposure) -> np.ndarray:
        size = image.shape[1::-1]
        regions = cv2.resize(correction.regions, size, interpolation=cv2.INTER_CUBIC)
        factor = np.exp(regions)[..., None].astype(np.float32)
        level = np.float32(correction.shift + LIMITS.toe)
        steady = (image * np.float32(correction.gain) + level) * factor - np.float32(LIMITS.toe)
        return np.clip(image + np.float32(self.strength) * (steady - image), 0, 1)


def _reduced(image: np.ndarray) -> np.ndarray:
    """A small copy of the luma: float32 [h, w]."""
    height, width = image.shape[:2]
    return resize(luma(image), fitted_size(width, height, LIMITS.side))


def exposure_change(a: np.ndarray, b: np.ndarray) -> Exposure | None:
    """Measure how the exposure changes from `a` to `b`; None if they show different scenes.

    a, b: luma, float32 [h, w] in [0, 1], of the same size.
    """
    before = warp(a, flow(b[..., None], a[..., None], longest=LIMITS.side))
    usable = (np.minimum(before, b) > 0.01) & (np.maximum(before, b) < 0.99)
    grid = _grid(b)
    if usable.mean() < LIMITS.exposed:
        return Exposure(1.0, 0.0, np.zeros(grid))
    if not same_scene(before, b):
        return None
    gain, shift = 1.0, float(np.median((b - before)[usable]))
    for _ in range(4):
        difference = np.abs(gain * before + shift - b)
        common = usable & (difference < 0.06 + 4 * np.median(difference[usable]))
        gain, shift = _fitted(before[common], b[common])
    expected = np.maximum(gain * before + shift + LIMITS.toe, LIMITS.toe)
    ratio = np.log((b + LIMITS.toe) / expected)
    return Exposure(gain, shift, _region_means(np.clip(ratio, -0.5, 0.5) * common, common, grid))


def _grid(image: np.ndarray) -> tuple[int, ...]:
    """Rows and columns of the regions of an image [h, w]."""
    return tuple(max(1, round(side / LIMITS.region)) for side in image.shape)


def _fitted(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Gain and shift that give x the mean and the deviation of y.

    This is not least squares, which would find too small a gain because of the grain in x.
    """
    gain = float((y.std() + 0.01) / (x.std() + 0.01))
    return gain, float(y.mean() - gain * x.mean())


def _region_means(values: np.ndarray, counted: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Means of the counted pixels of every region, pulled towards 0 where there are few.

    values: [h, w], 0 where not counted. counted: bool [h, w]. grid: rows and columns.
    Returns float64 [rows, columns].
    """
    size = grid[::-1]
    total = cv2.resize(values.astype(np.float64), size, interpolation=cv2.INTER_AREA)
    share = cv2.resize(counted.astype(np.float64), size, interpolation=cv2.INTER_AREA)
    smooth = [cv2.GaussianBlur(plane, (3, 3), 0.6) for plane in (total, share + 0.05)]
    return smooth[0] / smooth[1]


def _correction(changes: Sequence[Exposure | None], index: int, mean: float) -> Exposure:
    """The change that brings frame `index` to the trend around it.

    changes: from each frame of the window to the next. mean: mean luma of frame `index`.
    """
    grid = next((c.regions for c in changes if c), np.zeros((1, 1)))
    same = Exposure(1.0, 0.0, np.zeros_like(grid))
    past = [change.inverse() if change else None for change in changes[:index][::-1]]
    before, after = _accumulated(past), _accumulated(changes[index:])
    exposures = [*before[::-1], same, *after]
    weights = trend_weights(len(before), len(after), REACH)
    gain = sum(w * e.gain for w, e in zip(weights, exposures))
    shift = sum(w * e.shift for w, e in zip(weights, exposures))
    regions = np.stack([e.regions for e in exposures])
    share = unsteadiness(np.array([e.gain * mean + e.shift for e in exposures]))
    gain = float(np.clip(1 + share * (gain - 1), 1 / LIMITS.gain, LIMITS.gain))
    shift = float(np.clip(share * shift, -LIMITS.shift, LIMITS.shift))
    return Exposure(gain, shift, unsteadiness(regions) * np.tensordot(weights, regions, 1))


def _accumulated(changes: Sequence[Exposure | None]) -> list[Exposure]:
    """The exposures of the next frames, relative to this one, up to where the scene changes."""
    return list(accumulate(before_cut(changes[:REACH]), Exposure.then))
