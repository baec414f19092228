"""Analyze a film before it is restored: frame count, cuts, repeats, brightness and damage."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from oldfilm.imaging.color import luma
from oldfilm.media.cuts import CutFinder
from oldfilm.media.decode import decode
from oldfilm.media.film import Film
from oldfilm.media.image_sequence import BITS, COLOR
from oldfilm.media.picture import TRANSPARENCY
from oldfilm.media.pixel_shape import changed_shapes
from oldfilm.stage import FilmFacts, Frame


@dataclass(frozen=True)
class Thresholds:
    """How small the analyzed frames are, and when two of them are the same.

    width: of the frames, in pixels. block: side of a block. repeat_mean, repeat_block: two frames
    are the same if they differ by less than this, in 8-bit code values, on average and on the
    average of every block; compression changes a repeated frame less, grain and movement more.
    missing: how many frames a film may lack without counting as truncated: headers round durations.
    """

    width: int = 256
    block: int = 8
    repeat_mean: float = 0.4
    repeat_block: float = 4.0
    missing: int = 2


THRESHOLDS = Thresholds()
_NO_PLACE = "since the frames of a film have no place for it"
_REASONS = {
    TRANSPARENCY: "since most frames have none",
    COLOR: "since those that were examined before are gray",
    BITS: "since the first frame has 8",
}
"""Why parts of the frames of a folder are left out, by their names."""
_DEMUXING = "Error during demuxing"
"""How ffmpeg's complaint begins about what follows the last packet that it can read."""
_NAMED = 3
"""How many frames a note names."""


@dataclass(frozen=True)
class Analysis:
    """The results of analyzing a film.

    frames: the number of frames that can be decoded.
    truncated: a sentence if the film ends early, else None.
    damage: a sentence if frames before the end are missing or damaged, else None.
    resized: a sentence if the video changes its size, or the shape of its pixels, else None.
    lost: sentences on what frames of a folder have, and the film lacks.
    """

    frames: int
    facts: FilmFacts
    truncated: str | None = None
    damage: str | None = None
    resized: str | None = None
    lost: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What the analysis found wrong, in sentences."""
        every = (self.truncated, self.damage, self.resized, *self.lost)
        return [note for note in every if note]


def analyze(film: Film, progress: Callable[[int, int], None] | None = None) -> Analysis:
    """Decode a film once, as small frames.

    progress: called after every frame with (frames done, frames expected).

    Raises:
        MediaError: not a single frame can be decoded.
    """
    complaints: list[str] = []
    sizes: list[str] = []
    lost: dict[str, list[str]] = {}
    observed = _Observer(film)
    small = decode(
        film,
        **_small(film),
        on_damage=complaints.append,
        on_resize=sizes.append,
        on_loss=lambda name, what: lost.setdefault(what, []).append(name),
    )
    for index, frame in enumerate(small):
        observed.add(frame)
        if progress:
            progress(index + 1, film.frames)
    facts = observed.facts()
    frames = len(facts.brightness)
    truncated = _truncation(film, frames)
    damage = None if truncated else _damage(film, observed.distinct, complaints)
    changed = _resizing(film, sizes) or _reshaping(film)
    return Analysis(frames, facts, truncated, damage, changed, _losses(film, lost))


def analyze_part(film: Film, part: range) -> FilmFacts:
    """Analyze only some consecutive frames; times are on the film's time line.

    `brightness` has the frames of the part that can be decoded.
    """
    observed = _Observer(film, part.start)
    with contextlib.closing(decode(film, part.start, part.stop, **_small(film))) as frames:
        for frame in frames:
            observed.add(frame)
    return observed.facts()


def _small(film: Film) -> dict[str, Any]:
    """The size and type of the frames that are analyzed, as `decode` takes them."""
    width = min(THRESHOLDS.width, film.width)
    height = max(1, round(film.height * width / film.width))
    return {"width": width, "height": height, "dtype": np.uint8}


class _Observer:
    """Collects the facts of consecutive frames. distinct: how many images were decoded."""

    def __init__(self, film: Film, start: int = 0) -> None:
        """start: the index of the first frame."""
        self.distinct = 0
        self._rate, self._start = film.rate, start
        self._cuts = CutFinder()
        self._repeats: list[Fraction] = []
        self._brightness: list[float] = []
        self._shown: np.ndarray | None = None
        self._previous: np.ndarray | None = None

    def add(self, frame: Frame) -> None:
        """Take the next frame, an image of uint8."""
        self.distinct += frame.image is not self._shown
        self._shown = frame.image
        gray = luma(frame.image)
        self._cuts.add(gray)
        if self._previous is not None and _same(self._previous, gray):
            self._repeats.append(frame.time)
        self._brightness.append(float(gray.mean()) / 255)
        self._previous = gray

    def facts(self) -> FilmFacts:
        """Return the facts of all frames so far."""
        return FilmFacts(
            cuts=tuple((self._start + index) / self._rate for index in self._cuts.finish()),
            repeats=frozenset(self._repeats),
            brightness=tuple(self._brightness),
        )


def _resizing(film: Film, sizes: list[str]) -> str | None:
    size = f"{film.width}x{film.height}"
    others = [other for other in sizes if other != size]
    if not others:
        return None
    return (
        f"{film.path}: the size of the video changes (to {', '.join(others)}); all frames are "
        f"scaled to {size}"
    )


def _reshaping(film: Film) -> str | None:
    shapes = [f"{shape.numerator}:{shape.denominator}" for shape in changed_shapes(film)]
    if not shapes:
        return None
    first = f"{film.sample_aspect.numerator}:{film.sample_aspect.denominator}"
    return (
        f"{film.path}: the shape of the pixels changes (to {', '.join(shapes)}); all frames have "
        f"the first, {first}, so that some look wide or narrow: restore the parts one by one"
    )


def _losses(film: Film, lost: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return sentences on what frames of a folder have, and the film lacks.

    lost: what is lost, and the names of the frames that have it.
    """
    return tuple(
        f"{film.path}: left out of {len(names)} of {film.frames} frames "
        f"({', '.join(names[:_NAMED])}{_more(names)}), {_REASONS.get(what, _NO_PLACE)}: {what}"
        for what, names in lost.items()
    )


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""


