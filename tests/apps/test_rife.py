"""Tests of RIFE with a small network: times, sizes, luma and the scale of the flow."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("paddle")

from oldfilm.apps.rife import RIFEPredictor  # noqa: E402
from oldfilm.errors import OptionError  # noqa: E402
from tests.apps import tiny  # noqa: E402
from tests.parity import formula  # noqa: E402

SETTINGS = {"full": {"channels": [8, 8, 8, 8, 8]}, "4.0": {"channels": [8, 8, 8, 8], "context": 2}}
GAIN = {"full": 1.0, "4.0": 0.5}


@pytest.fixture(autouse=True, params=SETTINGS)
def small(request, tmp_path, monkeypatch):
    variant = request.param
    tiny.install(monkeypatch, tmp_path, "rife", SETTINGS[variant], variant, gain=GAIN[variant])


def film(count: int, height: int = 70, width: int = 90, channels: int = 3) -> np.ndarray:
    noise = formula.picture("film", (count, channels, height, width))
    frames = 0.5 * noise + np.linspace(0, 0.5, width, dtype=np.float32)  # noise alone may be grain
    return np.ascontiguousarray(frames.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("size", [(1, 1), (63, 65), (64, 128)])
def test_frames_of_any_size_are_interpolated(size):
    frames = film(3, *size)
    made = RIFEPredictor().predict(frames)
    assert made.shape == (6, *size, 3)
    assert np.array_equal(made[::2], frames)
    assert np.array_equal(made[5], frames[2])
    assert made.min() >= 0
    assert made.max() <= 1


def test_new_frames_change_over_time():
    frames = film(2)
    made = RIFEPredictor(time_step=0.25).predict(frames)
    steps = [np.abs(a - b).max() for a, b in zip(made[1:3], made[2:4])]
    assert min(steps) > 0.005


@pytest.mark.parametrize(("fps", "count"), [("60", 5), ("24000/1001", 2), (10, 1)])
def test_any_rate_is_possible(fps, count):
    frames = film(2)
    assert len(RIFEPredictor(fps=fps).predict(frames)) == count


def test_frames_that_need_no_padding_match_the_network():
    frames = film(2, 128, 128)
    first, second = frames
    predictor = RIFEPredictor()
    between = predictor.between(predictor.prepare(first, second), 0.5)
    assert np.array_equal(predictor.predict(frames)[1], between)


def test_a_single_frame_is_held():
    frames = film(1)
    assert np.array_equal(RIFEPredictor().predict(frames), frames.repeat(2, axis=0))


def test_luma_matches_gray_rgb():
    gray = film(2, channels=1)
    made = RIFEPredictor().predict(gray)
    assert made.shape == (4, 70, 90, 1)
    colored = RIFEPredictor().predict(gray.repeat(3, axis=3))
    np.testing.assert_allclose(made, colored.mean(axis=3, keepdims=True), atol=1e-5)


def test_flow_scale_changes_the_flow_but_not_the_size():
    frames = film(2)
    half, whole = (RIFEPredictor(flow_scale=scale).predict(frames)[1] for scale in (0.5, 1.0))
    assert half.shape == whole.shape == frames[0].shape
    assert np.abs(half - whole).max() > 1e-3


@pytest.mark.parametrize("scale", [0, -1, 0.3, 3, float("nan")])
def test_an_unsupported_flow_scale_is_rejected(scale):
    with pytest.raises(OptionError, match="`flow_scale="):
        RIFEPredictor(flow_scale=scale)


def test_time_step_and_fps_are_mutually_exclusive():
    with pytest.raises(OptionError, match="one"):
        RIFEPredictor(time_step=Fraction(1, 2), fps=60)
