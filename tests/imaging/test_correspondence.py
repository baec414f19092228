"""Correspondence: likeness of features, and the flow field that it suggests."""

import numpy as np
import pytest

from oldfilm.imaging.correspondence import Features, joined_features, match, motion_guess


def features(height=6, width=8, seed=0):
    """Random features, different at every place."""
    rows = np.random.default_rng(seed).normal(size=(height * width, 16)).astype(np.float32)
    return Features(rows / np.linalg.norm(rows, axis=1, keepdims=True), (width, height))


def moved(given, right, down):
    """Features of a picture whose content has moved, around the borders."""
    width, height = given.size
    grid = np.roll(given.rows.reshape(height, width, -1), (down, right), (0, 1))
    return Features(grid.reshape(height * width, -1), given.size)


def test_every_place_takes_the_value_of_the_most_similar_one():
    given = features()
    values = np.arange(48, dtype=np.float32)[:, None]
    found = match(moved(given, 2, 1), given, values)
    expected = np.roll(values.reshape(6, 8), (1, 2), (0, 1))
    np.testing.assert_allclose(found.values[..., 0], expected, atol=0.01)
    np.testing.assert_array_equal(found.best, expected)
    np.testing.assert_allclose(found.likeness, 1, atol=1e-5)
    assert found.mutual == 1


def test_places_that_nothing_resembles_have_a_low_likeness():
    assert (
        match(features(seed=1), features(seed=2), np.zeros((48, 1), np.float32)).likeness.max()
        < 0.95
    )


def test_many_places_are_compared_in_parts_with_the_same_result():
    given = features(40, 60)
    values = np.arange(2400, dtype=np.float32)[:, None]
    found = match(given, given, values)
    np.testing.assert_array_equal(found.best.ravel(), np.arange(2400))
    assert found.mutual == 1


def test_likeness_suggests_the_motion():
    given = features(12, 16)
    found = match(moved(given, -3, 2), given, np.zeros((192, 1), np.float32))
    guess = motion_guess(found.best, (160, 60))
    assert guess.shape == (60, 160, 2)
    assert guess[30, 60] == pytest.approx((30, -10))


def test_features_of_several_sizes_are_joined_on_the_finest_grid():
    rng = np.random.default_rng(0)
    fine, coarse = rng.random((3, 6, 8)), rng.random((5, 3, 4))
    joined = joined_features([fine.astype(np.float32), coarse.astype(np.float32)])
    assert joined.size == (8, 6)
    assert joined.rows.shape == (48, 8)
    np.testing.assert_allclose(np.linalg.norm(joined.rows, axis=1), 1, atol=1e-5)
