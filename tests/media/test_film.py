from __future__ import annotations

import math
import struct
from fractions import Fraction

import numpy as np
import pytest

from oldfilm.errors import MediaError
from oldfilm.media import ColorTags, Film, analyze, write_photograph

from .conftest import COUNTS_CHAPTERS, ffmpeg, images, moving, write_raw

RATES = ["24000/1001", "30000/1001", "16", "18", "25/2", "50", "15/2"]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "avi", "ts"])
@pytest.mark.parametrize("rate", RATES)
def test_the_rate_is_an_exact_fraction(tmp_path, rate, suffix):
    path = tmp_path / f"film.{suffix}"
    codec = ["mpeg4"] if suffix == "avi" else ["libx264", "-preset", "ultrafast"]
    ffmpeg(*moving(rate), "-frames:v", 40, "-c:v", *codec, path)
    film = Film.open(path)
    assert film.rate == Fraction(rate)
    assert not film.variable_rate
    assert film.frames == min(40, math.ceil(3 * Fraction(rate)))


@pytest.mark.parametrize("rate", ["16", "24000/1001", "25/2", "60000/1001"])
def test_rounding_in_matroska_does_not_make_a_rate_variable_even_after_a_copy_to_mp4(
    tmp_path, rate
):
    ffmpeg(*moving(rate, 6), "-c:v", "libx264", "-preset", "ultrafast", tmp_path / "a.mkv")
    ffmpeg("-i", tmp_path / "a.mkv", "-c", "copy", tmp_path / "b.mp4")
    for name in ("a.mkv", "b.mp4"):
        film = Film.open(tmp_path / name)
        assert (film.rate, film.variable_rate) == (Fraction(rate), False)


def test_a_film_of_one_frame_has_the_rate_that_its_file_declares(tmp_path):
    ffmpeg(*moving("18"), "-frames:v", 1, tmp_path / "one.mkv")
    film = Film.open(tmp_path / "one.mkv")
    assert (film.frames, film.rate) == (1, 18)
    assert len(images(film)) == 1


@pytest.mark.parametrize("rate", [25, 50])
@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
@pytest.mark.parametrize("form", ["mpegts", "vob"])
def test_one_frame_of_a_broadcast_has_the_rate_of_frames_not_of_fields(tmp_path, rate, codec, form):
    ffmpeg(*moving(rate, 1 / rate), "-c:v", codec, "-f", form, tmp_path / "a.ts")
    film = Film.open(tmp_path / "a.ts")
    assert (film.rate, film.frames) == (rate, 1)


def test_a_film_of_one_frame_does_not_take_the_ticks_of_its_clock_for_its_rate(tmp_path):
    ffmpeg(*moving("25"), "-frames:v", 1, "-c:v", "wmv2", tmp_path / "one.wmv")
    film = Film.open(tmp_path / "one.wmv")
    assert (film.frames, film.rate) == (1, 25)
    assert analyze(film).notes == []


def test_a_film_is_decoded_though_its_title_is_not_utf8(tmp_path):
    path = tmp_path / "film.mp4"
    ffmpeg(*moving("25", 1), "-metadata", "title=TTTTTTTT", path)
    written = path.read_bytes()
    assert written.count(b"TTTTTTTT") == 1
    path.write_bytes(written.replace(b"TTTTTTTT", b"Caf\xe9 \xff\xfe."))
    assert len(images(Film.open(path))) == 25


def variable_film(path):
    """Write a film of 24 fps that lacks every second frame in its first second."""
    select = "select='not(mod(n,2))+gte(n,24)'"
    ffmpeg(*moving("24", 3), "-vf", select, "-fps_mode", "passthrough", "-c:v", "ffv1", path)


