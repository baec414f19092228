from __future__ import annotations

import os
import re
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from oldfilm.errors import MachineError, MediaError
from oldfilm.media import (
    Encoder,
    EncodeSettings,
    Film,
    decode,
    default_suffix,
    join,
    mux,
    segment_suffix,
)
from oldfilm.stage import FilmInfo

from .conftest import ffmpeg, images, moving, plane, write_raw

SMALL = FilmInfo(width=64, height=48, rate=Fraction(16), frames=3)


def encode(path, frames, info=SMALL, settings=None, **options):
    with Encoder(path, info, settings or EncodeSettings(), **options) as encoder:
        for image in frames:
            encoder.write(image)
    return encoder


def shades(info, count=3):
    rng = np.random.default_rng(1)
    coarse = rng.random((count, 1, 1, info.channels), np.float32)
    return list(np.broadcast_to(coarse, (count, info.height, info.width, info.channels)))


def codec_of(path):
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.codec.canonical_name


@pytest.mark.parametrize(
    ("name", "settings", "codec", "pixels"),
    [
        ("a.mp4", EncodeSettings(), "h264", "yuv420p"),
        ("a.mkv", EncodeSettings(), "h264", "yuv420p"),
        ("a.mov", EncodeSettings(), "prores", "yuv422p10le"),
        ("a.webm", EncodeSettings(), "vp9", "yuv420p"),
        ("a.mkv", EncodeSettings(codec="ffv1"), "ffv1", "yuv444p10le"),
        ("a.mp4", EncodeSettings(codec="h265", crf=30), "hevc", "yuv420p"),
        ("a.mkv", EncodeSettings(pix_fmt="yuv444p"), "h264", "yuv444p"),
        ("a.mov", EncodeSettings(codec="libx264"), "h264", "yuv420p"),
    ],
)
def test_the_suffix_of_the_result_selects_its_format(tmp_path, name, settings, codec, pixels):
    frames = shades(SMALL)
    encode(tmp_path / name, frames, settings=settings)
    film = Film.open(tmp_path / name)
    assert (codec_of(film.path), film.pixel_format) == (codec, pixels)
    assert (film.rate, film.frames, film.width, film.height) == (16, 3, 64, 48)
    for image, truth in zip(images(film), frames):
        assert np.abs(image - truth).mean() < 0.03


def test_crf_sets_the_quality(tmp_path, film_file):
    frames = images(Film.open(film_file))
    encode(tmp_path / "good.mp4", frames, settings=EncodeSettings(crf=10))
    encode(tmp_path / "bad.mp4", frames, settings=EncodeSettings(crf=40))
    assert (tmp_path / "good.mp4").stat().st_size > 2 * (tmp_path / "bad.mp4").stat().st_size


def test_codecs_have_a_default_suffix():
    suffixes = [default_suffix(EncodeSettings(codec=c)) for c in (None, "ffv1", "prores", "vp9")]
    assert suffixes == [".mp4", ".mkv", ".mov", ".webm"]
    assert segment_suffix(Path("a.mov"), EncodeSettings()) == ".mov"
    assert segment_suffix(Path("a.webm"), EncodeSettings()) == ".mp4"


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("a.mp4", EncodeSettings(codec="no_such_codec"), "no_such_codec"),
        ("a.mp4", EncodeSettings(pix_fmt="yuv999p"), "yuv999p"),
        ("a.mp4", EncodeSettings(pix_fmt="gbrp16le"), "`pix_fmt=gbrp16le`: libx264 takes yuv420p,"),
        ("a.mp4", EncodeSettings(crf=52), "between 0 and 51"),
        ("a.mov", EncodeSettings(crf=20), "crf"),
        (
            "a.webm",
            EncodeSettings(codec="h264"),
            ".webm files cannot hold it; .mp4 or .mov or .mkv",
        ),
        ("a.mp4", EncodeSettings(codec="vp8"), ".mp4 files cannot hold it; "),
        ("a.mkv", EncodeSettings(codec="rawvideo"), "`codec=rawvideo`: .mkv files cannot hold it"),
        (
            "a.mkv",
            EncodeSettings(codec="h261"),
            "it does not take frames of 64x48 at 16 frames per",
        ),
        ("a.mkv", EncodeSettings(codec="ffv1", pix_fmt="nv12"), "`pix_fmt=nv12`: ffv1 takes"),
        ("a.xyz", EncodeSettings(), ".xyz"),
        ("a.gif", EncodeSettings(codec="h264"), "takes no codec"),
    ],
)
def test_impossible_options_are_refused_quickly(tmp_path, name, settings, words):
    began = time.monotonic()
    with pytest.raises(MediaError) as caught, Encoder(tmp_path / name, SMALL, settings):
        raise AssertionError("it opened")
    assert time.monotonic() - began < 3  # on a busy machine
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "mjpeg"),
        ("a.mov", "mjpeg"),
        ("a.mkv", "ljpeg"),
        ("a.mkv", "vp8"),
        ("a.webm", "vp8"),
    ]
    + [("a.webm", "libaom-av1"), ("a.mov", "qtrle"), ("a.mkv", "huffyuv")],
)
@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_other_codecs_show_the_film_in_its_colors(tmp_path, name, codec, size):
    settings, path = EncodeSettings(codec=codec), tmp_path / name
    info = FilmInfo(*size, Fraction(25), 3)
    colors = np.array([(0.8, 0.2, 0.2), (0.2, 0.7, 0.3), (0.3, 0.3, 0.8)], np.float32)
    segment = tmp_path / f"segment{segment_suffix(path, settings)}"
    with Encoder(segment, info, settings, destination=path) as encoder:
        for color in colors:
            encoder.write(np.broadcast_to(color, (size[1], size[0], 3)))
    joined = tmp_path / f"joined{segment.suffix}"
    join([segment], joined, info.rate)
    assert mux(joined, None, path, info.rate) == []
    film = Film.open(path)
    assert (film.rate, film.frames) == (25, 3)
    found = [image.mean((0, 1)) for image in images(film)]
    assert np.allclose(found, colors, atol=0.03)


