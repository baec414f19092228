"""Grade: restore levels, white balance and saturation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from oldfilm.imaging.content import THRESHOLDS, blend_by_content, contrast, share_of
from oldfilm.imaging.resample import fitted_size, resize
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo, Frame, Window

REACH = 12
"""Frames of the same shot on either side that a frame's tones are averaged with."""

_SIDE = 320
"""Tones are measured on copies whose longer side is at most this many pixels."""


@dataclass(frozen=True)
class Targets:
    """What faded tones become, and which tones are not considered faded.

    black, white: faded blacks and whites become these; tones beyond them have not faded.
    highest_black, lowest_white: a darkest tone above, or a brightest tone below, is not a faded
    black or white: a night stays a night.
    black_cast, white_cast: the largest color cast to remove, as the distance of a channel's black
    or white from the mean of all channels; a sunset stays a sunset.
    fade: change of black and white below which a frame is part of a fade to black or to white.
    clear: contrast from which frames in other fades are graded in full.
    gray: mean chroma below which a film is black and white. full: mean chroma that needs no more
    saturation. saturation: the largest factor.
    """

    black: float = 0.03
    white: float = 0.98
    highest_black: float = 0.14
    lowest_white: float = 0.66
    black_cast: float = 0.01
    white_cast: float = 0.1
    fade: float = 0.05
    clear: float = 0.25
    gray: float = 0.01
    full: float = 0.02
    saturation: float = 1.3


TARGETS = Targets()


@dataclass(frozen=True)
class Tones:
    """The measured tones of a frame.

    black, white: float [c], the 0.1 and 99.9 percentiles of every channel. chroma: mean distance
    from gray. contrast: as `imaging.content.contrast`.
    """

    black: np.ndarray
    white: np.ndarray
    chroma: float
    contrast: float


class Grade(RunnableStage):
    """Restores faded blacks and whites, color casts and pale colors, within limits.

    Tones are averaged over the surrounding frames of a shot, nearer ones counting more, so that
    the correction changes slowly. Flat frames do not count, and stay as they are unless they
    continue a fade.
    """

    name = "Grade"
    window = Window(core=8, before=REACH, after=REACH)

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame itself."""
        return 4 * info.width * info.height * info.channels

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Grade the core's frames."""
        measured = [tones(frame.image) for frame in frames]
        for index in range(core.start, core.stop):
            around = range(max(index - REACH, 0), min(index + REACH + 1, len(frames)))
            near = np.array([1 - abs(i - index) / (REACH + 1) for i in around])
            weights = near * [share_of(measured[i].contrast, THRESHOLDS.picture) for i in around]
            if not weights.any():
                yield frames[index]
                continue
            mean = _mean([measured[i] for i in around], weights / weights.sum())
            image = frames[index].image
            strength = _strength(measured[index], mean, float(weights.sum() / near.sum()))
            yield replace(
                frames[index], image=blend_by_content(image, graded(image, mean), strength)
            )


def tones(image: np.ndarray) -> Tones:
    """Measure the tones of a frame, float32 [h, w, c] in [0, 1]."""
    height, width = image.shape[:2]
    small = resize(image, fitted_size(width, height, _SIDE))
    luma = small.mean(axis=2)
    black, white = np.quantile(small, (0.001, 0.999), axis=(0, 1))
    chroma = float(np.abs(small - luma[..., None]).mean())
    return Tones(black, white, chroma, contrast(image))


def _mean(measured: Sequence[Tones], weights: np.ndarray) -> Tones:
    return Tones(
        black=weights @ np.stack([one.black for one in measured]),
        white=weights @ np.stack([one.white for one in measured]),
        chroma=float(weights @ [one.chroma for one in measured]),
        contrast=float(weights @ [one.contrast for one in measured]),
    )


def _strength(frame: Tones, around: Tones, share: float) -> float:
    """Return how much to grade a frame: 1 for a picture, 0 for a flat frame.

    A frame that keeps the black or the white of the pictures around it is graded like them, so
    that a fade to black ends in the new black. share: how much of the surrounding frames are
    pictures.
    """
    lifted = float(frame.black.mean() - around.black.mean())
    dimmed = float(around.white.mean() - frame.white.mean())
    kept = min(max(1 - min(lifted, dimmed) / TARGETS.fade, 0.0), 1.0) * min(3 * share, 1.0)
    return max(kept, share_of(frame.contrast, TARGETS.clear))


def graded(image: np.ndarray, measured: Tones) -> np.ndarray:
    """Correct an image with these tones: float32 [h, w, c] in [0, 1].

    In every channel, the faded black and white are moved to the targets, within the limits. This
    removes a cast from whites and blacks, which the scene's own light rarely colors, and keeps
    what is meant to be colored.
    """
    black = _near_mean(measured.black, TARGETS.black_cast)
    white = _near_mean(measured.white, TARGETS.white_cast)
    black = np.minimum(black, TARGETS.highest_black)
    white = np.maximum(white, TARGETS.lowest_white)
    deep, bright = np.minimum(black, TARGETS.black), np.maximum(white, TARGETS.white)
    gain = (bright - deep) / (white - black)
    leveled = deep + (image - black) * gain
    if image.shape[2] == 1 or measured.chroma < TARGETS.gray:
        return np.clip(leveled, 0, 1).astype(np.float32)
    chroma = measured.chroma * float(gain.mean())
    saturation = min(max(TARGETS.full / chroma, 1.0), TARGETS.saturation)
    luma = leveled.mean(axis=2, keepdims=True)
    return np.clip(luma + saturation * (leveled - luma), 0, 1).astype(np.float32)


def _near_mean(levels: np.ndarray, limit: float) -> np.ndarray:
    mean = levels.mean()
    return np.clip(levels, mean - limit, mean + limit)