def test_a_film_of_variable_rate_is_decoded_at_a_constant_rate_in_sync(tmp_path):
    variable_film(tmp_path / "variable.mkv")
    ffmpeg(*moving("24", 3), "-c:v", "ffv1", tmp_path / "constant.mkv")
    film = Film.open(tmp_path / "variable.mkv")
    assert film.variable_rate
    assert (film.rate, film.frames) == (24, 72)
    truth = images(Film.open(tmp_path / "constant.mkv"))
    found = images(film)
    assert len(found) == 72
    for i, image in enumerate(found):
        shown = i - i % 2 if i < 24 else i
        assert np.array_equal(image, truth[shown])


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_rotated_film_is_decoded_upright_with_its_sample_aspect_rotated(tmp_path, angle):
    picture = np.zeros((3, 32, 64, 3), np.uint8)
    picture[:, :16, :32] = 255  # top left
    write_raw(tmp_path / "a.mp4", picture, "-vf", "setsar=4/3", "-c:v", "libx264", "-crf", 1)
    ffmpeg("-display_rotation", angle, "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
    film = Film.open(tmp_path / "b.mp4")
    image = images(film)[0]
    upright = (angle == 180) * 64 + (angle != 180) * 32
    assert (film.width, film.height) == (upright, 96 - upright)
    assert image.shape == (film.height, film.width, 3)
    assert film.sample_aspect == (Fraction(4, 3) if angle == 180 else Fraction(3, 4))
    bright = np.unravel_index(np.argmax(_quarters(image)), (2, 2))
    assert bright == {90: (1, 0), 180: (1, 1), 270: (0, 1)}[angle]  # counter-clockwise


def turned(path, matrix):
    """Write a film of 64x32 pixels, white at its top left, and set its display matrix in the MP4.

    matrix: a, b, c, d of the matrix, which turns or mirrors a frame.
    """
    picture = np.zeros((2, 32, 64, 3), np.uint8)
    picture[:, :16, :32] = 255
    write_raw(path, picture, "-vf", "setsar=4/3", "-c:v", "libx264", "-crf", 1)
    data = path.read_bytes()
    plain = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    a, b, c, d = (round(value * 65536) for value in matrix)
    at = data.index(b"tkhd")
    place = data.index(plain, at)
    path.write_bytes(
        data[:place] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[place + 36 :]
    )
    return Film.open(path)


def _rotation(degrees):
    angle = math.radians(degrees)
    return math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)


@pytest.mark.parametrize(
    ("name", "matrix", "size", "bright"),
    [
        ("a few degrees", _rotation(3), (64, 32), (0, 0)),
        ("less than a degree", _rotation(0.5), (64, 32), (0, 0)),
        ("45 degrees", _rotation(45), (64, 32), None),
        ("mirrored left to right", (-1, 0, 0, 1), (64, 32), (0, 1)),
        ("mirrored top to bottom", (1, 0, 0, -1), (64, 32), (1, 0)),
        ("90 degrees and mirrored", (0, 1, 1, 0), (32, 64), (0, 0)),
        ("90 degrees and mirrored otherwise", (0, -1, -1, 0), (32, 64), (1, 1)),
    ],
)
def test_any_display_matrix_is_probed_and_decoded_alike(tmp_path, name, matrix, size, bright):
    film = turned(tmp_path / "a.mp4", matrix)
    image = images(film)[0]
    assert (film.width, film.height) == size
    assert image.shape == (*size[::-1], 3)
    assert film.sample_aspect == (Fraction(4, 3) if size == (64, 32) else Fraction(3, 4))
    if bright:
        assert np.unravel_index(np.argmax(_quarters(image)), (2, 2)) == bright
        assert image.max() > 0.9


def with_clean_aperture(path, size):
    """Add a centered clean aperture to an MP4 of H.264 whose index is at its end."""
    box = struct.pack(">I4s8i", 40, b"clap", size[0], 1, size[1], 1, 0, 1, 0, 1)
    data = bytearray(path.read_bytes())
    end = data.index(b"avcC") - 4
    end += struct.unpack_from(">I", data, end)[0]
    data[end:end] = box
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        at = data.index(name) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + len(box))
    path.write_bytes(data)
    return Film.open(path)


