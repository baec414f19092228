"""Resizing and padding, compared with Pillow's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from oldfilm.imaging.resample import (
    divided_size,
    fitted_size,
    matlab_bicubic,
    pad_to_multiple,
    resize,
)


def photograph(height: int, width: int) -> np.ndarray:
    """A piece of a photograph: float32 [height, width, 3] in [0, 1]."""
    return data.astronaut()[60 : 60 + height, 150 : 150 + width].astype(np.float32) / 255


def by_pillow(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pillow's bicubic resizing of floats: also a = -0.5, also widened when it shrinks."""
    planes = [Image.fromarray(plane) for plane in np.moveaxis(image, 2, 0)]
    return np.dstack([np.asarray(p.resize((width, height), Image.BICUBIC)) for p in planes])


@pytest.mark.parametrize("scale", [1 / 4, 1 / 2, 1 / 3, 2, 4])
def test_matlab_bicubic_is_pillows_bicubic_with_mirrored_borders(scale) -> None:
    image = photograph(36, 48)
    margin = 12
    mirrored = np.pad(image, ((margin,) * 2, (margin,) * 2, (0, 0)), mode="symmetric")
    expected = by_pillow(mirrored, round(72 * scale), round(60 * scale))
    cut = round(margin * scale)
    found = matlab_bicubic(image, scale)
    assert found.shape == (round(36 * scale), round(48 * scale), 3)
    np.testing.assert_allclose(found, expected[cut:-cut, cut:-cut], atol=2e-6)


def test_matlab_bicubic_keeps_a_flat_image_flat() -> None:
    flat = np.full((7, 10, 1), 0.3, np.float32)
    for scale in (1 / 4, 3):
        np.testing.assert_allclose(matlab_bicubic(flat, scale), 0.3, atol=1e-6)


def test_resize_averages_when_it_shrinks_and_keeps_the_channel_axis() -> None:
    checkered = np.indices((8, 12)).sum(axis=0)[..., None].astype(np.float32) % 2
    small = resize(checkered, (6, 4))
    assert small.shape == (4, 6, 1)
    assert np.all(small == 0.5)
    assert resize(checkered[..., 0], (6, 4)).shape == (4, 6)


def test_resize_interpolates_linearly_when_it_enlarges() -> None:
    image = photograph(8, 12)
    expected = cv2.resize(image, (24, 16), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize(image, (24, 16)), expected)


def test_an_image_that_has_the_size_already_is_not_copied() -> None:
    image = photograph(8, 12)
    assert resize(image, (12, 8)) is image


def test_sizes_never_fall_below_one_pixel() -> None:
    assert fitted_size(1000, 500, 256) == (256, 128)
    assert fitted_size(100, 50, 256) == (100, 50)
    assert fitted_size(1000, 1, 256) == (256, 1)
    assert divided_size(17, 3, 4) == (4, 1)


def test_padding_reflects_the_right_and_lower_border() -> None:
    image = photograph(13, 18)
    padded = pad_to_multiple(image, 8)
    assert padded.shape == (16, 24, 3)
    np.testing.assert_array_equal(padded[:13, :18], image)
    np.testing.assert_array_equal(padded[13, :18], image[11])
    assert pad_to_multiple(padded, 8) is padded
