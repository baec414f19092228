"""Films whose time stamps vary around a constant rate, as phones and capture cards write them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from oldfilm.media import Film, analyze
from oldfilm.media.film import FrameTimes
from oldfilm.media.frame_rate import animation_rate, estimate_rate, placed

from .conftest import ffmpeg, images, loudness, moving, restore

TICKS = [Fraction(1, 90_000), Fraction(1, 15_360), Fraction(1, 1000)]


def times(seconds: np.ndarray, tick: Fraction) -> FrameTimes:
    stamps = np.rint(np.asarray(seconds) / float(tick)).astype(np.int64)
    return FrameTimes(stamps, stamps, tick)


def jittered(frames: int, rate: float = 30, by: float = 0.004, seed: int = 0) -> np.ndarray:
    """Return times in seconds, each within `by` of that of its frame."""
    return np.arange(frames) / rate + np.random.default_rng(seed).uniform(-by, by, frames)


def numbers(film: FrameTimes, rate: Fraction, variable: bool) -> list[int]:
    film, _ = placed(film, rate, variable)
    return [film.slot(int(stamp), rate) for stamp in film.stamps]


@pytest.mark.parametrize("tick", TICKS)
@pytest.mark.parametrize("rate", [24, 25, 30, 50, 60])
def test_jitter_does_not_change_the_rate(tick, rate):
    for seed in range(10):
        film = times(jittered(60, rate, 0.12 / rate, seed), tick)
        assert estimate_rate(film, ()) == (rate, False)
        assert numbers(film, Fraction(rate), False) == list(range(60))


def test_long_films_of_ntsc_rates_keep_them_in_spite_of_jitter():
    for rate in (Fraction(30_000, 1001), Fraction(30)):
        film = times(jittered(2000, float(rate)), TICKS[0])
        assert estimate_rate(film, ()) == (rate, False)


def test_a_late_first_frame_moves_no_other():
    seconds = np.arange(60) / 30
    seconds[0] += 0.02
    film, notes = placed(times(seconds, TICKS[0]), Fraction(30), False)
    assert [film.slot(int(stamp), Fraction(30)) for stamp in film.stamps] == list(range(60))
    assert film.lead == Fraction(-1800, 90_000)
    assert len(notes) == 1


def test_a_clock_that_is_slightly_fast_loses_no_frame_in_an_hour():
    film = times(jittered(108_000, 30.003), TICKS[0])
    rate, variable = estimate_rate(film, ())
    assert (round(float(rate), 3), variable) == (30.003, False)
    film, _ = placed(film, rate, variable)
    assert [film.slot(int(film.stamps[i]), rate) for i in range(0, 108_000, 999)] == [
        *range(0, 108_000, 999)
    ]


@pytest.mark.parametrize("by", [0, 0.004])
@pytest.mark.parametrize("dropped", [[1], [30], [20, 50, 77]])
@pytest.mark.parametrize("tick", TICKS)
def test_dropped_frames_leave_gaps_at_the_rate_of_the_others(by, dropped, tick):
    film = times(np.delete(jittered(100, by=by), dropped), tick)
    assert estimate_rate(film, ()) == (30, True)
    kept = [n for n in range(100) if n not in dropped]
    assert numbers(film, Fraction(30), True) == kept


def test_one_dropped_frame_of_a_few_is_a_gap():
    for dropped in range(1, 9):
        film = times(np.delete(jittered(10, by=0.002), dropped), TICKS[2])
        assert estimate_rate(film, ()) == (30, True)


def test_a_change_of_the_rate_loses_no_frame():
    seconds = np.concatenate([np.arange(90) / 30, 3 + np.arange(90) / 25])
    for noise in (0, jittered(180) - np.arange(180) / 30):
        film = times(seconds + noise, TICKS[2])
        rate, variable = estimate_rate(film, ())
        assert (rate, variable) == (30, True)
        assert len(set(numbers(film, rate, variable))) == 180


def test_frames_without_a_place_of_their_own_are_counted():
    seconds = np.concatenate(
        [np.arange(90) / 25, 3.6 + np.arange(4) / 200, 3.7 + np.arange(9) / 25]
    )
    film = times(seconds, TICKS[0])
    rate, variable = estimate_rate(film, ())
    _, notes = placed(film, rate, variable)
    assert variable
    lost = 103 - len(set(numbers(film, rate, variable)))
    assert lost > 0
    assert notes == [
        f"its frame rate varies: at {float(rate):g} frames per second, {lost} of 103 frames have "
        "no place of their own and are left out"
    ]


@pytest.mark.parametrize("delays", [(3, 4), (4, 6), (3, 4, 4), (4, 4, 12), (10, 25)])
def test_delays_of_animations_stay_exact(delays):
    stamps = np.cumsum([0, *delays * 8])
    film = FrameTimes(stamps, stamps, Fraction(1, 100))
    rate, variable = animation_rate(film, Fraction(delays[0], 100))
    exact = [int(stamp) * rate / 100 for stamp in stamps]
    if variable:
        assert all(each.denominator == 1 for each in exact)
    else:
        assert max(abs(each - i) for i, each in enumerate(exact)) < Fraction(1, 2)


def write_jittered(folder, suffix, tick, seconds="(N/30+0.004*sin(N*N))"):
    """Write 60 frames and two seconds of silence, but for a tone in the last half second."""
    timed = ["-fps_mode", "passthrough", "-enc_time_base", f"1/{tick}"]
    timed += ["-video_track_timescale", tick] if suffix == ".mp4" else []
    sound = ["-f", "lavfi", "-i", "aevalsrc=0.5*sin(2764*t)*gte(t\\,1.5):d=2"]
    stamps = ["-vf", f"settb=1/{tick},setpts=round({seconds}/TB)+{tick}"]
    coded = ["-g", 12, "-bf", 2, "-crf", 12, "-c:a", "aac"]
    path = folder / f"a{suffix}"
    ffmpeg("-copyts", *moving("30", 2), *sound, *stamps, *timed, *coded, path)
    return path


@pytest.mark.parametrize(("suffix", "tick"), [(".mp4", 90_000), (".mp4", 15_360), (".mkv", 1000)])
def test_a_phone_film_has_each_frame_once_with_a_note(tmp_path, suffix, tick):
    film = Film.open(write_jittered(tmp_path, suffix, tick))
    assert (film.rate, film.frames, film.variable_rate) == (30, 60, False)
    (note,) = film.notes
    assert "ms around 30 frames per second" in note
    ffmpeg(*moving("30", 2), "-c:v", "ffv1", tmp_path / "plain.mkv")
    plain = images(Film.open(tmp_path / "plain.mkv"))
    found = images(film)
    assert len(found) == 60
    assert max(np.abs(a - b).mean() for a, b in zip(found, plain)) < 0.02
    assert np.array_equal(images(film, 41, 45), found[41:45])
    assert analyze(film).frames == 60


def test_sound_of_a_phone_film_stays_in_sync(tmp_path):
    film = Film.open(write_jittered(tmp_path, ".mp4", 90_000))
    restore(film, tmp_path / "out.mp4")
    result = Film.open(tmp_path / "out.mp4")
    assert (result.rate, result.frames, result.notes) == (30, 60, ())
    lead = float(film.start - film.origin)
    before, after = (
        np.argmax(loudness(path) > 0.1) / 8000 for path in (film.path, tmp_path / "out.mp4")
    )
    assert abs((after - float(result.start - result.origin)) - (before - lead)) < 1 / 60
