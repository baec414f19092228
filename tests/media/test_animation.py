"""Animated PNG, WebP, AVIF and GIF are films: all frames, with their delays and repetitions."""

from __future__ import annotations

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
