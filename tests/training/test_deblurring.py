"""Blur, grain and compression for training Deblur, and its samples."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from oldfilm.training import blur, deblurring  # noqa: E402

SIDE = 64


def numbers(*values):
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1)


def textures(count=1):
    noise = np.random.default_rng(0).random((count, SIDE, SIDE), np.float32)
    return torch.from_numpy(np.stack([cv2.GaussianBlur(n, (0, 0), 1) for n in noise]))[:, None]


def no_blur(count=1):
    like = torch.ones(count, 1, 1, 1)
    return blur.Blur(0.05 * like, 0 * like, 0 * like, 0 * like, like)


def test_a_gaussian_blurs_as_opencv_does():
    sharp = textures()
    soft = blur.convolved(sharp, blur.gaussians(numbers(1.5), SIDE))
    expected = cv2.GaussianBlur(sharp[0, 0].numpy(), (0, 0), 1.5)
    assert np.abs(soft[0, 0].numpy() - expected)[8:-8, 8:-8].max() < 2e-3


@pytest.mark.parametrize(
    ("kernel", "reach"),
    [
        (blur.gaussians(numbers(0.05), SIDE), 0),
        (blur.disks(numbers(0), SIDE), 0),
        (blur.disks(numbers(3), SIDE), 3),
        (blur.lines(numbers(0), numbers(1), SIDE), 0),
        (blur.lines(numbers(8), numbers(0), SIDE), 4),
    ],
)
def test_kernels_keep_the_brightness_and_have_the_stated_reach(kernel, reach):
    assert kernel.sum().item() == pytest.approx(1, abs=1e-5)
    across = kernel[0, 0].roll((SIDE // 2, SIDE // 2), (0, 1)).sum(0)
    assert across.nonzero().flatten().sub(SIDE // 2).abs().max().item() == reach


def test_motion_blurs_along_its_angle():
    kernel = blur.lines(numbers(9), numbers(np.pi / 2), SIDE)[0, 0]
    assert (kernel[:5, 0] > 0.05).all()
    assert kernel[0, 2] == 0


def test_compression_is_that_of_jpeg():
    picture = (textures()[0, 0].numpy() * 255).astype(np.uint8)
    stored = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    expected = cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE).astype(int)
    found = blur.compressed(torch.from_numpy(picture / np.float32(255))[None, None], numbers(60))
    assert np.abs(found[0, 0].numpy() * 255 - expected).mean() < 0.6


def test_grain_has_its_strength_and_no_mean():
    grain = blur.grain(torch.full((1, 1, SIDE, SIDE), 0.5), numbers(0.05), numbers(0.8))
    assert grain.std().item() == pytest.approx(0.05, rel=0.05)
    assert abs(grain.mean().item()) < 0.01


def test_a_sharp_grainy_sample_lacks_no_detail():
    count = 2
    sigma, quality = numbers(0.03, 0.0), numbers(0.0, 50.0)
    seen, detail = deblurring.degraded(
        textures(count), no_blur(count), sigma, numbers(0.6, 0.6), quality
    )
    assert detail.abs().max() < 1e-4
    assert seen.shape == detail.shape == (2, 1, SIDE - 24, SIDE - 24)
    assert 0 <= seen.min() <= seen.max() <= 1


def test_the_detail_is_what_the_blur_took():
    sharp = textures()
    like = torch.ones(1, 1, 1, 1)
    soft = blur.Blur(like, 0 * like, 0 * like, 0 * like, like)
    seen, detail = deblurring.degraded(sharp, soft, 0 * like, like, 0 * like)
    inner = sharp[..., 12:-12, 12:-12]
    assert (seen + detail - inner).abs().max() < 0.5 / 255 + 1e-4


def test_squares_are_cut_at_the_pictures_own_size():
    picture = np.random.default_rng(0).integers(0, 256, (300, 430, 3), np.uint8)
    assert len(deblurring.squares(picture, across=2)) == 4
    assert {square.shape for square in deblurring.squares(picture)} == {(128, 128)}
    assert deblurring.squares(picture[:100]) == []
