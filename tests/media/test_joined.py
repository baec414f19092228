"""A note says where a file holds a second film that is not read, joined with `cat` or `copy /b`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import oldfilm
from oldfilm.errors import MediaError
from oldfilm.media import Film
from tests.films import ffmpeg, make_film

from .conftest import loudness

H264 = ("-c:v", "libx264", "-preset", "ultrafast")
SPLIT = {
    "mp4": (*H264, "-c:a", "aac"),
    "m4v": (*H264, "-c:a", "aac", "-movflags", "faststart"),
    "mov": ("-c:v", "mjpeg", "-c:a", "pcm_s16le"),
    "3gp": (*H264, "-c:a", "aac"),
    "wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "flv": ("-c:v", "flv", "-c:a", "libmp3lame", "-ar", "44100"),
    "wtv": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "y4m": ("-an",),
    "rm": ("-c:v", "rv10", "-c:a", "ac3"),
}
FRAGMENTS = (*H264, "-g", "4", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov")
REFUSED = {
    "nut": (*H264, "-c:a", "aac"),
    "ivf": ("-an", "-c:v", "libvpx"),
    "mxf": ("-c:v", "mpeg2video", "-c:a", "pcm_s16le", "-ar", "48000"),
    "mp4": FRAGMENTS,
    "m4v": ("-an", *FRAGMENTS[:-1], "dash+delay_moov+frag_keyframe"),
}
WHOLE = {
    "avi": ("-c:v", "mpeg4", "-c:a", "pcm_s16le"),
    "mkv": (*H264, "-c:a", "aac"),
    "webm": ("-c:v", "libvpx", "-c:a", "libvorbis"),
    "m2v": ("-an", "-c:v", "mpeg2video"),
    "gif": ("-an",),
}


def part(path: Path, options: tuple[str, ...]) -> Path:
    source = make_film(path.with_name("source.mkv"), frames=12, size=(64, 48), sound=True)
    ffmpeg("-i", source, "-r", "25", *options, path)
    return path


@pytest.mark.parametrize("suffix", SPLIT)
def test_a_note_says_where_a_second_film_begins(tmp_path: Path, suffix: str) -> None:
    first = part(tmp_path / f"first.{suffix}", SPLIT[suffix])
    assert not Film.open(first).notes
    both = tmp_path / f"both.{suffix}"
    both.write_bytes(first.read_bytes() * 2)
    (note,) = Film.open(both).notes
    assert f"a second film begins after {first.stat().st_size:,} bytes" in note
    assert "cut the file there" in note


@pytest.mark.parametrize("suffix", WHOLE)
def test_both_parts_are_read_where_ffmpeg_reads_on(tmp_path: Path, suffix: str) -> None:
    first = part(tmp_path / f"first.{suffix}", WHOLE[suffix])
    both = tmp_path / f"both.{suffix}"
    both.write_bytes(first.read_bytes() * 2)
    film = Film.open(both)
    assert film.frames == 2 * Film.open(first).frames
    assert not any("second film" in note for note in film.notes)


@pytest.mark.parametrize("suffix", REFUSED)
def test_joined_files_are_refused_where_ffmpeg_reads_a_part(tmp_path: Path, suffix: str) -> None:
    first = part(tmp_path / f"first.{suffix}", REFUSED[suffix])
    assert Film.open(first).notes == ()
    both = tmp_path / f"both.{suffix}"
    both.write_bytes(first.read_bytes() * 2)
    with pytest.raises(MediaError, match=f"begins after {first.stat().st_size:,} bytes.*cut the"):
        Film.open(both)


def chained(path: Path, *qualities: int) -> Path:
    """Write links of 1 s at 25 frames per second, each with another sound, one after the other."""
    film = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=1,hue=H=t"]
    data = b""
    for i, quality in enumerate(qualities):
        tone = f"sine=frequency={440 * (i + 1)}:duration=1"
        codecs = ["-c:v", "libtheora", "-c:a", "libvorbis", "-q:a", quality]
        link = path.with_name(f"link{i}.ogv")
        ffmpeg(*film, "-f", "lavfi", "-i", tone, *codecs, "-serial_offset", 100 * i, link)
        data += link.read_bytes()
    path.write_bytes(data)
    return path


def test_all_links_of_chained_ogg_are_one_film(tmp_path: Path) -> None:  # as web radio is recorded
    film = Film.open(chained(tmp_path / "a.ogv", 3, 3, 3))
    assert (film.rate, film.frames, len(film.audio)) == (25, 75, 1)
    assert film.notes == ("the file is a chain of 3 Ogg films: they were joined without a gap",)
    summary = oldfilm.restore(film.path, "Sharpen", tmp_path / "b.mp4", start=1, duration="1.8")
    assert film.notes[0] in summary.notes
    result = Film.open(summary.path)
    assert (result.frames, len(result.audio)) == (45, 1)
    sound = loudness(summary.path, 8000)
    assert 14000 < len(sound) < 15000
    for begin, tone in ((2000, 880), (9000, 1320)):
        spectrum = np.abs(np.fft.rfft(sound[begin : begin + 4000]))
        assert abs(int(spectrum[5:].argmax()) + 5 - tone) < 5  # twice the pitch, in steps of 2 Hz


def test_links_that_one_decoder_cannot_read_are_refused(tmp_path: Path) -> None:
    words = (
        "2 Ogg films whose sound is coded in different ways; .*: cut the file there, and restore"
    )
    with pytest.raises(MediaError, match=f"{words} both parts"):
        Film.open(chained(tmp_path / "a.ogv", 3, 7))


def test_chained_ogg_without_pictures_is_not_a_film(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "libvorbis", tmp_path / "a.ogg")
    (tmp_path / "b.ogg").write_bytes((tmp_path / "a.ogg").read_bytes() * 2)
    with pytest.raises(MediaError, match="this file has no video stream"):
        Film.open(tmp_path / "b.ogg")


def test_fragments_after_an_ordinary_mp4_are_refused(tmp_path: Path) -> None:
    first = part(tmp_path / "first.mp4", SPLIT["mp4"])
    second = part(tmp_path / "second.mp4", FRAGMENTS)
    both = tmp_path / "both.mp4"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(MediaError, match=f"begins after {first.stat().st_size:,} bytes"):
        Film.open(both)


def test_segments_of_a_stream_with_a_header_each_are_one_film(tmp_path: Path) -> None:
    cut = ("-g", "4", "-hls_time", "0.16", "-hls_segment_type", "fmp4", "-hls_playlist_type", "vod")
    part(tmp_path / "list.m3u8", (*H264, "-c:a", "aac", "-f", "hls", *cut))
    header = (tmp_path / "init.mp4").read_bytes()
    segments = sorted(tmp_path.glob("list*.m4s"), key=lambda p: int(p.stem[4:]))
    (tmp_path / "film.mp4").write_bytes(b"".join(header + p.read_bytes() for p in segments))
    film = Film.open(tmp_path / "film.mp4")
    assert len(segments) > 2
    assert (film.frames, film.notes) == (19, ())


def test_quicktime_without_a_file_type_is_noticed_too(tmp_path: Path) -> None:
    data = part(tmp_path / "first.mov", SPLIT["mov"]).read_bytes()
    old = data[:4] + b"free" + data[8:]
    path = tmp_path / "both.mov"
    path.write_bytes(old + old)
    (note,) = Film.open(path).notes
    assert re.search(f"after {len(old):,} bytes", note)


def test_the_summary_has_the_note(tmp_path: Path) -> None:
    first = part(tmp_path / "first.mp4", SPLIT["mp4"])
    both = tmp_path / "both.mp4"
    both.write_bytes(first.read_bytes() * 2)
    summary = oldfilm.restore(both, ["Sharpen"], output=tmp_path / "out.mp4")
    assert any("a second film begins" in note for note in summary.notes)
