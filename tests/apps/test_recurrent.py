"""Tests of BasicVSR, IconVSR and BasicVSR++ with tiny networks."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
from safetensors.numpy import save_file

from oldfilm.engine.device import import_paddle

pytest.importorskip("paddle")
paddle = import_paddle()

from oldfilm.apps.recurrent import (  # noqa: E402
    BasicVSRPlusPlusPredictor,
    BasicVSRPredictor,
    BasiVSRPlusPlusPredictor,
    IconVSRPredictor,
)
from oldfilm.errors import OptionError  # noqa: E402
from oldfilm.imaging.metrics import psnr  # noqa: E402
from oldfilm.networks.basicvsr import BasicVSRNet  # noqa: E402
from oldfilm.networks.basicvsr_plus_plus import BasicVSRPlusPlus  # noqa: E402
from oldfilm.networks.iconvsr import IconVSR  # noqa: E402
from oldfilm.pipeline.chain import WINDOW_BYTES, Chain  # noqa: E402
from oldfilm.pipeline.windows import Span  # noqa: E402
from oldfilm.stage import FilmFacts, FilmInfo, Frame, SizeRequirement, Tiling  # noqa: E402
from tests.parity import formula  # noqa: E402

RATE = Fraction(16)


class TinyBasicVSR(BasicVSRPredictor):
    """BasicVSR with few channels and the smallest size that the flow network supports."""

    size = SizeRequirement(minimum=32)
    channels = 8

    def build(self, settings):
        return BasicVSRNet(8, 1)


class TinyIconVSR(IconVSRPredictor):
    """A small IconVSR; `clips` records the first frame number and the length of every clip."""

    size = SizeRequirement(minimum=32, multiple_of=4)

    def build(self, settings):
        return IconVSR(8, 1)

    def enlarge(self, clip, core):
        self.clips = [*getattr(self, "clips", []), (self.first_number, clip.shape[1])]
        return super().enlarge(clip, core)


class TinyPlusPlus(BasicVSRPlusPlusPredictor):
    """BasicVSR++ with few channels and small sizes."""

    size = SizeRequirement(minimum=32)

    def build(self, settings):
        return BasicVSRPlusPlus(16, 1)


TINY = [TinyBasicVSR, TinyIconVSR, TinyPlusPlus]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return a function that creates tiny predictors with pseudo-random weights.

    With a gain of 0.8, features fade as they propagate in time, as in a trained network.
    """
    folder = tmp_path_factory.mktemp("weights")

    def make(kind, **options):
        path = folder / f"{kind.__name__}.safetensors"
        if not path.is_file():
            state = kind.build(None, {}).state_dict()
            shapes = {name: tuple(value.shape) for name, value in state.items()}
            weights = formula.weights(shapes, 0.8)
            weights.update({name: state[name].numpy() for name in ("spynet.mean", "spynet.std")})
            save_file(weights, path)
        return kind(weight_path=str(path), variant="full", **options)

    return make


def moving_film(count, height=32, width=32):
    """Return soft blobs that move 1.5 pixels per frame; float32 [t, h, w, 3]."""
    rng = np.random.default_rng(5)
    scene = cv2.GaussianBlur(rng.random((height, width + 2 * count, 3)), (0, 0), 2.5)
    scene = np.float32(scene - scene.min()) / np.float32(np.ptp(scene)) * 0.5 + 0.25
    shifts = [np.float32([[1, 0, -1.5 * i], [0, 1, 0]]) for i in range(count)]
    return np.stack([cv2.warpAffine(scene, shift, (width, height)) for shift in shifts])


def film_info(height, width, frames=100):
    return FilmInfo(width, height, RATE, frames)


@pytest.mark.parametrize("kind", TINY)
def test_a_clip_matches_the_output_of_the_network(tiny, kind):
    clip, predictor = moving_film(6), tiny(kind)
    (expected,) = predictor.graph(export=False)(clip.transpose(0, 3, 1, 2)[None].copy())
    found = predictor.predict(clip)
    assert 0 < found.min() < found.max() < 1, "clipped values would hide differences"
    np.testing.assert_allclose(found, expected[0].transpose(0, 2, 3, 1), rtol=0, atol=1e-5)


