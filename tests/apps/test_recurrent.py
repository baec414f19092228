"""BasicVSR, IconVSR and BasicVSR++: windows and tiles without seams, short clips, keyframes."""

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
    """Few channels; sizes that are as small as the flow network can see."""

    size = SizeRequirement(minimum=32)

    def build(self, settings):
        return BasicVSRNet(8, 1)


class TinyIconVSR(IconVSRPredictor):
    """Few channels, small sizes; `clips` notes how every clip begins and how long it is."""

    size = SizeRequirement(minimum=32, multiple_of=4)

    def build(self, settings):
        return IconVSR(8, 1)

    def enlarge(self, clip):
        self.clips = [*getattr(self, "clips", []), (self.first_number, clip.shape[1])]
        return super().enlarge(clip)


class TinyPlusPlus(BasicVSRPlusPlusPredictor):
    """Few channels, small sizes."""

    size = SizeRequirement(minimum=32)

    def build(self, settings):
        return BasicVSRPlusPlus(16, 1)


TINY = [TinyBasicVSR, TinyIconVSR, TinyPlusPlus]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Makes a tiny predictor with the formula's weights.

    A gain of 0.8 lets what is carried through time fade, as a trained network's does.
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
    """Soft blobs that move 1.5 pixels a frame; float32 [t, h, w, 3]."""
    rng = np.random.default_rng(5)
    scene = cv2.GaussianBlur(rng.random((height, width + 2 * count, 3)), (0, 0), 2.5)
    scene = np.float32(scene - scene.min()) / np.float32(np.ptp(scene)) * 0.5 + 0.25
    shifts = [np.float32([[1, 0, -1.5 * i], [0, 1, 0]]) for i in range(count)]
    return np.stack([cv2.warpAffine(scene, shift, (width, height)) for shift in shifts])


def film_info(height, width, frames=100):
    return FilmInfo(width, height, RATE, frames)


@pytest.mark.parametrize("kind", TINY)
def test_a_clip_comes_out_as_the_network_makes_it(tiny, kind):
    clip, predictor = moving_film(6), tiny(kind)
    (expected,) = predictor.graph(export=False)(clip.transpose(0, 3, 1, 2)[None].copy())
    found = predictor.predict(clip)
    assert 0 < found.min() < found.max() < 1, "clipped: this would show nothing"
    np.testing.assert_array_equal(found, expected[0].transpose(0, 2, 3, 1))


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("count", [1, 3])
def test_short_clips_luma_and_odd_sizes(tiny, kind, count):
    gray = moving_film(count, 21, 31)[..., :1]
    predictor = tiny(kind)
    large = predictor.predict(gray)
    assert large.shape == (count, 84, 124, 1)
    colored = predictor.predict(np.repeat(gray, 3, axis=3))
    np.testing.assert_allclose(large, colored.mean(axis=3, keepdims=True), atol=1e-6)


def test_a_photograph_comes_out_four_times_as_large(tiny):
    photograph = (moving_film(1)[0] * 255).astype(np.uint8)
    large = tiny(TinyBasicVSR).predict(photograph)
    assert large.dtype == np.uint8
    assert large.shape == (128, 128, 3)


@pytest.mark.parametrize("kind", TINY)
def test_windows_differ_little_from_the_whole_clip(tiny, kind):
    """Of the whole film 59 dB (IconVSR) to 67 dB; the largest difference is 0.012."""
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


def test_keyframes_are_counted_from_the_cut_wherever_windows_begin(tiny):
    film = [Frame(image, i / RATE) for i, image in enumerate(moving_film(16))]
    facts = FilmFacts(cuts=(3 / RATE,))
    predictor = tiny(TinyIconVSR, num_frames=6)
    chain = Chain([predictor], film_info(32, 32, 16))
    chain.analyze(facts)
    assert len(list(chain.run(film, Span(Fraction(0), Fraction(1))))) == 16
    # The first shot; then windows of 6 frames, with 3 before and 3 after where the shot has them.
    assert predictor.clips == [(0, 3), (0, 9), (3, 10), (9, 4)]


def test_a_keyframe_is_known_by_its_number_in_the_shot(tiny):
    network = IconVSR(8, 1)
    refilled = []
    network.edvr.forward = lambda frames: refilled.append(float(frames[2].mean()))
    clip = paddle.arange(7, dtype="float32").reshape([1, 7, 1, 1, 1]).tile([1, 1, 3, 4, 4])
    frames = paddle.unstack(clip, 1)
    for number, expected in [(0, {0, 5, 6}), (3, {0, 2, 6}), (5, {0, 5, 6})]:
        refilled.clear()
        network._refills(frames, network.keyframes(7, number))
        assert set(refilled) == expected


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("size", [(240, 320), (576, 720), (1080, 1920)])
def test_a_hundred_frames_at_once_are_kept_within_memory(tiny, kind, size):
    predictor = tiny(kind, num_frames=100)
    info = film_info(*size)
    (link,) = Chain([predictor], info).links
    taken = link.window.core + link.window.before + link.window.after
    assert 1 <= link.window.core < 100
    assert link.window.core == 1 or taken * predictor.bytes_per_frame(info) <= WINDOW_BYTES
    assert (link.result.width, link.result.height) == (4 * info.width, 4 * info.height)


@pytest.mark.parametrize("kind", TINY)
def test_no_frames_at_once_is_refused(tiny, kind):
    with pytest.raises(OptionError, match="`num_frames=0`"):
        tiny(kind, num_frames=0)


def test_paddlegans_spelling_is_known():
    assert BasiVSRPlusPlusPredictor is BasicVSRPlusPlusPredictor
