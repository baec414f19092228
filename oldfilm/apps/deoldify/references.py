"""Colors from given pictures: color photographs, or frames colored by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from oldfilm import media
from oldfilm.apps.deoldify.lite import stretched_levels
from oldfilm.errors import OptionError
from oldfilm.imaging import color
from oldfilm.imaging.color import as_rgb
from oldfilm.imaging.correspondence import Features, joined_features, match, motion_guess
from oldfilm.imaging.flow import flow, warp
from oldfilm.imaging.resample import resize, scaled_size
from oldfilm.pipeline.pictures import as_array, as_frames

SIDE = 288
"""Shorter side, in pixels, at which frames and references are compared."""

MULTIPLE = 32
"""Sides are rounded to multiples of this, as the encoder needs them."""

MOST = 4
"""References that a frame takes its colors from, the most similar ones."""

_CACHED = 16
"""Frames whose suggestions are kept, since windows share their neighbors."""

_EVERY = 7
"""To choose among many references, this is the step between the places that are compared."""


class Thresholds(NamedTuple):
    """When a reference counts.

    Pairs are where a confidence begins to rise above 0, and where it reaches 1. likeness: of one
    place. mutual: of a whole picture, as in `Match`; 0.33 between unrelated pictures, at least 0.4
    between frames of one shot. luma: difference, in [0, 1], at which motion counts 1/e. aspect:
    ratio of aspect ratios up to which a reference may be a frame of the film. gray: mean chroma, in
    units of a* and b*, below which a picture has no colors. share: difference of scores at which a
    reference counts 1/e of the best one.
    """

    likeness: tuple[float, float] = (0.3, 0.45)
    mutual: tuple[float, float] = (0.31, 0.41)
    luma: float = 0.06
    aspect: float = 1.4
    gray: float = 0.5
    share: float = 0.05


THRESHOLDS = Thresholds()

Encoder = Callable[..., tuple[np.ndarray, ...]]
"""Takes luma [1, 1, h, w], and returns feature maps [1, c, h, w], from fine to coarse."""


class Reference(NamedTuple):
    """A picture with colors, at the size at which it is compared.

    luma: float32 [h, w] in [0, 1]. colors: [h, w, 3], the coverage, in [0, 1], and a* and b* times
    the coverage: how much of a place has a color.
    """

    luma: np.ndarray
    colors: np.ndarray


class Suggestion(NamedTuple):
    """Colors for one frame.

    chroma: float32 [h, w, 2], a* and b*. confidence: [h, w] in [0, 1]. score: how well the
    reference matches as a whole.
    """

    chroma: np.ndarray
    confidence: np.ndarray
    score: float


class References:
    """Suggests colors for each frame of a film from color pictures.

    A frame is compared with the references directly, without the frames between them. So its
    colors depend neither on where a segment begins, nor on errors that add up along a shot.
    """

    def __init__(self, references: Sequence[Reference], encoder: Callable[[], Encoder]) -> None:
        """encoder: opens the encoder, on first use."""
        self._references = references
        self._encoder = encoder
        self._cached_suggestion = lru_cache(_CACHED)(self._suggest)
        self._prepared: dict[tuple[int, tuple[int, ...]], tuple[Reference, Features]] = {}

    @property
    def sha256(self) -> str:
        """Hash of everything that the references contribute to a frame."""
        digest = hashlib.sha256()
        for luma, colors in self._references:
            digest.update(repr(luma.shape).encode() + luma.tobytes() + colors.tobytes())
        return digest.hexdigest()

    def suggest(self, luma: np.ndarray, size: tuple[int, int]) -> Suggestion:
        """Suggest colors for a frame.

        luma: float32 [h, w] in [0, 1]. size: (width, height) of the result.
        """
        small = resize(luma, compared_size(*luma.shape[::-1]))
        found = self._cached_suggestion(small.tobytes(), small.shape)
        return Suggestion(resize(found.chroma, size), resize(found.confidence, size), found.score)

    def _suggest(self, luma_bytes: bytes, shape: tuple[int, int]) -> Suggestion:
        luma = np.frombuffer(luma_bytes, np.float32).reshape(shape)
        features = self._features(luma)
        fitted = [self._fitted(index, shape) for index in range(len(self._references))]
        if len(fitted) > MOST:
            fitted = sorted(fitted, key=lambda each: -_likeness(features, each[1]))[:MOST]
        return _combined([_suggestion(luma, features, *each) for each in fitted])

    def _fitted(self, index: int, shape: tuple[int, ...]) -> tuple[Reference, Features]:
        """Return a reference, reshaped if it may show the same as a frame, and its features."""
        key = (index, shape)
        if key not in self._prepared:
            reference = _reshaped(self._references[index], shape)
            self._prepared[key] = reference, self._features(reference.luma)
        return self._prepared[key]

    def _features(self, luma: np.ndarray) -> Features:
        stretched = stretched_levels(luma)
        _, eighth, sixteenth, *_ = self._encoder()(np.ascontiguousarray(stretched[None, None]))
        return joined_features([eighth[0], sixteenth[0]])


def compared_size(width: int, height: int) -> tuple[int, int]:
    """The size, (width, height), at which a picture is compared."""
    scale = SIDE / MULTIPLE / min(width, height)
    across, down = scaled_size(width, height, scale)
    return MULTIPLE * across, MULTIPLE * down


def _likeness(features: Features, other: Features) -> float:
    """How similar two pictures are as a whole, from some places of the first."""
    return float((features.rows[::_EVERY] @ other.rows.T).max(1).mean())


def _suggestion(
    luma: np.ndarray, features: Features, reference: Reference, other: Features
) -> Suggestion:
    """Colors from one reference: by motion where luma agrees, else by likeness."""
    size = luma.shape[::-1]
    found = match(features, other, resize(reference.colors, other.size).reshape(-1, 3))
    colors = resize(found.values, size)
    if reference.luma.shape == luma.shape:
        levels = _with_levels_of(reference.luma, luma)
        guess = motion_guess(found.best, size)
        motion = flow(luma[..., None], levels[..., None], guess=guess)
        miss = cv2.blur(np.square(luma - warp(levels, motion)), (9, 9))
        agrees = np.exp(-miss / THRESHOLDS.luma**2)[..., None]
        colors = colors + agrees * (warp(reference.colors, motion) - colors)
    coverage = colors[..., 0]
    confidence = resize(_ramp(found.likeness, *THRESHOLDS.likeness), size) * coverage
    confidence *= np.float32(_ramp(found.mutual, *THRESHOLDS.mutual))
    chroma = colors[..., 1:] / np.maximum(coverage, 1e-3)[..., None]
    return Suggestion(chroma, confidence, found.mutual + float(found.likeness.mean()))


def _combined(suggestions: Sequence[Suggestion]) -> Suggestion:
    """Mix suggestions, mostly that of the reference that is most similar as a whole."""
    best = max(each.score for each in suggestions)
    shares = [np.exp((each.score - best) / THRESHOLDS.share) for each in suggestions]
    weights = [each.confidence * s + np.float32(1e-6) for each, s in zip(suggestions, shares)]
    total = sum(weights)
    mixed = sum(each.chroma * (w / total)[..., None] for each, w in zip(suggestions, weights))
    confidence = sum(each.confidence * (w / total) for each, w in zip(suggestions, weights))
    return Suggestion(mixed.astype(np.float32), confidence.astype(np.float32), best)


def _with_levels_of(luma: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return luma with the mean and the contrast of another picture."""
    gain = other.std() / max(float(luma.std()), 1e-3)
    return ((luma - luma.mean()) * gain + other.mean()).astype(np.float32)


