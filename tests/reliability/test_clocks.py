"""Films whose clock jumps keep every frame, and their sound in sync to a frame at the end."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

import oldfilm
from oldfilm import pipeline
from oldfilm.media import Film, decode
from oldfilm.pipeline import RestoreOptions
from tests.films import bitmap_subtitle, facts, ffmpeg, packets

from .clocks import (
    FLASHES,
    H264,
    MPEG2,
    SECONDS,
    click_times,
    flash_times,
    joined,
    jumping,
    part,
)
from .stages import Darker

FRAME = 0.04
WRAP = 2**33 / 90000
"""Seconds after which the clock of a transport stream starts again from 0."""
MTS = ("-f", "mpegts", "-mpegts_m2ts_mode", "1")


def restored(path, name="out.mkv", **options):
    return oldfilm.restore(path, ["Sharpen"], output=path.with_name(name), **options)


def due(parts):
    """When `parts` parts flash, in seconds from the first frame."""
    return [number * SECONDS + t for number in range(parts) for t in FLASHES]


def assert_in_sync(path, flashes, frames=None, clicks=None):
    """Check the number of frames, and that flashes and clicks agree to a frame."""
    film = Film.open(path)
    assert not film.variable_rate
    assert film.frames == (frames or round(len(flashes) / len(FLASHES) * SECONDS * 25))
    begin = float(film.start - film.origin)
    shown = [time - begin for time in flash_times(path)]
    assert shown == pytest.approx(flashes, abs=0.7 * FRAME)
    found = [time - begin for time in click_times(path)]
    assert found == pytest.approx(shown if clicks is None else clicks, abs=FRAME)


def two_parts(folder, suffix, *options, **arguments):
    first = part(folder / f"first.{suffix}", *options, **arguments)
    return first, part(folder / f"second.{suffix}", *options, **arguments)


DVD_SOUND = {"picture": MPEG2, "sound": ("-c:a", "pcm_dvd")}
DISC = {"picture": MPEG2, "sound": ("-c:a", "mp2")}
KINDS = {
    "ts": ("ts", (), {}),
    "mts": ("mts", MTS, {}),
    "vob": ("vob", ("-f", "vob"), DISC),
    "dvd": ("vob", ("-f", "dvd"), DVD_SOUND),
    "mpg": ("mpg", (), {"picture": ("-c:v", "mpeg1video"), "sound": ("-c:a", "mp2")}),
    "aac": ("ts", (), {"sound": ("-c:a", "aac")}),
    "no B frames": ("ts", (), {"picture": (*MPEG2[:-1], "0"), "sound": ("-c:a", "mp2")}),
    "open gop": ("mts", MTS, {"picture": (*H264, "-x264-params", "open-gop=1")}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_parts_with_the_same_clock_play_one_after_the_other(tmp_path, kind):
    suffix, options, arguments = KINDS[kind]
    path = joined(tmp_path / f"film.{suffix}", *two_parts(tmp_path, suffix, *options, **arguments))
    summary = restored(path)
    assert_in_sync(summary.path, due(2))
    assert any("jumps once (after 1.6 seconds by" in note for note in summary.notes)


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_sound_of_joined_parts_is_in_sync_in_every_container(tmp_path, suffix):
    path = joined(tmp_path / "film.ts", *two_parts(tmp_path, "ts"))
    assert_in_sync(restored(path, f"out.{suffix}").path, due(2))


@pytest.mark.parametrize("offset", [0.008, 0.5, 1.58, 30, 3600, 72000])
def test_the_second_part_may_have_any_clock(tmp_path, offset):
    first = part(tmp_path / "first.ts")
    second = part(tmp_path / "second.ts", "-output_ts_offset", offset)
    assert_in_sync(restored(joined(tmp_path / "film.ts", first, second)).path, due(2))


@pytest.mark.parametrize("offset", [30, 3600])
@pytest.mark.parametrize("form", ["mpeg", "vob"])
def test_the_second_part_of_a_program_stream_may_have_a_later_clock(tmp_path, offset, form):
    first, _ = two_parts(tmp_path, "mpg", "-f", form, picture=MPEG2, sound=("-c:a", "mp2"))
    late = ("-f", form, "-output_ts_offset", offset)
    second = part(tmp_path / "late.mpg", *late, picture=MPEG2, sound=("-c:a", "mp2"))
    summary = restored(joined(tmp_path / "both.mpg", first, second))
    assert "jumps once" in " ".join(summary.notes)
    assert_in_sync(summary.path, due(2))


@pytest.mark.parametrize("kind", [("ts", ()), ("mpg", ("-f", "mpeg"))])
def test_a_clock_may_jump_back_by_an_hour_and_forward_again(tmp_path, kind):
    suffix, form = kind
    codecs = {"picture": MPEG2, "sound": ("-c:a", "mp2")}
    early = part(tmp_path / f"early.{suffix}", *form, **codecs)
    late = part(tmp_path / f"late.{suffix}", *form, "-output_ts_offset", 3600, **codecs)
    summary = restored(joined(tmp_path / f"all.{suffix}", late, early, late))
    assert_in_sync(summary.path, due(3))


def test_a_clock_may_jump_back_by_hours(tmp_path):
    first = part(tmp_path / "first.ts", "-output_ts_offset", 5000)
    second = part(tmp_path / "second.ts")
    assert_in_sync(restored(joined(tmp_path / "film.ts", first, second)).path, due(2))


def test_a_part_of_two_frames_at_the_start_does_not_shift_the_sound(tmp_path):
    first = part(tmp_path / "first.ts", "-output_ts_offset", 77, seconds=0.08, flashes=[9])
    film = joined(tmp_path / "film.ts", first, part(tmp_path / "second.ts"))
    assert_in_sync(restored(film).path, [t + 0.08 for t in FLASHES], frames=42)


def test_a_fractional_rate_stays_exact_over_jumps(tmp_path):
    parts = two_parts(tmp_path, "ts", rate="30000/1001", seconds=1.6016, sound_seconds=1.6016)
    film = Film.open(restored(joined(tmp_path / "film.ts", *parts, *parts)).path)
    assert (film.rate, film.frames, film.variable_rate) == (Fraction(30000, 1001), 192, False)


@pytest.mark.parametrize(("silent", "clicks"), [(0, (1, 2)), (1, (0, 2)), (2, (0, 1))])
def test_a_part_without_sound_stays_silent(tmp_path, silent, clicks):
    parts = [part(tmp_path / f"{n}.mpg", picture=MPEG2, sound=("-c:a", "mp2")) for n in range(3)]
    part(parts[silent], picture=MPEG2, sound=())
    summary = restored(joined(tmp_path / "film.mpg", *parts))
    expected = [n * SECONDS + t for n in clicks for t in FLASHES]
    assert_in_sync(summary.path, due(3), clicks=expected)


def noise(path, *options):
    """Write 1.6 seconds without sound, longer in bytes than ffmpeg looks for tracks."""
    image = f"color=gray:size=320x240:rate=25:duration={SECONDS},noise=alls=100:allf=t"
    ffmpeg("-f", "lavfi", "-i", image, "-c:v", "mpeg2video", "-q:v", "1", *options, path)
    return path


LATE = {"picture": ("-c:v", "mpeg2video", "-s", "320x240"), "sound": ("-c:a", "mp2")}


@pytest.mark.parametrize(("suffix", "options"), [("ts", ()), ("vob", ("-f", "vob"))])
def test_sound_that_begins_with_the_last_part_is_found_and_in_sync(tmp_path, suffix, options):
    silent = noise(tmp_path / f"silent.{suffix}", *options)
    loud = part(tmp_path / f"loud.{suffix}", *options, **LATE)
    film = joined(tmp_path / f"film.{suffix}", silent, silent, loud)
    clicks = [t + 2 * SECONDS for t in FLASHES]
    assert click_times(restored(film).path) == pytest.approx(clicks, abs=FRAME)


@pytest.mark.parametrize(("suffix", "options"), [("ts", ()), ("vob", ("-f", "vob"))])
def test_a_note_says_that_sound_between_silent_parts_is_left_out(tmp_path, suffix, options):
    silent = noise(tmp_path / f"silent.{suffix}", *options)
    loud = part(tmp_path / f"loud.{suffix}", *options, **LATE)
    film = joined(tmp_path / f"film.{suffix}", silent, silent, loud, silent)
    summary = restored(film)
    assert Film.open(summary.path).frames == 160
    assert any("sound that begins after about" in note for note in summary.notes)


def test_a_note_says_that_a_part_with_another_number_of_the_picture_is_left_out(tmp_path):
    silent = noise(tmp_path / "silent.ts")
    other = part(tmp_path / "other.ts", "-mpegts_start_pid", "0x300", **LATE)
    film = Film.open(joined(tmp_path / "film.ts", silent, silent, other, silent))
    assert any("video that begins after about" in note for note in film.notes)


@pytest.mark.parametrize("seconds", [1.3, 2.4])
def test_sound_that_is_shorter_or_longer_than_the_picture_does_not_shift_the_next_part(
    tmp_path, seconds
):
    film = joined(tmp_path / "film.ts", *two_parts(tmp_path, "ts", sound_seconds=seconds))
    assert_in_sync(restored(film).path, due(2))


# Jumps within one part


@pytest.fixture
def recording(tmp_path):
    """A transport stream of 80 frames with one frame of picture or sound in each packet."""
    flashes = [0.4, 1.2, 2.0, 2.8]
    return part(tmp_path / "recording.ts", "-pes_payload_size", "0", flashes=flashes, seconds=3.2)


@pytest.mark.parametrize("ticks", [-900_000, -90_000, -20_000, 9_000_000])
def test_a_clock_may_jump_between_key_frames(tmp_path, recording, ticks):
    film = jumping(recording, tmp_path / "film.ts", {256: (41, ticks), 257: (52, ticks)})
    assert_in_sync(restored(film).path, due(2))


@pytest.mark.parametrize("ticks", [-180_000, 900_000])
@pytest.mark.parametrize("track", [256, 257])
def test_the_clock_of_picture_or_sound_may_jump_alone(tmp_path, recording, track, ticks):
    film = jumping(recording, tmp_path / "film.ts", {track: (36 if track == 256 else 50, ticks)})
    summary = restored(film)
    assert_in_sync(summary.path, due(2))
    assert any("clock" in note for note in summary.notes)


def test_a_clock_that_reaches_its_end_is_not_a_jump(tmp_path):
    begin = WRAP - 1.4 - 1.6
    path = part(tmp_path / "film.ts", "-output_ts_offset", begin, seconds=3.2, flashes=due(2))
    summary = restored(path)
    assert_in_sync(summary.path, due(2))
    assert not summary.notes
    earlier = part(tmp_path / "earlier.ts", "-output_ts_offset", begin - 100)
    assert_in_sync(restored(joined(tmp_path / "both.ts", earlier, path), "o.mkv").path, due(3))


def titled(path, codec, folder, *options):
    """Add a bitmap subtitle, shown from 0.5 seconds on, to a film."""
    bitmap_subtitle(folder / "title.sup")
    new = path.with_stem(f"titled-{path.stem}")
    tracks = ("-map", "0", "-map", "1", "-c", "copy", "-c:s", codec)
    late = ("-itsoffset", 0.5, "-i", folder / "title.sup")  # ffmpeg lets its times begin at 0
    ffmpeg("-i", path, *late, *tracks, *options, new)
    return new


@pytest.mark.parametrize(("kind", "codec"), [("ts", "dvbsub"), ("vob", "dvdsub")])
def test_subtitles_move_with_their_part(tmp_path, kind, codec):
    suffix, options, arguments = KINDS[kind]
    parts = two_parts(tmp_path, suffix, *options, **arguments)
    titles = [titled(p, codec, tmp_path, *options) for p in parts]
    summary = restored(joined(tmp_path / f"film.{suffix}", *titles))
    assert_in_sync(summary.path, due(2))
    with av.open(str(summary.path)) as film:
        track = film.streams.subtitles[0]
        begins = [float(p.pts * p.time_base) for p in film.demux(track) if p.size > 30]
    assert begins == pytest.approx([0.5, SECONDS + 0.5], abs=0.05)


# Gaps


def test_a_pause_of_the_recorder_is_closed_with_a_note(tmp_path):
    second = part(tmp_path / "second.ts", "-output_ts_offset", 120)
    summary = restored(joined(tmp_path / "film.ts", part(tmp_path / "first.ts"), second))
    assert_in_sync(summary.path, due(2))
    assert any("+118.3 seconds" in note for note in summary.notes)


def test_a_gap_of_seconds_in_a_broadcast_stays_with_a_note(tmp_path):
    second = part(tmp_path / "second.ts", "-output_ts_offset", 4.64)
    summary = restored(joined(tmp_path / "film.ts", part(tmp_path / "first.ts"), second))
    assert any("missing for 3.0 seconds after 1.6 seconds" in note for note in summary.notes)
    # The second part begins earlier by the two frames that B frames delay the first.
    flashes = [*FLASHES, *(t + 4.56 for t in FLASHES)]
    assert_in_sync(summary.path, flashes, frames=round(25 * (4.56 + SECONDS)))


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_a_frame_that_stays_on_screen_while_sound_plays_is_not_a_jump(tmp_path, suffix):
    """As in a recording of a screen that does not change for 14 seconds."""
    hold = ("-vf", "select='lt(n,40)+gte(n,390)'", "-fps_mode", "passthrough")
    path = part(tmp_path / f"film.{suffix}", *hold, seconds=16.4, sound=("-c:a", "aac"))
    summary = restored(path)
    assert Film.open(summary.path).frames == 410
    assert bool(summary.notes) == (suffix == "ts")  # A broadcast shows every frame.


# Other containers


@pytest.mark.parametrize("picture", [H264, (*H264, "-bf", "0")])
def test_matroska_files_joined_byte_by_byte_play_one_after_the_other(tmp_path, picture):
    arguments = {"picture": picture, "sound": ("-c:a", "aac")}
    film = joined(tmp_path / "film.mkv", *two_parts(tmp_path, "mkv", **arguments))
    assert_in_sync(restored(film).path, due(2))


def test_flash_video_whose_clock_starts_again_plays_one_after_the_other(tmp_path):
    arguments = {"picture": ("-c:v", "flv"), "sound": ("-c:a", "libmp3lame", "-ar", "44100")}
    first, second = two_parts(tmp_path, "flv", **arguments)
    film = joined(tmp_path / "film.flv", first, second.read_bytes()[13:])  # without its header
    assert_in_sync(restored(film).path, due(2))


def test_times_before_zero_keep_sound_in_sync(tmp_path):
    early = ("-output_ts_offset", "-0.5", "-avoid_negative_ts", "disabled")
    path = part(tmp_path / "film.mkv", *early, sound=("-c:a", "aac"))
    assert_in_sync(restored(path).path, FLASHES)


# Parts, resuming and seeking


def test_a_selection_over_a_jump_has_its_frames_and_its_sound(tmp_path):
    parts = two_parts(tmp_path, "ts")
    film = joined(tmp_path / "film.ts", *parts, *parts)
    for suffix in ("mkv", "mp4"):
        path = restored(film, f"out.{suffix}", start=Fraction(8, 5), duration=Fraction(3)).path
        assert_in_sync(path, [0.4, 1.2, 2.0, 2.8], frames=75)


@pytest.mark.parametrize("kind", ["ts", "mts", "vob"])
def test_a_stopped_job_resumes_over_a_jump(tmp_path, kind):
    suffix, options, arguments = KINDS[kind]
    parts = two_parts(tmp_path, suffix, *options, **arguments)
    film = joined(tmp_path / f"film.{suffix}", *parts)
    options = RestoreOptions(segment_frames=16)
    whole = pipeline.restore(film, [Darker()], tmp_path / "whole.mkv", options).path
    with pytest.raises(KeyboardInterrupt):
        pipeline.restore(film, [Darker(stop_at=50)], tmp_path / "out.mkv", options)
    rest = Darker()
    result = pipeline.restore(film, [rest], tmp_path / "out.mkv", options).path
    assert rest.count < 50
    assert np.array_equal(facts(result)["images"], facts(whole)["images"])
    assert packets(result, "audio") == packets(whole, "audio")


@pytest.mark.parametrize("kind", ["ts", "vob", "mkv"])
def test_segments_over_jumps_show_the_same_frames(tmp_path, kind):
    suffix, options, arguments = KINDS.get(kind, ("mkv", (), {"sound": ("-c:a", "aac")}))
    parts = two_parts(tmp_path, suffix, *options, **arguments)
    film = Film.open(joined(tmp_path / f"film.{suffix}", *parts * (1 if kind == "mkv" else 2)))
    whole = [frame.image for frame in decode(film, width=32, height=24)]
    assert len(whole) == film.frames == (80 if kind == "mkv" else 160)
    for start in (1, 39, 40, 41, 78, 79, 81, 119, 120, 158):
        piece = [frame.image for frame in decode(film, start, start + 2, width=32, height=24)]
        assert all(map(np.array_equal, piece, whole[start : start + 2]))


@pytest.mark.parametrize("cells", [12, pytest.param(60, marks=pytest.mark.slow)])
def test_many_dvd_cells_stay_in_sync_to_the_end(tmp_path, cells):
    """The sound of each is 8 milliseconds longer than its picture."""
    suffix, options, arguments = KINDS["vob"]
    parts = two_parts(tmp_path, suffix, *options, **arguments)
    film = joined(tmp_path / "film.vob", *parts * (cells // 2))
    assert_in_sync(restored(film).path, due(cells))