def test_options_can_be_checked_without_writing_a_file(tmp_path):
    Encoder(tmp_path / "a.mp4", SMALL).check()
    with pytest.raises(MediaError):
        Encoder(tmp_path / "a.mp4", SMALL, EncodeSettings(codec="no_such_codec")).check()
    assert list(tmp_path.iterdir()) == []


# Colors: flat patches survive within one code value, and tags survive exactly.

PATCHES = {  # name: pixel format, matrix, range, further tags, size
    "BT.709, limited": ("yuv420p", "bt709", "tv", "bt709", (64, 48)),
    "BT.601, limited": ("yuv420p", "smpte170m", "tv", "smpte170m", (64, 48)),
    "BT.601 of PAL, limited": ("yuv422p", "bt470bg", "tv", "bt470bg", (64, 48)),
    "BT.2020, limited": ("yuv420p10le", "bt2020nc", "tv", "bt2020", (64, 48)),
    "BT.709, full": ("yuv444p", "bt709", "pc", "bt709", (64, 48)),
    "BT.601, full": ("yuv420p", "smpte170m", "pc", "smpte170m", (64, 48)),
    "BT.709, 10 bit": ("yuv420p10le", "bt709", "tv", "bt709", (64, 48)),
    "BT.709, 10 bit, full": ("yuv444p10le", "bt709", "pc", "bt709", (64, 48)),
    "untagged, SD": ("yuv420p", None, None, None, (64, 48)),
    "untagged, HD": ("yuv420p", None, None, None, (1040, 32)),
    "untagged, 10 bit": ("yuv422p10le", None, None, None, (64, 48)),
}


def patch_film(path, pixels, matrix, span, tags, size):
    """Write flat frames in gray and in nearby colors that RGB can represent."""
    known = {"colorspace": matrix, "range": span, "color_primaries": tags, "color_trc": tags}
    if tags == "bt2020":
        known["color_trc"] = "bt2020-10"
    setting = ":".join(f"{k}={v}" for k, v in known.items() if v)
    top = 4 if "10" in pixels else 1
    lum, cb, cr = (
        f"{top}*({code})" for code in ("80+N*13", "128+16*mod(N,3)-9", "146-11*mod(N,4)")
    )
    ffmpeg("-f", "lavfi", "-i", f"color=size={size[0]}x{size[1]}:rate=16:duration=0.5,"
           f"format={pixels},geq=lum='{lum}':cb='{cb}':cr='{cr}'",
           *(["-vf", f"setparams={setting}"] if setting else []),
           *_lossless(span), path)  # fmt: skip


def _lossless(span):
    """Return lossless encoding options; FFV1 cannot be tagged as full range."""
    return ["-c:v", "libvpx-vp9", "-lossless", "1"] if span == "pc" else ["-c:v", "ffv1"]


@pytest.mark.parametrize("name", PATCHES)
def test_flat_colors_survive_within_one_code_value_and_tags_survive(tmp_path, name):
    pixels, matrix, span, tags, size = PATCHES[name]
    patch_film(tmp_path / "in.mkv", *PATCHES[name])
    film = Film.open(tmp_path / "in.mkv")
    settings = EncodeSettings(codec="ffv1", pix_fmt=pixels)
    if span == "pc":
        settings = EncodeSettings(codec="vp9", pix_fmt=pixels, crf=0)
    result = tmp_path / "out.mkv"
    encode(result, images(film), film.info, settings, color=film.color, bits=film.bits)
    difference = np.abs(plane(result, pixels) - plane(film.path, pixels))
    assert difference.max() <= 1
    color = Film.open(result).color
    if matrix:
        assert film.color.matrix == matrix
        assert color == film.color
        assert color.full_range == (span == "pc")
    else:
        usual = "bt709" if size[0] > 1024 else "smpte170m"
        assert (color.matrix, color.primaries, color.transfer) == (usual,) * 3


