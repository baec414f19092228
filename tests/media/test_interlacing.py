from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from oldfilm.errors import OptionError
from oldfilm.imaging.metrics import psnr
from oldfilm.media import Film, decode, deinterlaced

from .conftest import ffmpeg, images, write_raw

FILMS = sorted(Path("../shared/data/films").glob("*.mkv"))

TOP, BOTTOM = (f"format=yuv420p,tinterlace=interleave_{which}" for which in ("top", "bottom"))
TELECINE = "format=yuv420p,telecine"
MPEG2 = ("-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-q:v", 2)
H264 = ("-c:v", "libx264", "-crf", 12, "-g", 15)
FFV1 = ("-c:v", "ffv1", "-g", 10)


def scene(frames, drift=(3, 0), size=(96, 64)):
    """Return drifting soft random shapes, uint8 [t, h, w, 3]; all frames differ."""
    (width, height), (across, down) = size, drift
    whole = (height + frames * down, width + frames * across)
    fine, coarse = np.random.default_rng(0).normal(size=(2, *whole, 3))
    light, color = cv2.GaussianBlur(fine, (0, 0), 2)[..., :1], cv2.GaussianBlur(coarse, (0, 0), 6)
    picture = np.clip(128 + 300 * light + 300 * color, 0, 255).astype(np.uint8)
    tops, lefts = down * np.arange(frames), across * np.arange(frames)
    return np.stack([picture[y : y + height, x : x + width] for y, x in zip(tops, lefts)])


@pytest.fixture(scope="module")
def shot():
    return scene(96)


def film_of(path, frames, filters, *options, rate=50):
    return Film.open(write_raw(path, frames, "-vf", filters, *options, rate=rate))


def quality(film, truth):
    """Return the PSNR of every frame."""
    shown = images(film)
    assert len(shown) == len(truth)
    return np.array([psnr(image, frame / np.float32(255)) for image, frame in zip(shown, truth)])


@pytest.mark.parametrize(
    ("name", "filters", "options"),
    [
        ("a.mpg", TOP, MPEG2),
        ("a.mpg", BOTTOM, MPEG2),
        ("a.mp4", TOP, (*H264, "-x264-params", "tff=1")),
        ("a.mp4", BOTTOM, (*H264, "-x264-params", "bff=1")),
        ("not-flagged.mkv", f"{TOP},setfield=prog", FFV1),
        ("not-flagged.mkv", f"{BOTTOM},setfield=prog", FFV1),
        ("in-colors.mkv", f"{TOP.replace('yuv420p', 'gbrp')}", FFV1),
        ("odd-size.mkv", f"{TOP},crop=95:63:0:0:exact=1", FFV1),
        ("gray.mkv", f"{TOP.replace('yuv420p', 'gray')}", FFV1),
    ],
)
def test_an_interlaced_film_is_deinterlaced(tmp_path, shot, name, filters, options):
    film = film_of(tmp_path / name, shot, filters, *options)
    whole, notes = deinterlaced(film)
    assert (whole.rate, whole.frames) == (film.rate, film.frames) == (25, 48)
    assert whole.deinterlacer.top_first == ("top" in filters)
    truth = shot[::2, : film.height, : film.width]
    if name == "gray.mkv":
        truth = np.rint(truth @ [0.299, 0.587, 0.114])[..., None]
    assert quality(whole, truth).min() > max(30, quality(film, truth).mean() + 10)
    assert "was deinterlaced" in notes[0]


@pytest.mark.parametrize("interlaced", [True, False])
def test_films_of_unusual_matrices_are_examined_too(tmp_path, shot, interlaced):
    tagged = ("-bsf:v", "h264_metadata=matrix_coefficients=8")  # YCgCo
    film = film_of(tmp_path / "a.mp4", shot, TOP if interlaced else "null", *H264, *tagged)
    assert film.color.matrix == "ycgco"
    whole, notes = deinterlaced(film)
    assert (whole.deinterlacer is not None, len(notes)) == (interlaced, interlaced)


def test_every_field_can_become_a_frame(tmp_path, shot):
    film = film_of(tmp_path / "a.mkv", shot, BOTTOM, *FFV1)
    whole, _ = deinterlaced(film, "double")
    assert (whole.rate, whole.duration) == (50, film.duration)
    assert quality(whole, shot).min() > 35


@pytest.mark.parametrize(
    ("frames", "name", "filters", "options"),
    [
        (92, "a.mkv", TELECINE, FFV1),
        (93, "a.mkv", TELECINE, FFV1),
        (94, "a.mkv", TELECINE, FFV1),
        (96, "a.mpg", f"{TELECINE}=first_field=b", MPEG2),
        (93, "10-bits.mp4", "format=yuv422p10le,telecine", H264),
        (94, "no-times.h264", TELECINE, (*H264, "-x264-params", "tff=1")),
    ],
)
def test_telecine_is_undone_frame_by_frame(tmp_path, shot, frames, name, filters, options):
    film = film_of(tmp_path / name, shot[:frames], filters, *options, rate="24000/1001")
    assert film.rate == Fraction(30000, 1001)
    whole, notes = deinterlaced(film)
    assert (whole.rate, whole.frames) == (Fraction(24000, 1001), frames)
    assert quality(whole, shot[:frames]).min() > 30
    assert "telecine was undone" in notes[0]


