"""The alpha channel of a film is decoded exactly, and kept where the result can hold it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oldfilm.media import (
    EncodeSettings,
    Film,
    analyze,
    decode,
    decode_alpha,
    deinterlaced,
    keeps_alpha,
)
from oldfilm.media.ffmpeg import executable, url

from .conftest import ffmpeg, moving, restore

FRAMES, WIDTH, HEIGHT = 6, 64, 48
WIDE = slice(34, 62)
"""Columns away from the edges of the test picture, which codecs blur."""

SOURCES = {
    "qtrle.mov": ["-c:v", "qtrle"],
    "png.mov": ["-c:v", "png"],
    "png16.mov": ["-c:v", "png", "-pix_fmt", "rgba64be"],
    "prores.mov": ["-c:v", "prores_ks", "-pix_fmt", "yuva444p10le", "-alpha_bits", 16],
    "vp9.webm": ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-b:v", 0, "-crf", 10],
    "vp8.webm": ["-c:v", "libvpx", "-pix_fmt", "yuva420p", "-b:v", "2M", "-auto-alt-ref", 0],
    "ffv1.mkv": ["-c:v", "ffv1", "-pix_fmt", "yuva444p"],
    "ffv1.avi": ["-c:v", "ffv1", "-pix_fmt", "gbrap16le"],
    "utvideo.avi": ["-c:v", "utvideo", "-pix_fmt", "gbrap"],
    "a.apng": [],
}


def pictures() -> np.ndarray:
    """Return uint8 [t, h, w, 4] with alpha 0, then 255, then a ramp that rises by 1 a frame."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    out = np.zeros((FRAMES, HEIGHT, WIDTH, 4), np.uint8)
    for i in range(FRAMES):
        out[i, ..., 0], out[i, ..., 1], out[i, ..., 2] = x * 4, y * 5, 40 * i
        out[i, ..., 3] = np.where(
            x < 16, 0, np.where(x < 32, 255, np.clip((x - 32) * 7 + i, 0, 255))
        )
    return out


def transparent(path: Path, *options: object) -> Film:
    """Write `pictures` with ffmpeg."""
    raw = ["-f", "rawvideo", "-pix_fmt", "rgba", "-s", f"{WIDTH}x{HEIGHT}", "-r", "25", "-i", "-"]
    command = [executable(), "-y", "-v", "error", *raw, *map(str, options), url(path)]
    subprocess.run(command, check=True, input=pictures().tobytes())
    return Film.open(path)


def alpha(film: Film, *bounds: int) -> np.ndarray:
    return np.stack([frame.image for frame in decode_alpha(film, *bounds)])


@pytest.mark.parametrize("name", SOURCES)
def test_alpha_is_decoded_exactly(tmp_path, name):
    film = transparent(tmp_path / name, *SOURCES[name])
    assert film.alpha
    found, right = alpha(film), pictures()[..., 3] / 255
    assert found.shape == right.shape
    assert np.abs(found - right)[..., WIDE].max() < 2.5 / 255
    assert found[..., 24].min() > 0.9999
    assert found[..., 8].max() < 0.02
    assert np.array_equal(alpha(film, 2, 5), found[2:5])


@pytest.mark.parametrize(
    ("destination", "codec"),
    [
        ("out.mov", None),
        ("out.webm", None),
        ("out.mkv", "vp9"),
        ("out.mkv", "ffv1"),
        ("out.mov", "qtrle"),
        ("out.mov", "png"),
    ],
)
@pytest.mark.parametrize("name", ["qtrle.mov", "vp9.webm"])
def test_alpha_is_kept_where_the_result_holds_it(tmp_path, name, destination, codec):
    film = transparent(tmp_path / name, *SOURCES[name])
    assert restore(film, tmp_path / destination, codec=codec) == []
    result = Film.open(tmp_path / destination)
    assert (result.frames, result.rate) == (FRAMES, 25)
    assert np.abs(alpha(result) - alpha(film)).max() < 0.001


