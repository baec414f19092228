"""File names with characters that are special in shells, patterns and ffmpeg."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from oldfilm.media import (
    Encoder,
    Film,
    analyze,
    decode,
    join,
    mux,
    read_photograph,
    segment_suffix,
    write_photograph,
)
from oldfilm.media.codecs import EncodeSettings

from .conftest import ffmpeg, moving

NAMES = [
    "with spaces; a semicolon & more",
    'it\'s "quoted"',
    "100%d of %05d",
    "-leading.dots.in.the.v1.name",
    "老电影 1906",
    "back\\slash: [x] {y} $HOME `z` | star*?",
]
if os.name == "nt":
    NAMES = [n for n in NAMES if not set(n) & set('\\:|*?"')]


def copy_film(film, folder, name):
    destination = folder / name
    segments = []
    for number, bounds in enumerate([(0, 5), (5, 9)]):
        segment = (
            folder / f"{number} {destination.stem}{segment_suffix(destination, EncodeSettings())}"
        )
        with Encoder(segment, film.info, destination=destination) as encoder:
            for frame in decode(film, *bounds):
                encoder.write(frame.image)
        segments.append(segment)
    joined = folder / f"joined {destination.stem}{segments[0].suffix}"
    join(segments, joined, film.rate)
    mux(joined, film, destination, film.rate)
    return Film.open(destination)


@pytest.mark.parametrize("name", NAMES)
def test_a_film_of_any_name_can_be_read_and_written(tmp_path, name):
    ffmpeg(
        *moving(), "-f", "lavfi", "-i", "sine=duration=1", "-frames:v", 9, tmp_path / "plain.mkv"
    )
    folder = tmp_path / name
    folder.mkdir()
    source = folder / f"{name}.mkv"
    (tmp_path / "plain.mkv").rename(source)
    film = Film.open(source)
    assert analyze(film).frames == 9
    result = copy_film(film, folder, f"{name} out.mp4")
    assert (result.frames, len(result.audio)) == (9, 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_gif_and_images_of_any_name_can_be_written(tmp_path, name):
    ffmpeg(*moving(), "-frames:v", 9, tmp_path / "plain.mkv")
    folder = tmp_path / name
    folder.mkdir()
    film = Film.open(tmp_path / "plain.mkv")
    assert copy_film(film, folder, f"{name}.gif").frames == 9
    mux(tmp_path / "plain.mkv", film, folder / name / "%08d.png", film.rate)
    assert Film.open(folder / name).frames == 9


@pytest.mark.parametrize("name", NAMES)
def test_a_photograph_of_any_name_can_be_read_and_written(tmp_path, name):
    path = tmp_path / f"{name}.png"
    write_photograph(path, np.ones((4, 4, 3), np.float32))
    assert read_photograph(path).image.shape == (4, 4, 3)


def test_a_relative_name_may_begin_with_a_minus(tmp_path, monkeypatch, film_file):
    monkeypatch.chdir(tmp_path)
    film_file.rename("-i.mkv")
    film = Film.open("-i.mkv")
    assert len(list(decode(film, 3, 5))) == 2


def test_a_name_runs_no_command(tmp_path):
    ffmpeg(*moving(), "-frames:v", 9, tmp_path / "plain.mkv")
    source = tmp_path / "a; touch stolen; #$(touch stolen).mkv"
    (tmp_path / "plain.mkv").rename(source)
    copy_film(Film.open(source), tmp_path, "b; touch stolen; #.mp4")
    assert not list(tmp_path.glob("**/stolen"))


def test_importing_media_imports_no_heavy_library():
    heavy = "{'av', 'scenedetect', 'paddle', 'imageio_ffmpeg', 'PIL', 'torch'}"
    code = f"import sys, oldfilm.media; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_rate_of_a_folder_is_exact(tmp_path):
    (tmp_path / "f").mkdir()
    write_photograph(tmp_path / "f" / "1.png", np.ones((4, 4, 3), np.float32))
    assert Film.open(tmp_path / "f", rate=Fraction(24000, 1001)).rate == Fraction(24000, 1001)