@pytest.mark.parametrize(
    ("suffix", "fields"),
    [
        (".mkv", "floor(N*5/2)"),
        (".ts", "floor(N*5/2+1/2)"),
        (".mp4", r"floor(N*5/2)+gte(N\,31)"),  # one break in the pattern
    ],
)
def test_soft_telecine_is_read_as_progressive_film(tmp_path, shot, suffix, fields):
    """The frames are shown for two and three fields in turn, as on DVDs."""
    stamps = f"settb=1/60000,setpts=1001*({fields})"
    timed = ("-fps_mode", "passthrough", "-enc_time_base", "1/60000", *H264)
    film = film_of(tmp_path / f"a{suffix}", shot[:60], f"format=yuv420p,{stamps}", *timed)
    assert (film.rate, film.frames, film.variable_rate) == (Fraction(24000, 1001), 60, False)
    assert deinterlaced(film) == (film, [])
    assert quality(film, shot[:60]).min() > 30
    assert np.array_equal(images(film, 41, 43), images(film)[41:43])


def test_mixed_film_and_video_are_read_at_the_rate_of_video(tmp_path, shot):
    stamps = r"settb=1/60000,setpts=1001*(2*N+floor(min(N\,50)/2))"
    timed = ("-fps_mode", "passthrough", "-enc_time_base", "1/60000", *H264)
    film = film_of(tmp_path / "a.mp4", shot, f"format=yuv420p,{stamps}", *timed)
    assert (film.rate, film.variable_rate) == (Fraction(30000, 1001), True)


@pytest.mark.parametrize("choice", ["on", "double", "auto"])
def test_a_part_of_a_deinterlaced_film_has_exactly_the_frames_of_the_whole(tmp_path, choice):
    filters, rate = (TELECINE, "24000/1001") if choice == "auto" else (TOP, 50)
    options = ("-c:v", "libx264", "-g", 12, "-bf", 3, "-crf", 20)
    film = film_of(tmp_path / "a.mkv", scene(160), filters, *options, rate=rate)
    film, _ = deinterlaced(film, choice)
    all_frames = images(film)
    assert len(all_frames) == film.frames == 160 // (2 if choice == "on" else 1)
    for start in (1, 20, 21, 22, 23, 47, film.frames - 1):
        assert np.array_equal(images(film, start, start + 3), all_frames[start : start + 3])
    assert [frame.time for frame in decode(film, 60, 62)] == [60 / film.rate, 61 / film.rate]


def test_a_telecined_film_with_missing_frames_keeps_its_times(tmp_path, shot):
    path = write_raw(tmp_path / "a.mkv", shot, "-vf", TELECINE, *FFV1, rate="24000/1001")
    holes = "select='not(between(n,52,54))'"
    ffmpeg("-i", path, "-vf", holes, "-fps_mode", "passthrough", *FFV1, tmp_path / "b.mkv")
    whole, _ = deinterlaced(Film.open(tmp_path / "b.mkv"))
    assert whole.frames == 96
    good = quality(whole, shot) > 30
    assert good[:40].all()
    assert good[48:].all()


def twice(film):
    """Join a file byte by byte with itself: its clock jumps back."""
    path = film.path.with_name(f"twice{film.path.suffix}")
    path.write_bytes(film.path.read_bytes() * 2)
    return Film.open(path)


@pytest.mark.parametrize(("suffix", "options"), [(".ts", H264), (".vob", MPEG2)])
def test_an_interlaced_film_whose_clock_jumps_is_deinterlaced(tmp_path, shot, suffix, options):
    film = film_of(tmp_path / f"a{suffix}", shot, TOP, *options, *("-x264-params", "tff=1"))
    whole, _ = deinterlaced(twice(film))
    assert (whole.rate, whole.frames) == (25, 96)
    good = quality(whole, np.concatenate([shot[::2]] * 2)) > 30
    assert good[:46].all()
    assert good[50:].all()
    all_frames = images(whole)
    for start in (1, 46, 47, 48, 49, 94):
        assert np.array_equal(images(whole, start, start + 2), all_frames[start : start + 2])


@pytest.mark.parametrize(("suffix", "options"), [(".ts", H264), (".vob", MPEG2)])
def test_telecine_is_undone_where_the_clock_jumps(tmp_path, shot, suffix, options):
    name, rate = f"a{suffix}", "24000/1001"
    film = film_of(tmp_path / name, shot, TELECINE, *options, rate=rate)
    whole, notes = deinterlaced(twice(film))
    assert (whole.rate, whole.frames) == (Fraction(24000, 1001), 192)
    assert "telecine was undone" in notes[0]
    good = quality(whole, np.concatenate([shot] * 2)) > 30
    assert good[:92].all()
    assert good[104:].all()


