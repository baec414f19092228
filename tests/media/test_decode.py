from __future__ import annotations

import os
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from oldfilm.errors import MediaError
from oldfilm.media import Film, analyze, decode, frames_at

from .conftest import ffmpeg, images, moving, write_raw
from .test_film import variable_film

SOURCES = {
    "H.264 with B frames in mkv": ("a.mkv", "16", "-c:v libx264 -g 12 -bf 3"),
    "H.264 with B frames in mp4": ("a.mp4", "24000/1001", "-c:v libx264 -g 12 -bf 3"),
    "H.264 of few frames a second": ("a.mp4", "5", "-c:v libx264 -g 20 -bf 8 -b_strategy 0"),
    "H.264 of open groups": ("a.mkv", "16", "-c:v libx264 -g 10 -bf 3 -x264-params open-gop=1"),
    "H.264 in a transport stream": ("a.ts", "16", "-c:v libx264 -g 12 -bf 3"),
    "H.265 in mp4": ("a.mp4", "18", "-c:v libx265 -g 12 -x265-params log-level=error"),
    "MPEG-4 in avi": ("a.avi", "25/2", "-c:v mpeg4 -g 10"),
    "MPEG-4 with B frames in mp4": ("a.mp4", "25", "-c:v mpeg4 -g 10 -bf 2"),
    "MPEG-2 in a program stream": ("a.mpg", "25", "-c:v mpeg2video -g 10 -bf 2"),
    "VP9 in webm": ("a.webm", "16", "-c:v libvpx-vp9 -cpu-used 8 -g 12"),
    "FFV1 in mkv": ("a.mkv", "16", "-c:v ffv1"),
    "ProRes in mov": ("a.mov", "50", "-c:v prores_ks"),
}


def assert_parts_equal_the_whole(film, count):
    whole = list(decode(film))
    assert [f.time for f in whole] == [i / film.rate for i in range(count)]
    for start, stop in [(0, 1), (1, 4), (17, 19), (37, 44), (count - 3, None), (count - 1, count)]:
        part = list(decode(film, start, stop))
        assert [f.time for f in part] == [f.time for f in whole[start:stop]]
        for a, b in zip(part, whole[start:stop]):
            assert np.array_equal(a.image, b.image)
    assert list(decode(film, 5, 5)) == []


@pytest.mark.parametrize("size", ["64x48", "640x480"])
def test_single_frames_are_those_of_the_whole_film(tmp_path, size):
    """Of large films, frames that are 20 apart are decoded in runs of their own."""
    film = tmp_path / "a.mkv"
    ffmpeg("-f", "lavfi", "-i", f"testsrc=size={size}:rate=16", "-frames:v", 50, "-g", 12, film)
    numbers = [0, 1, 1, 24, 26, 49, 50, 70]
    found = list(frames_at(Film.open(film), numbers))
    whole = list(decode(Film.open(film)))
    assert len(found) == 6
    for number, frame in zip(numbers, found):
        assert frame.time == whole[number].time
        assert np.array_equal(frame.image, whole[number].image)
    assert list(frames_at(Film.open(film), [])) == []


@pytest.mark.parametrize("source", SOURCES)
def test_a_part_of_a_film_has_exactly_the_frames_of_the_whole(tmp_path, source):
    name, rate, codec = SOURCES[source]
    ffmpeg(*moving(rate, 60 / Fraction(rate)), "-frames:v", 60, *codec.split(), tmp_path / name)
    assert_parts_equal_the_whole(Film.open(tmp_path / name), 60)


def test_a_part_of_a_film_of_variable_rate_has_exactly_the_frames_of_the_whole(tmp_path):
    variable_film(tmp_path / "a.mkv")
    assert_parts_equal_the_whole(Film.open(tmp_path / "a.mkv"), 72)


def test_a_part_of_a_film_that_begins_late_has_exactly_the_frames_of_the_whole(tmp_path):
    late = ["-itsoffset", "1.7", *moving("16", 4), "-f", "lavfi", "-i", "sine=duration=5"]
    ffmpeg(*late, "-c:v", "libx264", "-g", 12, "-frames:v", 60, tmp_path / "a.mkv")
    film = Film.open(tmp_path / "a.mkv")
    assert float(film.start - film.origin) == pytest.approx(1.7, abs=0.03)
    assert_parts_equal_the_whole(film, 60)


