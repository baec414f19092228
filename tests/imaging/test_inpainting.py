"""Filters that find small damage and fill it."""

from __future__ import annotations

import numpy as np
import pytest

from oldfilm.imaging.inpainting import median_residual, telea_inpaint


@pytest.mark.parametrize("channels", [1, 3])
def test_a_hole_in_a_gradient_is_filled_and_nothing_else_changes(channels: int) -> None:
    gradient = np.linspace(0.1, 0.9, 60, dtype=np.float32)[None, :, None]
    clean = np.repeat(np.repeat(gradient, 40, 0), channels, 2)
    mask = np.zeros((40, 60), np.float32)
    mask[15:22, 20:30] = 1
    found = telea_inpaint(np.where(mask[..., None] > 0, np.float32(1), clean), mask)
    assert found.dtype == np.float32
    assert np.array_equal(found[mask == 0], clean[mask == 0])
    assert np.abs(found - clean).max() < 0.08


@pytest.mark.parametrize("channels", [1, 3])
def test_a_thin_line_differs_from_the_medians_and_an_edge_does_not(channels: int) -> None:
    image = np.full((40, 60, channels), 0.3, np.float32)
    image[:, 30:] = 0.8
    image[:, 10] = 0.9
    image[20, 50] = 0.1
    found = median_residual(image)
    assert found.shape == (40, 60, 3)
    assert (found[:, 10] > 0.55).all()
    assert (found[20, 50] < -0.65).all()
    assert np.abs(found[:, 12:48]).max() < 0.01
