from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oldfilm.media import Film, analyze, write_photograph
from tests.films import make_film

from .conftest import ffmpeg, moving, write_raw

FILMS = sorted(Path("../shared/data/films").glob("*.mkv"))


def scene(seed, frames, drift=1.0, size=(96, 128)):
    """Return a shot of drifting soft random shapes: uint8 [t, h, w, 3], gray."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    waves = rng.uniform(0.02, 0.25, (12, 2)) * rng.choice([-1, 1], (12, 2))
    phases, weights = rng.uniform(0, 6.3, 12), rng.uniform(0.3, 1, 12)
    shot = []
    for t in range(frames):
        image = sum(
            w * np.sin(a * (x + drift * t) + b * y + p)
            for (a, b), p, w in zip(waves, phases, weights)
        )
        shot.append(np.clip(rng.uniform(110, 110.1) + 28 * image, 0, 255))
    return np.repeat(np.stack(shot)[..., None], 3, axis=3)


def film_of(path, frames, *options):
    options = options or ("-c:v", "libx264", "-crf", 18)
    return Film.open(write_raw(path, np.clip(frames, 0, 255).astype(np.uint8), *options))


def cut_indices(film):
    return [round(time * film.rate) for time in analyze(film).facts.cuts]


@pytest.mark.parametrize(
    "options", [(), ("-c:v", "ffv1", "-pix_fmt", "gray"), ("-c:v", "mpeg4", "-q:v", 5)]
)
def test_cuts_are_found_at_the_exact_frame(tmp_path, options):
    lengths = [14, 5, 20, 9, 30]
    shots = np.concatenate([scene(seed, n) for seed, n in enumerate(lengths)])
    film = film_of(tmp_path / "a.mkv", shots, *options)
    assert cut_indices(film) == [14, 19, 39, 48]


def test_cuts_near_the_ends_are_found(tmp_path):
    shots = np.concatenate([scene(1, 3), scene(2, 12), scene(3, 3)])
    assert cut_indices(film_of(tmp_path / "a.mkv", shots)) == [3, 15]


@pytest.mark.parametrize(
    "lengths",
    [[12, 2, 12], [12, 1, 12], [2] * 12, [1] * 10, [1, 2, 1, 2, 2, 1, 9, 2, 2], [9, 1], [2, 9]],
    ids=str,
)
def test_shots_of_one_and_two_frames_are_found(tmp_path, lengths):
    shots = np.concatenate([scene(seed + 20, n) for seed, n in enumerate(lengths)])
    film = film_of(tmp_path / "a.mkv", shots)
    assert cut_indices(film) == np.cumsum(lengths)[:-1].tolist()


def test_a_damaged_frame_at_each_of_many_places_is_not_a_shot(tmp_path):
    shot = scene(7, 60)
    shot[5::11] = [scene(40 + i, 1)[0] for i in range(len(shot[5::11]))]
    shot[20:22] = scene(60, 2)
    shot[30] = shot[29]  # a dropped frame
    shot[48] = 0
    assert cut_indices(film_of(tmp_path / "a.mkv", shot)) == []


def test_flashes_in_a_row_are_not_shots(tmp_path):
    shot = scene(7, 40)
    shot[10:30:3] = 250
    assert cut_indices(film_of(tmp_path / "a.mkv", shot)) == []


def test_flicker_is_not_a_cut(tmp_path):
    exposure = np.random.default_rng(1).uniform(0.55, 1.3, 60)
    shot = scene(1, 60) * exposure[:, None, None, None]
    assert cut_indices(film_of(tmp_path / "a.mkv", shot)) == []


def test_a_fade_is_not_a_cut(tmp_path):
    fade = np.concatenate([np.linspace(0, 1, 24), np.linspace(1, 0, 24)])
    shot = scene(4, 48) * fade[:, None, None, None]
    assert cut_indices(film_of(tmp_path / "a.mkv", shot)) == []


def test_scratches_dust_and_grain_are_not_cuts(tmp_path):
    rng = np.random.default_rng(6)
    shot = scene(5, 60) + rng.normal(0, 18, (60, 96, 128, 1))
    for image in shot:
        for _ in range(rng.integers(0, 4)):
            x, y = rng.integers(0, 120), rng.integers(0, 88)
            image[:, x : x + 2] = rng.choice([0, 255])
            image[y : y + 6, x : x + 8] = 255
    assert cut_indices(film_of(tmp_path / "a.mkv", shot)) == []


def test_a_ruined_frame_or_a_flash_is_not_a_cut(tmp_path):
    shot = scene(7, 40)
    shot[11] = scene(8, 1)[0]
    shot[25:27] = 250
    assert cut_indices(film_of(tmp_path / "a.mkv", shot)) == []


def test_a_quick_pan_is_not_a_cut(tmp_path):
    assert cut_indices(film_of(tmp_path / "a.mkv", scene(9, 40, drift=6.0))) == []


def test_repeated_frames_are_found_in_lossless_and_in_compressed_films(tmp_path):
    shot = scene(10, 20, drift=2.0)
    repeated = [0, 1, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 9, 9, 10, 11, 12, 13, 14, 15]
    expected = {i for i in range(1, 20) if repeated[i] == repeated[i - 1]}
    for name, options in {"a.mkv": ("-c:v", "ffv1"), "b.mp4": ()}.items():
        film = film_of(tmp_path / name, shot[repeated], *options)
        assert {round(t * film.rate) for t in analyze(film).facts.repeats} == expected


def test_a_small_moving_object_distinguishes_frames(tmp_path):
    still = np.full((16, 96, 128, 3), 90)
    for i, image in enumerate(still):
        image[40:52, 4 * i : 4 * i + 8] = 230
    assert not analyze(film_of(tmp_path / "a.mkv", still)).facts.repeats


def test_brightness_is_the_mean_luma_of_every_frame(tmp_path):
    ramp = np.zeros((10, 32, 32, 3)) + np.linspace(0, 225, 10)[:, None, None, None]
    facts = analyze(film_of(tmp_path / "a.mkv", ramp, "-c:v", "ffv1")).facts
    assert facts.brightness == pytest.approx(np.linspace(0, 225, 10) / 255, abs=0.005)


def test_frames_are_counted_exactly_and_progress_is_reported(tmp_path):
    ffmpeg(*moving("24000/1001", 2), "-c:v", "libx264", tmp_path / "a.mp4")
    film = Film.open(tmp_path / "a.mp4")
    reported = []
    analysis = analyze(film, lambda done, total: reported.append((done, total)))
    assert analysis.frames == film.frames == len(reported) == 48
    assert reported[-1] == (48, 48)
    assert analysis.truncated is None


def test_a_folder_and_a_tiny_film_can_be_analyzed(tmp_path):
    (tmp_path / "f").mkdir()
    for i in range(3):
        write_photograph(tmp_path / "f" / f"{i}.png", np.full((5, 7, 3), i / 3, np.float32))
    analysis = analyze(Film.open(tmp_path / "f"))
    assert (analysis.frames, analysis.facts.cuts, analysis.truncated) == (3, (), None)


@pytest.mark.slow
@pytest.mark.skipif(not FILMS, reason="needs ../shared/data/films")
@pytest.mark.parametrize("path", FILMS, ids=lambda p: p.stem)
def test_real_silent_films_of_one_shot_have_no_cuts(path):
    assert analyze(Film.open(path)).facts.cuts == ()


def test_a_change_of_size_is_noted(tmp_path) -> None:
    """As WebRTC recordings and joined recordings have it: Kurento/bugtracker 535, OGVKit 132."""
    first = make_film(tmp_path / "a.ts", size=(64, 48))
    second = make_film(tmp_path / "b.ts", size=(128, 96), options=("-output_ts_offset", "0.75"))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    assert "(to 128x96); all frames are scaled to 64x48" in analyze(Film.open(joined)).resized
    assert analyze(Film.open(first)).resized is None