def _reshaped(reference: Reference, shape: tuple[int, ...]) -> Reference:
    """Resize a reference to the shape of a frame, unless its own is too different."""
    height, width = reference.luma.shape
    ratio = width * shape[0] / (height * shape[1])
    if not 1 / THRESHOLDS.aspect <= ratio <= THRESHOLDS.aspect:
        return reference
    luma, colors = (resize(each, (shape[1], shape[0])) for each in reference)
    return Reference(luma, colors)


def _ramp(value: Any, low: float, high: float) -> Any:
    return np.clip((value - low) / (high - low), 0, 1)


def read_references(given: Sequence[Any]) -> list[Reference]:
    """Read color pictures.

    given: paths of photographs or of folders of them, Pillow images, or arrays [h, w, 3] as
    `Predictor.predict` takes them.

    Raises:
        OptionError: a picture is gray.
        MediaError: a path does not exist, or a picture cannot be read.
    """
    found = []
    for number, each in enumerate(given, 1):
        if not isinstance(each, (str, Path)):
            picture = as_rgb(as_frames(as_array(each))[0])
            found.append(_reference(picture, f"picture {number}"))
            continue
        for file in media.sources(Path(each), kinds=media.PHOTOGRAPH_SUFFIXES):
            found.append(_reference(as_rgb(media.read_photograph(file).image), str(file)))
    return found


def _reference(picture: np.ndarray, name: str) -> Reference:
    """Reduce a color picture.

    Raises:
        OptionError: it is gray.
    """
    height, width = picture.shape[:2]
    small = resize(np.ascontiguousarray(picture), compared_size(width, height))
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    if np.abs(lab[..., 1:]).mean() < THRESHOLDS.gray:
        raise OptionError(f"`color_reference={name}`: this picture is gray; give one in color")
    lab[..., 0] = 1
    return Reference(color.luma(small), lab)