def with_pulldown(path, frames):
    """Write MPEG-2 in which every second frame is shown for three fields, as on DVDs."""
    raw = write_raw(path.with_suffix(".m2v"), frames, *MPEG2, "-bf", 0, rate="30000/1001")
    data, number, at = bytearray(raw.read_bytes()), 0, 0
    while (at := data.find(b"\0\0\1\xb5", at)) >= 0:  # an extension
        if data[at + 4] >> 4 == 1:
            data[at + 5] &= ~8  # not a progressive sequence
        if data[at + 4] >> 4 == 8:
            top_first, repeated = ((1, 1), (0, 0), (0, 1), (1, 0))[number % 4]
            data[at + 7] = data[at + 7] & ~0x82 | top_first << 7 | repeated << 1
            data[at + 8] |= 0x80  # a progressive frame
            number += 1
        at += 4
    raw.write_bytes(data)
    options = {"format": "vob"} if path.suffix == ".vob" else {}
    with av.open(str(raw)) as source, av.open(str(path), "w", **options) as film:
        stream, tick, time = source.streams.video[0], Fraction(1, 90000), 0
        copy = film.add_stream_from_template(stream)
        copy.time_base = tick
        for packet in source.demux(stream):
            if packet.size:
                duration = round(packet.duration * packet.time_base / tick)
                packet.pts = packet.dts = time
                packet.time_base, packet.stream, time = tick, copy, time + duration
                film.mux(packet)
    return Film.open(path)


def test_pulldown_flags_without_time_stamps_set_the_rate(tmp_path, shot):  # tsMuxer 680
    with_pulldown(tmp_path / "a.ts", shot[:60])
    film = Film.open(tmp_path / "a.m2v")
    assert (film.rate, film.frames) == (Fraction(24000, 1001), 60)


@pytest.mark.parametrize("suffix", [".ts", ".vob", ".mkv"])
@pytest.mark.parametrize("frames", [57, 58])
def test_pulldown_flags_set_the_rate_where_the_clock_jumps(tmp_path, shot, suffix, frames):
    film = twice(with_pulldown(tmp_path / f"a{suffix}", shot[:frames]))
    assert (film.rate, film.frames) == (Fraction(24000, 1001), 2 * frames)
    assert not film.variable_rate
    assert quality(film, np.concatenate([shot[:frames]] * 2)).min() > 30
    assert len(film.notes) == 1


def test_pulldown_flags_in_parts_of_odd_lengths_set_the_rate(tmp_path, shot):
    parts = [with_pulldown(tmp_path / f"{n}.vob", shot[:n]).path.read_bytes() for n in (57, 58)]
    path = tmp_path / "cells.vob"
    path.write_bytes((parts[0] * 3 + parts[1] * 3) * 3)
    film = Film.open(path)
    assert (film.rate, film.frames) == (Fraction(24000, 1001), 9 * (57 + 58))
    assert not film.variable_rate


@pytest.mark.parametrize("choice", ["auto", "off"])
def test_a_progressive_film_flagged_as_interlaced_is_left_alone(tmp_path, shot, choice):
    film = film_of(tmp_path / "a.mpg", shot[:50], "format=yuv420p", *MPEG2, "-bf", 0, rate=25)
    whole, notes = deinterlaced(film, choice)
    assert whole == film
    assert ("is flagged as interlaced" in "".join(notes)) == (choice == "auto")


def test_the_flags_decide_for_a_film_without_motion(tmp_path, shot):
    still = np.repeat(shot[:1], 40, axis=0)
    flagged = film_of(tmp_path / "a.mkv", still, TOP, *FFV1)
    assert deinterlaced(flagged)[0].deinterlacer.top_first
    assert quality(deinterlaced(flagged)[0], still[::2]).min() > 35
    plain = film_of(tmp_path / "b.mkv", still, "format=yuv420p", *FFV1)
    assert deinterlaced(plain) == (plain, [])


def test_progressive_films_are_left_alone(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (40, 64, 96, 3)).astype(np.uint8)
    for frames in (noise, scene(40), scene(40, (0, 1)), scene(40, (0, 2)), scene(40, (1, 3))):
        film = film_of(tmp_path / "a.mkv", frames, "format=yuv420p", *FFV1, rate=25)
        assert deinterlaced(film) == (film, [])


def test_numbered_frames_cannot_be_deinterlaced(tmp_path, shot):
    write_raw(tmp_path / "%03d.png", shot[:3])
    pictures = Film.open(tmp_path)
    assert deinterlaced(pictures) == (pictures, [])
    with pytest.raises(OptionError, match="has no fields"):
        deinterlaced(pictures, "on")
    with pytest.raises(OptionError, match="auto, on, off, double"):
        deinterlaced(pictures, "yes")


@pytest.mark.slow
@pytest.mark.skipif(not FILMS, reason="needs ../shared/data/films")
@pytest.mark.parametrize("path", FILMS, ids=lambda path: path.stem)
def test_silent_films_are_progressive(path):
    film = Film.open(path)
    assert deinterlaced(film) == (film, [])