def test_a_part_of_a_film_that_begins_before_zero_has_exactly_the_frames_of_the_whole(tmp_path):
    ffmpeg(*moving("16", 4), "-c:v", "ffv1", "-frames:v", 60, tmp_path / "a.mkv")
    early = ["-itsoffset", -1.5, "-i", tmp_path / "a.mkv", "-c", "copy"]
    ffmpeg(*early, "-copyts", "-avoid_negative_ts", "disabled", tmp_path / "b.mkv")
    film = Film.open(tmp_path / "b.mkv")
    assert film.start < -1
    assert_parts_equal_the_whole(film, 60)
    assert np.array_equal(images(film), images(Film.open(tmp_path / "a.mkv")))


def test_a_time_stamp_that_runs_backward_does_not_shift_the_frames_after_it(tmp_path):
    ffmpeg(*moving("16", 2), "-c:v", "ffv1", tmp_path / "a.mkv")
    swap = "setts=pts='if(eq(N,10),688,if(eq(N,11),625,PTS))':dts=N"
    ffmpeg("-i", tmp_path / "a.mkv", "-c", "copy", "-bsf:v", swap, tmp_path / "b.mkv")
    truth, found = images(Film.open(tmp_path / "a.mkv")), images(Film.open(tmp_path / "b.mkv"))
    assert np.array_equal(found[:10] + found[12:], truth[:10] + truth[12:])


def test_a_film_whose_size_changes_is_decoded_at_its_first_size(tmp_path):
    for name, size in (("a.h264", "64x48"), ("b.h264", "96x80")):
        ffmpeg(*moving("16", 2, size), "-c:v", "libx264", tmp_path / name)
    joined = b"".join((tmp_path / name).read_bytes() for name in ("a.h264", "b.h264"))
    (tmp_path / "joined.h264").write_bytes(joined)
    found = images(Film.open(tmp_path / "joined.h264"))
    assert [image.shape for image in found] == [(48, 64, 3)] * 64
    assert np.array_equal(found[:32], images(Film.open(tmp_path / "a.h264")))


def test_a_held_frame_is_repeated_until_the_next_frame(tmp_path):
    """The film has frames 0 to 9 and 40 to 47 of 48; frame 9 is held until 40."""
    ffmpeg(*moving("16", 3), "-vf", "select='lt(n,10)+gte(n,40)'", "-fps_mode", "passthrough",
           "-c:v", "libx264", tmp_path / "a.mkv")  # fmt: skip
    film = Film.open(tmp_path / "a.mkv")
    found = images(film)
    assert len(found) == film.frames == 48
    assert all(np.array_equal(found[9], image) for image in found[10:40])
    assert not np.array_equal(found[9], found[40])
    assert_parts_equal_the_whole(film, 48)


def test_frames_dropped_during_capture_are_repeated(tmp_path):
    """In AVI, an empty packet repeats the frame before it."""
    ffmpeg(*moving("25", 3), "-vf", "select='not(eq(n,20)+eq(n,21)+eq(n,50))'", "-fps_mode",
           "passthrough", "-c:v", "ffv1", tmp_path / "a.avi")  # fmt: skip
    found = images(Film.open(tmp_path / "a.avi"))
    assert len(found) == 75
    same = [i for i in range(1, 75) if np.array_equal(found[i], found[i - 1])]
    assert same == [20, 21, 50]


def test_a_part_of_a_folder_has_exactly_the_frames_of_the_whole(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    ffmpeg(*moving("16", 4), "-frames:v", 60, "-start_number", 95, folder / "%d.png")
    assert_parts_equal_the_whole(Film.open(folder), 60)


def test_nothing_is_rounded_to_eight_bits(tmp_path):
    ramp = "geq=lum='X*4':cb=512:cr=512"
    ffmpeg("-f", "lavfi", "-i", f"color=size=256x16:rate=16:duration=1,format=yuv444p10le,{ramp}",
           "-c:v", "ffv1", tmp_path / "a.mkv")  # fmt: skip
    row = images(Film.open(tmp_path / "a.mkv"))[0][4, 16:230, 1]
    steps = np.diff(row)
    assert np.allclose(steps, 4 / 876, atol=3e-5)


def test_sixteen_bit_gray_is_decoded_exactly(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "color=size=256x16:rate=16:duration=1,format=gray16le,"
           "geq=lum='X*257+3'", "-c:v", "ffv1", tmp_path / "a.mkv")  # fmt: skip
    film = Film.open(tmp_path / "a.mkv")
    assert (film.gray, film.bits) == (True, 16)
    row = images(film)[0][4, :, 0]
    assert np.allclose(row[:255], (np.arange(255) * 257 + 3) / 65535, atol=1e-6)


def test_frames_can_be_decoded_at_another_size_in_eight_bits(film_file):
    frame = next(decode(Film.open(film_file), width=32, height=20, dtype=np.uint8))
    assert (frame.image.shape, frame.image.dtype) == ((20, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "matrix"), [((720, 576), "bt601"), ((480, 640), "bt601"), ((1280, 720), "bt709")]
)
def test_the_matrix_of_an_untagged_film_depends_on_its_size(tmp_path, size, matrix):
    """Reading this green of BT.709 as BT.601 is off by more than 0.1."""
    green = np.zeros((1, size[1], size[0], 3), np.uint8) + np.array([30, 200, 60], np.uint8)
    write_raw(tmp_path / "a.mkv", green, "-vf", f"scale=out_color_matrix={matrix},format=yuv444p,"
              "setparams=colorspace=unknown", "-c:v", "ffv1")  # fmt: skip
    film = Film.open(tmp_path / "a.mkv")
    assert film.color.matrix is None
    assert np.allclose(images(film)[0][9, 9] * 255, [30, 200, 60], atol=1.5)


# Truncated and damaged films


def test_a_truncated_film_is_decoded_up_to_its_end_and_reported(tmp_path, film_file):
    data = film_file.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) * 6 // 10])
    film = Film.open(cut)
    analysis = analyze(film)
    whole, part = images(Film.open(film_file)), images(film)
    assert 10 < len(part) == analysis.frames < 48
    assert f"{analysis.frames} of 48 frames" in analysis.truncated
    assert all(np.array_equal(a, b) for a, b in zip(part[:-2], whole))


