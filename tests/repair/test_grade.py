"""Grade, on films with known fading."""

from __future__ import annotations

import numpy as np
import pytest

from oldfilm.repair.grade import Grade


def film(count: int = 6, channels: int = 3) -> np.ndarray:
    """All tones from black to white, some of them colored: float32 [t, 48, 64, c]."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[None, :, None]
    frames = np.broadcast_to(ramp, (count, 48, 64, channels)).copy()
    if channels == 3:
        frames[:, :24] += rng.uniform(-0.25, 0.25, (1, 24, 64, 3)).astype(np.float32)
    return frames.clip(0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_faded_blacks_and_whites_are_restored(channels):
    faded = 0.12 + 0.65 * film(channels=channels)
    restored = Grade().predict(faded)
    assert np.quantile(restored, 0.01) < 0.04
    assert np.quantile(restored, 0.99) > 0.96


def test_a_film_with_good_tones_hardly_changes():
    clean = film()
    assert np.abs(Grade().predict(clean) - clean).mean() < 0.02


def test_a_color_cast_is_at_least_halved():
    cast = film() * np.array([1.0, 0.9, 0.8], np.float32)
    means = [frames.mean(axis=(0, 1, 2)) for frames in (cast, Grade().predict(cast))]
    before, after = (np.ptp(mean) / mean.mean() for mean in means)
    assert after < before / 2


def test_pale_colors_become_stronger_and_gray_stays_gray():
    pale = 0.5 + 0.3 * (film() - 0.5)
    chroma = [
        np.abs(f - f.mean(axis=3, keepdims=True)).mean() for f in (pale, Grade().predict(pale))
    ]
    assert chroma[1] > 1.2 * chroma[0]
    gray = np.repeat(film(channels=1), 3, axis=3)
    restored = Grade().predict(gray)
    assert np.ptp(restored, axis=3).max() < 1e-6


def test_a_dark_scene_stays_dark():
    night = 0.3 * film()
    assert Grade().predict(night).max() < 0.6


def test_a_white_object_passing_by_does_not_make_the_picture_flicker():
    faded = 0.12 + 0.5 * film(30)
    faded[10:14, :10, :10] = 1.0
    levels = Grade().predict(faded)[:, 30, 32].mean(axis=1)
    assert np.abs(np.diff(levels)).max() < 0.02
