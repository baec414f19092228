"""Excerpts of results, to share (`--excerpt`)."""

import numpy as np
import pytest
from PIL import Image

import oldfilm
from oldfilm.cli.main import main
from oldfilm.errors import OptionError
from oldfilm.media import write_photograph
from tests.films import facts, make_film


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return make_film(path, frames=200, rate="25", size=(64, 48), shots=2, sound=True)


def restored(film, tmp_path, **options):
    return oldfilm.restore(film, "Sharpen", tmp_path / "out.mp4", progress=False, **options)


def test_an_excerpt_as_film_has_the_frames_and_the_sound_of_its_time(film, tmp_path):
    clip = tmp_path / "clip.mp4"
    restored(film, tmp_path, excerpt=clip, excerpt_time="0:02-0:03.2")
    whole, found = facts(tmp_path / "out.mp4"), facts(clip)
    assert (found["size"], found["rate"], found["frames"]) == ((64, 48), 25, 30)
    assert found["audio"] == 1
    assert float(found["duration"]) == pytest.approx(1.2, abs=0.05)
    same = whole["images"][50:80].astype(int)
    assert np.abs(found["images"] - same).mean() < 4
    assert np.abs(found["images"] - whole["images"][120:150]).mean() > 20


def test_an_excerpt_as_gif_is_small_and_plays_at_the_same_speed(tmp_path):
    film = make_film(tmp_path / "wide.mp4", frames=50, rate="50", size=(640, 360))
    clip = tmp_path / "clip.gif"
    restored(film, tmp_path, excerpt=clip, excerpt_time="0-1")
    with Image.open(clip) as picture:
        assert picture.size == (480, 270)
        seconds = sum(_durations(picture)) / 1000
    assert seconds == pytest.approx(1, abs=0.05)


def _durations(picture):
    for number in range(picture.n_frames):
        picture.seek(number)
        yield picture.info["duration"]


def test_five_seconds_from_the_middle_are_shown_by_default(film, tmp_path, capsys):
    clip = tmp_path / "clip.mp4"
    run = ["--input", str(film), "--output", str(tmp_path / "out.mp4")]
    run += ["--process_order", "Sharpen"]
    assert main([*run, "--excerpt", str(clip)]) == 0
    assert f"also  {clip}" in capsys.readouterr().err
    assert facts(clip)["frames"] == 125
    assert main([*run, "--excerpt", str(clip), "--excerpt-time", "1"]) == 0  # up to date; replaced
    assert facts(clip)["frames"] == 125


def test_times_are_those_of_the_source_in_a_part_and_in_slow_motion(film, tmp_path):
    clip = tmp_path / "clip.mp4"
    options = {"start": "2", "duration": "1", "slow_motion": True, "variant": "lite"}
    oldfilm.restore(
        film, "DAIN", tmp_path / "o.mp4", excerpt=clip, excerpt_time="2.4-2.6", **options
    )
    assert facts(clip)["frames"] == 10


def test_numbered_pictures_have_excerpts_too(film, tmp_path):
    clip = tmp_path / "clip.webm"
    pattern = tmp_path / "frames" / "%04d.png"
    oldfilm.restore(film, "Sharpen", pattern, duration="1", excerpt=clip, excerpt_time="0-0.4")
    assert facts(clip)["frames"] == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"excerpt": "clip.avi"}, "an excerpt ends in .gif, .mp4"),
        ({"excerpt": "clip.gif", "excerpt_time": "3-2"}, "not a time such as 1:30"),
        ({"excerpt": "clip.gif", "excerpt_time": "soon"}, "not a time such as 1:30"),
        ({"excerpt_time": "1-2"}, "name the file too"),
    ],
)
def test_an_excerpt_that_cannot_be_made_is_refused_before_the_work(
    film, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=message):
        restored(film, tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_time_outside_the_restored_part_is_refused_before_the_work(film, tmp_path):
    for options in ({}, {"start": "2", "duration": "6"}):
        with pytest.raises(OptionError, match=r"is from [02] to 8 seconds"):
            restored(film, tmp_path, excerpt="clip.gif", excerpt_time="9-10", **options)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extra", ["excerpt", "report"])
def test_what_a_job_writes_about_its_result_never_replaces_a_result(film, tmp_path, extra):
    other = oldfilm.restore(film, "Sharpen", tmp_path / "other.mp4", duration="1").path
    options = {"duration": "1", "compare": True}
    for _ in range(2):  # before and after the job
        for path in (tmp_path / "out.mp4", tmp_path / "out_compare.mp4"):
            with pytest.raises(OptionError, match="the job writes something else there"):
                restored(film, tmp_path, **options, **{extra: path})
        with pytest.raises(oldfilm.OldfilmError, match="other.mp4 exists"):
            restored(film, tmp_path, **options, **{extra: other})
        restored(film, tmp_path, **options)
    assert facts(other)["frames"] == facts(tmp_path / "out.mp4")["frames"] == 25


def test_a_photograph_has_no_excerpt(tmp_path):
    write_photograph(tmp_path / "a.png", np.zeros((20, 30, 3), np.float32))
    with pytest.raises(OptionError, match="is a photograph"):
        oldfilm.restore(tmp_path / "a.png", "Sharpen", tmp_path, excerpt=tmp_path / "b.gif")


def test_a_file_that_is_not_ours_is_kept(film, tmp_path):
    (tmp_path / "clip.gif").write_bytes(b"mine")
    with pytest.raises(oldfilm.OldfilmError, match="exists"):
        restored(film, tmp_path, excerpt=tmp_path / "clip.gif")
    assert (tmp_path / "clip.gif").read_bytes() == b"mine"