def test_a_crop_by_the_container_is_probed_and_decoded_alike(tmp_path):
    """A clean aperture, as in a tape capture of 704 columns in 720, and Matroska's PixelCrop."""
    picture = np.zeros((2, 48, 64, 3), np.uint8)
    picture[:, :, 8:-8] = 200
    write_raw(tmp_path / "a.mp4", picture, "-c:v", "libx264", "-crf", 1, "-pix_fmt", "yuv444p")
    ffmpeg("-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
    film = with_clean_aperture(tmp_path / "b.mp4", (48, 48))
    assert (film.width, film.height) == (48, 48)
    for image in images(film):
        assert image.shape == (48, 48, 3)
        assert np.allclose(image, 200 / 255, atol=0.03)


def _quarters(image):
    h, w = image.shape[0] // 2, image.shape[1] // 2
    return np.array([[image[:h, :w].mean(), image[:h, w:].mean()],
                     [image[h:, :w].mean(), image[h:, w:].mean()]])  # fmt: skip


def test_color_tags_bit_depth_and_range_are_probed(tmp_path):
    tags = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=pc"
    ffmpeg(*moving(), "-vf", f"scale=out_range=pc,format=yuv420p10le,{tags}", "-c:v", "libx264",
           tmp_path / "a.mkv")  # fmt: skip
    film = Film.open(tmp_path / "a.mkv")
    assert film.color == ColorTags("bt709", "bt709", "bt709", full_range=True)
    assert (film.bits, film.gray, film.pixel_format) == (10, False, "yuv420p10le")


def test_an_untagged_film_has_no_color_tags(tmp_path):
    ffmpeg(*moving(), "-c:v", "mpeg4", tmp_path / "a.avi")
    color = Film.open(tmp_path / "a.avi").color
    assert (color.matrix, color.primaries, color.transfer) == (None, None, None)


def test_a_gray_film_is_gray(tmp_path):
    ffmpeg(*moving(), "-pix_fmt", "gray", "-c:v", "ffv1", tmp_path / "a.mkv")
    film = Film.open(tmp_path / "a.mkv")
    assert film.gray
    assert film.info.channels == 1
    assert images(film)[0].shape == (48, 64, 1)


def test_all_tracks_are_listed(tmp_path, film_file):
    (tmp_path / "s.srt").write_text("1\n00:00:00,500 --> 00:00:01,000\nHello\n")
    (tmp_path / "c.txt").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=one\n"
    )
    ffmpeg("-i", film_file, "-i", tmp_path / "s.srt", "-i", tmp_path / "c.txt", "-map", "0", "-map",
           "1", "-map_chapters", "2", "-attach", tmp_path / "s.srt", "-metadata:s:t",
           "mimetype=text/plain", "-metadata:s:a:0", "language=fra", "-c", "copy",
           tmp_path / "all.mkv")  # fmt: skip
    film = Film.open(tmp_path / "all.mkv")
    assert [(t.codec, t.language) for t in film.audio] == [("aac", "fra")]
    assert [t.codec for t in film.subtitles] == ["subrip"]
    assert (len(film.attachments), film.chapters) == (1, int(COUNTS_CHAPTERS))


def test_a_cover_picture_is_not_the_film(tmp_path, film_file):
    write_photograph(tmp_path / "cover.png", np.ones((20, 30, 3), np.float32))
    ffmpeg("-i", tmp_path / "cover.png", "-i", film_file, "-map", 0, "-map", 1, "-c", "copy",
           "-disposition:v:0", "attached_pic", tmp_path / "a.mp4")  # fmt: skip
    film = Film.open(tmp_path / "a.mp4")
    assert (film.width, film.frames) == (64, 48)
    assert images(film)[0].shape == (48, 64, 3)


# Files that are refused, with a message of one line


