"""Denoise, on films with known grain."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from oldfilm.errors import OptionError
from oldfilm.repair.denoise import Denoise, noise_sigma


def film(count: int = 7, speed: int = 2) -> np.ndarray:
    """A soft texture with hard edges that drifts to the left: float32 [t, 96, 128, 1]."""
    field = np.random.default_rng(0).random((96, 200), dtype=np.float32)
    smooth = cv2.GaussianBlur(field, (0, 0), 3)
    wide = 0.3 + 0.3 * (smooth - smooth.min()) / (smooth.max() - smooth.min())
    wide[30:60, 60:90] += 0.3
    return np.stack([wide[:, speed * i : speed * i + 128] for i in range(count)])[..., None]


def grainy(frames: np.ndarray, sigma: float = 0.03) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, sigma, frames.shape)
    return np.clip(frames + noise, 0, 1).astype(np.float32)


def error(frames: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.square(frames - truth).mean()))


@pytest.mark.parametrize("channels", [1, 3])
def test_grain_falls_to_less_than_half(channels):
    clean = np.repeat(film(), channels, axis=3)
    restored = Denoise().predict(grainy(clean))
    assert restored.shape == clean.shape
    assert error(restored[3], clean[3]) < 0.5 * error(grainy(clean)[3], clean[3])


def test_moving_edges_stay_sharp():
    clean = film()
    restored = Denoise().predict(grainy(clean))[3, 40:50, :, 0].mean(axis=0)
    truth = clean[3, 40:50, :, 0].mean(axis=0)
    steepest = np.abs(np.diff(truth)).argmax()
    assert np.abs(np.diff(restored))[steepest] > 0.8 * np.abs(np.diff(truth))[steepest]


def test_a_small_object_with_its_own_motion_stays():
    clean = film(speed=0)
    for index, frame in enumerate(clean):
        cv2.circle(frame, (20 + 9 * index, 80), 2, 0.05, -1)
    restored = Denoise().predict(grainy(clean))
    for index, frame in enumerate(restored):
        assert frame[80, 20 + 9 * index, 0] < 0.15


def test_a_film_without_noise_is_returned_unchanged():
    still = film(speed=0)
    assert np.array_equal(Denoise().predict(still), still)


def test_noise_is_measured():
    assert noise_sigma(grainy(film()), 3) == pytest.approx(0.03, rel=0.25)
    assert noise_sigma(grainy(np.full((1, 96, 128, 1), 0.5)), 0) == pytest.approx(0.03, rel=0.25)


def test_grain_is_kept_in_proportion():
    frames = grainy(film())
    none, half, all_of_it = (Denoise(grain=g).predict(frames) for g in (0.0, 0.5, 1.0))
    assert np.allclose(half, (none + frames) / 2, atol=1e-6)
    assert np.allclose(all_of_it, frames, atol=1e-6)


@pytest.mark.parametrize("grain", [-0.1, 1.5])
def test_grain_out_of_range_is_refused(grain):
    with pytest.raises(OptionError, match="grain"):
        Denoise(grain=grain)


def test_a_photograph_is_denoised_too():
    clean = film(1)
    assert error(Denoise().predict(grainy(clean)), clean) < 0.8 * error(grainy(clean), clean)
