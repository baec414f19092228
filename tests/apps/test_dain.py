"""Tests of DAIN with the lite network, the full network and PaddleGAN's program."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

import oldfilm  # noqa: E402
from oldfilm.apps.dain.predictor import DAINPredictor  # noqa: E402
from oldfilm.apps.dain.published import PublishedInterpolation  # noqa: E402
from oldfilm.engine import DynamicGraph  # noqa: E402
from oldfilm.errors import OptionError, WeightsError  # noqa: E402
from oldfilm.imaging.flow import Motion  # noqa: E402
from oldfilm.stage import FilmInfo  # noqa: E402
from tests.films import facts, ffmpeg  # noqa: E402
from tests.parity import formula  # noqa: E402
from tests.parity.dain import predictor  # noqa: E402

BARS = np.linspace(0.2, 0.8, 24, dtype=np.float32)[None, :, None]


def film(count: int, channels: int = 3) -> np.ndarray:
    """Return bars that brighten from frame to frame, [t, 16, 24, channels]."""
    light = np.arange(1, count + 1, dtype=np.float32)[:, None, None, None] / (count + 1)
    return np.repeat(np.broadcast_to(light * BARS, (count, 16, 24, 1)), channels, axis=3)


def pair(height: int, width: int, channels: int = 3) -> list[np.ndarray]:
    """Return two different images [h, w, c]."""
    names = ("first", "second")
    planes = [formula.picture(name, (channels, height, width)) for name in names]
    return [plane.transpose(1, 2, 0) for plane in planes]


def test_brightness_of_a_new_frame_is_between_that_of_its_neighbors():
    first, between, second, held = DAINPredictor(variant="lite").predict(film(2)).mean((1, 2, 3))
    assert first < between < second
    assert held == second


def test_no_frame_between_shots_of_two_frames_is_a_mixture(tmp_path):
    coarse = np.random.default_rng(0).integers(0, 256, (6, 6, 8, 3), np.uint8)
    shots = [cv2.resize(picture, (64, 48), interpolation=cv2.INTER_CUBIC) for picture in coarse]
    frames = np.stack([np.roll(shot, move, 1) for shot in shots for move in (0, 1)])
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", 25, "-i", "-")
    ffmpeg(*raw, "-c:v", "ffv1", tmp_path / "a.mkv", data=frames.tobytes())
    options = {"variant": "lite", "codec": "ffv1", "output": tmp_path / "out.mkv"}
    shown = facts(oldfilm.restore(tmp_path / "a.mkv", ["DAIN"], **options).path)["images"]
    assert len(shown) == 24
    before_cuts = shown[3:-1:4].astype(int)
    assert np.abs(before_cuts - frames[1:-1:2]).mean((1, 2, 3)).max() < 2


def test_predict_doubles_the_number_of_frames():
    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
    made = DAINPredictor(variant="lite").predict(frames)
    assert (made.shape, made.dtype) == ((6, 16, 24, 3), np.uint8)
    assert np.array_equal(made[::2], frames)


def test_motion_is_estimated_once_per_pair_of_frames(monkeypatch):
    estimated = []

    class Counted(Motion):
        def __init__(self, *frames):
            estimated.append(frames)
            super().__init__(*frames)

    monkeypatch.setattr("oldfilm.apps.dain.lite.Motion", Counted)
    DAINPredictor(time_step=0.1, variant="lite").predict(film(3))
    assert len(estimated) == 2


def test_a_large_frame_keeps_its_size_and_borders():
    image = np.random.default_rng(0).random((90, 700, 3), dtype=np.float32)
    between = DAINPredictor(variant="lite").predict(np.stack([image, image]))[1]
    assert between.shape == image.shape
    assert np.abs(between - image).mean() < 0.05


def test_gray_frames_stay_gray():
    assert DAINPredictor(variant="lite").predict(film(2, channels=1)).shape == (4, 16, 24, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dain-full")


@pytest.fixture(scope="module")
def dain(folder):
    return predictor(folder)


@pytest.mark.parametrize("shape", [(1, 1, 3), (31, 45, 1)])
def test_the_full_network_accepts_any_size_and_luma(dain, shape):
    made = dain.between(dain.prepare(*pair(*shape)), 0.3)
    assert made.shape == shape
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    assert made.min() >= 0
    assert made.max() <= 1


@pytest.mark.slow
def test_tiles_of_the_full_network_leave_no_seam(folder):
    dain = predictor(folder)
    known = dain.prepare(*pair(50, 70))
    whole = dain.between(known, 0.4)
    dain.interpolation.tile = 23
    assert np.abs(dain.between(known, 0.4) - whole).max() < 1e-4


def test_motion_of_large_frames_is_estimated_at_reduced_size(dain):
    published = PublishedInterpolation(dain.graph, motion_pixels=64 * 128)
    known = published.prepare(*pair(40, 140))
    assert [field.shape for field in known.flows] == [(128, 256, 2)] * 2
    assert published.between(known, 0.5).shape == (40, 140, 3)


class Recording(DAINPredictor):
    """A predictor that records in `parts` how it runs each part of the network."""

    def graph(self, part="", **options):
        graph = super().graph(part, **options)
        self.parts = {**getattr(self, "parts", {}), part: graph}
        return graph


@pytest.mark.slow
def test_exported_parts_match_the_full_network_on_paddle(folder, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("paddle2onnx")
    monkeypatch.setenv("OLDFILM_CACHE", str(folder))
    frames = pair(31, 45)
    on_paddle = predictor(folder)
    exported = Recording(weight_path=str(folder / "dain-full.safetensors"), device="cpu")
    expected, made = (dain.between(dain.prepare(*frames), 0.3) for dain in (on_paddle, exported))
    parts = exported.parts.items()
    assert [name for name, part in parts if isinstance(part, DynamicGraph)] == ["project"]
    assert np.percentile(np.abs(made - expected), 99) < 1e-4


@pytest.fixture
def program(tmp_path):
    """Save a program in PaddleGAN's format: 0.75 of the first frame plus 0.25 of the second."""

    class WeightedMean(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            first = paddle.nn.initializer.Constant(0.75)
            self.first = self.create_parameter([1], default_initializer=first)

        def forward(self, frames):
            return self.first * frames[:1] + (1 - self.first) * frames[1:]

    shape = paddle.static.InputSpec([2, 1, 3, None, None], "float32", name="frames")
    paddle.jit.save(WeightedMean(), str(tmp_path / "DAIN" / "inference"), input_spec=[shape])
    for written in (tmp_path / "DAIN").iterdir():
        new = {".pdiparams": "__params__"}.get(written.suffix, f"__model__{written.suffix}")
        written.rename(written.with_name(new))
    return str(tmp_path / "DAIN")


@pytest.mark.parametrize("channels", [3, 1])
def test_paddlegans_program_makes_the_middle_frame(program, channels):
    frames = film(2, channels)
    made = DAINPredictor(weight_path=program, time_step=0.5, device="cpu").predict(frames)
    assert np.allclose(made[1], 0.75 * frames[0] + 0.25 * frames[1], atol=1e-6)


@pytest.mark.parametrize("options", [{"time_step": 0.25}, {"fps": 60}, {"remove_duplicates": True}])
def test_paddlegans_program_rejects_any_other_time(program, options):
    dain = DAINPredictor(weight_path=program, device="cpu", **options)
    with pytest.raises(OptionError, match=r"0\.5"):
        dain.describe(FilmInfo(24, 16, Fraction(16), 4))


def test_a_folder_without_a_program_is_rejected(tmp_path):
    with pytest.raises(WeightsError, match="DAIN_weight"):
        DAINPredictor(weight_path=str(tmp_path), device="cpu")
