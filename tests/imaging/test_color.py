"""Luma and gamut, on known colors."""

from __future__ import annotations

import numpy as np
import pytest

from oldfilm.imaging.color import LUMA_WEIGHTS, channel_mean, in_gamut, luma, with_luma


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_luma_of_gray_is_its_only_channel(dtype) -> None:
    gray = np.arange(12, dtype=dtype).reshape(3, 4, 1)
    assert luma(gray).dtype == dtype
    np.testing.assert_array_equal(luma(gray), gray[..., 0])
    np.testing.assert_array_equal(channel_mean(gray.astype(np.float32)), gray[..., 0])


def test_luma_weights_red_green_and_blue_as_bt601_does() -> None:
    primaries = np.eye(3, dtype=np.float32)[None]
    np.testing.assert_allclose(luma(primaries)[0], LUMA_WEIGHTS, atol=1e-6)
    np.testing.assert_allclose(channel_mean(primaries)[0], 1 / 3, atol=1e-6)


def test_colors_outside_rgb_are_desaturated_and_keep_their_luma() -> None:
    gray = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)
    vivid = np.full((4, 6, 2), (90, -90), np.float32)
    colored = with_luma(gray, vivid)
    assert colored.min() >= 0
    assert colored.max() <= 1
    np.testing.assert_allclose(colored @ LUMA_WEIGHTS, gray, atol=2e-6)


def test_colors_inside_rgb_are_not_changed() -> None:
    gray = np.full((2, 2), 0.5, np.float32)
    difference = np.broadcast_to(np.float32([0.1, -0.0509369, 0]), (2, 2, 3))
    np.testing.assert_allclose(in_gamut(gray, difference), 0.5 + difference, atol=1e-7)
