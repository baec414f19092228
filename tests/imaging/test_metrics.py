"""Measures of quality, on images with known figures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data
from skimage.color import lab2rgb, rgb2lab, rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from oldfilm.errors import OptionError
from oldfilm.imaging.color import studio_luma
from oldfilm.imaging.metrics import (
    change_along_motion,
    chroma_error,
    colorfulness,
    flicker,
    interpolation_error,
    psnr,
    ssim,
)

BLACK = np.zeros((20, 30, 3), np.float32)


def test_a_difference_of_a_tenth_has_a_psnr_of_twenty_decibels() -> None:
    assert psnr(BLACK + 0.1, BLACK) == pytest.approx(20, abs=1e-4)
    assert psnr(BLACK, BLACK) == float("inf")


def test_the_border_can_be_cropped() -> None:
    framed = np.ones_like(BLACK)
    framed[4:-4, 4:-4] = 0
    assert psnr(framed, BLACK, crop=4) == float("inf")
    assert psnr(framed, BLACK, crop=3) < 20


def test_studio_luma_ranges_from_16_to_235() -> None:
    ends = studio_luma(np.stack([BLACK, BLACK + 1])) * 255
    assert ends.shape == (2, 20, 30, 1)
    assert ends[0].max() == pytest.approx(16, abs=1e-3)
    assert ends[1].min() == pytest.approx(235, abs=1e-3)


def test_interpolation_error_is_on_a_scale_of_255() -> None:
    assert interpolation_error(BLACK + 2 / 255, BLACK) == pytest.approx(2, abs=1e-4)


def test_an_unsteady_lamp_flickers_and_a_fade_does_not() -> None:
    fade = [BLACK + i / 20 for i in range(10)]
    unsteady = [frame + 0.02 * (i % 2) for i, frame in enumerate(fade)]
    assert flicker(fade) == pytest.approx(0, abs=1e-6)
    assert flicker(unsteady) == pytest.approx(0.04, abs=1e-6)


def two_pictures(height: int = 37, width: int = 46) -> tuple[np.ndarray, np.ndarray]:
    """A noisy photograph and the clean one: float32 RGB in [0, 1]."""
    truth = data.astronaut()[100 : 100 + height, 180 : 180 + width].astype(np.float32) / 255
    noise = np.random.default_rng(3).normal(0, 0.05, truth.shape)
    return np.clip(truth + noise, 0, 1).astype(np.float32), truth


def test_psnr_and_ssim_match_scikit_image() -> None:
    image, truth = two_pictures()
    assert psnr(image, truth) == pytest.approx(peak_signal_noise_ratio(truth, image), abs=1e-5)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(
        image.astype(np.float64),
        truth.astype(np.float64),
        data_range=1,
        channel_axis=2,
        **settings,
    )
    assert 0.5 < expected < 0.99
    assert ssim(image, truth) == pytest.approx(expected, abs=1e-7)
    gray = image[4:-4, 4:-4, 1].astype(np.float64), truth[4:-4, 4:-4, 1].astype(np.float64)
    expected = structural_similarity(*gray, data_range=1, **settings)
    found = ssim(image[..., 1:2], truth[..., 1:2], crop=4)
    assert found == pytest.approx(expected, abs=1e-7)


def test_ssim_of_equal_images_is_one_and_tiny_images_are_refused() -> None:
    image, _ = two_pictures()
    assert ssim(image, image) == pytest.approx(1)
    with pytest.raises(OptionError, match="12x9 pixels is too small"):
        ssim(image[:17, :20], image[:17, :20], crop=4)


def test_studio_luma_matches_rgb2ycbcr() -> None:
    image, _ = two_pictures()
    np.testing.assert_allclose(
        studio_luma(image)[..., 0] * 255, rgb2ycbcr(image)[..., 0], atol=1e-3
    )


def test_stripes_of_pure_colors_are_colorful_and_gray_is_not() -> None:
    assert colorfulness(BLACK + 0.3) == pytest.approx(0, abs=1e-4)
    stripes = BLACK.copy()
    stripes[:, 0::3, 0] = stripes[:, 1::3, 1] = stripes[:, 2::3, 2] = 1
    # rg is 255, -255, 0 and yb is 127.5, 127.5, -255; they deviate by 255 sqrt(2/3) and sqrt(1/2).
    assert colorfulness(stripes) == pytest.approx(255 * np.sqrt(2 / 3 + 1 / 2), abs=1e-3)
    tinted = BLACK + np.float32([0.5, 0.4, 0.4])
    assert colorfulness(tinted) == pytest.approx(0.3 * 25.5 * np.hypot(1, 0.5), abs=1e-3)


def test_chroma_error_is_in_units_of_lab_and_ignores_lightness() -> None:
    _, truth = two_pictures()
    lab = rgb2lab(truth)
    lab[..., 1] += 3
    assert chroma_error(lab2rgb(lab).astype(np.float32), truth) == pytest.approx(
        3 / np.sqrt(2), abs=0.3
    )
    assert chroma_error(BLACK + 0.5, BLACK + 0.2) < 0.1


def moving(shift: float) -> np.ndarray:
    """A view of a photograph, moved by `shift` pixels."""
    picture = data.astronaut().astype(np.float32) / 255
    matrix = np.float32([[1, 0, -150 - shift], [0, 1, -60]])
    return cv2.warpAffine(picture, matrix, (128, 96))


def test_motion_is_not_flicker_and_a_change_of_tint_is() -> None:
    first, second = moving(0), moving(3)
    still = change_along_motion(first, second, (first, second))
    tinted = change_along_motion(first, second * np.float32([1, 0.9, 1]), (first, second))
    brighter = change_along_motion(first * 0.9, second, (first, second))
    assert still.luma < 2.5
    assert tinted.chroma > still.chroma + 3
    assert brighter.luma > 3 * still.luma
    plain = 255 * np.abs(first - second).mean()
    assert still.luma < plain / 4
