from __future__ import annotations

import os
from fractions import Fraction

import numpy as np
import pytest

from oldfilm.errors import MediaError
from oldfilm.media import Encoder, EncodeSettings, Film, decode, join, mux, segment_suffix
from oldfilm.stage import FilmInfo

from .conftest import images


def make_segments(folder, destination, info, settings, lengths):
    """Encode segments of the given lengths, each frame in a random shade."""
    rng = np.random.default_rng(5)
    segments = []
    for number, length in enumerate(lengths):
        path = folder / f"{number:03}{segment_suffix(destination, settings)}"
        with Encoder(path, info, settings, destination=destination) as encoder:
            for _ in range(length):
                encoder.write(np.zeros((info.height, info.width, 3), np.float32) + rng.random())
        segments.append(path)
    return segments


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.mp4", None, "24000/1001"),
        ("a.mp4", None, "16"),
        ("a.mp4", None, "25/2"),
        ("a.mp4", None, "60000/1001"),
        ("a.mkv", None, "18"),
        ("a.mkv", "ffv1", "24000/1001"),
        ("a.mov", None, "25/2"),
        ("a.webm", None, "24000/1001"),
    ],
)
def test_joined_segments_keep_exact_times_and_frames(tmp_path, name, codec, rate):
    destination, settings = tmp_path / name, EncodeSettings(codec=codec)
    info = FilmInfo(32, 32, Fraction(rate), 0)
    segments = make_segments(tmp_path, destination, info, settings, [7, 1, 12, 3])
    joined = tmp_path / f"joined{segments[0].suffix}"
    join(segments, joined, info.rate)
    film = Film.open(joined)
    assert (film.rate, film.frames, film.variable_rate) == (info.rate, 23, False)
    steps = np.diff(film.times.stamps) * film.times.tick
    assert set(steps) == {1 / info.rate}
    assert film.times.stamps[0] == 0
    own = [image for segment in segments for image in images(Film.open(segment))]
    for a, b in zip(images(film), own):
        assert np.array_equal(a, b)

    mux(joined, None, destination, info.rate)
    result = Film.open(destination)
    assert (result.rate, result.frames, result.variable_rate) == (info.rate, 23, False)
    assert abs(result.duration - 23 / info.rate) < 1 / (2 * info.rate)


def test_a_hundred_segments_do_not_drift(tmp_path):
    info = FilmInfo(16, 16, Fraction(24000, 1001), 0)
    settings = EncodeSettings(codec="ffv1")
    one = make_segments(tmp_path, tmp_path / "a.mkv", info, settings, [7])[0]
    join([one] * 100, tmp_path / "joined.mov", info.rate)
    times = Film.open(tmp_path / "joined.mov").times
    assert len(times.stamps) == 700
    assert set(np.diff(times.stamps) * times.tick) == {1 / info.rate}


def test_lossless_segments_are_joined_bit_for_bit(tmp_path):
    rng = np.random.default_rng(2)
    frames = [rng.integers(0, 65536, (16, 24, 3)).astype(np.float32) / 65535 for _ in range(6)]
    info = FilmInfo(24, 16, Fraction(16), 6)
    settings = EncodeSettings(codec="ffv1", pix_fmt="rgb48le")
    segments = []
    for number in range(2):
        segments.append(tmp_path / f"{number}.mov")
        with Encoder(segments[-1], info, settings, destination=tmp_path / "a.mkv") as encoder:
            for frame in frames[3 * number : 3 * number + 3]:
                encoder.write(frame)
    join(segments, tmp_path / "joined.mov", info.rate)
    mux(tmp_path / "joined.mov", None, tmp_path / "a.mkv", info.rate)
    for a, b in zip(images(Film.open(tmp_path / "a.mkv")), frames):
        assert np.array_equal(a, b)


def test_a_missing_segment_is_reported_by_name(tmp_path):
    with pytest.raises(MediaError, match=r"007\.mp4"):
        join([tmp_path / "007.mp4"], tmp_path / "joined.mov", Fraction(16))


def test_a_damaged_segment_leaves_nothing_behind(tmp_path):
    (tmp_path / "0.mp4").write_bytes(os.urandom(500))
    with pytest.raises(MediaError, match="joined"):
        join([tmp_path / "0.mp4"], tmp_path / "joined.mov", Fraction(16))
    assert [p.name for p in tmp_path.iterdir()] == ["0.mp4"]


# Results made of images


@pytest.fixture
def pictures(tmp_path):
    """Return a function that writes eight frames, in two segments, to a result made of images."""

    def write(destination, rate=Fraction(16), bits=8):
        info = FilmInfo(32, 20, rate, 8)
        segments = []
        for number in range(2):
            path = tmp_path / f"{number}{segment_suffix(destination, EncodeSettings())}"
            with Encoder(path, info, bits=bits, destination=destination) as encoder:
                for i in range(4):
                    shade = np.zeros((20, 32, 3), np.float32) + (4 * number + i) / 8
                    shade[5:9, 5:9] = [1, 0, 0]
                    encoder.write(shade)
            segments.append(path)
        joined = tmp_path / f"joined{segments[0].suffix}"
        join(segments, joined, rate)
        return mux(joined, None, destination, rate)

    return write


def test_a_gif_has_all_frames_at_the_right_time(tmp_path, pictures):
    assert pictures(tmp_path / "a.gif", rate=Fraction(10)) == []
    film = Film.open(tmp_path / "a.gif")
    assert (film.rate, film.frames) == (10, 8)
    for i, image in enumerate(images(film)):
        assert np.abs(image[15, 20] - i / 8).max() < 0.03


def test_the_limited_frame_rate_of_a_gif_is_reported(tmp_path, pictures):
    notes = pictures(tmp_path / "a.gif", rate=Fraction(60))
    assert notes == ["a GIF shows at most 50 frames per second"]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_folder_of_images_has_all_frames_with_exact_code_values(tmp_path, pictures, bits):
    pictures(tmp_path / "frames" / "%08d.png", bits=bits)
    names = sorted(p.name for p in (tmp_path / "frames").iterdir())
    assert names == [f"{i:08}.png" for i in range(1, 9)]
    film = Film.open(tmp_path / "frames")
    assert film.bits == bits
    top = 2**bits - 1
    for i, frame in enumerate(decode(film)):
        assert np.array_equal(np.rint(frame.image[0, 0] * top), [np.rint(i / 8 * top)] * 3)
        assert np.array_equal(frame.image[6, 6], [1, 0, 0])


def test_a_folder_is_replaced_only_if_it_holds_nothing_but_numbered_frames(tmp_path, pictures):
    pictures(tmp_path / "frames" / "%08d.png")
    pictures(tmp_path / "frames" / "%08d.png")
    (tmp_path / "frames" / "letter.txt").write_text("dear")
    with pytest.raises(MediaError, match="other files"):
        pictures(tmp_path / "frames" / "%08d.png")
    assert (tmp_path / "frames" / "letter.txt").exists()
    assert len(list((tmp_path / "frames").iterdir())) == 9
