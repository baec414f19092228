"""Analyze a film before it is restored: frame count, cuts, repeats, brightness and damage."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from oldfilm.imaging.color import luma
from oldfilm.media.decode import decode
from oldfilm.media.film import Film
from oldfilm.stage import FilmFacts

_WIDTH = 256
_BLOCK = 8
_REPEAT_MEAN, _REPEAT_BLOCK = 0.4, 4.0
"""Two frames are the same if they differ by less than this, in 8-bit code values, on average and
on the average of every block. Compression changes a repeated frame less; grain and movement more.
"""

_THUMBNAIL = (32, 20)
_STEADY = 5
_LEAD = _STEADY // 2 + 3
"""Frames mirrored at both ends of the film, where the filter and the detector need a lead."""

_SHORTEST = 3
"""Length of the shortest shot in frames."""

_MISSING = 2
"""How many frames a film may lack without counting as truncated: headers round durations."""


@dataclass(frozen=True)
class Analysis:
    """The results of analyzing a film.

    frames: the number of frames that can be decoded.
    truncated: a sentence if the film ends early, else None.
    damage: a sentence if frames before the end are missing or damaged, else None.
    """

    frames: int
    facts: FilmFacts
    truncated: str | None = None
    damage: str | None = None


def analyze(film: Film, progress: Callable[[int, int], None] | None = None) -> Analysis:
    """Decode a film once, as small frames.

    progress: called after every frame with (frames done, frames expected).

    Raises:
        MediaError: not a single frame can be decoded.
    """
    width = min(_WIDTH, film.width)
    height = max(1, round(film.height * width / film.width))
    cuts, repeats, brightness = _CutFinder(), [], []
    previous, shown, distinct = None, None, 0
    complaints: list[str] = []
    small = decode(film, width=width, height=height, dtype=np.uint8, on_damage=complaints.append)
    for index, frame in enumerate(small):
        image = frame.image
        distinct += image is not shown
        shown = image
        gray = luma(image)
        cuts.add(gray)
        if previous is not None and _same(previous, gray):
            repeats.append(frame.time)
        brightness.append(float(gray.mean()) / 255)
        previous = gray
        if progress:
            progress(index + 1, film.frames)
    frames = len(brightness)
    facts = FilmFacts(
        cuts=tuple(index / film.rate for index in cuts.finish()),
        repeats=frozenset(repeats),
        brightness=tuple(brightness),
    )
    truncated = _truncation(film, frames)
    damage = None if truncated else _damage(film, distinct, complaints)
    return Analysis(frames, facts, truncated, damage)


def _damage(film: Film, distinct: int, complaints: list[str]) -> str | None:
    """Describe missing or damaged frames.

    distinct: number of images decoded; an image is repeated where the next is missing.
    """
    due = lost = 0
    if film.times and not film.deinterlacer and distinct < len(film.times.stamps):
        # At a variable rate, several frames may be due at the same time.
        due = len({film.times.slot(int(stamp), film.rate) for stamp in film.times.stamps})
        lost = due - distinct
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
    if frames >= expected - _MISSING:
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
    if difference.mean() >= _REPEAT_MEAN:
        return False
    height, width = difference.shape
    blocks = (max(1, width // _BLOCK), max(1, height // _BLOCK))
    means = cv2.resize(difference.astype(np.float32), blocks, interpolation=cv2.INTER_AREA)
    return bool(means.max() < _REPEAT_BLOCK)


class _CutFinder:
    """Runs PySceneDetect's AdaptiveDetector on frames without the faults of old films.

    Every frame gets the same mean and contrast, against flicker and fades, and is very small,
    against scratches, dust and camera shake. A median over five frames removes damage and flashes
    of one or two frames; it does not move real cuts.
    """

    def __init__(self) -> None:
        from scenedetect.detectors import AdaptiveDetector

        self._detector = AdaptiveDetector(
            adaptive_threshold=2.3, min_scene_len=_SHORTEST, min_content_val=18.0, luma_only=True
        )
        self._frames = 0
        self._last: deque[np.ndarray] = deque(maxlen=_LEAD + 1)
        self._recent: deque[np.ndarray] = deque(maxlen=_STEADY)
        self._fed = 0
        self._found: list[int] = []

    def add(self, gray: np.ndarray) -> None:
        """Add the next frame. gray: uint8 [h, w]."""
        self._last.append(_leveled(gray))
        self._frames += 1
        if self._frames == _LEAD + 1:
            for thumbnail in [*list(self._last)[:0:-1], *self._last]:
                self._feed(thumbnail)
        elif self._frames > _LEAD:
            self._feed(self._last[-1])

    def finish(self) -> list[int]:
        """Return the index of the first frame of every shot but the first.

        A very short film is a single shot.
        """
        if self._frames <= _LEAD:
            return []
        for thumbnail in list(self._last)[-2::-1]:
            self._feed(thumbnail)
        # The first median is centered on frame `_STEADY // 2`, counted with the lead.
        indices = sorted({number - _LEAD + _STEADY // 2 for number in self._found})
        return [i for i in indices if _SHORTEST <= i <= self._frames - _SHORTEST]

    def _feed(self, thumbnail: np.ndarray) -> None:
        self._recent.append(thumbnail)
        if len(self._recent) < _STEADY:
            return
        steady = np.median(np.stack(self._recent), axis=0).astype(np.uint8)
        found = self._detector.process_frame(
            _detector_time(self._fed), np.repeat(steady[..., None], 3, axis=2)
        )
        self._found += [int(getattr(time, "frame_num", time)) for time in found]
        self._fed += 1


def _leveled(gray: np.ndarray) -> np.ndarray:
    """Return a thumbnail of fixed mean and contrast, uint8 [20, 32]."""
    import cv2

    clean = cv2.medianBlur(gray, 5)
    blurred = cv2.GaussianBlur(clean, (0, 0), 0.7 * gray.shape[1] / _THUMBNAIL[0])
    small = cv2.resize(blurred.astype(np.float32), _THUMBNAIL, interpolation=cv2.INTER_AREA)
    level = (small - small.mean()) * (50 / max(float(small.std()), 10.0))
    return np.clip(np.rint(128 + level), 0, 255).astype(np.uint8)


def _detector_time(index: int) -> Any:
    """Return a frame number in PySceneDetect's type: an int before 0.7, an object since."""
    import scenedetect

    if tuple(int(part) for part in scenedetect.__version__.split(".")[:2]) < (0, 7):
        return index
    return scenedetect.FrameTimecode(index, fps=25.0)  # Only the number matters, not the rate.
