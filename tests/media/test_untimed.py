"""Films without time stamps: the rate is the file's, the user's, or assumed with a note."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oldfilm.errors import MediaError
from oldfilm.media import Film, analyze

from .conftest import ffmpeg, images, loudness, moving, restore

UNRATED = {
    "a.mjpeg": ["-c:v", "mjpeg"],
    "a.hevc": ["-c:v", "libx265", "-x265-params", "log-level=none:vui-timing-info=0"],
    "a.obu": ["-c:v", "libsvtav1", "-preset", "12"],
}
RATED = {
    "a.h264": ["-c:v", "libx264", "-bf", "2"],
    "a.m2v": ["-c:v", "mpeg2video", "-bf", "2"],
    "a.h263": ["-c:v", "h263"],
    "a.drc": ["-c:v", "vc2", "-pix_fmt", "yuv420p"],
}


def raw(folder: Path, name: str, codec: list[str]) -> Path:
    ffmpeg(*moving("30000/1001", 0.5, "176x144"), *codec, folder / name)
    return folder / name


@pytest.mark.parametrize("name", UNRATED)
def test_a_rate_that_is_stored_nowhere_is_assumed_with_a_note_or_given(tmp_path, name):
    path = raw(tmp_path, name, UNRATED[name])
    film, slow = Film.open(path), Film.open(path, Fraction(18))
    assert (film.rate, film.frames, film.variable_rate) == (25, 15, False)
    assert len(film.notes) == 1
    assert "25 frames per second are assumed; `input_fps` sets another" in film.notes[0]
    assert (slow.rate, slow.frames, slow.notes) == (18, 15, ())
    assert len(images(slow)) == 15


@pytest.mark.parametrize("name", RATED)
def test_a_stored_rate_counts_and_no_other_is_taken(tmp_path, name):
    path = raw(tmp_path, name, RATED[name])
    film = Film.open(path)
    assert (film.rate, film.variable_rate, film.notes) == (Fraction(30000, 1001), False, ())
    assert analyze(film).frames == 15
    with pytest.raises(MediaError, match="a rate of its own"):
        Film.open(path, Fraction(18))


def test_the_assumed_rate_of_a_folder_is_noted(tmp_path):
    for number in (1, 2):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / f"{number}.png")
    assert "25 frames per second are assumed" in " ".join(Film.open(tmp_path).notes)
    assert Film.open(tmp_path, Fraction(18)).notes == ()


@pytest.mark.parametrize(("rate", "size"), [("25", "720x576"), ("30000/1001", "720x480")])
def test_gxf_keeps_all_frames_at_the_exact_rate_even_joined(tmp_path, rate, size):
    one, two = tmp_path / "a.gxf", tmp_path / "b.gxf"
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=0.8"]
    picture = ["-c:v", "mpeg2video", "-g", 12, "-q:v", 20]
    ffmpeg(*moving(rate, 0.8, size), *tone, *picture, "-c:a", "pcm_s16le", one)
    two.write_bytes(2 * one.read_bytes())
    film, joined = Film.open(one), Film.open(two)
    frames = round(float(Fraction(rate)) * 0.8)
    assert (film.frames, film.rate, film.variable_rate) == (frames, Fraction(rate), False)
    assert analyze(film).notes == []
    assert (joined.frames, joined.rate) == (2 * frames, Fraction(rate))
    assert "joined without a gap" in joined.notes[0]
    restore(joined, tmp_path / "c.mkv")
    assert len(images(Film.open(tmp_path / "c.mkv"))) == 2 * frames
    assert loudness(tmp_path / "c.mkv")[8000:11000].mean() > 0.05  # The sound of the second part.
