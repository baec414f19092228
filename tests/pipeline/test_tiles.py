from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oldfilm.pipeline.tiles import process_window
from oldfilm.stage import Frame
from tests.pipeline.stages import Blur


def noise(height, width, channels=3):
    rng = np.random.default_rng(height * 1000 + width)
    return [Frame(rng.random((height, width, channels), dtype=np.float32), Fraction(0))]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.sampled_from([1, 3]))
def test_tiled_and_untiled_results_are_equal(height, width, channels):
    frames = noise(height, width, channels)
    (whole,) = process_window(Blur(multiple_of=8, minimum=16), frames, slice(0, 1))
    (tiled,) = process_window(
        Blur(multiple_of=8, minimum=16, max_pixels=80 * 80), frames, slice(0, 1)
    )
    assert tiled.image.shape == (2 * height, 2 * width, channels)
    np.testing.assert_allclose(tiled.image, whole.image, atol=1e-5)


@pytest.mark.parametrize("size", [(300, 40), (40, 300), (333, 222)])
def test_no_tile_exceeds_the_limit(size):
    stage = Blur(multiple_of=4, max_pixels=96 * 96)
    list(process_window(stage, noise(*size), slice(0, 1)))
    assert len(stage.sizes) >= 1
    assert all(h * w <= 96 * 96 and h % 4 == w % 4 == 0 for h, w in stage.sizes)


def test_a_frame_below_the_minimum_size_is_padded_and_the_result_cropped():
    stage = Blur(scale=4, minimum=64, multiple_of=4)
    (restored,) = process_window(stage, noise(5, 9), slice(0, 1))
    assert stage.sizes == {(64, 64)}
    assert restored.image.shape == (20, 36, 3)


def test_a_frame_that_needs_no_padding_is_not_copied():
    frames = noise(16, 16)
    stage = Blur(scale=1)
    seen = []
    stage.process = lambda window, core: seen.extend(window) or window
    list(process_window(stage, frames, slice(0, 1)))
    assert seen[0].image is frames[0].image


def test_frames_are_yielded_as_soon_as_the_stage_returns_them():
    stage, processed = Blur(), []

    def endless(window, core):
        while True:
            processed.append(window[0])
            yield window[0]

    stage.process = endless
    restored = process_window(stage, noise(8, 8), slice(0, 1))
    next(restored)
    assert len(processed) == 1
