"""Measures of quality, on pictures whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from oldfilm.metrics import flicker, interpolation_error, luma, psnr

BLACK = np.zeros((20, 30, 3), np.float32)


def test_a_difference_of_a_tenth_is_twenty_decibels() -> None:
    assert psnr(BLACK + 0.1, BLACK) == pytest.approx(20, abs=1e-4)
    assert psnr(BLACK, BLACK) == float("inf")


def test_the_border_can_be_left_out() -> None:
    framed = np.ones_like(BLACK)
    framed[4:-4, 4:-4] = 0
    assert psnr(framed, BLACK, crop=4) == float("inf")
    assert psnr(framed, BLACK, crop=3) < 20


def test_luma_runs_from_16_to_235() -> None:
    ends = luma(np.stack([BLACK, BLACK + 1])) * 255
    assert ends.shape == (2, 20, 30, 1)
    assert ends[0].max() == pytest.approx(16, abs=1e-3)
    assert ends[1].min() == pytest.approx(235, abs=1e-3)


def test_interpolation_error_is_in_steps_of_255() -> None:
    assert interpolation_error(BLACK + 2 / 255, BLACK) == pytest.approx(2, abs=1e-4)


def test_a_fade_is_no_flicker_and_an_unsteady_lamp_is() -> None:
    fade = [BLACK + i / 20 for i in range(10)]
    unsteady = [frame + 0.02 * (i % 2) for i, frame in enumerate(fade)]
    assert flicker(fade) == pytest.approx(0, abs=1e-6)
    assert flicker(unsteady) == pytest.approx(0.04, abs=1e-6)
