"""Flow, warping and projection, on images with known motion."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from oldfilm.imaging.flow import (
    Motion,
    consistency,
    flow,
    project,
    resize_flow,
    warp,
    warp_by_small,
    warp_planes,
)


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A texture of smooth random colors: float32 [h, w, 3] in [0, 1]."""
    noise = np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def shifted(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """Move the content of `image` x pixels to the right and y pixels down."""
    return warp(image, np.full((*image.shape[:2], 2), (-x, -y), np.float32))


def middle(field: np.ndarray) -> np.ndarray:
    height, width = field.shape[:2]
    return field[height // 4 : -height // 4, width // 4 : -width // 4]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_flow_of_a_shifted_image_is_its_shift(channels):
    image = texture(120, 160)[..., :channels]
    found = flow(image, shifted(image, 5, -3))
    assert found.shape == (120, 160, 2)
    assert found.dtype == np.float32
    assert np.abs(middle(found) - (5, -3)).mean() < 0.2


def test_flow_computed_on_small_copies_is_in_pixels_of_the_large_frames():
    image = cv2.resize(texture(120, 160), (1280, 960))
    found = flow(image, shifted(image, 24, 16), longest=320)
    assert found.shape == (960, 1280, 2)
    assert np.abs(middle(found) - (24, 16)).mean() < 1.0


def test_flicker_and_grain_are_not_mistaken_for_motion():
    rng = np.random.default_rng(1)
    image = texture(120, 160)
    other = np.clip(image * 0.8 + rng.normal(0, 0.03, image.shape), 0, 1).astype(np.float32)
    assert np.abs(flow(image, other)).mean() < 0.3


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 40), (16, 16), (5, 600)])
def test_flow_works_on_tiny_frames(size):
    image = texture(*size)
    found = flow(image, image)
    assert found.shape == (*size, 2)
    assert np.abs(found).max() < 0.5


def test_warping_repeats_the_border():
    image = texture(20, 30)
    warped = warp(image, np.full((20, 30, 2), (100, 0), np.float32))
    assert np.array_equal(warped, np.repeat(image[:, -1:], 30, axis=1))


@pytest.mark.parametrize("channels", [1, 3])
def test_warping_by_a_small_field_equals_warping_by_the_resized_one(channels):
    image = texture(60, 80)[..., :channels]
    height, width = image.shape[:2]
    field = cv2.resize(
        np.float32([[[1, 2], [3, -1]], [[0, 4], [-2, 5]]]), (width // 4, height // 3)
    )
    expected = warp(image, resize_flow(field, (width, height)))
    np.testing.assert_allclose(warp_by_small(image, field), expected, atol=0.02)


@pytest.mark.parametrize(("channels", "size"), [(1, (1, 1)), (3, (90, 300)), (40, (13, 7))])
def test_planes_are_warped_like_images(channels, size):
    rng = np.random.default_rng(0)
    planes = rng.random((channels, *size), dtype=np.float32)
    field = np.float32(rng.integers(-640, 640, (2, *size)) / 32)  # OpenCV warps by 32nds
    by_image = [warp(plane, field.transpose(1, 2, 0)) for plane in planes]
    np.testing.assert_allclose(warp_planes(planes, field), by_image, atol=1e-5)


def test_planes_are_warped_by_any_fraction_of_a_pixel():
    ramp = np.tile(np.arange(30, dtype=np.float32), (1, 20, 1))
    field = np.full((2, 20, 30), 0.123, np.float32)
    np.testing.assert_allclose(
        warp_planes(ramp, field)[..., :-1], ramp[..., :-1] + 0.123, atol=1e-5
    )


def test_vectors_of_a_resized_flow_scale_with_the_frame():
    field = np.full((10, 20, 2), (2, 3), np.float32)
    assert np.allclose(resize_flow(field, (40, 30)), (4, 9))


def test_opposite_flows_are_consistent_and_equal_ones_are_not():
    forward = np.full((20, 20, 2), (3, 0), np.float32)
    assert consistency(forward, -forward).min() == 1
    assert consistency(forward, forward).max() < 0.01


def test_projection_reverses_the_flow_at_the_given_time():
    field = np.full((20, 40, 2), (8, 0), np.float32)
    projected, landed = project(field, np.ones((20, 40), np.float32), 0.25)
    assert np.allclose(projected, (-2, 0), atol=1e-4)
    assert landed[:, 2:].all()
    assert not landed[:, :2].any()


def test_the_vector_with_the_larger_weight_wins_where_two_land():
    field = np.zeros((9, 40, 2), np.float32)
    field[:, 10:20, 0] = 10
    weight = np.full((9, 40), 1e-3, np.float32)
    weight[:, 10:20] = 1
    projected, _ = project(field, weight, 0.5)
    assert np.allclose(projected[:, 16:24, 0], -5, atol=0.1)


def test_projection_without_any_vector_is_zero():
    away = np.full((8, 8, 2), 100, np.float32)
    projected, landed = project(away, np.ones((8, 8), np.float32), 0.5)
    assert not landed.any()
    assert not projected.any()


def test_motion_reaches_both_frames_from_any_time_between_them():
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
