"""Closed captions inside the frames of a film become a subtitle track."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from oldfilm.media import Film
from oldfilm.media.ffmpeg import executable, url

from .conftest import ffmpeg, moving, restore

RATE = Fraction(30000, 1001)
KEPT = [
    "the closed captions of the frames became subtitle track 1: one channel of CEA-608, without "
    "its colors and positions; other channels and CEA-708 are left out"
]


def caption_pairs(text: str) -> list[tuple[int, int]]:
    """Return the characters of a pop-on caption (CEA-608), two for each frame."""
    load, show = [(0x14, 0x20), (0x14, 0x2E), (0x14, 0x60)], [(0x14, 0x2F)]
    text += " " * (len(text) % 2)
    written = [(ord(a), ord(b)) for a, b in zip(text[::2], text[1::2])]
    return [*(code for code in load for _ in range(2)), *written, *show * 2]


def captioned(folder: Path, pairs: list[tuple[int, int]], seconds: float = 3) -> Path:
    """Write an MPEG-2 stream with captions (ATSC A/53), and return it."""
    path = folder / "a.m2v"
    ffmpeg(*moving(RATE, seconds), "-c:v", "mpeg2video", "-q:v", 2, "-bf", 0, path)
    first, *pictures = path.read_bytes().split(b"\0\0\1\1")  # before the first slice of each
    out = first
    for i, picture in enumerate(pictures):
        codes = pairs[i] if i < len(pairs) else (0, 0)
        odd = bytes(c | 0x80 * (bin(c).count("1") % 2 == 0) for c in codes)
        out += b"\0\0\1\xb2GA94\x03\x41\xff\xfc" + odd + b"\xff\0\0\1\1" + picture
    path.write_bytes(out)
    return path


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    """Captions from 0.4 to 1.401 s, and from 1.768 s on."""
    clear = [(0x14, 0x2C)] * 2
    return captioned(
        tmp_path, [*caption_pairs("HELLO WORLD"), *[(0, 0)] * 28, *clear, *caption_pairs("SECOND")]
    )


def subtitles(path: Path) -> str:
    command = [executable(), "-v", "error", "-i", url(path), "-map", "0:s", "-f", "srt", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout.decode()


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm"])
def test_captions_become_subtitles(tmp_path, stream, suffix):
    source = tmp_path / "it's [a] 50% test,1;2.mp4"
    ffmpeg("-r", RATE, "-i", stream, "-c:v", "libx264", "-a53cc", 1, source)
    assert restore(Film.open(source), tmp_path / f"out{suffix}") == KEPT
    text = subtitles(tmp_path / f"out{suffix}")
    assert "00:00:00,400 --> 00:00:01,401\nHELLO WORLD\n" in text
    assert "00:00:01,768 --> 00:00:02,135" in text
    assert Film.open(tmp_path / f"out{suffix}").subtitles[0].title == "Closed captions"


def test_captions_of_a_stream_without_times_are_read(tmp_path, stream):
    assert restore(Film.open(stream), tmp_path / "out.mkv") == KEPT
    assert "HELLO WORLD" in subtitles(tmp_path / "out.mkv")


def test_captions_of_a_part_and_of_a_late_clock_are_in_time(tmp_path, stream):
    late = ["-output_ts_offset", 5, "-f", "mpegts", tmp_path / "a.ts"]
    ffmpeg("-r", RATE, "-i", stream, "-c:v", "libx264", *late)
    film = Film.open(tmp_path / "a.ts")
    restore(film, tmp_path / "whole.mkv")
    assert "00:00:01,768 --> " in subtitles(tmp_path / "whole.mkv")
    part = {"start": 20 / RATE, "duration": 60 / RATE}
    restore(film, tmp_path / "part.mkv", 20, 80, **part)
    assert "00:00:01,101 --> " in subtitles(tmp_path / "part.mkv")


def test_slow_motion_names_lost_captions(tmp_path, stream):
    notes = restore(Film.open(stream), tmp_path / "out.mkv", slowdown=Fraction(2))
    assert [note for note in notes if "closed captions" in note and "left out" in note]
