"""Animated PNG, WebP, AVIF and GIF are films: all frames, with their delays and repetitions."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, features

from oldfilm.errors import MediaError
from oldfilm.media import Film, decode, decode_alpha, is_photograph
from oldfilm.media.animation import plays

from .conftest import restore

DELAYS = [100, 100, 150, 100, 100, 1000]
"""Milliseconds; exact at 20 frames per second."""
SHOWN = [0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, *[5] * 20]
"""Which frame is on screen, frame by frame."""

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def pictures(mode: str = "RGBA") -> list[Image.Image]:
    """Return six flat pictures with a transparent left half."""
    out = []
    for i in range(6):
        codes = np.full((32, 48, 4), (40 * i, 255 - 40 * i, 90, 255), np.uint8)
        codes[:, :24, 3] = 0
        out.append(Image.fromarray(codes).convert(mode))
    return out


def animation(path, delays=DELAYS, mode="RGBA", **options):
    first, *others = pictures(mode)
    first.save(path, save_all=True, append_images=others, duration=delays, **options)
    return path


def shown(film: Film) -> list[int]:
    """Return which of `pictures` is on screen, frame by frame, by its red at the right."""
    return [round(float(frame.image[16, 40, 0]) * 255 / 40) for frame in decode(film)]


@pytest.mark.parametrize("name", ["a.png", "a.apng", "a.webp"])
def test_an_animation_is_a_film_with_exact_delays_and_alpha(tmp_path, name):
    options = {"lossless": True} if name == "a.webp" else {}
    form = "PNG" if name == "a.apng" else None
    path = animation(tmp_path / name, loop=3, format=form, **options)
    assert not is_photograph(path)
    film = Film.open(path)
    assert (film.rate, film.frames, film.alpha) == (20, 31, True)
    assert shown(film) == SHOWN
    assert plays(path) == 3
    assert all(
        (frame.image[:, 2:22] == 0).all() and (frame.image[:, 26:46] == 1).all()
        for frame in decode_alpha(film)
    )
    assert [frame.time for frame in decode(film, 9, 12)] == [n / film.rate for n in (9, 10, 11)]


@needs_avif
def test_an_animated_avif_is_a_film(tmp_path):
    path = animation(tmp_path / "a.avif", 80, quality=95)
    assert not is_photograph(path)
    film = Film.open(path)
    assert (film.rate, film.frames, film.alpha) == (12.5, 6, True)
    assert shown(film) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_pictures_of_a_single_frame_are_photographs(tmp_path, suffix):
    pictures()[0].save(tmp_path / f"a{suffix}")
    assert is_photograph(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("name", ["out.apng", "out.png", "out.webp", "out.gif"])
@pytest.mark.parametrize("source", ["a.webp", "a.gif"])
def test_results_are_animations_that_play_as_often(tmp_path, source, name):
    options = {"lossless": True} if source == "a.webp" else {"mode": "RGB"}
    film = Film.open(animation(tmp_path / source, loop=2, **options))
    restore(film, tmp_path / name)
    result = Film.open(tmp_path / name)
    assert (result.duration, shown(result)) == (film.duration, SHOWN)
    assert result.alpha == film.alpha
    assert plays(tmp_path / name) == plays(film.path) == (2 if source == "a.webp" else 3)


def test_a_gif_that_plays_once_stays_one(tmp_path):
    film = Film.open(animation(tmp_path / "a.gif", mode="RGB"))
    restore(film, tmp_path / "b.gif")
    assert plays(film.path) == plays(tmp_path / "b.gif") == 1


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_delays_that_browsers_lengthen_are_lengthened_with_a_note(tmp_path, name):
    film = Film.open(animation(tmp_path / name, [10, 0, 100, 50, 50, 200], "RGB"))
    assert shown(film) == [0, 0, 1, 1, 2, 2, 3, 4, 5, 5, 5, 5]
    assert "2 frames have delays of 10 ms or less: they are shown for 100 ms" in film.notes[0]


def test_the_last_delay_of_a_gif_counts(tmp_path):
    film = Film.open(animation(tmp_path / "a.gif", [100, 100, 100, 100, 100, 500], "RGB"))
    assert (film.rate, shown(film)) == (10, [0, 1, 2, 3, 4, *[5] * 5])


def test_a_picture_for_programs_without_animations_is_not_a_frame(tmp_path):
    film = Film.open(animation(tmp_path / "a.png", 100, "RGB", default_image=True))
    assert shown(film) == [1, 2, 3, 4, 5]


def test_lost_profiles_and_metadata_are_named(tmp_path):
    exif = Image.Exif()
    exif[271] = "Ernemann"
    path = animation(tmp_path / "a.webp", icc_profile=b"profile", exif=exif, mode="RGB")
    notes = restore(Film.open(path), tmp_path / "out.mp4")
    assert len(notes) == 1
    assert "restored without it: EXIF data, color profile (ICC)" in notes[0]


def test_a_damaged_animation_is_read_up_to_the_damage(tmp_path):
    path = animation(tmp_path / "a.webp", 100, lossless=True)
    data = bytearray(path.read_bytes())
    last = data.rfind(b"VP8L")
    data[last + 13 :] = b"\xff" * (len(data) - last - 13)
    path.write_bytes(data)
    film = Film.open(path)
    assert film.frames == 5
    assert film.notes == (f"{path}: only 5 of 6 frames can be read: the file is damaged",)
    path.write_bytes(data[:60])
    with pytest.raises(MediaError, match=r"a\.webp: the animation is damaged"):
        Film.open(path)


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif"])
def test_a_file_that_ends_in_its_header_is_refused(tmp_path, name):
    data = animation(tmp_path / name, 100).read_bytes()
    short = tmp_path / f"short-{name}"
    for size in range(40):
        short.write_bytes(data[:size])
        is_photograph(short)
        with pytest.raises(MediaError):
            Film.open(short)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def apng(path, color, bits, frames):
    """Write an animated PNG. frames: (pixels [h, w, c], x, y, disposal, blending) of each."""
    height, width = frames[0][0].shape[:2]
    data = b"\x89PNG\r\n\x1a\n"
    data += chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    data += chunk(b"acTL", struct.pack(">II", len(frames), 0))
    for i, (codes, x, y, disposal, blending) in enumerate(frames):
        size = codes.shape[1], codes.shape[0]
        control = struct.pack(">5I2H2B", 2 * i, *size, x, y, 1, 30, disposal, blending)
        lines = zlib.compress(b"".join(b"\0" + line.tobytes() for line in codes))
        body = struct.pack(">I", 2 * i + 1) + lines
        data += chunk(b"fcTL", control) + (chunk(b"fdAT", body) if i else chunk(b"IDAT", lines))
    path.write_bytes(data + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("bits", [8, 16])
def test_what_a_frame_of_a_png_clears_is_transparent(tmp_path, color, channels, bits):
    top = 2**bits - 1
    codes = np.full((12, 16, channels), top, np.uint8 if bits == 8 else ">u2")
    patch = codes[:4, :4].copy()
    patch[..., -1] = top if channels in (1, 3) else top // 2 + 1
    none, background, previous = 0, 1, 2
    frames = [
        (codes, 0, 0, background, 0),
        (patch, 2, 2, none, 1),
        (codes[:4, :4], 8, 6, previous, 0),
        (codes[:1, :1], 15, 11, none, 0),
    ]
    film = Film.open(apng(tmp_path / "a.png", color, bits, frames))
    assert (film.frames, film.rate, film.alpha) == (4, 30, True)
    half = patch[0, 0, -1] / top
    alpha = [frame.image for frame in decode_alpha(film)]
    assert [float(image[0, 0]) for image in alpha] == [1, 0, 0, 0]
    assert [float(image[3, 3]) for image in alpha] == pytest.approx([1, half, half, half], abs=0.01)
    assert [float(image[7, 9]) for image in alpha] == [1, 0, 1, 0]
    assert alpha[3][11, 15] == 1
    assert all((frame.image[3, 3] == 1).all() for frame in decode(film))
    assert ("16 bits were read as 8" in " ".join(film.notes)) == (bits == 16)
