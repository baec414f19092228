"""Every pixel format that a film may have is decoded to the colors that it holds."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import numpy as np
import pytest

from oldfilm.errors import MediaError
from oldfilm.media import Encoder, EncodeSettings, Film, decode, join, mux
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
    """White is 255, and so on for every code value."""
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


TAGS = {  # matrix: primaries, transfer
    "fcc": ("bt470m", "bt470m"),
    "smpte240m": ("smpte240m", "smpte240m"),
    "ycgco": (None, None),
    "bt2020c": ("bt2020", "bt2020-10"),
    "chroma-derived-nc": ("bt470m", "bt709"),
    "ictcp": ("bt2020", "smpte2084"),
}


@pytest.mark.parametrize("span", ["tv", "pc"])
@pytest.mark.parametrize("matrix", TAGS)
def test_films_of_any_matrix_are_decoded_to_their_colors(tmp_path, matrix, span):
    """The result has a usual matrix, and is tagged with it."""
    primaries, transfer = TAGS[matrix]
    known = {"colorspace": "gbr", "color_primaries": primaries, "color_trc": transfer}
    setting = ":".join(f"{key}={value}" for key, value in known.items() if value)
    both = f":primaries={primaries}:transfer={transfer}" if primaries else ""
    zimg = {"bt2020c": "2020_cl"}.get(matrix, matrix)
    tagged = setting.replace("=gbr", f"={matrix}")
    filters = f"format=gbrp16le,geq=r=40000:g=20000:b=30000,setparams={setting},zscale=rangein=full"
    filters += f":matrix={zimg}:range={span}{both},format=yuv444p10le,setparams={tagged}:range="
    command = [executable(), "-y", "-v", "error", "-f", "lavfi", "-i", "color=size=64x48:rate=16"]
    command += ["-frames:v", "3", "-vf", filters + span]
    subprocess.run([*command, "-c:v", "libx265", "-x265-params", "lossless=1:log-level=error",
                    tmp_path / "a.mkv"], check=True)  # fmt: skip
    film = Film.open(tmp_path / "a.mkv")
    assert film.color.matrix == matrix
    found = images(film)[0][20, 20] * 65535
    assert np.abs(found - [40000, 20000, 30000]).max() < 1.5 * 257
    with Encoder(tmp_path / "b.mp4", film.info, color=film.color, bits=film.bits) as encoder:
        for image in images(film):
            encoder.write(image)
    result = Film.open(tmp_path / "b.mp4")
    assert result.color.matrix in (matrix, "smpte170m")
    assert np.abs(images(result)[0][20, 20] * 65535 - found).max() < 2.5 * 257


@pytest.mark.parametrize("matrix", ["smpte2085", "ycgco-re", "ycgco-ro", "ipt-c2", "gbr"])
def test_a_matrix_that_ffmpeg_cannot_convert_is_refused(tmp_path, matrix):
    raw_film(tmp_path / "a.nut", "gbrp")
    film = Film.open(tmp_path / "a.nut")
    film = replace(film, rgb=False, color=replace(film.color, matrix=matrix))
    with pytest.raises(MediaError, match=f"a.nut: the color matrix {matrix} cannot be converted"):
        images(film)


def test_a_matrix_alone_is_kept_without_primaries_and_transfer(tmp_path):
    """The segments of FFV1 are MOV files, which drop such a matrix by default."""
    raw_film(tmp_path / "a.nut", "rgb24")
    film = Film.open(tmp_path / "a.nut")
    color = replace(film.color, matrix="bt709")
    settings = EncodeSettings(codec="ffv1")
    parts = [tmp_path / "1.mov", tmp_path / "2.mov"]
    for part in parts:
        destination = tmp_path / "b.mkv"
        with Encoder(part, film.info, settings, color=color, destination=destination) as encoder:
            encoder.write(images(film)[0])
    join(parts, tmp_path / "whole.mov", film.rate)
    mux(tmp_path / "whole.mov", None, tmp_path / "b.mkv", film.rate)
    tags = Film.open(tmp_path / "b.mkv").color
    assert (tags.matrix, tags.primaries, tags.transfer) == ("bt709", None, None)
