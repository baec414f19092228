"""Sharpen, on known edges."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from oldfilm.errors import OptionError
from oldfilm.repair.sharpen import Sharpen


def soft_edge(channels: int = 1) -> np.ndarray:
    """A blurred edge, dark on the left and bright on the right: float32 [40, 60, c]."""
    image = np.full((40, 60), 0.2, np.float32)
    image[:, 30:] = 0.8
    return np.repeat(cv2.GaussianBlur(image, (0, 0), 1.5)[..., None], channels, axis=2)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_edge_becomes_steeper_without_a_halo(channels):
    image = soft_edge(channels)
    sharp = Sharpen().predict(image)
    assert np.abs(np.diff(sharp, axis=1)).max() > 1.2 * np.abs(np.diff(image, axis=1)).max()
    assert sharp.min() >= image.min() - 1e-6
    assert sharp.max() <= image.max() + 1e-6


def test_grain_grows_by_less_than_half():
    noise = np.random.default_rng(0).normal(0, 0.02, (80, 80, 1))
    grainy = (0.5 + noise).astype(np.float32)
    assert Sharpen().predict(grainy).std() < 1.5 * grainy.std()


def test_colors_keep_their_hue():
    image = soft_edge(3) * np.array([1, 0.7, 0.4], np.float32)
    sharp = Sharpen().predict(image)
    assert np.allclose(sharp[..., 0] - sharp[..., 1], image[..., 0] - image[..., 1], atol=1e-6)


def test_zero_sharpness_changes_nothing_and_less_is_refused():
    image = soft_edge()
    assert np.allclose(Sharpen(sharpness=0).predict(image), image)
    with pytest.raises(OptionError, match="sharpness"):
        Sharpen(sharpness=-1)
