"""Every pixel format that a film may have is decoded to the colors that it holds."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import numpy as np
import pytest

from oldfilm.errors import MediaError
from oldfilm.media import Encoder, EncodeSettings, Film, decode
from oldfilm.media.ffmpeg import executable

from .conftest import images
from .pixel_codes import HEIGHT, WIDTH, picture

RGB_OF_8_BITS = ("rgb24", "bgr24", "rgba", "bgra", "argb", "abgr", "bgr0", "0rgb", "gbrp", "gbrap")
RGB_OF_MORE = [f"gbrp{bits}{order}" for bits in (9, 10, 12, 14, 16) for order in ("le", "be")]
RGB_OF_MORE += ["rgb48le", "rgb48be", "bgr48le", "rgba64le", "rgba64be", "gbrap10le", "gbrap12le"]
RGB_OF_MORE += ["gbrap16le", "gbrpf32le"]
RGB_OF_FEW = ["rgb555le", "rgb555be", "bgr555le", "rgb565le", "rgb565be", "bgr565le", "rgb444le"]
RGB_OF_FEW += ["bgr444le", "rgb8", "bgr8", "rgb4_byte", "bgr4_byte", "pal8"]
GRAY = ["gray", "ya8", "monow", "monob", *(f"gray{n}le" for n in (9, 10, 12, 14, 16))]


def raw_film(path, name):
    """Write a film of three frames in a pixel format, uncompressed; return what they show."""
    data, shown = picture(name)
    command = [executable(), "-y", "-v", "error", "-f", "rawvideo", "-pixel_format", name]
    command += ["-video_size", f"{WIDTH}x{HEIGHT}", "-framerate", "16", "-i", "-", "-c", "copy"]
    subprocess.run([*command, path], input=3 * data, check=True)
    return shown


@pytest.mark.parametrize("name", [*RGB_OF_8_BITS, *RGB_OF_FEW, *RGB_OF_MORE, *GRAY])
def test_rgb_and_gray_of_any_depth_are_decoded_exactly(tmp_path, name):
    """The case `w_msvideo1_rgb555le.avi`: white is 255, and so on for every code value."""
    shown = raw_film(tmp_path / "a.nut", name)
    film = Film.open(tmp_path / "a.nut")
    assert film.pixel_format == name
    for image in images(film):
        assert image.shape == shown.shape
        assert np.abs(image - shown).max() <= 0.9 / 65535
    small = next(decode(film, dtype=np.uint8)).image
    assert np.abs(small - 255 * shown).max() <= 1.5


@pytest.mark.parametrize("name", ["rgb24", "bgra", "pal8", "gbrp"])
def test_eight_bit_rgb_comes_out_of_a_lossless_chain_as_it_went_in(tmp_path, name):
    shown = raw_film(tmp_path / "a.nut", name)
    film = Film.open(tmp_path / "a.nut")
    settings = EncodeSettings(codec="ffv1", pix_fmt="bgr0")
    with Encoder(tmp_path / "b.mkv", film.info, settings, color=film.color) as encoder:
        for image in images(film):
            encoder.write(image)
    for image in images(Film.open(tmp_path / "b.mkv")):
        assert np.array_equal(np.rint(image * 255), np.rint(shown * 255))


@pytest.mark.parametrize("name", ["grayf32le", "gbrp10msble"])
def test_a_pixel_format_that_ffmpeg_converts_wrongly_is_refused(tmp_path, name):
    raw_film(tmp_path / "a.nut", "gbrpf32le")
    film = replace(Film.open(tmp_path / "a.nut"), pixel_format=name, gray=name[0:2] == "gr")
    with pytest.raises(MediaError, match=f"{name} cannot be converted exactly"):
        images(film)
