from __future__ import annotations

import re
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest

from oldfilm.errors import MediaError
from oldfilm.media import Film, mux
from oldfilm.media.ffmpeg import executable
from tests.films import bitmap_subtitle

from .conftest import COUNTS_CHAPTERS, ffmpeg, images, loudness, moving, packets, restore

SUBTITLES = (
    "1\n00:00:00,500 --> 00:00:01,000\nHello\n\n2\n00:00:01,500 --> 00:00:02,000\n你好, world\n"
)
CHAPTERS = (
    ";FFMETADATA1\ntitle=My film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=3000\ntitle=Two\n"
)


def add_tracks(path, *inputs, options=()):
    """Write a film of 3 s at 16 fps with the tracks of further inputs."""
    arguments = [a for i in inputs for a in i]
    maps = [a for i in range(len(inputs) + 1) for a in ("-map", i)]
    ffmpeg(*moving(), *arguments, *maps, "-c:v", "libx264", *options, path)
    return Film.open(path)


SINE = ["-f", "lavfi", "-i", "sine=frequency=440:duration=3"]
HIGH = ["-f", "lavfi", "-i", "sine=frequency=880:duration=3"]


@pytest.mark.parametrize(
    ("source", "codec", "result"),
    [
        ("in.mkv", "aac", "out.mkv"),
        ("in.mp4", "aac", "out.mp4"),
        ("in.mp4", "aac", "out.mkv"),
        ("in.mkv", "aac", "out.mp4"),
        ("in.mkv", "aac", "out.mov"),
        ("in.mkv", "libvorbis", "out.webm"),
        ("in.mkv", "libopus", "out.mp4"),
        ("in.mkv", "libmp3lame", "out.mp4"),
        ("in.mkv", "flac", "out.mkv"),
        ("in.mov", "pcm_s16le", "out.mov"),
        ("in.avi", "pcm_s16le", "out.mkv"),
        ("in.mkv", "ac3", "out.mp4"),
    ],
)
def test_sound_is_copied_bit_for_bit_if_the_container_accepts_it(tmp_path, source, codec, result):
    film = add_tracks(tmp_path / source, SINE, options=["-c:a", codec])
    assert restore(film, tmp_path / result) == []
    assert packets(tmp_path / result) == packets(film.path)
    assert abs(Film.open(tmp_path / result).duration - 3) < Fraction(1, 32)


@pytest.mark.parametrize("rate", ["24000/1001", "25/2", "16", "30000/1001"])
@pytest.mark.parametrize("result", ["out.mp4", "out.mkv"])
def test_sound_survives_a_fractional_frame_rate(tmp_path, rate, result):
    ffmpeg(*moving(rate, 4), *SINE, "-c:v", "libx264", "-c:a", "aac", tmp_path / "in.mkv")
    film = Film.open(tmp_path / "in.mkv")
    assert restore(film, tmp_path / result) == []
    with av.open(str(tmp_path / result)) as container:
        duration = Fraction(container.duration, 1_000_000)
    assert abs(duration - film.duration) <= 1 / (2 * film.rate)
    assert packets(tmp_path / result) == packets(film.path)
    assert Film.open(tmp_path / result).rate == Fraction(rate)


@pytest.mark.parametrize(
    ("result", "codec", "becomes"),
    [("out.mp4", "pcm_s16le", "alac"), ("out.webm", "aac", "opus"), ("out.mov", "flac", "alac")],
)
def test_sound_that_a_container_cannot_hold_is_converted_and_reported(
    tmp_path, result, codec, becomes
):
    film = add_tracks(tmp_path / "in.mkv", SINE, options=["-c:a", codec])
    notes = restore(film, tmp_path / result)
    assert len(notes) == 1
    assert f"{codec} to {becomes}" in notes[0]
    assert [t.codec for t in Film.open(tmp_path / result).audio] == [becomes]


def test_all_sound_tracks_keep_their_languages(tmp_path):
    languages = ["-metadata:s:a:0", "language=fra", "-metadata:s:a:1", "language=deu"]
    film = add_tracks(tmp_path / "in.mkv", SINE, HIGH, options=["-c:a", "aac", *languages])
    for name in ("out.mkv", "out.mp4"):
        assert restore(film, tmp_path / name) == []
        result = Film.open(tmp_path / name)
        assert [t.language for t in result.audio] == ["fra", "deu"]
        for number in range(2):
            ours, theirs = (packets(p, "audio", number) for p in (result.path, film.path))
            assert ours == theirs


