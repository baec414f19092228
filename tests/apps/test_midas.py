"""MiDaS estimates depth, and returns and writes what PaddleGAN's predictor does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("paddle")

from oldfilm.apps import MiDaSPredictor  # noqa: E402
from oldfilm.apps.midas import seen_size  # noqa: E402
from tests.apps import tiny  # noqa: E402
from tests.parity import formula  # noqa: E402

SMALL = {"blocks": [1, 1, 1, 1], "groups": 2, "width": 4, "features": 8}


@pytest.fixture
def picture(tmp_path, monkeypatch):
    """RGB, uint8 [h, w, 3], with weights of a small network installed."""
    tiny.install(monkeypatch, tmp_path, "midas", SMALL)
    return (formula.picture("old", (3, 90, 120)).transpose(1, 2, 0) * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((640, 480), (384, 288)),
        ((480, 640), (288, 384)),
        ((300, 10), (384, 32)),
        ((90, 70), (384, 288)),
    ],
)
def test_the_longer_side_becomes_384_pixels(size, seen):
    assert seen_size(*size) == seen


def test_the_depth_has_the_size_of_the_picture(picture, caplog):
    depth = MiDaSPredictor().run(picture[..., ::-1])
    assert depth.shape == (90, 120)
    assert depth.dtype == np.float32
    assert depth.std() > 0
    assert "Paddle runs in place" not in caplog.text


def test_paths_images_and_arrays_of_opencv_give_the_same_depth(picture, tmp_path):
    path = tmp_path / "old.png"
    Image.fromarray(picture).save(path)
    midas = MiDaSPredictor()
    expected = midas.run(str(path))
    np.testing.assert_array_equal(midas.run(cv2.imread(str(path))), expected)
    np.testing.assert_array_equal(midas.run(Image.open(path)), expected)
    gray = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(midas.run(gray), midas.run(np.dstack([gray] * 3)))


def test_the_files_hold_the_depth(picture, tmp_path):
    depth, pfm, png = MiDaSPredictor(str(tmp_path / "out")).run(picture)
    assert pfm == str(tmp_path / "out" / "MiDaS" / "depth.pfm")
    np.testing.assert_array_equal(cv2.imread(pfm, cv2.IMREAD_UNCHANGED), depth)
    codes = cv2.imread(png, cv2.IMREAD_UNCHANGED)
    assert codes.dtype == np.uint16
    assert (codes.min(), codes.max()) == (0, 65535)
    nearest = np.unravel_index(depth.argmax(), depth.shape)
    assert codes[nearest] == 65535
