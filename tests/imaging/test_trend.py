"""Trends, flicker and cuts in series of known shape."""

from __future__ import annotations

import numpy as np
import pytest

from oldfilm.imaging.trend import before_cut, trend_weights, unsteadiness


@pytest.mark.parametrize(("before", "after"), [(10, 10), (0, 10), (10, 3), (2, 0)])
def test_a_straight_line_is_its_own_trend(before, after) -> None:
    line = 3 + 0.5 * np.arange(-before, after + 1)
    weights = trend_weights(before, after, 10)
    assert weights.sum() == pytest.approx(1)
    assert weights @ line == pytest.approx(3)


def test_flicker_is_unsteady_and_a_fade_is_not() -> None:
    fade = np.linspace(0, 1, 20)
    flicker = np.tile([0.4, 0.6], 10)
    assert unsteadiness(fade) == 0
    assert unsteadiness(flicker) == 1
    assert unsteadiness(np.stack([fade, flicker], axis=1)).shape == (2,)


def test_a_series_ends_where_the_scene_changes() -> None:
    assert list(before_cut([1, 2, None, 3])) == [1, 2]
    assert list(before_cut([None, 1])) == []