def test_the_steps_of_basicvsr_match_the_network_at_sizes_that_the_flow_pads(tiny):
    clip, predictor = moving_film(3, 45, 70).transpose(0, 3, 1, 2)[None].copy(), tiny(TinyBasicVSR)
    (expected,) = predictor.graph(export=False)(clip)
    (found,) = predictor.enlarge(clip, slice(1, 2))
    np.testing.assert_allclose(found, expected[:, 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("count", [1, 3])
def test_short_clips_luma_and_odd_sizes_are_enlarged(tiny, kind, count):
    gray = moving_film(count, 21, 31)[..., :1]
    predictor = tiny(kind)
    large = predictor.predict(gray)
    assert large.shape == (count, 84, 124, 1)
    colored = predictor.predict(np.repeat(gray, 3, axis=3))
    np.testing.assert_allclose(large, colored.mean(axis=3, keepdims=True), atol=1e-6)


def test_a_photograph_becomes_four_times_as_large(tiny):
    photograph = (moving_film(1)[0] * 255).astype(np.uint8)
    large = tiny(TinyBasicVSR).predict(photograph)
    assert large.dtype == np.uint8
    assert large.shape == (128, 128, 3)


@pytest.mark.parametrize("kind", TINY)
def test_windows_nearly_match_the_whole_clip(tiny, kind):
    """They reach 59 dB (IconVSR) to 67 dB; the largest difference is 0.012."""
    film = moving_film(8)
    whole = tiny(kind, num_frames=100).predict(film)
    windowed = tiny(kind, num_frames=4).predict(film)
    assert min(map(psnr, windowed, whole)) > 50


@pytest.mark.parametrize("kind", TINY)
def test_tiles_leave_no_seam(tiny, kind):
    film, predictor = moving_film(2, 64, 128), tiny(kind)
    whole = predictor.predict(film)
    predictor.tiling = Tiling(64 * 96)
    assert np.abs(predictor.predict(film) - whole).max() < 1 / 255


def test_every_window_is_numbered_from_the_start_of_its_shot(tiny):
    film = [Frame(image, i / RATE) for i, image in enumerate(moving_film(16))]
    facts = FilmFacts(cuts=(3 / RATE,))
    predictor = tiny(TinyIconVSR, num_frames=6)
    chain = Chain([predictor], film_info(32, 32, 16))
    chain.analyze(facts)
    assert len(list(chain.run(film, Span(Fraction(0), Fraction(1))))) == 16
    # The first shot, then windows of 6 frames with up to 3 neighbors of the shot on each side.
    assert predictor.clips == [(0, 3), (0, 9), (3, 10), (9, 4)]


def test_keyframes_are_multiples_of_the_stride_within_the_shot():
    network = IconVSR(8, 1)
    refilled = []

    def record(*frames):
        refilled.append(float(frames[2].mean()))
        return paddle.zeros([1, 8, 32, 32])

    network.edvr.forward = record
    clip = paddle.arange(7, dtype="float32").reshape([1, 7, 1, 1, 1]).tile([1, 1, 3, 32, 32])
    for number, expected in [(0, {0, 5, 6}), (3, {0, 2, 6}), (5, {0, 5, 6})]:
        refilled.clear()
        network(clip, paddle.to_tensor(number))
        assert set(refilled) == expected


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("size", [(240, 320), (576, 720), (1080, 1920)])
def test_the_window_is_limited_by_memory(tiny, kind, size):
    predictor = tiny(kind, num_frames=100)
    info = film_info(*size)
    (link,) = Chain([predictor], info).links
    taken = link.window.core + link.window.before + link.window.after
    assert 1 <= link.window.core < 100
    assert link.window.core == 1 or taken * predictor.bytes_per_frame(info) <= WINDOW_BYTES
    assert (link.result.width, link.result.height) == (4 * info.width, 4 * info.height)


@pytest.mark.parametrize("kind", TINY)
def test_zero_frames_per_window_are_rejected(tiny, kind):
    with pytest.raises(OptionError, match="`num_frames=0`"):
        tiny(kind, num_frames=0)


def test_paddlegans_spelling_is_an_alias():
    assert BasiVSRPlusPlusPredictor is BasicVSRPlusPlusPredictor
