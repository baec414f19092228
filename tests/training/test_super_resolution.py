"""Samples of the super-resolution training."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from oldfilm.training.super_resolution import Samples, shrink  # noqa: E402


def test_shrinking_keeps_flat_areas_and_removes_fine_detail() -> None:
    flat = np.full((40, 24, 3), 0.3, np.float32)
    np.testing.assert_allclose(shrink(flat), np.full((10, 6, 3), 0.3), atol=1e-6)
    stripes = np.tile(np.float32([0, 1]), 20)[:, None, None] * np.ones((1, 24, 3), np.float32)
    np.testing.assert_allclose(shrink(stripes)[2:-2], 0.5, atol=0.02)


def test_shrinking_does_not_shift_the_picture() -> None:
    slope = np.linspace(0, 1, 64, dtype=np.float32)[None, :, None] * np.ones((16, 1, 1), np.float32)
    expected = slope.reshape(16, 16, 4, 1).mean(axis=2)[::4]
    np.testing.assert_allclose(shrink(slope)[:, 2:-2], expected[:, 2:-2], atol=1e-5)


def test_samples_have_the_shapes_and_ranges_that_training_needs() -> None:
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (9, 200, 220, 3), dtype=np.uint8)
    overlay = np.zeros((50, 50, 4), np.uint8)
    samples = Samples([clip], [clip[0]], [overlay], frames=3, patch=16)
    for _ in range(8):
        small, to_next, to_previous, wanted = samples.draw()
        assert small.shape == (3, 3, 16, 16)
        assert to_next.shape == to_previous.shape == (2, 2, 16, 16)
        assert wanted.shape == (3, 3, 64, 64)
        for pictures in (small, wanted):
            assert 0 <= pictures.min() <= pictures.max() <= 1
