"""H.264 whose frames are stored as two fields (PAFF) has as many frames as are shown.

Reports of such files at twice the rate: mkvtoolnix 1916, FFMS2 83, jellyfin 5230.
"""

from __future__ import annotations

import numpy as np
import pytest

from oldfilm.media import Film, analyze, decode

from .field_pictures import write_fields

M2TS = {"format": "mpegts", "options": {"mpegts_m2ts_mode": "1"}}
KINDS = {"ts": {}, "mts": M2TS, "mkv": {}, "mp4": {}}


def drifting(count: int) -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    return np.stack([16 + (2 * x + 2 * (y % 2) + 5 * i) % 200 for i in range(count)]).astype("u1")


def assert_shows(film: Film, frames: np.ndarray) -> None:
    assert (film.rate, film.frames, film.variable_rate) == (25, len(frames), False)
    assert analyze(film).frames == len(frames)
    shown = np.stack([frame.image[..., 0] for frame in decode(film)]) * 219 + 16
    assert np.abs(shown - frames).max() < 1
    start = len(frames) // 2 - 1
    piece = [frame.image for frame in decode(film, start, start + 3)]
    assert np.abs(np.stack(piece)[..., 0] * 219 + 16 - frames[start : start + 3]).max() < 1


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("suffix", KINDS)
def test_two_fields_are_one_frame(tmp_path, suffix, apart):
    frames = drifting(12)
    film = write_fields(tmp_path / f"a.{suffix}", frames, apart, **KINDS[suffix])
    assert_shows(Film.open(film), frames)
    assert Film.open(film).notes == ()


@pytest.mark.parametrize("apart", [False, True])
def test_fields_and_frames_may_alternate(tmp_path, apart):
    frames = drifting(12)
    assert_shows(Film.open(write_fields(tmp_path / "a.ts", frames, apart, (0, 4, 5, 8))), frames)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("suffix", ["ts", "mts", "mkv"])
def test_no_field_is_lost_where_the_clock_jumps(tmp_path, suffix, apart):
    frames = drifting(12)
    first = write_fields(tmp_path / f"a.{suffix}", frames, apart, **KINDS[suffix])
    (tmp_path / f"b.{suffix}").write_bytes(first.read_bytes() * 2)
    film = Film.open(tmp_path / f"b.{suffix}")
    assert_shows(film, np.concatenate([frames, frames]))
    assert any("jumps once" in note for note in film.notes)
