"""Despot, on films with known dust."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from oldfilm.repair.despot import Despot


def film(count: int = 7, size: tuple[int, int] = (160, 120), speed: float = 2.0) -> np.ndarray:
    """A soft, slightly grainy texture that drifts to the left: float32 [t, h, w, 1]."""
    rng = np.random.default_rng(0)
    width, height = size
    noise = rng.random((height, width + int(speed * count) + 2), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    wide = 0.3 + 0.4 * (smooth - smooth.min()) / (smooth.max() - smooth.min())
    starts = [round(speed * i) for i in range(count)]
    frames = np.stack([wide[:, s : s + width] for s in starts])[..., None]
    return (frames + rng.normal(0, 0.004, frames.shape)).astype(np.float32)


def with_dust(frames: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The film with dust in one frame, and the place of the dust: bool [h, w]."""
    mask = np.zeros(frames.shape[1:3], np.uint8)
    cv2.circle(mask, (60, 50), 4, 1, -1)
    cv2.line(mask, (90, 70), (120, 90), 1, 2)
    damaged = frames.copy()
    damaged[index][mask > 0] = 0.02
    return damaged, mask > 0


@pytest.mark.parametrize("index", [0, 3, 6])
def test_dust_is_removed_at_the_start_in_the_middle_and_at_the_end_of_a_shot(index):
    clean = film()
    damaged, mask = with_dust(clean, index)
    restored = Despot().predict(damaged)
    assert np.abs(damaged[index] - clean[index])[mask].mean() > 0.3
    assert np.abs(restored[index] - clean[index])[mask].mean() < 0.03
    far = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    assert np.array_equal(restored[index][far], damaged[index][far])


def test_dust_on_a_repeated_frame_is_removed():
    clean = film(speed=3.0)
    damaged, mask = with_dust(clean, 3)
    twice = np.insert(damaged, 3, damaged[3], axis=0)
    restored = Despot().predict(twice)
    for index in (3, 4):
        assert np.abs(restored[index] - clean[3])[mask].mean() < 0.03


def test_a_bird_that_the_flow_misses_stays():
    frames = film(speed=0.0)
    for index, frame in enumerate(frames):
        cv2.ellipse(frame, (30 + 7 * index, 60), (4, 2), 20, 0, 360, 0.05, -1)
    restored = Despot().predict(frames)
    assert np.abs(restored - frames).max() < 0.05


def test_damage_that_stays_in_place_is_left_alone():
    frames = film(speed=0.0)
    frames[:, 40:50, 70:80] = 0.02
    assert np.array_equal(Despot().predict(frames), frames)


@pytest.mark.parametrize("count", [1, 2])
def test_a_shot_of_fewer_than_three_frames_is_returned_unchanged(count):
    frames, _ = with_dust(film(count), 0)
    assert np.array_equal(Despot().predict(frames), frames)


def test_color_film_is_repaired_in_all_channels():
    clean = np.repeat(film(), 3, axis=3) * np.array([1, 0.8, 0.6], np.float32)
    damaged, mask = with_dust(clean, 3)
    restored = Despot().predict(damaged)
    assert np.abs(restored[3] - clean[3])[mask].max(axis=0).max() < 0.1


def test_a_tiny_8_bit_film_keeps_its_size_and_type():
    frames = (film(3, (20, 9)) * 255).astype(np.uint8)
    restored = Despot().predict(frames)
    assert restored.shape == frames.shape
    assert restored.dtype == np.uint8
