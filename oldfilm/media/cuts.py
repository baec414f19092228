"""Find the cuts of a film from small frames."""

from __future__ import annotations

import warnings
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Thresholds:
    """When two frames belong to different shots.

    width, height: of the thumbnails that are compared. steady: frames in the median that removes
    damage. shortest: frames of the shortest shot that the detector finds. change: mean difference
    of two thumbnails, in 8-bit code values, from which a shot of one or two frames may begin;
    unrelated pictures differ by 56. moved: correlation of the middle of one thumbnail
    with some part of another from which both show the same scene, moved by a quick pan.
    """

    width: int = 32
    height: int = 20
    steady: int = 5
    shortest: int = 3
    change: float = 32.0
    moved: float = 0.9


THRESHOLDS = Thresholds()

_LEAD = THRESHOLDS.steady // 2 + 3
"""Frames mirrored at both ends of the film, where the filter and the detector need a lead."""


class CutFinder:
    """Finds cuts in frames with the faults of old films.

    Every frame is scaled to the same mean and contrast, against flicker and fades, and shrunk to a
    thumbnail, against scratches, dust and camera shake. PySceneDetect's AdaptiveDetector receives a
    median over five frames, which removes damage and flashes of one or two frames and does not move
    cuts. Shots of one or two frames, which the median removes too, are found separately.
    """

    def __init__(self) -> None:
        with warnings.catch_warnings():  # In a notebook, its progress bars ask for ipywidgets.
            warnings.filterwarnings("ignore", "IProgress not found")
            from scenedetect.detectors import AdaptiveDetector

        self._detector = AdaptiveDetector(
            adaptive_threshold=2.3,
            min_scene_len=THRESHOLDS.shortest,
            min_content_val=18.0,
            luma_only=True,
        )
        self._short_shots = _ShortShots()
        self._frames = 0
        self._last: deque[np.ndarray] = deque(maxlen=_LEAD + 1)
        self._recent: deque[np.ndarray] = deque(maxlen=THRESHOLDS.steady)
        self._fed = 0
        self._found: list[int] = []

    def add(self, gray: np.ndarray) -> None:
        """Add the next frame. gray: uint8 [h, w]."""
        self._last.append(_leveled(gray))
        self._short_shots.add(self._last[-1])
        self._frames += 1
        if self._frames == _LEAD + 1:
            for thumbnail in [*list(self._last)[:0:-1], *self._last]:
                self._feed(thumbnail)
        elif self._frames > _LEAD:
            self._feed(self._last[-1])

    def finish(self) -> list[int]:
        """Return the index of the first frame of every shot but the first."""
        changes, short = self._short_shots.finish()
        if self._frames <= _LEAD:
            return sorted(short)
        for thumbnail in list(self._last)[-2::-1]:
            self._feed(thumbnail)
        # The first median is centered on frame `steady // 2`, counted with the lead.
        found = {number - _LEAD + THRESHOLDS.steady // 2 for number in self._found}
        shortest = THRESHOLDS.shortest
        long = {i for i in found if shortest <= i <= self._frames - shortest}
        # Among very short shots, the median finds cuts where nothing changes.
        near = {i + n for i in short for n in range(-shortest, shortest + 1)}
        return sorted(short | {i for i in long if i in changes or i not in near})

    def _feed(self, thumbnail: np.ndarray) -> None:
        self._recent.append(thumbnail)
        if len(self._recent) < THRESHOLDS.steady:
            return
        steady = np.median(np.stack(self._recent), axis=0).astype(np.uint8)
        found = self._detector.process_frame(
            _detector_time(self._fed), np.repeat(steady[..., None], 3, axis=2)
        )
        self._found += [int(getattr(time, "frame_num", time)) for time in found]
        self._fed += 1


class _ShortShots:
    """Finds shots of one or two frames.

    A frame begins a shot if it and the two after it differ from the three before it. So a damaged
    frame, or a flash of up to two frames, is not a shot: the picture after it is the one before it.
    """

    def __init__(self) -> None:
        self._last: deque[np.ndarray] = deque(maxlen=2 * THRESHOLDS.shortest)
        self._frames = 0
        self._changes: set[int] = set()

    def add(self, thumbnail: np.ndarray) -> None:
        """Add the next frame."""
        self._last.append(thumbnail)
        self._frames += 1
        self._check(self._frames - THRESHOLDS.shortest)

    def finish(self) -> tuple[set[int], set[int]]:
        """Return frames where the picture changes for good, and which of them bound short shots."""
        for index in range(self._frames - THRESHOLDS.shortest + 1, self._frames):
            self._check(index)
        limits = sorted({0, self._frames, *self._changes})
        pairs = [
            pair for pair in zip(limits, limits[1:]) if pair[1] - pair[0] < THRESHOLDS.shortest
        ]
        return self._changes, {limit for pair in pairs for limit in pair} & self._changes

    def _check(self, index: int) -> None:
        """Decide whether frame `index`, one of the last, begins a shot."""
        split = index - (self._frames - len(self._last))
        frames = list(self._last)
        before = frames[max(split - THRESHOLDS.shortest, 0) : max(split, 0)]
        after = frames[split : split + THRESHOLDS.shortest] if before else []
        if after and not any(_same_scene(a, b) for a in reversed(before) for b in after):
            self._changes.add(index)


def _same_scene(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two thumbnails are alike, or one contains the middle of the other."""
    import cv2

    if cv2.absdiff(a, b).mean() < THRESHOLDS.change:
        return True
    height, width = a.shape
    middle = a[height // 6 : height - height // 6, width // 5 : width - width // 5]
    return bool(cv2.matchTemplate(b, middle, cv2.TM_CCOEFF_NORMED).max() > THRESHOLDS.moved)


def _leveled(gray: np.ndarray) -> np.ndarray:
    """Return a thumbnail of fixed mean and contrast, uint8 [20, 32]."""
    import cv2

    size = (THRESHOLDS.width, THRESHOLDS.height)
    clean = cv2.medianBlur(gray, 5)
    blurred = cv2.GaussianBlur(clean, (0, 0), 0.7 * gray.shape[1] / THRESHOLDS.width)
    small = cv2.resize(blurred.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    level = (small - small.mean()) * (50 / max(float(small.std()), 10.0))
    return np.clip(np.rint(128 + level), 0, 255).astype(np.uint8)


def _detector_time(index: int) -> Any:
    """Return a frame number in PySceneDetect's type: an int before 0.7, an object since."""
    import scenedetect

    if tuple(int(part) for part in scenedetect.__version__.split(".")[:2]) < (0, 7):
        return index
    return scenedetect.FrameTimecode(index, fps=25.0)  # Only the number matters, not the rate.
