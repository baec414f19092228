"""Colors at points or in boxes of single frames, and how far they spread within these frames."""

from __future__ import annotations

import bisect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import yaml
from PIL import ImageColor

from oldfilm.apps.deoldify.references import Encoder, Reference, References, compared_size
from oldfilm.errors import OptionError
from oldfilm.imaging.resample import resize
from oldfilm.stage import FilmFacts, seconds

logger = logging.getLogger(__name__)

_EXAMPLE = "{at: '0:12', point: [320, 140], color: dark green}"

_EDGE = 0.04
"""Difference of luma between neighboring pixels at which a color hardly spreads."""

_LEAK = 5e-4
"""How fast a color fades where nothing stops it: by 1/e in 45 pixels at the working size."""

_COVERED = (0.12, 0.4)
"""Where the coverage begins to rise above 0, and where it reaches 1."""

_STEPS = 300
"""Most steps of the solver."""


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    """A hint as a file states it."""

    color: str | tuple[int, int, int]
    at: str | float = 0.0
    point: tuple[float | str, float | str] | None = None
    box: tuple[float | str, float | str, float | str, float | str] | None = None


@dataclass(frozen=True)
class Hint:
    """A color at a place of one frame.

    time: seconds from the beginning of the film. place: x and y of a point, or left, top, right and
    bottom of a box; pixels, or percentages of width and height as text ("40%"). color: RGB, 0 to
    255.
    """

    time: Fraction
    place: tuple[float | str, ...]
    color: tuple[int, int, int]

    def corners(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom as shares of a frame of this size.

        Raises:
            OptionError: the place is outside the frame.
        """
        shares = [_share(v, (width, height)[i % 2]) for i, v in enumerate(self.place)]
        left, top, right, bottom = shares if len(shares) == 4 else (*shares, *shares)
        if not (0 <= left <= right <= 1 and 0 <= top <= bottom <= 1):
            raise OptionError(
                f"`color_hints`: {list(self.place)} is not in a frame of {width}x{height}; "
                "x comes before y, and left and top before right and bottom"
            )
        return left, top, right, bottom


class Hints:
    """The hints for a film, and the colors that its shots take from them. Immutable."""

    def __init__(
        self,
        hints: Sequence[Hint],
        encoder: Callable[[], Encoder],
        cuts: Sequence[Fraction] = (),
        start: Fraction = Fraction(0),
    ) -> None:
        """encoder: as in `References`. cuts, start: as in `FilmFacts`."""
        self._hints = sorted(hints, key=lambda hint: hint.time)
        self._encoder = encoder
        self._cuts = cuts
        self._start = start
        self._shots: dict[int, References] = {}

    def check(self, width: int, height: int) -> None:
        """Raise an OptionError if a place is outside frames of this size."""
        for hint in self._hints:
            hint.corners(width, height)

    def __str__(self) -> str:
        return json.dumps([[str(each.time), each.place, each.color] for each in self._hints])

    def within(self, facts: FilmFacts, duration: Fraction) -> Hints:
        """Return the hints for the part of a film that is restored."""
        stop = facts.start + duration
        inside = [hint for hint in self._hints if facts.start <= hint.time < stop]
        for hint in self._hints:
            if hint not in inside:
                logger.warning(
                    "`color_hints`: the hint at %.2f seconds is outside what is restored.",
                    float(hint.time),
                )
        return Hints(inside, self._encoder, facts.cuts, facts.start)

    @property
    def times(self) -> list[Fraction]:
        """The times of the frames with hints, on the time line of the frames to restore."""
        return sorted({hint.time - self._start for hint in self._hints})

    def seen(self, lumas: Sequence[np.ndarray]) -> Hints:
        """Return the same hints with the frames of `times`, as luma [h, w]."""
        found = Hints(self._hints, self._encoder, self._cuts, self._start)
        shots: dict[int, list[Reference]] = {}
        for time, luma in zip(self.times, lumas):
            hints = [hint for hint in self._hints if hint.time - self._start == time]
            shots.setdefault(self._shot(time), []).append(hinted_frame(luma, hints))
        found._shots = {shot: References(each, self._encoder) for shot, each in shots.items()}
        return found

    def references(self, time: Fraction) -> References | None:
        """Return what a frame takes colors from: the hints of its shot."""
        return self._shots.get(self._shot(time))

    def _shot(self, time: Fraction) -> int:
        return bisect.bisect_right(self._cuts, time)


def read_hints(given: Any) -> list[Hint]:
    """Read hints from a YAML file, or from a list of dictionaries with the same keys.

    Raises:
        OptionError: the file cannot be read, or a hint is invalid; the message names the line.
    """
    if isinstance(given, (str, Path)):
        return _read_file(Path(given))
    if not isinstance(given, Sequence) or not all(isinstance(each, Mapping) for each in given):
        raise OptionError(f"`color_hints`: give a file, or a list of hints such as {_EXAMPLE}")
    return [_hint(dict(each), f"hint {number}") for number, each in enumerate(given, 1)]


def _read_file(path: Path) -> list[Hint]:
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, yaml.SafeLoader)
    except OSError as error:
        raise OptionError(f"`color_hints={path}`: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(f"`color_hints={path}`: this is not valid YAML: {reason}") from error
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        raise OptionError(f"`color_hints={path}`: it needs a list of hints, such as '- {_EXAMPLE}'")
    found = []
    for each in node.value:
        where = f"line {each.start_mark.line + 1}"
        try:
            stated = yaml.SafeLoader("").construct_document(each)
        except (yaml.YAMLError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise OptionError(f"`color_hints={path}`: {where}: {reason}") from error
        found.append(_hint(stated, where, f"={path}"))
    return found


def _hint(stated: Any, where: str, path: str = "") -> Hint:
    try:
        record = msgspec.convert(stated, _Record)
        if (record.point is None) == (record.box is None):
            raise ValueError("give either `point`, x and y, or `box`, left, top, right and bottom")
        return Hint(_time(record.at), record.point or record.box or (), _color(record.color))
    except (msgspec.ValidationError, ValueError) as error:
        raise OptionError(f"`color_hints{path}`: {where}: {_plain(error)}") from None


def _plain(error: Exception) -> str:
    """What is wrong with a hint, and what to do."""
    text = str(error)
    if "`null`" in text and "$.color" in text:
        return "the color is missing; put quotes around colors that begin with #"
    if isinstance(error, msgspec.ValidationError):
        return f"{text}; a hint is written as {_EXAMPLE}"
    return text


def _time(at: str | float) -> Fraction:
    try:
        found = seconds(at) if isinstance(at, str) else Fraction(at).limit_denominator(100_000)
    except (ValueError, ZeroDivisionError, OverflowError):
        found = Fraction(-1)
    if found < 0:
        raise ValueError(f"at: {at!r} is not a time in seconds or as h:mm:ss")
    return found


def _color(stated: str | tuple[int, int, int]) -> tuple[int, int, int]:
    if not isinstance(stated, str):
        if not all(0 <= part <= 255 for part in stated):
            raise ValueError(f"color: {list(stated)} must be between 0 and 255")
        return stated
    try:
        red, green, blue, *_ = ImageColor.getrgb(stated.replace(" ", "").lower())
    except ValueError:
        raise ValueError(
            f"color: {stated!r} is not known; give a name of CSS, such as dark green, or '#006400'"
        ) from None
    return red, green, blue


def _share(value: float | str, side: int) -> float:
    """A coordinate as a share of the side; -1 if it is not a number."""
    try:
        return float(value[:-1]) / 100 if isinstance(value, str) else value / side
    except ValueError:
        return -1.0


def hinted_frame(luma: np.ndarray, hints: Sequence[Hint]) -> Reference:
    """Spread the hints of one frame over the surfaces that they are on.

    luma: float32 [h, w] in [0, 1].

    Method: as in "Colorization using Optimization" (Levin et al., SIGGRAPH 2004), neighboring
    pixels of similar luma get similar colors. In addition, every color fades with the distance, so
    that what has no hint keeps the color that it has without hints.

    Raises:
        OptionError: a hint is outside the frame.
    """
    height, width = luma.shape
    small = resize(luma, compared_size(width, height))
    half = resize(small, (small.shape[1] // 2, small.shape[0] // 2))
    reached = np.zeros((*half.shape, 1), np.float32)
    mixed = np.zeros((*half.shape, 3), np.float32)
    for hint in hints:
        spread = _spread(half, _seed(half, hint.corners(width, height)))[..., None]
        rgb = np.array(hint.color, np.float32).reshape(1, 1, 3) / 255
        chroma = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0, 0, 1:]
        reached += spread
        # Squares make the border between two colors narrow.
        mixed += np.square(spread) * np.array([1, *chroma], np.float32)
    coverage = np.clip((reached - _COVERED[0]) / (_COVERED[1] - _COVERED[0]), 0, 1)
    colors = mixed / np.maximum(mixed[..., :1], 1e-9) * coverage
    return Reference(small, resize(colors.astype(np.float32), small.shape[::-1]))


def _seed(luma: np.ndarray, corners: tuple[float, float, float, float]) -> np.ndarray:
    """Return the pixels, bool [h, w], that get a color: the place, and its most frequent luma.

    A point is a small disk, so that grain does not matter. What differs from the median luma of a
    place belongs to something else.
    """
    height, width = luma.shape
    radius = max(1.0, 0.012 * max(height, width))
    y, x = np.mgrid[:height, :width] + 0.5
    left, right = corners[0] * width, corners[2] * width
    top, bottom = corners[1] * height, corners[3] * height
    across = np.maximum(np.maximum(left - x, x - right), 0)
    down = np.maximum(np.maximum(top - y, y - bottom), 0)
    inside = np.hypot(across, down) <= (radius if left == right and top == bottom else 0.71)
    return inside & (np.abs(luma - np.median(luma[inside])) <= 2 * _EDGE)


def _spread(luma: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Spread a value of 1 from the seed over similar luma: float32 [h, w] in [0, 1].

    Solves the screened Poisson equation by conjugate gradients: the smallest sum of the squared
    differences of neighbors, weighted by their similarity, and of the squares, times `_LEAK`.
    """
    smooth = cv2.bilateralFilter(luma, 5, 2 * _EDGE, 2).astype(np.float64)
    right = np.exp(-np.square(np.diff(smooth, axis=1) / _EDGE)) + 1e-5
    down = np.exp(-np.square(np.diff(smooth, axis=0) / _EDGE)) + 1e-5
    free = ~seed

    def product(x: np.ndarray) -> np.ndarray:
        result = _LEAK * x
        flow_right, flow_down = right * np.diff(x, axis=1), down * np.diff(x, axis=0)
        result[:, :-1] -= flow_right
        result[:, 1:] += flow_right
        result[:-1] -= flow_down
        result[1:] += flow_down
        return result * free

    x = seed.astype(np.float64)
    residual = -product(x)
    direction, size = residual.copy(), float((residual**2).sum())
    for _ in range(_STEPS):
        if size < 1e-8:
            break
        image = product(direction)
        step = size / float((direction * image).sum())
        x += step * direction
        residual -= step * image
        size, before = float((residual**2).sum()), size
        direction = residual + size / before * direction
    return np.clip(x, 0, 1).astype(np.float32)