def test_color_tags_survive_in_h264(tmp_path):
    patch_film(tmp_path / "in.mkv", *PATCHES["BT.601, full"])
    film = Film.open(tmp_path / "in.mkv")
    encode(tmp_path / "out.mp4", images(film), film.info, color=film.color)
    assert Film.open(tmp_path / "out.mp4").color == film.color


def test_an_untagged_film_enlarged_to_hd_is_converted_and_tagged_consistently(tmp_path):
    """From SD (BT.601) to HD (BT.709), the color stays the same; its code values change."""
    color = np.zeros((1, 576, 720, 3), np.uint8) + np.array([30, 200, 60], np.uint8)
    write_raw(tmp_path / "in.mkv", color, "-vf", "scale=out_color_matrix=bt601,format=yuv444p,"
              "setparams=colorspace=unknown", "-c:v", "ffv1")  # fmt: skip
    film = Film.open(tmp_path / "in.mkv")
    large = [np.repeat(np.repeat(image, 2, 0), 2, 1) for image in images(film)]
    info = FilmInfo(width=1440, height=1152, rate=film.rate, frames=1)
    encode(tmp_path / "out.mp4", large, info, EncodeSettings(crf=1), color=film.color)
    result = Film.open(tmp_path / "out.mp4")
    assert result.color.matrix == "bt709"
    assert np.allclose(images(result)[0][99, 99] * 255, [30, 200, 60], atol=4)


@pytest.mark.parametrize("name", ["BT.709, limited", "BT.601, full", "untagged, SD"])
def test_flat_colors_survive_without_zimg(tmp_path, monkeypatch, name):
    monkeypatch.setattr("oldfilm.media.color_conversion.has_filter", lambda name: False)
    test_flat_colors_survive_within_one_code_value_and_tags_survive(tmp_path, name)