@pytest.mark.parametrize("suffix", [".png", ".tif", ".dpx", ".exr"])
def test_alpha_is_kept_in_numbered_pictures_and_read_from_them(tmp_path, suffix):
    film = transparent(tmp_path / "a.mov", *SOURCES["png16.mov"])
    restore(film, tmp_path / "out" / f"%04d{suffix}")
    folder = Film.open(tmp_path / "out")
    assert folder.alpha
    assert np.abs(alpha(folder) - alpha(film)).max() < 0.0001
    assert np.array_equal(alpha(folder, 2, 4), alpha(folder)[2:4])


def test_a_note_names_the_few_transparent_frames_of_a_folder(tmp_path):
    for number in range(90):
        picture = Image.new("RGBA", (16, 8), (200, 10, 10, 255 if number != 40 else 99))
        picture.save(tmp_path / f"{number:04}.png")
    film = Film.open(tmp_path)
    (note,) = analyze(film).notes
    assert "left out of 1 of 90 frames (0040.png), since most frames have none: transp" in note


def test_colors_are_the_same_with_and_without_alpha(tmp_path):
    film = transparent(tmp_path / "a.mov", *SOURCES["png.mov"])
    restore(film, tmp_path / "with.mkv", codec="ffv1")
    ffmpeg("-i", film.path, "-pix_fmt", "rgb24", "-c:v", "png", tmp_path / "opaque.mov")
    restore(Film.open(tmp_path / "opaque.mov"), tmp_path / "without.mkv", codec="ffv1")
    both = [Film.open(tmp_path / name) for name in ("with.mkv", "without.mkv")]
    assert [film.alpha for film in both] == [True, False]
    for one, other in zip(*map(decode, both)):
        assert np.array_equal(one.image, other.image)


def test_a_transparent_gif_stays_one(tmp_path):
    film = transparent(tmp_path / "a.mov", *SOURCES["png.mov"])
    notes = restore(film, tmp_path / "a.gif")
    assert notes == ["a GIF shows a pixel or does not: half transparency was rounded"]
    gif = Film.open(tmp_path / "a.gif")
    assert np.array_equal(alpha(gif), np.rint(alpha(film)))
    assert restore(gif, tmp_path / "b.gif") == []
    assert np.array_equal(alpha(Film.open(tmp_path / "b.gif")), alpha(gif))


@pytest.mark.parametrize(
    ("destination", "codec"),
    [("out.mp4", None), ("out.mp4", "vp9"), ("out.mkv", None), ("out.mov", "h264")],
)
def test_a_note_says_which_results_would_keep_alpha(tmp_path, destination, codec):
    film = transparent(tmp_path / "a.mov", *SOURCES["png.mov"])
    notes = restore(film, tmp_path / destination, codec=codec)
    assert len(notes) == 1
    assert "transparency (alpha channel); a .mov (ProRes 4444), .webm (VP9)" in notes[0]
    assert not keeps_alpha(tmp_path / destination, EncodeSettings(codec), 8)


@pytest.mark.parametrize(("choice", "frames"), [("on", FRAMES), ("double", 2 * FRAMES)])
def test_alpha_is_deinterlaced_with_the_film(tmp_path, choice, frames):
    options = ["-vf", "setfield=tff", "-flags", "+ildct", *SOURCES["prores.mov"]]
    film, _ = deinterlaced(transparent(tmp_path / "a.mov", *options), choice)
    assert len(alpha(film)) == len(list(decode(film))) == frames
    assert np.abs(alpha(film)[0] - pictures()[0, ..., 3] / 255)[..., WIDE].max() < 0.01


def test_opaque_films_get_no_alpha(tmp_path):
    ffmpeg(*moving("25", 0.2), tmp_path / "a.gif")
    film = Film.open(tmp_path / "a.gif")
    assert not film.alpha
    assert restore(film, tmp_path / "out.mov") == []
    assert not Film.open(tmp_path / "out.mov").alpha


def test_a_webm_with_alpha_keeps_a_fractional_rate(tmp_path):
    film = transparent(tmp_path / "a.mov", "-c:v", "qtrle")
    ffmpeg("-r", "24000/1001", "-i", film.path, "-c:v", "qtrle", tmp_path / "ntsc.mov")
    film = Film.open(tmp_path / "ntsc.mov")
    restore(film, tmp_path / "out.webm")
    assert Film.open(tmp_path / "out.webm").rate == film.rate
