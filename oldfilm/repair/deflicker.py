"""Deflicker: brightness and contrast that pump from frame to frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from oldfilm.imaging.flow import flow, warp
from oldfilm.imaging.trend import same_scene, trend_weights, unsteadiness
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo, FingerprintValue, Frame, Option, Window

REACH = 10
"""Frames on either side whose exposure a frame is brought to."""

_SIDE = 192
"""Exposure is compared on frames whose longer side is at most this."""

_CELL = 24
"""Side of a region, in pixels of these small frames."""

_TOE = 0.05
"""Added to luma before ratios are taken, so that black has no large ones."""

_LEAST_MEASURED = 0.3
"""Part of a frame that must be neither black nor burnt out to tell its exposure."""

_LARGEST_GAIN, _LARGEST_SHIFT = 2.0, 0.25

STRENGTH = Option(
    "strength", float, 1.0, "how much of the flicker to remove", minimum=0, maximum=1, metavar="X"
)


@dataclass(frozen=True)
class Exposure:
    """How one frame's luma becomes another's: (gain x + shift + toe) exp(regions) - toe.

    regions: float [rows, columns], what is left in each region after gain and shift.
    """

    gain: float
    shift: float
    regions: np.ndarray

    def then(self, other: Exposure) -> Exposure:
        """This change, and another after it."""
        gain, shift = self.gain * other.gain, self.shift * other.gain + other.shift
        return Exposure(gain, shift, self.regions + other.regions)

    def undone(self) -> Exposure:
        """The change back."""
        return Exposure(1 / self.gain, -self.shift / self.gain, -self.regions)


class Deflicker(RunnableStage):
    """Takes out brightness and contrast that pump, in the whole frame and by region.

    Every frame is brought to the trend of its neighbors' exposure, of its own shot: a fade is its
    own trend. Exposures are compared on what both frames show, along its motion, so that something
    bright that comes into the picture is not taken for flicker.
    """

    name = "Deflicker"
    options = (STRENGTH,)
    window = Window(core=16, before=REACH, after=REACH)

    def __init__(self, output: str = "output", *, strength: float = 1.0) -> None:
        """output: folder that `run` writes to. strength: of the correction, 0 (none) to 1 (all).

        Raises:
            OptionError: strength is outside 0 to 1.
        """
        super().__init__(output)
        self.strength = STRENGTH.check(strength)

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Stage.fingerprint`."""
        return {"strength": self.strength}

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film."""
        return info

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame itself."""
        return 4 * info.width * info.height * info.channels

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Bring every frame of the core to the exposure that its neighbors have around it."""
        small = [_reduced(frame.image) for frame in frames]
        changes = [exposure_change(a, b) for a, b in zip(small, small[1:])]
        for index in range(core.start, core.stop):
            frame = frames[index]
            correction = _correction(changes, index, float(small[index].mean()))
            yield replace(frame, image=self._corrected(frame.image, correction))

    def _corrected(self, image: np.ndarray, correction: Exposure) -> np.ndarray:
        size = image.shape[1::-1]
        regions = cv2.resize(correction.regions, size, interpolation=cv2.INTER_CUBIC)
        factor = np.exp(regions)[..., None].astype(np.float32)
        level = np.float32(correction.shift + _TOE)
        steady = (image * np.float32(correction.gain) + level) * factor - np.float32(_TOE)
        return np.clip(image + np.float32(self.strength) * (steady - image), 0, 1)


def _reduced(image: np.ndarray) -> np.ndarray:
    """Luma, float32 [h, w], small enough to compare."""
    height, width, channels = image.shape
    luma = image[..., 0] if channels == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(luma, size, interpolation=cv2.INTER_AREA)


def exposure_change(a: np.ndarray, b: np.ndarray) -> Exposure | None:
    """How the exposure of `a` becomes that of `b`; None where they show different things.

    a, b: luma, float32 [h, w] in [0, 1], of the same size.
    """
    before = warp(a, flow(b[..., None], a[..., None], longest=_SIDE))
    usable = (np.minimum(before, b) > 0.01) & (np.maximum(before, b) < 0.99)
    grid = tuple(max(1, round(side / _CELL)) for side in b.shape)
    if usable.mean() < _LEAST_MEASURED:  # black, or burnt out: nothing to measure
        return Exposure(1.0, 0.0, np.zeros(grid))
    if not same_scene(before, b):
        return None
    gain, shift = 1.0, float(np.median((b - before)[usable]))
    for _ in range(4):
        difference = np.abs(gain * before + shift - b)
        common = usable & (difference < 0.06 + 4 * np.median(difference[usable]))
        gain, shift = _fitted(before[common], b[common])
    ratio = np.log((b + _TOE) / np.maximum(gain * before + shift + _TOE, _TOE))
    return Exposure(gain, shift, _by_region(np.clip(ratio, -0.5, 0.5) * common, common, grid))


def _fitted(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Gain and shift that give x the mean and the deviation of y.

    Not least squares: grain in x would make every gain too small.
    """
    gain = float((y.std() + 0.01) / (x.std() + 0.01))
    return gain, float(y.mean() - gain * x.mean())


def _by_region(values: np.ndarray, counted: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Means of what is counted, by region; towards 0 where little is.

    values: [h, w], 0 where not counted. Returns float64 [rows, columns].
    """
    size = grid[::-1]
    total = cv2.resize(values.astype(np.float64), size, interpolation=cv2.INTER_AREA)
    share = cv2.resize(counted.astype(np.float64), size, interpolation=cv2.INTER_AREA)
    smooth = [cv2.GaussianBlur(plane, (3, 3), 0.6) for plane in (total, share + 0.05)]
    return smooth[0] / smooth[1]


def _correction(changes: Sequence[Exposure | None], index: int, luma: float) -> Exposure:
    """The change that brings frame `index` to the trend around it.

    changes: from each frame of the window to the next. luma: mean of frame `index`, in [0, 1].
    """
    same = Exposure(
        1.0, 0.0, np.zeros_like(next((c.regions for c in changes if c), np.zeros((1, 1))))
    )
    past = [change.undone() if change else None for change in changes[:index][::-1]]
    before, after = _onwards(same, past), _onwards(same, changes[index:])
    seen = [*before[::-1], same, *after]
    weights = trend_weights(len(before), len(after), REACH)
    gain = sum(w * e.gain for w, e in zip(weights, seen))
    shift = sum(w * e.shift for w, e in zip(weights, seen))
    regions = np.stack([e.regions for e in seen])
    share = unsteadiness(np.array([e.gain * luma + e.shift for e in seen]))
    gain = float(np.clip(1 + share * (gain - 1), 1 / _LARGEST_GAIN, _LARGEST_GAIN))
    shift = float(np.clip(share * shift, -_LARGEST_SHIFT, _LARGEST_SHIFT))
    return Exposure(gain, shift, unsteadiness(regions) * np.tensordot(weights, regions, 1))


def _onwards(start: Exposure, changes: Sequence[Exposure | None]) -> list[Exposure]:
    """What becomes of an exposure in the next frames, as far as they show the same thing."""
    seen: list[Exposure] = []
    for change in changes[:REACH]:
        if change is None:
            break
        start = start.then(change)
        seen.append(start)
    return seen