def refusal(path, **options):
    with pytest.raises(MediaError) as caught:
        Film.open(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_missing_file_is_reported_as_missing(tmp_path):
    assert "no such file" in refusal(tmp_path / "nothing.mp4")


def test_a_text_file_named_mp4_is_refused(tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("not a film at all\n" * 50)
    assert "not a film" in refusal(path)


def test_an_empty_file_is_reported_as_empty(tmp_path):
    (tmp_path / "empty.mkv").touch()
    assert "empty" in refusal(tmp_path / "empty.mkv")


def test_a_sound_file_is_refused(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / "sound.mp4")
    assert "no video stream" in refusal(tmp_path / "sound.mp4")


def test_a_film_without_frames_is_refused(tmp_path, film_file):
    ffmpeg("-i", film_file, "-map", "0:v", "-c", "copy", "-frames:v", 0, tmp_path / "none.mkv")
    assert "frame" in refusal(tmp_path / "none.mkv")


def test_an_mp4_truncated_before_its_index_is_refused(tmp_path, film_file):
    ffmpeg("-i", film_file, "-c", "copy", tmp_path / "a.mp4")
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    assert "no index" in refusal(tmp_path / "cut.mp4")


def test_a_photograph_is_refused_as_a_film(tmp_path):
    write_photograph(tmp_path / "photo.png", np.ones((8, 8, 3), np.float32))
    write_photograph(tmp_path / "photo.jpg", np.ones((8, 8, 3), np.float32))
    assert "photograph" in refusal(tmp_path / "photo.png")
    assert "photograph" in refusal(tmp_path / "photo.jpg")


def test_a_playlist_of_other_files_is_refused(tmp_path, film_file):
    ffmpeg("-i", film_file, "-c", "copy", tmp_path / "part.ts")
    path = tmp_path / "list.mp4"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\npart.ts\n#EXT-X-ENDLIST\n")
    refusal(path)


# Folders of numbered frames


def frames_folder(folder, numbers, name="f{}.png", channels=3):
    folder.mkdir()
    for number in numbers:
        image = np.full((6, 8, channels), number / 255, np.float32)
        write_photograph(folder / name.format(number), image)
    return folder


def shades(film):
    return [round(float(image.mean()) * 255) for image in images(film)]


def test_a_folder_is_read_in_numerical_order_despite_gaps(tmp_path):
    folder = frames_folder(tmp_path / "scan", [9, 10, 11, 100, 7])
    film = Film.open(folder)
    assert (film.rate, film.frames, film.bits) == (25, 5, 8)
    assert shades(film) == [7, 9, 10, 11, 100]
    assert [f.name for f in film.numbered][:2] == ["f7.png", "f9.png"]


def test_the_rate_of_a_folder_can_be_set(tmp_path):
    film = Film.open(frames_folder(tmp_path / "scan", [1, 2]), rate=Fraction(18))
    assert (film.rate, film.duration) == (18, Fraction(1, 9))
    assert "rate" in refusal(tmp_path / "scan", rate=Fraction(0))


def test_the_rate_of_a_video_file_cannot_be_set(film_file):
    assert "a rate of its own" in refusal(film_file, rate=Fraction(18))


def test_a_folder_of_gray_frames_is_a_gray_film(tmp_path):
    film = Film.open(frames_folder(tmp_path / "scan", [1, 2], channels=1))
    assert film.gray
    assert images(film)[0].shape == (6, 8, 1)


def test_a_frame_of_another_size_in_a_folder_is_named(tmp_path):
    folder = frames_folder(tmp_path / "scan", [1, 2])
    write_photograph(folder / "f3.png", np.zeros((6, 9, 3), np.float32))
    with pytest.raises(MediaError, match=r"f3\.png.*9x6"):
        images(Film.open(folder))


def test_a_folder_of_unnumbered_images_or_without_images_is_refused(tmp_path):
    folder = frames_folder(tmp_path / "album", [1], name="wedding-{}.png")
    write_photograph(folder / "garden.png", np.zeros((6, 9, 3), np.float32))
    assert "number" in refusal(folder)
    (tmp_path / "nothing").mkdir()
    assert "no images" in refusal(tmp_path / "nothing")
    mixed = frames_folder(tmp_path / "mixed", [1], name="wedding-{}.png")
    write_photograph(mixed / "garden-2.png", np.zeros((6, 9, 3), np.float32))
    assert "one film" in refusal(mixed)
