"""Intertitles are recognized; other pictures are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from oldfilm.imaging.titles import is_title

LINES = ("Sylvia, a poor school", "teacher, goes North to", "plead for the children.")


def title(frame: bool = False, fog: float = 0.06, vignette: float = 0.15) -> np.ndarray:
    """Return a grainy intertitle, float32 [h, w] in [0, 1]."""
    picture = np.zeros((368, 480), np.float32)
    for number, line in enumerate(LINES):
        cv2.putText(picture, line, (45, 120 + 50 * number), cv2.FONT_HERSHEY_COMPLEX, 0.95, 1.0, 2)
    if frame:
        cv2.rectangle(picture, (20, 20), (460, 348), 0.8, 3)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.8) * 0.85 + fog
    y, x = np.mgrid[-1:1:368j, -1:1:480j]
    picture *= 1 - vignette * (x * x + y * y)
    grain = np.random.default_rng(0).normal(0, 0.03, picture.shape)
    return np.clip(picture + grain, 0, 1).astype(np.float32)


@pytest.mark.parametrize("options", [{}, {"frame": True}, {"fog": 0.15}, {"vignette": 0.0}])
def test_light_letters_on_a_dark_ground_are_a_title(options) -> None:
    assert is_title(title(**options))


def test_dark_letters_on_a_light_ground_are_a_title() -> None:
    assert is_title(1 - title())


def test_a_blank_frame_and_a_scene_are_not_titles() -> None:
    rng = np.random.default_rng(1)
    scene = cv2.resize(rng.random((9, 12), dtype=np.float32), (480, 368))
    assert not is_title(np.full((368, 480), 0.1, np.float32))
    assert not is_title(np.clip(scene, 0, 1))


def test_lights_at_night_are_not_a_title() -> None:
    rng = np.random.default_rng(2)
    night = np.full((368, 480), 0.05, np.float32)
    for x, y in rng.integers((10, 10), (470, 358), (12, 2)):
        cv2.circle(night, (int(x), int(y)), 4, 1.0, -1)
    assert not is_title(night)
