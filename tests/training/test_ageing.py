"""Ageing is reproducible, stays in range, and has the requested strength."""

from __future__ import annotations

import numpy as np
import pytest

from oldfilm.training.ageing import Ageing, age, tone

GRAY = np.full((6, 40, 60, 3), 0.5, np.float32)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("channels", [1, 3])
def test_all_effects_together_keep_shape_type_and_range(channels) -> None:
    frames = np.random.default_rng(1).random((4, 33, 47, channels), dtype=np.float32)
    overlay = np.zeros((50, 50, 4), np.uint8)
    overlay[10:20, :, 3] = 255
    worst = Ageing(1.4, 0.07, 1.0, 0.04, 0.12, scratches=3, dust=4, quality=50)
    aged = age(frames, worst, rng(), [overlay])
    assert aged.shape == frames.shape
    assert aged.dtype == np.float32
    assert aged.min() >= 0
    assert aged.max() <= 1


def test_ageing_depends_only_on_the_seed() -> None:
    ageing = Ageing.draw(rng())
    assert ageing == Ageing.draw(rng())
    np.testing.assert_array_equal(age(GRAY, ageing, rng()), age(GRAY, ageing, rng()))
    assert not np.array_equal(age(GRAY, ageing, rng()), age(GRAY, ageing, np.random.default_rng(4)))


def test_no_ageing_leaves_a_film_unchanged() -> None:
    frames = np.random.default_rng(1).random((2, 20, 30, 3), dtype=np.float32)
    for faultless in (Ageing(), Ageing.draw(rng(), strength=0.0)):
        np.testing.assert_allclose(age(frames, faultless, rng()), frames, atol=1e-6)


@pytest.mark.parametrize("grain_size", [0.0, 0.6, 1.2])
def test_grain_has_the_requested_strength_and_no_color(grain_size) -> None:
    aged = age(GRAY, Ageing(grain=0.05, grain_size=grain_size), rng())
    assert (aged - GRAY).std() == pytest.approx(0.05, rel=0.1)
    assert np.ptp(aged, axis=3).max() < 1e-6


def test_flicker_changes_whole_frames_and_fading_lifts_blacks() -> None:
    brightness = age(GRAY, Ageing(flicker=0.03), rng()).mean(axis=(1, 2, 3))
    assert 0.003 < brightness.std() < 0.05
    assert age(GRAY * 0, Ageing(fading=0.1), rng()).mean() == pytest.approx(0.05)


def test_tone_makes_the_same_changes_of_brightness_as_age() -> None:
    ageing = Ageing(flicker=0.03, fading=0.1)
    np.testing.assert_allclose(tone(GRAY, ageing, rng()), age(GRAY, ageing, rng()), atol=1e-6)


def test_damage_changes_only_a_few_pixels() -> None:
    aged = age(GRAY, Ageing(scratches=1.0, dust=1.0), rng())
    touched = np.abs(aged - GRAY).max(axis=3) > 0.02
    assert 0.001 < touched.mean() < 0.3


def test_stronger_compression_loses_more_detail() -> None:
    frames = np.random.default_rng(1).random((1, 32, 32, 3), dtype=np.float32)
    fine, coarse = (age(frames, Ageing(quality=quality), rng()) for quality in (90, 40))
    assert 0 < np.abs(fine - frames).mean() < np.abs(coarse - frames).mean()