def _damage(film: Film, distinct: int, complaints: list[str]) -> str | None:
    """Describe missing or damaged frames.

    distinct: number of images decoded; an image is repeated where the next is missing.
    """
    due = lost = 0
    if film.times and not film.deinterlacer and distinct < len(film.times.stamps):
        # At a variable rate, several frames may be due at the same time.
        due = len({film.times.slot(int(stamp), film.rate) for stamp in film.times.stamps})
        lost = due - distinct
    if 0 < film.declared_frames <= distinct:  # Nothing is missing where ffmpeg stopped reading.
        complaints = [said for said in complaints if not said.startswith(_DEMUXING)]
    said = f" ({'; '.join(complaints)})" if complaints else ""
    if lost > 0:
        return (
            f"{film.path}: {lost} of {due} frames cannot be decoded{said}; their neighbors are "
            "shown instead"
        )
    if complaints:
        return f"{film.path}: the file is damaged{said}, and some frames may be"
    return None


def _truncation(film: Film, frames: int) -> str | None:
    # Packets without times may be fields, two to a frame.
    expected = max(film.declared_frames, film.frames if film.times or film.numbered else 0)
    if frames >= expected - THRESHOLDS.missing:
        return None
    return (
        f"{film.path}: only {frames} of {expected} frames can be read "
        f"({float(frames / film.rate):.1f} of {float(expected / film.rate):.1f} seconds): "
        "the file is truncated or damaged"
    )


def _same(before: np.ndarray, after: np.ndarray) -> bool:
    """Return whether two frames, uint8 [h, w], are the same but for compression."""
    import cv2

    difference = cv2.absdiff(before, after)
    if difference.mean() >= THRESHOLDS.repeat_mean:
        return False
    height, width = difference.shape
    blocks = (max(1, width // THRESHOLDS.block), max(1, height // THRESHOLDS.block))
    means = cv2.resize(difference.astype(np.float32), blocks, interpolation=cv2.INTER_AREA)
    return bool(means.max() < THRESHOLDS.repeat_block)