def test_a_truncated_mp4_with_its_index_in_front_is_decoded_up_to_its_end(tmp_path, film_file):
    ffmpeg("-i", film_file, "-c", "copy", "-movflags", "+faststart", tmp_path / "a.mp4")
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 7 // 10])
    film = Film.open(tmp_path / "cut.mp4")
    analysis = analyze(film)
    assert 10 < analysis.frames < 46
    assert "of 48 frames" in analysis.truncated


def test_frames_after_damage_keep_their_times(tmp_path):
    ffmpeg(*moving("16", 4), "-c:v", "ffv1", "-g", 1, "-slicecrc", 1, tmp_path / "a.mkv")
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = os.urandom(6000)
    (tmp_path / "damaged.mkv").write_bytes(data)
    whole = images(Film.open(tmp_path / "a.mkv"))
    damaged = images(Film.open(tmp_path / "damaged.mkv"))
    assert len(damaged) == len(whole) == 64
    wrong = [i for i in range(64) if not np.array_equal(damaged[i], whole[i])]
    assert len(wrong) < 12
    assert np.array_equal(damaged[-1], whole[-1])


def test_thousands_of_error_messages_do_not_block_the_decoder(tmp_path):
    ffmpeg(*moving("25", 20), "-c:v", "mpeg4", "-q:v", 3, tmp_path / "a.avi")
    data = bytearray((tmp_path / "a.avi").read_bytes())
    noise = np.random.default_rng(3)
    for place in noise.integers(8000, len(data) - 8000, 3000):
        data[place] ^= 0xFF
    (tmp_path / "damaged.avi").write_bytes(data)
    film = Film.open(tmp_path / "damaged.avi")
    assert len(images(film)) > 50


def test_a_film_without_a_decodable_frame_raises_an_error_with_the_reason(tmp_path):
    ffmpeg(*moving("16", 1), "-c:v", "ffv1", tmp_path / "a.mkv")
    film = Film.open(tmp_path / "a.mkv")
    (tmp_path / "a.mkv").write_bytes(bytes(5000))
    with pytest.raises(MediaError, match="no frame can be decoded: .*Invalid data"):
        images(film)


# The child process


def children() -> set[str]:
    """Return the ffmpeg processes that this process started and that still run."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, state, parent = _stat(status)
        except OSError:
            continue
        if state != "Z" and "ffmpeg" in name:
            found.add((status.parent.name, parent))
    guards = {os.getpid(), *_children_of(os.getpid())}
    return {process for process, parent in found if parent in guards}


def _children_of(parent):
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if _stat(status)[2] == parent:
                yield int(status.parent.name)
        except OSError:
            continue


def _stat(path):
    text = path.read_text()
    state, parent = text[text.rindex(")") + 2 :].split()[:2]
    return text, state, int(parent)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_ffmpeg_ends_when_decoding_is_interrupted(tmp_path):
    ffmpeg(*moving("25", 12, "320x240"), "-c:v", "mpeg4", tmp_path / "a.mp4")
    before = children()
    frames = decode(Film.open(tmp_path / "a.mp4"))
    next(frames)
    assert children() - before
    frames.close()
    assert not children() - before

    with pytest.raises(RuntimeError):
        for _ in decode(Film.open(tmp_path / "a.mp4")):
            raise RuntimeError
    time.sleep(0.1)
    assert not children() - before