@pytest.fixture
def rich_film(tmp_path):
    """A film with sound, two subtitle tracks, chapters, a title and an attached file."""
    (tmp_path / "s.srt").write_text(SUBTITLES, encoding="utf-8")
    (tmp_path / "c.txt").write_text(CHAPTERS, encoding="utf-8")
    text = ["-i", tmp_path / "s.srt"]
    options = ["-map_metadata", 4, "-map_chapters", 4, "-attach", tmp_path / "s.srt"]
    options += ["-metadata:s:t", "mimetype=text/plain", "-c:a", "aac", "-c:s:0", "srt"]
    options += ["-c:s:1", "ass", "-metadata:s:s:0", "language=eng"]
    arguments = [*moving(), *SINE, *text, *text, "-i", tmp_path / "c.txt"]
    maps = ["-map", 0, "-map", 1, "-map", 2, "-map", 3]
    ffmpeg(*arguments, *maps, "-c:v", "libx264", *options, tmp_path / "rich.mkv")
    return Film.open(tmp_path / "rich.mkv")


def chapters(path):
    """Return the title and start, in seconds, of every chapter."""
    command = [executable(), "-v", "error", "-i", f"file:{path}", "-f", "ffmetadata", "-"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()
    pattern = r"TIMEBASE=(\S+)\nSTART=(\d+)\nEND=\d+\ntitle=(.*)"
    return [
        (title, float(Fraction(base) * int(at))) for base, at, title in re.findall(pattern, listed)
    ]


def test_subtitles_chapters_attachments_and_title_survive(tmp_path, rich_film):
    assert restore(rich_film, tmp_path / "out.mkv") == []
    result = Film.open(tmp_path / "out.mkv")
    assert [t.codec for t in result.subtitles] == ["subrip", "ass"]
    assert result.subtitles[0].language == "eng"
    assert len(result.attachments) == 1
    assert chapters(result.path) == [("One", 0), ("Two", 1)]
    assert packets(result.path, "subtitle", 0) == packets(rich_film.path, "subtitle", 0)
    with av.open(str(result.path)) as container:
        assert container.metadata["title"] == "My film"


def test_subtitles_are_converted_for_mp4_and_reported(tmp_path, rich_film):
    notes = restore(rich_film, tmp_path / "out.mp4")
    result = Film.open(tmp_path / "out.mp4")
    assert [t.codec for t in result.subtitles] == ["mov_text", "mov_text"]
    assert [n for n in notes if "subtitle track 1" in n and "subrip to mov_text" in n]
    assert [n for n in notes if "attached files" in n]
    assert len(notes) == 3
    assert "你好, world".encode() in b"".join(packets(result.path, "subtitle"))
    assert chapters(result.path) == [("One", 0), ("Two", 1)]

    again = restore(result, tmp_path / "again.mkv")
    assert [t.codec for t in Film.open(tmp_path / "again.mkv").subtitles] == ["subrip", "subrip"]
    assert len(again) == 2


def test_subtitles_and_sound_are_converted_for_webm(tmp_path, rich_film):
    notes = restore(rich_film, tmp_path / "out.webm")
    result = Film.open(tmp_path / "out.webm")
    assert [t.codec for t in result.subtitles] == ["webvtt", "webvtt"]
    assert [t.codec for t in result.audio] == ["opus"]
    assert len(notes) == 4


def test_bitmap_subtitles_are_kept_in_mkv_and_reported_missing_in_mp4(tmp_path):
    bitmap_subtitle(tmp_path / "s.sup")
    film = add_tracks(tmp_path / "in.mkv", ["-i", tmp_path / "s.sup"], options=["-c:s", "copy"])
    assert [t.codec for t in film.subtitles] == ["hdmv_pgs_subtitle"]
    assert restore(film, tmp_path / "out.mkv") == []
    assert packets(tmp_path / "out.mkv", "subtitle") == packets(film.path, "subtitle")
    notes = restore(film, tmp_path / "out.mp4")
    assert len(notes) == 1
    assert "hdmv_pgs_subtitle" in notes[0]
    assert "left out" in notes[0]
    assert Film.open(tmp_path / "out.mp4").subtitles == ()


# Sync: a click sounds exactly when the picture flashes.


def clicks(path, at, options=("-c:a", "aac"), late=0.0, seconds=4):
    """Write a film that flashes and clicks at the times `at`; its picture starts at `late`."""
    flash = "+".join(f"between(t,{t - 0.01},{t + 0.05})" for t in at)
    click = "+".join(f"between(t,{t + late},{t + late + 0.05})" for t in at)
    white = f"lum='255*min(1,{flash.replace('t,', 'T,')})':cb=128:cr=128"
    picture = f"color=size=64x48:rate=16:duration={seconds},geq={white}"
    sound = f"aevalsrc='0.8*sin(2000*t)*min(1,{click})':s=48000:d={seconds + late}"
    inputs = ["-itsoffset", late, "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound]
    ffmpeg(*inputs, "-c:v", "libx264", "-g", 16, *options, path)
    return Film.open(path)


def flash_times(film):
    bright = np.array([image.mean() for image in images(film)]) > 0.5
    first = np.flatnonzero(bright & ~np.roll(bright, 1))
    return [float(i / film.rate + film.start - film.origin) for i in first]


def click_times(path):
    loud = loudness(path) > 0.2
    found = np.flatnonzero(loud) / 8000
    return [t for i, t in enumerate(found) if i == 0 or t - found[i - 1] > 0.3]


@pytest.mark.parametrize(
    ("source", "late", "result"),
    [
        ("in.mkv", 0, "out.mp4"),
        ("in.mp4", 0, "out.mkv"),
        ("in.mp4", 0, "out.webm"),
        ("in.mkv", 0.5, "out.mp4"),
        ("in.mkv", 0.5, "out.mkv"),
        ("in.ts", 0.5, "out.mov"),
        ("in.ts", 0.5, "out.mkv"),
    ],
)
def test_clicks_and_flashes_stay_together(tmp_path, source, late, result):
    film = clicks(tmp_path / source, [1, 2.5], late=late)
    restore(film, tmp_path / result)
    out = Film.open(tmp_path / result)
    assert flash_times(out) == pytest.approx([1 + late, 2.5 + late], abs=0.03)
    assert click_times(out.path) == pytest.approx(flash_times(out), abs=0.03)


@pytest.mark.parametrize(
    ("source", "late", "result"),
    [
        ("in.mkv", 0, "out.mp4"),
        ("in.mp4", 0, "out.mkv"),
        ("in.mkv", 0.5, "out.mkv"),
        ("in.ts", 0.5, "out.mp4"),
    ],
)
def test_sound_is_cut_with_the_picture(tmp_path, source, late, result):
    film = clicks(tmp_path / source, [1, 2.5, 3.5], late=late)
    restore(film, tmp_path / result, 32, 48, start=Fraction(2), duration=Fraction(1))
    out = Film.open(tmp_path / result)
    assert flash_times(out) == pytest.approx([0.5], abs=0.03)
    assert click_times(out.path) == pytest.approx([0.5], abs=0.03)
    with av.open(str(out.path)) as container:
        assert container.duration / 1e6 == pytest.approx(
            1, abs=0.05
        )  # sound is cut in whole packets


def test_subtitles_and_chapters_are_cut_with_the_picture(tmp_path, rich_film):
    restore(
        rich_film, tmp_path / "out.mkv", 20, 40, start=Fraction(20, 16), duration=Fraction(20, 16)
    )
    with av.open(str(tmp_path / "out.mkv")) as container:
        stream = container.streams.subtitles[0]
        times = [float(p.pts * p.time_base) for p in container.demux(stream) if p.size]
    assert times == pytest.approx([0.25], abs=0.01)
    assert [title for title, _ in chapters(tmp_path / "out.mkv")] == ["Two"]


# Options


def test_sound_from_a_file_replaces_the_sound_of_the_film(tmp_path):
    film = add_tracks(tmp_path / "in.mkv", SINE, HIGH, options=["-c:a", "aac"])
    ffmpeg("-f", "lavfi", "-i", "sine=frequency=300:duration=3", "-c:a", "aac", tmp_path / "m.m4a")
    assert restore(film, tmp_path / "out.mp4", audio=tmp_path / "m.m4a") == []
    assert len(Film.open(tmp_path / "out.mp4").audio) == 1
    assert packets(tmp_path / "out.mp4") == packets(tmp_path / "m.m4a")


def test_sound_can_be_added_to_a_silent_film(tmp_path):
    ffmpeg(*moving(), "-c:v", "libx264", tmp_path / "in.mkv")
    ffmpeg(*SINE, tmp_path / "music.wav")
    notes = restore(
        Film.open(tmp_path / "in.mkv"), tmp_path / "a.mp4", audio=tmp_path / "music.wav"
    )
    assert "pcm_s16le to alac" in notes[0]
    assert len(Film.open(tmp_path / "a.mp4").audio) == 1


def test_sound_from_a_file_is_cut_with_the_picture(tmp_path):
    film = clicks(tmp_path / "in.mkv", [1, 2.5])
    ffmpeg("-i", film.path, "-vn", tmp_path / "m.wav")
    part = {"start": Fraction(2), "duration": Fraction(1)}
    restore(film, tmp_path / "out.mkv", 32, 48, audio=tmp_path / "m.wav", **part)
    assert click_times(tmp_path / "out.mkv") == pytest.approx([0.5], abs=0.03)


def test_sound_can_be_left_out(tmp_path, film_file):
    assert restore(Film.open(film_file), tmp_path / "out.mp4", keep_audio=False) == []
    assert Film.open(tmp_path / "out.mp4").audio == ()


def test_slow_motion_has_no_sound_and_reports_it(tmp_path, rich_film):
    notes = restore(rich_film, tmp_path / "out.mkv", slowdown=Fraction(2))
    assert len(notes) == 1
    assert ("sound, subtitles, chapters" if COUNTS_CHAPTERS else "sound, subtitles") in notes[0]
    result = Film.open(tmp_path / "out.mkv")
    assert (result.audio, result.subtitles, result.chapters) == ((), (), 0)


@pytest.mark.parametrize("name", ["out.gif", "frames/%08d.png"])
def test_results_made_of_images_have_no_sound_and_report_it(tmp_path, film_file, name):
    notes = restore(Film.open(film_file), tmp_path / name)
    assert len(notes) == 1
    assert "sound" in notes[0]


def test_a_missing_or_silent_sound_file_is_refused(tmp_path, film_file):
    ffmpeg(*moving(), tmp_path / "silent.mkv")
    (tmp_path / "text.mp3").write_text("no sound at all " * 100)
    for name in ("silent.mkv", "nothing.mp3", "text.mp3"):
        with pytest.raises(MediaError, match=name):
            restore(Film.open(film_file), tmp_path / "out.mp4", audio=tmp_path / name)
    assert not (tmp_path / "out.mp4").exists()


def test_a_failed_result_leaves_the_existing_one_unchanged(tmp_path, film_file):
    (tmp_path / "out.mp4").write_bytes(b"an older result")
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    with pytest.raises(MediaError, match="cannot be written"):
        mux(tmp_path / "broken.mp4", Film.open(film_file), tmp_path / "out.mp4", Fraction(16))
    assert (tmp_path / "out.mp4").read_bytes() == b"an older result"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.mp4", "film.mkv", "out.mp4"]


def test_aac_sound_whose_channels_change_midway_is_converted(tmp_path) -> None:
    """As broadcasts switch between stereo and 5.1; Matroska says the channels once for a track."""
    parts = []
    for channels, start in ((2, "0"), (6, "1")):
        part = tmp_path / f"{channels}.ts"
        parts.append(part)
        ffmpeg(
            *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1"),
            *("-f", "lavfi", "-i", "sine=440:d=1", "-ac", channels, "-c:a", "aac"),
            *("-output_ts_offset", start, part),
        )
    source, result = tmp_path / "joined.ts", tmp_path / "result.mkv"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    notes = restore(Film.open(source), result)
    assert any("sound track 1 was converted from aac" in note for note in notes)
    with av.open(str(result)) as container:
        length = sum(frame.samples for frame in container.decode(audio=0)) / 48000
    assert length == pytest.approx(2, abs=0.1)


def test_aac_sound_that_does_not_change_is_copied(tmp_path) -> None:
    source = tmp_path / "a.ts"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1"),
        *("-f", "lavfi", "-i", "sine=440:d=1", "-c:a", "aac", source),
    )
    assert restore(Film.open(source), tmp_path / "result.mkv") == []
