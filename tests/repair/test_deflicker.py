"""Deflicker, on clips with known flicker."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from oldfilm.errors import OptionError
from oldfilm.repair.deflicker import Deflicker
from tests.repair.segments import restore_segment

FRAMES, HEIGHT, WIDTH = 40, 72, 96


def scene(seed: int = 0, channels: int = 3) -> np.ndarray:
    """A slow pan over a grainy still: float32 [t, h, w, c]."""
    rng = np.random.default_rng(seed)
    noise = rng.random((HEIGHT, WIDTH + FRAMES, channels), dtype=np.float32)
    wide = cv2.GaussianBlur(noise, (0, 0), 3).reshape(noise.shape)
    wide = 0.2 + 0.6 * (wide - wide.min()) / (wide.max() - wide.min())
    panned = np.stack([wide[:, i // 2 : i // 2 + WIDTH] for i in range(FRAMES)])
    return panned + rng.normal(0, 0.01, panned.shape).astype(np.float32)


def exposed(clip: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The clip with the brightness of each frame multiplied."""
    return np.clip(clip * levels[:, None, None, None].astype(np.float32), 0, 1)


def means(clip: np.ndarray) -> np.ndarray:
    return clip.mean(axis=(1, 2, 3))


def deviation(clip: np.ndarray, clean: np.ndarray) -> float:
    return float(np.abs(means(clip) - means(clean)).mean())


@pytest.mark.parametrize("channels", [1, 3])
def test_brightness_flicker_is_more_than_halved(channels):
    clean = scene(channels=channels)
    flickering = exposed(clean, np.random.default_rng(1).normal(1, 0.1, FRAMES))
    steady = Deflicker().predict(flickering)
    assert steady.shape == clean.shape
    assert steady.dtype == np.float32
    assert deviation(steady, clean) < 0.4 * deviation(flickering, clean)


def test_contrast_flicker_is_more_than_halved():
    clean = scene()
    contrast = np.random.default_rng(2).normal(1, 0.15, FRAMES)[:, None, None, None]
    flickering = (0.5 + (clean - 0.5) * contrast).astype(np.float32)
    steady = Deflicker().predict(flickering)
    wrong = np.abs(flickering.std((1, 2, 3)) - clean.std((1, 2, 3))).mean()
    assert np.abs(steady.std((1, 2, 3)) - clean.std((1, 2, 3))).mean() < 0.5 * wrong


def test_flicker_on_one_side_is_removed_on_that_side():
    clean = scene()
    ramp = np.linspace(1, 0, WIDTH, dtype=np.float32)[None, None, :, None]
    pumping = np.random.default_rng(3).normal(0, 0.2, FRAMES)[:, None, None, None]
    flickering = np.clip(clean * (1 + ramp * pumping), 0, 1).astype(np.float32)
    steady = Deflicker().predict(flickering)
    left = np.s_[:, :, : WIDTH // 4]
    assert deviation(steady[left], clean[left]) < 0.5 * deviation(flickering[left], clean[left])
    assert np.abs(steady - clean).mean() < 0.5 * np.abs(flickering - clean).mean()


@pytest.mark.parametrize("levels", ["out", "in"])
def test_a_fade_survives(levels):
    fade = np.clip(np.linspace(1.6, -0.2, FRAMES), 0, 1)
    faded = exposed(scene(), fade if levels == "out" else fade[::-1])
    kept = Deflicker().predict(faded)
    assert np.abs(means(kept) - means(faded)).max() < 0.01


def test_flicker_is_removed_from_a_fade():
    fade = np.linspace(1, 0.4, FRAMES)
    clean = exposed(scene(), fade)
    flickering = exposed(clean, np.random.default_rng(4).normal(1, 0.08, FRAMES))
    steady = Deflicker().predict(flickering)
    assert deviation(steady, clean) < 0.6 * deviation(flickering, clean)


def test_an_undetected_cut_is_left_alone():
    dark, bright = scene(0)[: FRAMES // 2] * 0.4, scene(5)[: FRAMES // 2]
    clip = np.concatenate([dark, bright]).astype(np.float32)
    kept = Deflicker().predict(clip)
    assert np.abs(means(kept) - means(clip)).max() < 0.01


def test_a_bright_object_passing_by_does_not_darken_the_rest():
    clean = scene()
    for index in range(15, 25):
        at = 6 * (index - 15)
        clean[index, 20:50, at : at + 30] = 0.95
    kept = Deflicker().predict(clean)
    assert np.abs(kept - clean).mean(axis=(1, 2, 3)).max() < 0.01


def test_windows_and_segments_do_not_change_any_frame():
    clip = exposed(scene(), np.random.default_rng(6).normal(1, 0.1, FRAMES))
    whole = Deflicker().predict(clip)
    np.testing.assert_array_equal(restore_segment(Deflicker(), clip, 17, 29), whole[17:29])


def test_half_the_strength_makes_half_the_change():
    clip = exposed(scene(), np.random.default_rng(7).normal(1, 0.05, FRAMES))
    none, half, all_of_it = (Deflicker(strength=s).predict(clip) for s in (0, 0.5, 1))
    np.testing.assert_array_equal(none, clip.clip(0, 1))
    np.testing.assert_allclose(half, (none + all_of_it) / 2, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_few_flat_frames_are_returned_unchanged(length, level):
    clip = np.full((length, 5, 9, 3), level, np.float32)
    np.testing.assert_allclose(Deflicker().predict(clip), clip, atol=1e-6)


@pytest.mark.parametrize("strength", [-0.1, 1.5])
def test_a_strength_out_of_range_is_refused(strength):
    with pytest.raises(OptionError, match="strength"):
        Deflicker(strength=strength)
