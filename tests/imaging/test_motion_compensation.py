"""References, motion compensation and outliers, on films with known motion."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from oldfilm.imaging.motion_compensation import (
    grain_sigma,
    motion_compensate,
    pick_references,
    rank_order_outliers,
    thumbnail,
)


def film(speed: int = 3, count: int = 5) -> np.ndarray:
    """A soft texture that drifts to the left: float32 [t, 96, 128, 1]."""
    noise = np.random.default_rng(0).random((96, 128 + speed * count), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    wide = 0.3 + 0.4 * (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return np.stack([wide[:, speed * i : speed * i + 128] for i in range(count)])[..., None]


def shift(x: float) -> np.ndarray:
    return np.full((96, 128, 2), (x, 0), np.float32)


def test_references_are_the_nearest_frames_on_both_sides():
    thumbnails = [thumbnail(image) for image in film()]
    assert sorted(pick_references(2, thumbnails, 1)) == [1, 3]
    assert sorted(pick_references(2, thumbnails, 2)) == [0, 1, 3, 4]


def test_references_at_the_end_of_a_shot_are_all_on_one_side():
    thumbnails = [thumbnail(image) for image in film()]
    assert pick_references(0, thumbnails, 1) == [1, 2]
    assert pick_references(4, thumbnails, 2) == [3, 2, 1]
    assert pick_references(0, thumbnails[:2], 1) == []


def test_repeated_frames_are_not_references():
    thumbnails = [thumbnail(image) for image in film()[[0, 1, 1, 2, 3]]]
    assert sorted(pick_references(2, thumbnails, 1)) == [0, 3]


def test_a_still_shot_has_references_too():
    thumbnails = [thumbnail(image) for image in film(speed=0)]
    assert sorted(pick_references(2, thumbnails, 1)) == [1, 3]


@pytest.mark.parametrize("gain", [1.0, 0.9])
def test_a_neighbor_is_warped_onto_the_frame_and_matches_its_brightness(gain):
    frames = film()
    compensated = motion_compensate(frames[1], frames[2] * np.float32(gain), shift(-3))
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(compensated - frames[1])[inner].max() < 0.03


def test_the_sigma_of_the_grain_is_measured():
    rng = np.random.default_rng(1)
    still = film(speed=0, count=3)
    image, *pair = (still + rng.normal(0, 0.02, still.shape)).astype(np.float32)
    assert grain_sigma(image, pair) == pytest.approx(0.02, rel=0.1)


def test_a_spot_is_an_outlier_and_a_misplaced_edge_is_not():
    image = np.full((40, 60, 1), 0.3, np.float32)
    image[:, 30:] = 0.8
    neighbor = np.roll(image, 1, axis=1)
    neighbor[:, 0] = 0.3
    image[10:14, 10:14] = 0.05
    spots = rank_order_outliers(image, (neighbor, neighbor), 0.0)
    assert spots[10:14, 10:14].all()
    assert np.count_nonzero(spots) == 16
