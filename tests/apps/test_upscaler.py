"""Tests of RealSR and ESRGAN with small networks: sizes, luma and tiles."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("paddle")

from oldfilm.apps import ESRGANPredictor, RealSRPredictor  # noqa: E402
from oldfilm.errors import WeightsError  # noqa: E402
from oldfilm.stage import FilmInfo, Tiling  # noqa: E402
from tests.apps import tiny  # noqa: E402
from tests.parity import formula  # noqa: E402

NETWORKS = {
    "rrdbnet": (
        RealSRPredictor,
        "full",
        {"nf": 8, "nb": 2, "gc": 4},
        {"conv_last.weight": 0.3, "conv_last.bias": 8.0},
    ),
    "srvgg": (
        ESRGANPredictor,
        "realesr-animevideov3",
        {"num_feat": 8, "num_conv": 3},
        {"body.8.weight": 0.1},
    ),
}


@pytest.fixture(params=NETWORKS)
def predictor(request, tmp_path, monkeypatch):
    kind, variant, settings, scaled = NETWORKS[request.param]
    tiny.install(monkeypatch, tmp_path, kind.config, settings, variant, scaled)
    return kind()


def pictures(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    noise = formula.picture("film", (count, channels, height, width))
    frames = 0.5 * noise + np.linspace(0, 0.5, width, dtype=np.float32)  # noise alone may be grain
    return np.ascontiguousarray(frames.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 20)])
def test_frames_of_any_size_become_four_times_as_large(predictor, size):
    large = predictor.predict(pictures(2, *size))
    assert large.shape == (2, 4 * size[0], 4 * size[1], 3)
    assert large.min() >= 0
    assert large.max() <= 1
    assert large.std() > 0.02 or size == (1, 1)


def test_every_frame_is_enlarged_independently(predictor):
    film = pictures(3, 12, 16)
    np.testing.assert_array_equal(predictor.predict(film)[1], predictor.predict(film[1]))


def test_luma_matches_gray_rgb(predictor):
    gray = pictures(2, 12, 16, channels=1)
    large = predictor.predict(gray)
    assert large.shape == (2, 48, 64, 1)
    colored = predictor.predict(gray.repeat(3, axis=3))
    np.testing.assert_allclose(large, colored.mean(axis=3, keepdims=True), atol=1e-5)


def test_tiles_leave_no_seam(predictor, monkeypatch):
    film = pictures(1, 72, 100)
    whole = predictor.predict(film)
    overlap = RealSRPredictor.tiling.overlap
    monkeypatch.setattr(type(predictor), "tiling", Tiling(4000, overlap))
    tiled = predictor.predict(film)
    assert not np.array_equal(tiled, whole)
    assert np.abs(tiled - whole).max() < 1 / 255


def test_describe_returns_the_enlarged_size(predictor):
    result = predictor.describe(FilmInfo(480, 368, Fraction(16), 100))
    assert (result.width, result.height, result.frames) == (1920, 1472, 100)


def test_weights_of_another_network_are_rejected(tmp_path, monkeypatch):
    small = {"nf": 8, "nb": 2, "gc": 4}
    tiny.install(monkeypatch, tmp_path, "realsr", small)
    (tmp_path / "realsr-full.safetensors").rename(tmp_path / "two.safetensors")
    tiny.install(monkeypatch, tmp_path, "realsr", {**small, "nb": 1})
    with pytest.raises(WeightsError, match=r"RRDB_trunk\.1"):
        RealSRPredictor(weight_path=str(tmp_path / "two.safetensors"))
