"""Flow, warping and projection, on pictures whose motion is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from oldfilm.imaging.flow import Motion, consistency, flow, project, resize_flow, warp


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth random colors: float32 [h, w, 3] in [0, 1]."""
    noise = np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def shifted(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """What `image` shows moves x to the right and y down."""
    return warp(image, np.full((*image.shape[:2], 2), (-x, -y), np.float32))


def middle(field: np.ndarray) -> np.ndarray:
    height, width = field.shape[:2]
    return field[height // 4 : -height // 4, width // 4 : -width // 4]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_moved_picture_has_the_flow_that_it_was_moved_by(channels):
    image = texture(120, 160)[..., :channels]
    found = flow(image, shifted(image, 5, -3))
    assert found.shape == (120, 160, 2)
    assert found.dtype == np.float32
    assert np.abs(middle(found) - (5, -3)).mean() < 0.2


def test_flow_of_a_large_frame_is_sought_small_and_given_in_its_own_pixels():
    image = cv2.resize(texture(120, 160), (1280, 960))
    found = flow(image, shifted(image, 24, 16), longest=320)
    assert found.shape == (960, 1280, 2)
    assert np.abs(middle(found) - (24, 16)).mean() < 1.0


def test_flicker_and_grain_are_not_taken_for_motion():
    rng = np.random.default_rng(1)
    image = texture(120, 160)
    other = np.clip(image * 0.8 + rng.normal(0, 0.03, image.shape), 0, 1).astype(np.float32)
    assert np.abs(flow(image, other)).mean() < 0.3


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 40), (16, 16), (5, 600)])
def test_tiny_frames_have_a_flow_too(size):
    image = texture(*size)
    found = flow(image, image)
    assert found.shape == (*size, 2)
    assert np.abs(found).max() < 0.5


def test_warping_repeats_the_border():
    image = texture(20, 30)
    warped = warp(image, np.full((20, 30, 2), (100, 0), np.float32))
    assert np.array_equal(warped, np.repeat(image[:, -1:], 30, axis=1))


def test_a_resized_flow_is_as_long_as_its_frame_is_large():
    field = np.full((10, 20, 2), (2, 3), np.float32)
    assert np.allclose(resize_flow(field, (40, 30)), (4, 9))


def test_flow_there_and_back_is_consistent_and_a_false_one_is_not():
    forward = np.full((20, 20, 2), (3, 0), np.float32)
    assert consistency(forward, -forward).min() == 1
    assert consistency(forward, forward).max() < 0.01


def test_projection_turns_the_flow_around_at_its_time():
    field = np.full((20, 40, 2), (8, 0), np.float32)
    projected, arrived = project(field, np.ones((20, 40), np.float32), 0.25)
    assert np.allclose(projected, (-2, 0), atol=1e-4)
    assert arrived[:, 2:].all()
    assert not arrived[:, :2].any()


def test_where_two_vectors_meet_the_one_that_weighs_more_wins():
    field = np.zeros((9, 40, 2), np.float32)
    field[:, 10:20, 0] = 10
    weight = np.full((9, 40), 1e-3, np.float32)
    weight[:, 10:20] = 1
    projected, _ = project(field, weight, 0.5)
    assert np.allclose(projected[:, 16:24, 0], -5, atol=0.1)


def test_projection_without_any_vector_is_still():
    away = np.full((8, 8, 2), 100, np.float32)
    projected, arrived = project(away, np.ones((8, 8), np.float32), 0.5)
    assert not arrived.any()
    assert not projected.any()


def test_motion_finds_both_frames_from_any_time_between():
    image = texture(120, 160)
    motion = Motion(image, shifted(image, 8, 0))
    for time in (0.25, 0.5, 0.9):
        flows, trust, candidates = motion.at(time)
        assert candidates.shape == (120, 160, 12)
        truth = shifted(image, 8 * time, 0)
        assert all(
            np.abs(middle(candidates[..., i : i + 3] - truth)).mean() < 0.02 for i in (0, 3, 6, 9)
        )
        assert np.abs(middle(flows) - (-8 * time, 0, 8 * (1 - time), 0)).mean() < 0.3
        assert middle(trust).mean() > 0.8
        assert trust.min() >= 0
        assert trust.max() <= 1