@pytest.mark.parametrize("name", ["BT.709, limited", "BT.2020, limited", "BT.709, 10 bit, full"])
def test_flat_colors_are_decoded_within_a_twentieth_of_a_code_value(tmp_path, name):
    pixels, matrix, span, _, (width, height) = PATCHES[name]
    patch_film(tmp_path / "in.mkv", *PATCHES[name])
    film = Film.open(tmp_path / "in.mkv")
    top = 2**film.bits
    flat = plane(film.path, pixels).reshape(film.frames, -1)
    size = width * height
    y, u, v = (flat[:, i].astype(float) for i in (0, size, size + (flat.shape[1] - size) // 2))
    if span == "pc":
        y, u, v = y / (top - 1), (u - top / 2) / (top - 1), (v - top / 2) / (top - 1)
    else:
        y, u, v = (
            (y * 256 / top - 16) / 219,
            (u * 256 / top - 128) / 224,
            (v * 256 / top - 128) / 224,
        )
    kr, kb = {"bt709": (0.2126, 0.0722), "bt2020nc": (0.2627, 0.0593)}[matrix]
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    for image, *truth in zip(images(film), red, green, blue):
        assert np.abs(image[20, 20] - truth).max() < 0.05 / top


@pytest.mark.parametrize("name", ["out.mkv", "out.mov"])
def test_a_codec_without_full_range_stores_the_same_colors_in_limited_range(tmp_path, name):
    patch_film(tmp_path / "in.mkv", *PATCHES["BT.709, full"])
    film = Film.open(tmp_path / "in.mkv")
    settings = EncodeSettings(codec="ffv1" if name == "out.mkv" else None)
    encoder = encode(tmp_path / name, images(film), film.info, settings, color=film.color)
    assert encoder.color.full_range is False
    for a, b in zip(images(film), images(Film.open(tmp_path / name))):
        assert np.abs(a - b).max() < 0.02


def test_ten_bits_stay_ten_bits(tmp_path):
    ffmpeg(*moving(), "-pix_fmt", "yuv420p10le", "-c:v", "ffv1", tmp_path / "in.mkv")
    film = Film.open(tmp_path / "in.mkv")
    encode(tmp_path / "out.mp4", images(film), film.info, color=film.color, bits=film.bits)
    assert Film.open(tmp_path / "out.mp4").pixel_format == "yuv420p10le"


@pytest.mark.parametrize(("pixels", "bits"), [("gray", 8), ("gray10le", 10), ("gray16le", 16)])
def test_gray_survives_within_one_code_value(tmp_path, pixels, bits):
    top = 2**bits // 256
    ffmpeg("-f", "lavfi", "-i", f"color=size=256x16:rate=16:duration=0.125,format={pixels},"
           f"geq=lum='X*{top}'", "-c:v", "ffv1", tmp_path / "in.mkv")  # fmt: skip
    film = Film.open(tmp_path / "in.mkv")
    assert (film.gray, film.bits) == (True, bits)
    settings = EncodeSettings(codec="ffv1", pix_fmt=pixels)
    encode(tmp_path / "out.mkv", images(film), film.info, settings, bits=bits)
    a, b = (plane(tmp_path / name, pixels) for name in ("in.mkv", "out.mkv"))
    assert np.abs(a - b).max() <= 1
    encode(tmp_path / "out.mp4", images(film), film.info, EncodeSettings(crf=1), bits=bits)
    result = Film.open(tmp_path / "out.mp4")
    assert result.color.full_range is False
    gray = images(result)[0]
    assert np.abs(gray - images(film)[0]).max() < 2.5 / 255


def test_sample_aspect_and_exact_rate_survive(tmp_path):
    info = FilmInfo(60, 48, Fraction(24000, 1001), 30, sample_aspect=Fraction(16, 15))
    for name in ("a.mp4", "a.mkv", "a.mov", "a.webm"):
        encode(tmp_path / name, shades(info, 30), info)
        film = Film.open(tmp_path / name)
        assert (film.rate, film.sample_aspect) == (Fraction(24000, 1001), Fraction(16, 15))
        assert (film.frames, film.variable_rate) == (30, False)


@pytest.mark.parametrize(
    ("name", "size", "padded"),
    [
        ("a.mp4", (63, 47), (1, 1)),
        ("a.mp4", (64, 47), (0, 1)),
        ("a.mov", (63, 47), (1, 0)),
        ("a.mkv", (63, 47), (0, 0)),
    ],
)
def test_odd_sizes_are_padded_if_the_pixel_format_requires_it(tmp_path, name, size, padded):
    info = FilmInfo(*size, Fraction(16), 3)
    codec = EncodeSettings(codec="ffv1" if name == "a.mkv" else None)
    frames = shades(info)
    encoder = encode(tmp_path / name, frames, info, codec)
    assert encoder.padded == padded
    film = Film.open(tmp_path / name)
    assert (film.width, film.height) == (size[0] + padded[0], size[1] + padded[1])
    for image, truth in zip(images(film), frames):
        assert np.abs(image - truth[0, 0]).max() < 0.04  # including the padding


# Results, complete or not at all


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "h264"), ("a.mp4", "h265"), ("a.webm", "vp9"), ("a.mp4", "av1")]
)
def test_the_number_of_processors_does_not_change_the_frames(tmp_path, film_file, name, codec):
    processors = os.sched_getaffinity(0)
    if len(processors) < 2:
        pytest.skip("there is but one processor")
    film = Film.open(film_file)
    made = []
    for count in (1, len(processors)):
        os.sched_setaffinity(0, sorted(processors)[:count])
        try:
            encode(tmp_path / name, images(film, 0, 16), film.info, EncodeSettings(codec=codec))
        finally:
            os.sched_setaffinity(0, processors)
        made.append(np.stack(images(Film.open(tmp_path / name))))
    assert np.array_equal(*made)


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"an older result")
    with pytest.raises(RuntimeError), Encoder(path, SMALL) as encoder:
        encoder.write(shades(SMALL)[0])
        raise RuntimeError
    assert path.read_bytes() == b"an older result"
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_a_full_disk_is_reported(small_disk):
    rng = np.random.default_rng(0)
    noise = rng.random((240, 320, 3), np.float32)
    info = FilmInfo(320, 240, Fraction(16), 100)
    with pytest.raises(MachineError, match="disk is full"):
        encode(small_disk / "a.mkv", [noise] * 100, info, EncodeSettings(codec="ffv1"))
    assert not (small_disk / "a.mkv").exists()


def test_a_missing_folder_is_reported(tmp_path):
    with pytest.raises(MediaError, match=re.escape(str(tmp_path / "no" / "a.mp4"))):
        encode(tmp_path / "no" / "a.mp4", shades(SMALL))


def test_a_frame_of_the_wrong_size_raises_a_value_error(tmp_path):
    with pytest.raises(ValueError, match="film"):
        encode(tmp_path / "a.mp4", [np.zeros((10, 10, 3), np.float32)])


def test_decoding_and_encoding_run_at_the_same_time(tmp_path, film_file):
    film = Film.open(film_file)
    with Encoder(tmp_path / "a.mp4", film.info) as encoder:
        for frame in decode(film):
            encoder.write(frame.image)
    assert Film.open(tmp_path / "a.mp4").frames == 48
