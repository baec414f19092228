"""Tests of Super SloMo with a small network: times, sizes and luma."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("paddle")

from oldfilm.apps.super_slomo import SuperSloMoPredictor  # noqa: E402
from oldfilm.errors import OptionError  # noqa: E402
from tests.apps import tiny  # noqa: E402
from tests.parity import formula  # noqa: E402


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    tiny.install(monkeypatch, tmp_path, "super_slomo", {"channels": 2}, gain=1.7)


def film(count: int, height: int = 40, width: int = 50, channels: int = 3) -> np.ndarray:
    frames = formula.picture("film", (count, channels, height, width))
    return np.ascontiguousarray(frames.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (32, 64)])
def test_frames_of_any_size_are_interpolated(size):
    frames = film(3, *size)
    made = SuperSloMoPredictor().predict(frames)
    assert made.shape == (6, *size, 3)
    assert np.array_equal(made[::2], frames)
    assert np.array_equal(made[5], frames[2])
    assert made.min() >= 0
    assert made.max() <= 1


def test_new_frames_move_steadily_from_the_first_to_the_second():
    first, second = film(2)
    made = SuperSloMoPredictor(time_step=0.125).predict(np.stack([first, second]))[1:8]
    from_first = [np.abs(image - first).mean() for image in made]
    from_second = [np.abs(image - second).mean() for image in made]
    assert from_first == sorted(from_first)
    assert from_second == sorted(from_second, reverse=True)


@pytest.mark.parametrize(("fps", "count"), [("60", 5), ("24000/1001", 2), (10, 1)])
def test_any_rate_is_possible(fps, count):
    assert len(SuperSloMoPredictor(fps=fps).predict(film(2))) == count


def test_a_single_frame_is_held():
    frames = film(1)
    assert np.array_equal(SuperSloMoPredictor().predict(frames), frames.repeat(2, axis=0))


def test_luma_matches_gray_rgb():
    gray = film(2, channels=1)
    made = SuperSloMoPredictor().predict(gray)
    assert made.shape == (4, 40, 50, 1)
    colored = SuperSloMoPredictor().predict(gray.repeat(3, axis=3))
    np.testing.assert_allclose(made, colored.mean(axis=3, keepdims=True), atol=1e-5)


def test_time_step_and_fps_are_mutually_exclusive():
    with pytest.raises(OptionError, match="one"):
        SuperSloMoPredictor(time_step=0.5, fps=60)
