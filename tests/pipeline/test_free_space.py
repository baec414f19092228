from fractions import Fraction
from pathlib import Path

import pytest

from oldfilm.errors import MachineError
from oldfilm.pipeline.free_space import check_free_space
from oldfilm.stage import FilmInfo


def film(frames, size=1000):
    return FilmInfo(size, size, Fraction(25), frames)


def test_a_short_film_fits(tmp_path, caplog):
    check_free_space(tmp_path, film(10), Path("a.mp4"))
    assert not caplog.records


@pytest.mark.parametrize(("destination", "codec"), [("a.mp4", None), ("a.mkv", "ffv1")])
def test_a_film_that_no_disk_holds_is_refused(tmp_path, destination, codec):
    with pytest.raises(MachineError, match=r"GB free, and .* make room"):
        check_free_space(tmp_path, film(10**12), Path(destination), codec)


def test_only_the_part_that_is_restored_counts(tmp_path):
    check_free_space(tmp_path, film(10**12), Path("a.mp4"), seconds=Fraction(1))


def test_what_is_likely_too_little_is_a_warning(small_disk, caplog):
    check_free_space(small_disk, film(20, size=100), Path("a.mkv"), "ffv1")
    assert "may be too little" in caplog.text


def test_a_note_says_how_much_saved_frames_take_when_it_is_much(tmp_path, caplog):
    check_free_space(tmp_path, film(10), Path("a.mp4"), pictures=True)
    assert not caplog.records
    check_free_space(tmp_path, film(10_000, size=320), Path("a.mp4"), pictures=True)
    assert "about 1.5 GB as PNG files; `save_frames=False` leaves them out" in caplog.text


def test_saved_frames_count_when_the_disk_is_too_small(small_disk):
    with pytest.raises(MachineError, match="or set `save_frames=False`"):
        check_free_space(small_disk, film(100, size=300), Path("a.mp4"), pictures=True)
