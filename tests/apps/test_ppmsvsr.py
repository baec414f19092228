"""Four times the size: shapes, windows without seams, memory, and better than bicubic."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("paddle")

from oldfilm.apps import PPMSVSRPredictor  # noqa: E402
from oldfilm.errors import OptionError  # noqa: E402
from oldfilm.metrics import luma, psnr  # noqa: E402
from oldfilm.pipeline import FilmInfo  # noqa: E402
from oldfilm.pipeline.chain import WINDOW_BYTES, Chain  # noqa: E402
from oldfilm.stage import Tiling  # noqa: E402

DATA = Path(__file__).parents[3] / "shared" / "data"


def moving_film(count: int, height: int = 40, width: int = 56) -> np.ndarray:
    """A pattern with edges that moves 1.5 pixels a frame, with grain; float32 [t, h, w, 3]."""
    rng = np.random.default_rng(5)
    scene = cv2.GaussianBlur(rng.random((height, width + 2 * count, 3)), (0, 0), 2.5)
    scene = cv2.GaussianBlur(np.float32(scene > 0.5) * 0.6 + 0.2, (0, 0), 0.8)
    size = (width, height)
    shifts = [np.float32([[1, 0, -1.5 * i], [0, 1, 0]]) for i in range(count)]
    film = np.stack([cv2.warpAffine(scene, shift, size) for shift in shifts])
    film += rng.normal(0, 0.03, (count, height, width, 1))
    return np.clip(film, 0, 1).astype(np.float32)


def film_info(height: int, width: int) -> FilmInfo:
    return FilmInfo(width, height, Fraction(16), 100)


def test_a_photograph_comes_out_four_times_as_large() -> None:
    photograph = (moving_film(1)[0] * 255).astype(np.uint8)
    large = PPMSVSRPredictor().predict(photograph)
    assert large.dtype == np.uint8
    assert large.shape == (160, 224, 3)
    small = cv2.resize(large, (56, 40), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - photograph).mean() < 8


def test_luma_stays_luma_and_is_what_grey_colour_gives() -> None:
    grey = moving_film(3)[..., :1]
    large = PPMSVSRPredictor().predict(grey)
    assert large.shape == (3, 160, 224, 1)
    coloured = PPMSVSRPredictor().predict(np.repeat(grey, 3, axis=3))
    np.testing.assert_allclose(large, coloured.mean(axis=3, keepdims=True), atol=5e-3)


@pytest.mark.parametrize("size", [(5, 7), (33, 64), (61, 32)])
def test_small_and_odd_frames_are_enlarged_too(size) -> None:
    frames = moving_film(2, *size)
    assert PPMSVSRPredictor().predict(frames).shape == (2, 4 * size[0], 4 * size[1], 3)


def test_the_result_is_described_before_any_work() -> None:
    result = PPMSVSRPredictor().describe(film_info(368, 480))
    assert (result.width, result.height, result.frames) == (1920, 1472, 100)


@pytest.mark.parametrize("num_frames", [1, 4])
def test_windows_leave_no_seam(num_frames) -> None:
    film = moving_film(13)
    at_once = PPMSVSRPredictor(num_frames=100).predict(film)
    windowed = PPMSVSRPredictor(num_frames=num_frames).predict(film)
    assert min(map(psnr, windowed, at_once)) > 40


def test_tiles_leave_no_seam(monkeypatch) -> None:
    film = moving_film(3, 96, 128)
    whole = PPMSVSRPredictor().predict(film)
    monkeypatch.setattr(PPMSVSRPredictor, "tiling", Tiling(6000))
    assert min(map(psnr, PPMSVSRPredictor().predict(film), whole)) > 40


@pytest.mark.parametrize("size", [(368, 480), (576, 720), (1080, 1920)])
def test_a_hundred_frames_at_once_are_kept_within_memory(size) -> None:
    predictor = PPMSVSRPredictor(num_frames=100)
    info = film_info(*size)
    (link,) = Chain([predictor], info).links
    taken = link.window.core + link.window.before + link.window.after
    assert 1 <= link.window.core < 100
    assert link.window.core == 1 or taken * predictor.bytes_per_frame(info) <= WINDOW_BYTES


def test_no_frames_at_once_is_refused() -> None:
    with pytest.raises(OptionError, match="num_frames is 0"):
        PPMSVSRPredictor(num_frames=0)


needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")


@pytest.mark.slow
@needs_data
def test_real_film_does_not_jump_between_windows() -> None:
    """Frames change as much from window to window as they do when the film is restored at once."""
    av = pytest.importorskip("av")
    with av.open(str(DATA / "films" / "market-street-1906.mkv")) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)][:26]
    film = np.stack(frames)[:, 100:196, 150:278, None].astype(np.float32) / 255
    at_once, predictor = PPMSVSRPredictor(num_frames=100), PPMSVSRPredictor(num_frames=10)
    assert predictor.window.core == 10
    whole, windowed = at_once.predict(film), predictor.predict(film)
    assert min(map(psnr, windowed, whole)) > 45
    change = np.abs(np.diff(windowed, axis=0)).mean(axis=(1, 2, 3))
    expected = np.abs(np.diff(whole, axis=0)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(change, expected, rtol=0.02)


@pytest.mark.slow
@needs_data
def test_held_out_clips_come_out_better_than_bicubic() -> None:
    pytest.importorskip("torch")
    from oldfilm.training import data
    from oldfilm.training.ageing import Ageing, age
    from oldfilm.training.size import shrink

    overlays = data.overlays(DATA / "train", data.HELD_OUT)
    ageing = Ageing(1.0, 0.035, 0.6, 0.015, scratches=0.5, dust=0.7, quality=75)
    gains = []
    for _, clip in data.clips(DATA / "train", data.HELD_OUT):
        truth = clip[:6, 100:420, 200:600].astype(np.float32) / 255
        clean = np.clip(np.stack([shrink(frame) for frame in truth]), 0, 1)
        both = clean, age(clean, ageing, np.random.default_rng(0), overlays)
        gains.append([_gain(small, truth) for small in both])
    clean_gain, aged_gain = np.mean(gains, axis=0)
    assert clean_gain > 0.5
    assert aged_gain > 1.0


def _gain(small: np.ndarray, truth: np.ndarray) -> float:
    """Y-PSNR over bicubic's, in dB."""
    size = truth.shape[2], truth.shape[1]
    enlarged = [cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in small]
    bicubic = psnr(luma(np.clip(np.stack(enlarged), 0, 1)), luma(truth), crop=8)
    return psnr(luma(PPMSVSRPredictor().predict(small)), luma(truth), crop=8) - bicubic
