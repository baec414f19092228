"""Deblur with a small network, and with its own weights on blurred pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

pytest.importorskip("paddle")

from oldfilm.apps import DeblurPredictor  # noqa: E402
from oldfilm.errors import OptionError  # noqa: E402
from oldfilm.imaging.metrics import psnr  # noqa: E402
from oldfilm.stage import Tiling  # noqa: E402


def photograph(channels=1):
    image = data.astronaut()[64:256, 128:352].astype(np.float32) / 255
    return image.mean(axis=2, keepdims=True) if channels == 1 else image


def soft(image, sigma=1.5):
    blurred = cv2.GaussianBlur(image, (0, 0), sigma).reshape(image.shape)
    return np.rint(blurred * 255).astype(np.float32) / 255


@pytest.mark.parametrize("channels", [1, 3])
def test_a_blurred_picture_becomes_sharper(channels):
    sharp = photograph(channels)
    blurred = soft(sharp)
    restored = DeblurPredictor(device="cpu").predict(blurred)
    assert restored.shape == sharp.shape
    assert psnr(restored, sharp, crop=16) > psnr(blurred, sharp, crop=16) + 1.5


def test_grain_is_neither_removed_nor_amplified():
    noise = np.random.default_rng(0).normal(0, 0.03, (96, 96)).astype(np.float32)
    grainy = 0.5 + cv2.GaussianBlur(noise, (0, 0), 0.6)[..., None]
    restored = DeblurPredictor(device="cpu").predict(grainy)
    assert 0.9 < restored.std() / grainy.std() < 1.1


def test_colors_keep_their_hue():
    image = soft(photograph(3)) * 0.6 + 0.2
    restored = DeblurPredictor(device="cpu").predict(image)
    np.testing.assert_allclose(
        restored[..., 0] - restored[..., 1], image[..., 0] - image[..., 1], atol=1e-6
    )


def test_tiles_give_nearly_the_same(monkeypatch):
    image = soft(photograph())
    deblur = DeblurPredictor(device="cpu")
    whole = deblur.predict(image)
    monkeypatch.setattr(deblur, "tiling", Tiling(192 * 160, 96))
    assert np.abs(deblur.predict(image) - whole).max() < 4 / 255


def test_sharpness_scales_the_detail_and_less_than_none_is_refused():
    image = soft(photograph()) * 0.6 + 0.2
    detail = DeblurPredictor(device="cpu").predict(image) - image
    half = DeblurPredictor(sharpness=0.5, device="cpu").predict(image) - image
    np.testing.assert_allclose(half, detail / 2, atol=1e-6)
    with pytest.raises(OptionError, match="sharpness"):
        DeblurPredictor(sharpness=-1)
