"""Files of kinds that people report as broken by other tools; each test names the report."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oldfilm.errors import MediaError
from oldfilm.media import Film, analyze

from .conftest import ffmpeg, images, loudness, moving, restore

TONE = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate={}:duration=1"]


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def listed(name: bytes, data: bytes) -> bytes:
    return chunk(b"LIST", name + data)


def write_avi(path: Path, kind: bytes, codec: bytes, name: bytes, packets: list[bytes]) -> Path:
    """Write an AVI file with one stream at 25 frames per second."""
    header = kind + codec + struct.pack("<6I", 0, 0, 0, 1, 25, 0)
    header += struct.pack("<4I4H", len(packets), 0, 0xFFFFFFFF, 0, 0, 0, 64, 48)
    shape = struct.pack("<IiiHH4sIiiII", 40, 64, 48, 1, 24, codec, 0, 0, 0, 0, 0)
    stream = listed(b"strl", chunk(b"strh", header) + chunk(b"strf", shape))
    main = chunk(
        b"avih", struct.pack("<14I", 40000, 0, 0, 16, len(packets), 0, 1, 0, 64, 48, *[0] * 4)
    )
    index, movie = b"", b""
    for packet in packets:
        index += name + struct.pack("<III", 16, 4 + len(movie), len(packet))
        movie += chunk(name, packet)
    body = listed(b"hdrl", main + stream) + listed(b"movi", movie) + chunk(b"idx1", index)
    path.write_bytes(chunk(b"RIFF", b"AVI " + body))
    return path


def dv_frames(folder: Path, rate: int) -> list[bytes]:
    """Return the frames of a PAL film in DV with sound of this sample rate."""
    path = folder / "a.dv"
    sound = [part.format(rate) for part in TONE]
    codecs = ["-c:v", "dvvideo", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le", "-ac", 2]
    ffmpeg(*moving("25", 0.4, "720x576"), *sound, *codecs, "-t", 0.4, path)
    data = path.read_bytes()
    return [data[i : i + 144000] for i in range(0, len(data), 144000)]


def test_dv_in_an_avi_of_type_1_keeps_picture_and_sound(tmp_path):  # HandBrake 6474
    frames = dv_frames(tmp_path, 48000)
    film = Film.open(write_avi(tmp_path / "a.avi", b"iavs", b"dvsd", b"00__", frames))
    assert (film.frames, len(film.audio)) == (10, 1)
    assert restore(film, tmp_path / "out.mkv") == []
    assert len(Film.open(tmp_path / "out.mkv").audio) == 1


def test_dv_of_32_khz_keeps_both_pairs_of_channels(tmp_path):  # lossless-cut 1450
    marked = [bytearray(frame) for frame in dv_frames(tmp_path, 32000)]
    for frame in marked:
        for block in range(0, len(frame), 80):
            if frame[block] >> 5 == 3 and frame[block + 3] == 0x50:  # the source pack of sound
                frame[block + 7] = (frame[block + 7] & 0xC0) | 2 << 3 | 1  # 32 kHz, 12 bits
    (tmp_path / "four.dv").write_bytes(b"".join(marked))
    film = Film.open(tmp_path / "four.dv")
    assert len(film.audio) == 2
    restore(film, tmp_path / "out.mkv")
    assert len(Film.open(tmp_path / "out.mkv").audio) == 2


def test_packed_b_frames_are_each_shown_once(tmp_path):  # AVI files of DivX 5
    ffmpeg(*moving("25", 1), "-c:v", "mpeg4", "-bf", 1, "-q:v", 2, "-f", "m4v", tmp_path / "a.m4v")
    data = (tmp_path / "a.m4v").read_bytes()
    starts = [match.start() for match in re.finditer(rb"\x00\x00\x01\xb6", data)]
    frames = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)])]
    empty, packets = b"\0\0\1\xb6\x50\x7f", []
    while frames:
        first = frames.pop(0)
        if frames and frames[0][4] >> 6 == 2:
            packets += [first + frames.pop(0), empty]
        else:
            packets.append(first)
    packets[0] = data[: starts[0]] + b"\0\0\1\xb2DivX503b1393p\0" + packets[0]
    film = Film.open(write_avi(tmp_path / "a.avi", b"vids", b"DX50", b"00dc", packets))
    ffmpeg("-r", 25, "-i", tmp_path / "a.m4v", "-c:v", "ffv1", tmp_path / "plain.mkv")
    plain = images(Film.open(tmp_path / "plain.mkv"))
    assert len(images(film)) == len(plain) == 25
    assert max(np.abs(a - b).max() for a, b in zip(images(film), plain)) < 0.02


def test_frames_that_a_capture_dropped_are_repeats(tmp_path):  # VirtualDub stores empty chunks
    ffmpeg(*moving("25", 2), "-c:v", "mjpeg", "-q:v", 2, "-f", "image2", tmp_path / "%02d.jpg")
    packets = [path.read_bytes() for path in sorted(tmp_path.glob("*.jpg"))]
    dropped = [1, 12, 23, 34]
    stored = [b"" if i in dropped else packet for i, packet in enumerate(packets)]
    film = Film.open(write_avi(tmp_path / "a.avi", b"vids", b"MJPG", b"00dc", stored))
    shown = images(film)
    assert (film.rate, film.frames, len(shown)) == (25, 50, 50)
    means = [image.mean() for image in shown]
    assert [i for i in range(1, 50) if means[i] == means[i - 1]] == dropped


def test_frames_of_a_camera_that_hold_exif_data_are_restored(tmp_path):  # PyAV 18: "31 is not a"
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    packets = []
    for level in (40, 120, 200):
        Image.new("RGB", (64, 48), (level, level, level)).save(tmp_path / "a.jpg", exif=exif)
        packets.append((tmp_path / "a.jpg").read_bytes())
    film = Film.open(write_avi(tmp_path / "a.avi", b"vids", b"MJPG", b"00dc", packets))
    assert np.allclose([image.mean() * 255 for image in images(film)], (40, 120, 200), atol=1)
    assert restore(film, tmp_path / "out.mkv") == []


def boxes(data: bytes, start: int):
    while start < len(data):
        size = struct.unpack_from(">I", data, start)[0]
        yield data[start + 4 : start + 8], data[start : start + size]
        start += size


def box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data) + 8) + name + data


def edited(folder: Path, *edits: tuple[int, int]) -> Path:
    """Write an MP4 film of 3 s with an edit list: lengths and starts in milliseconds."""
    path = folder / "a.mp4"
    ffmpeg(*moving("25", 3), "-g", 25, "-bf", 0, "-video_track_timescale", 1000, path)
    data = path.read_bytes()
    parts = dict(boxes(data, 0))
    movie = dict(boxes(parts[b"moov"], 8))
    (ticks,) = struct.unpack_from(">I", movie[b"mvhd"], 20)
    entries = (struct.pack(">IiI", n * ticks // 1000, at, 1 << 16) for n, at in edits)
    table = box(b"elst", struct.pack(">II", 0, len(edits)) + b"".join(entries))
    track = dict(boxes(movie[b"trak"], 8)) | {b"edts": box(b"edts", table)}
    movie[b"trak"] = box(b"trak", b"".join(track.values()))
    parts[b"moov"] = box(b"moov", b"".join(movie.values()))
    path.write_bytes(b"".join(parts.values()))
    return path


def test_frames_that_an_edit_list_hides_are_noted(tmp_path):  # stash 5883, mpv 14167
    film = Film.open(edited(tmp_path, (1000, 0), (1000, 2000)))
    assert (film.frames, len(images(film))) == (50, 50)
    assert film.notes == ("the edit list of the file hides 25 of 75 frames: they are left out",)


def test_an_edit_list_that_hides_all_frames_is_named(tmp_path):  # mpv 14167
    with pytest.raises(MediaError, match="its edit list hides all frames: `ffmpeg -ignore_editl"):
        Film.open(edited(tmp_path, (0, 0)))


def test_a_change_of_the_bit_depth_loses_no_frame(tmp_path):  # broadcasts that are joined
    for name, pixels in (("a.ts", "yuv420p"), ("b.ts", "yuv420p10le")):
        ffmpeg(*moving("25", 1), "-pix_fmt", pixels, tmp_path / name)
    both = [(tmp_path / name).read_bytes() for name in ("a.ts", "b.ts")]
    (tmp_path / "both.ts").write_bytes(b"".join(both))
    film = Film.open(tmp_path / "both.ts")
    assert analyze(film).frames == film.frames == 50


def test_dv_sound_whose_rate_changes_keeps_its_speed(tmp_path):  # dvrescue 155
    first, second = (b"".join(dv_frames(tmp_path, rate)) for rate in (48000, 32000))
    (tmp_path / "both.dv").write_bytes(first + second)
    film = Film.open(tmp_path / "both.dv")
    assert film.frames == 20
    notes = restore(film, tmp_path / "out.mkv")
    assert len([note for note in notes if "sound track 1 was converted" in note]) == 1
    sound = loudness(tmp_path / "out.mkv", 8000)
    assert abs(len(sound) / 8000 - 0.8) < 0.02


def with_edit_speed(source: Path, path: Path, speed: float) -> Path:
    """Copy a QuickTime film, and let its first edit play at another speed."""
    data = bytearray(source.read_bytes())
    struct.pack_into(">i", data, data.index(b"elst") + 20, round(speed * 65536))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("speed", [0.5, 2])
def test_an_edit_list_with_another_speed_is_noted(tmp_path, speed):  # ffmpeg ignores it
    ffmpeg(*moving(seconds=1), tmp_path / "a.mov")
    assert Film.open(tmp_path / "a.mov").notes == ()
    (note,) = Film.open(with_edit_speed(tmp_path / "a.mov", tmp_path / "b.mov", speed)).notes
    assert f"plays parts at other speeds ({speed:g})" in note


@pytest.mark.parametrize(("angle", "size"), [(3, (64, 48)), (-92, (64, 48)), (270, (48, 64))])
def test_rotation_by_other_than_quarter_turns_is_noted(tmp_path, angle, size):  # gyroscopes
    ffmpeg(*moving(seconds=0.2), tmp_path / "a.mp4")
    turned = tmp_path / "b.mp4"
    ffmpeg("-display_rotation", angle, "-i", tmp_path / "a.mp4", "-c", "copy", turned)
    film = Film.open(turned)
    assert (film.width, film.height) == size
    assert (f"turns frames by {angle} degrees" in " ".join(film.notes)) == (angle != 270)


def test_a_tape_of_4_3_and_16_9_has_the_first_shape_and_a_note(tmp_path):  # DV camcorders
    parts = []
    for aspect in ("4:3", "16:9"):
        codec = ["-aspect", aspect, "-c:v", "dvvideo", "-pix_fmt", "yuv420p"]
        ffmpeg(*moving("25", 0.2, "720x576"), *codec, tmp_path / "a.dv")
        parts.append((tmp_path / "a.dv").read_bytes())
    for first, second, shapes in ((0, 1, ("16:15", "64:45")), (1, 0, ("64:45", "16:15"))):
        (tmp_path / "b.dv").write_bytes(parts[first] + parts[second])
        film = Film.open(tmp_path / "b.dv")
        assert "{}:{}".format(*film.sample_aspect.as_integer_ratio()) == shapes[0]
        note = analyze(film).resized
        assert f"changes (to {shapes[1]}); all frames have the first, {shapes[0]}" in note


@pytest.mark.slow  # The codec takes only frames of 2048x1080.
def test_digital_cinema_is_shown_in_its_colors(tmp_path):  # mpv 4925, iina 1046
    red = ["-f", "lavfi", "-i", "color=0xC86432:size=2048x1080:rate=24:duration=0.04"]
    cinema = ["-vf", "scale,format=xyz12le", "-c:v", "libopenjpeg", "-cinema_mode", "2k_24"]
    ffmpeg(*red, *cinema, tmp_path / "a.mxf")
    film = Film.open(tmp_path / "a.mxf")
    assert (film.pixel_format, film.rgb, film.bits) == ("xyz12le", True, 12)
    assert np.allclose(images(film)[0].mean((0, 1)) * 255, (0xC8, 0x64, 0x32), atol=10)
    assert film.notes == ("its colors, the XYZ of digital cinema, were converted to BT.709",)


def test_a_reference_movie_is_named(tmp_path):
    alias = box(b"rdrf", struct.pack(">I4sI", 0, b"url ", 6) + b"a.mov\0")
    (tmp_path / "a.mov").write_bytes(box(b"moov", box(b"rmra", box(b"rmda", alias))))
    with pytest.raises(MediaError, match="a reference movie, which only names another file"):
        Film.open(tmp_path / "a.mov")


def test_a_codec_that_nothing_decodes_is_named(tmp_path):  # ProRes RAW
    ffmpeg(*moving(seconds=0.5), "-c:v", "libx264", tmp_path / "a.mov")
    data = (tmp_path / "a.mov").read_bytes()
    (tmp_path / "a.mov").write_bytes(data.replace(b"avc1", b"aprn").replace(b"avcC", b"xxxx"))
    with pytest.raises(MediaError, match=r"not one frame of this film can be decoded \(\w+\)"):
        Film.open(tmp_path / "a.mov")


def test_the_second_view_of_a_spatial_video_is_noted(tmp_path):  # iPhone 15 Pro
    coded = ["-c:v", "libx265", "-x265-params", "log-level=none", "-tag:v", "hvc1"]
    ffmpeg(*moving(seconds=0.5), *coded, tmp_path / "a.mov")
    data = (tmp_path / "a.mov").read_bytes()
    place = data.rindex(b"pasp")
    layers = b"free\0\0\0\x08lhvC"  # ffmpeg would look for the layers themselves.
    (tmp_path / "a.mov").write_bytes(data[:place] + layers + data[place + 12 :])
    notes = restore(Film.open(tmp_path / "a.mov"), tmp_path / "out.mov")
    assert "second view of a spatial video (MV-HEVC)" in " ".join(notes)
