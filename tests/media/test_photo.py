from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from oldfilm.errors import MediaError
from oldfilm.media import read_photograph, write_photograph


def picture(height=6, width=9, channels=3):
    rng = np.random.default_rng(4)
    return rng.integers(0, 256, (height, width, channels)).astype(np.float32) / 255


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("channels", [3, 1])
def test_a_photograph_comes_back(tmp_path, suffix, channels):
    path = tmp_path / f"a{suffix}"
    assert write_photograph(path, picture(channels=channels)) == []
    photograph = read_photograph(path)
    assert photograph.alpha is None
    assert photograph.bits == 8
    truth = picture(channels=channels)
    if suffix == ".webp":  # a lossy one, and always in colour
        assert photograph.image.shape == (6, 9, 3)
        return
    assert photograph.image.dtype == np.float32
    assert np.allclose(photograph.image, truth, atol=1e-6)


def test_channels_are_red_green_blue(tmp_path):
    Image.new("RGB", (4, 3), (255, 128, 0)).save(tmp_path / "a.png")
    assert np.allclose(read_photograph(tmp_path / "a.png").image[0, 0] * 255, [255, 128, 0])
    write_photograph(tmp_path / "b.png", np.zeros((3, 4, 3), np.float32) + [0, 0.5, 1])
    assert Image.open(tmp_path / "b.png").getpixel((0, 0)) == (0, 128, 255)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_come_back(tmp_path, suffix):
    image = np.linspace(0, 1, 7 * 11 * 3, dtype=np.float32).reshape(7, 11, 3)
    write_photograph(tmp_path / f"a{suffix}", image, bits=16)
    photograph = read_photograph(tmp_path / f"a{suffix}")
    assert photograph.bits == 16
    assert np.abs(photograph.image - image).max() < 1e-5


def test_jpeg_keeps_eight_bits_and_no_transparency_and_says_so(tmp_path):
    notes = write_photograph(
        tmp_path / "a.jpg", picture(), alpha=np.ones((6, 9), np.float32), bits=16
    )
    assert len(notes) == 2
    assert read_photograph(tmp_path / "a.jpg").image.shape == (6, 9, 3)


@pytest.mark.parametrize("channels", [3, 1])
def test_transparency_is_kept_apart_and_comes_back(tmp_path, channels):
    alpha = np.linspace(0, 1, 54, dtype=np.float32).reshape(6, 9)
    write_photograph(tmp_path / "a.png", picture(channels=channels), alpha=alpha, bits=16)
    photograph = read_photograph(tmp_path / "a.png")
    assert np.allclose(photograph.image, picture(channels=channels), atol=1e-4)
    assert np.allclose(photograph.alpha, alpha, atol=1e-4)


def test_transparency_that_hides_nothing_is_none(tmp_path):
    Image.new("RGBA", (4, 3), (1, 2, 3, 255)).save(tmp_path / "a.png")
    assert read_photograph(tmp_path / "a.png").alpha is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_photograph_is_turned_as_the_camera_was_held(tmp_path, orientation, suffix):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16], upright[:16, 32:] = [255, 0, 0], [0, 255, 0]
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, quality=95)
    assert np.abs(read_photograph(path).image - upright / 255).mean() < 0.02


def test_a_picture_with_a_palette_is_read_in_colour(tmp_path):
    image = Image.new("RGB", (4, 3), (255, 0, 0)).convert("P")
    image.save(tmp_path / "a.png")
    assert np.allclose(read_photograph(tmp_path / "a.png").image[0, 0], [1, 0, 0])


@pytest.mark.parametrize("name", ["missing.png", "text.png", "empty.jpg", "cut.png"])
def test_what_is_no_photograph_is_refused_in_a_sentence(tmp_path, name):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    data = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (40, 40, 3)))[1]
    (tmp_path / "cut.png").write_bytes(data.tobytes()[:30])
    with pytest.raises(MediaError, match=name):
        read_photograph(tmp_path / name)


def test_a_kind_that_cannot_be_written_is_refused(tmp_path):
    for name in ("a.xyz", "a", "no/a.png"):
        with pytest.raises(MediaError):
            write_photograph(tmp_path / name, picture())
    assert list(tmp_path.iterdir()) == []
