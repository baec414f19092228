"""Tests of EDVR with a tiny network: neighbors, windows, tiles, sizes and memory."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from safetensors.numpy import save_file

from oldfilm.engine.device import import_paddle

pytest.importorskip("paddle")
paddle = import_paddle()

from oldfilm.apps.edvr import EDVRPredictor, neighbors  # noqa: E402
from oldfilm.errors import OptionError  # noqa: E402
from oldfilm.networks.edvr import EDVRNet  # noqa: E402
from oldfilm.pipeline.chain import WINDOW_BYTES, Chain  # noqa: E402
from oldfilm.pipeline.windows import Span  # noqa: E402
from oldfilm.stage import FilmFacts, FilmInfo, Frame, Tiling  # noqa: E402
from tests.parity import formula  # noqa: E402

RATE = Fraction(16)


class TinyEDVR(EDVRPredictor):
    """EDVR with few channels and blocks."""

    def build(self, settings):
        return EDVRNet(nf=8, front_RBs=1, back_RBs=1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return a function that creates tiny predictors with pseudo-random weights."""
    shapes = {name: tuple(v.shape) for name, v in TinyEDVR.build(None, {}).state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(formula.weights(shapes), path)
    return lambda **options: TinyEDVR(weight_path=str(path), variant="full", **options)


def film(count, height=32, width=36, channels=3):
    """Return frames of a ramp and noise, without black or white pixels; float32 [t, h, w, c]."""
    pictures = formula.picture("film", (count, channels, height, width)).transpose(0, 2, 3, 1)
    ramp = np.linspace(0, 0.5, width, dtype=np.float32)[:, None]  # noise alone counts as flat
    return 0.1 + ramp + 0.3 * pictures


def film_info(height, width, frames=100):
    return FilmInfo(width, height, RATE, frames)


@pytest.mark.parametrize(
    ("index", "count", "expected"),
    [
        (0, 9, [4, 3, 0, 1, 2]),
        (1, 9, [4, 0, 1, 2, 3]),
        (4, 9, [2, 3, 4, 5, 6]),
        (7, 9, [5, 6, 7, 8, 4]),
        (8, 9, [6, 7, 8, 5, 4]),
        (1, 3, [2, 0, 1, 2, 0]),
        (0, 1, [0, 0, 0, 0, 0]),
    ],
)
def test_neighbors_missing_at_an_end_are_replaced_from_the_other_side(index, count, expected):
    assert neighbors(index, count) == expected


def test_frames_match_the_output_of_the_network(tiny):
    clip, predictor = film(6), tiny()
    pictures = clip.transpose(0, 3, 1, 2)
    found = predictor.predict(clip)
    assert 0 < found.min() < found.max() < 1, "clipped values would hide differences"
    for index in (0, 3, 5):
        seen = pictures[neighbors(index, 6)][None]
        (expected,) = predictor.graph(export=False)(seen)
        np.testing.assert_allclose(found[index], expected[0].transpose(1, 2, 0), atol=1e-6)


@pytest.mark.parametrize("bs", [2, 5])
def test_windows_of_any_length_yield_the_same_frames(tiny, bs):
    clip = film(7)
    np.testing.assert_allclose(tiny(bs=bs).predict(clip), tiny().predict(clip), atol=1e-6)


def test_part_of_a_film_is_restored_like_the_whole_film(tiny):
    clip, facts = film(14), FilmFacts(cuts=(6 / RATE,))
    frames = [Frame(image, i / RATE) for i, image in enumerate(clip)]
    chain = Chain([tiny()], film_info(32, 36, 14))
    chain.analyze(facts)
    whole = [*tiny().predict(clip[:6]), *tiny().predict(clip[6:])]
    for start, stop in [(0, 5), (5, 9), (9, 14)]:
        seen = frames[max(0, start - chain.before) : stop + chain.after]
        part = list(chain.run(seen, Span(start / RATE, stop / RATE)))
        assert [frame.time for frame in part] == [i / RATE for i in range(start, stop)]
        for frame, expected in zip(part, whole[start:stop]):
            np.testing.assert_allclose(frame.image, expected, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_short_clips_luma_and_odd_sizes_are_enlarged(tiny, count):
    gray = film(count, 21, 35, channels=1)
    large = tiny().predict(gray)
    assert large.shape == (count, 84, 140, 1)
    colored = tiny().predict(np.repeat(gray, 3, axis=3))
    np.testing.assert_allclose(large, colored.mean(axis=3, keepdims=True), atol=1e-6)


def test_a_photograph_becomes_four_times_as_large(tiny):
    large = tiny().predict((film(1)[0] * 255).astype(np.uint8))
    assert large.dtype == np.uint8
    assert large.shape == (128, 144, 3)


def test_tiles_leave_no_seam(tiny):
    clip, predictor = film(1, 64, 160), tiny()
    whole = predictor.predict(clip)
    predictor.tiling = Tiling(64 * 100)
    assert np.abs(predictor.predict(clip) - whole).max() < 1 / 255


@pytest.mark.parametrize("size", [(240, 320), (576, 720), (1080, 1920)])
def test_the_window_is_limited_by_memory(tiny, size):
    predictor, info = tiny(bs=100), film_info(*size)
    (link,) = Chain([predictor], info).links
    taken = link.window.core + link.window.before + link.window.after
    assert 1 <= link.window.core <= 100
    assert link.window.core == 1 or taken * predictor.bytes_per_frame(info) <= WINDOW_BYTES
    assert (link.result.width, link.result.height) == (4 * info.width, 4 * info.height)


def test_a_batch_size_of_zero_is_rejected(tiny):
    with pytest.raises(OptionError, match="`bs=0`"):
        tiny(bs=0)
