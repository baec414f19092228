"""`--preview` shows a few frames, and `--estimate` the time that a job takes."""

import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import oldfilm
from oldfilm.cli.main import main
from oldfilm.media import Film, decode, read_photograph
from oldfilm.pipeline.options import RestoreOptions
from oldfilm.pipeline.preview import REACH, preview, spread
from oldfilm.stage import Window
from tests.films import ffmpeg, make_film
from tests.pipeline.stages import Recorder

FILMS = Path(__file__).parents[3] / "shared" / "data" / "films"


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return make_film(path, frames=60, rate="25", size=(64, 48), shots=2)


@pytest.mark.parametrize(("length", "count"), [(300, 4), (7, 3), (2, 5), (1, 1)])
def test_frames_are_spread_over_the_film(length, count):
    spans = spread(length, count)
    starts = [span.start for span in spans]
    assert starts == sorted(set(starts))
    assert len(starts) == min(length, count)
    assert all(0 <= start < length for start in starts)
    assert abs(starts[0] + starts[-1] - (length - 1)) <= 1


def test_a_preview_shows_the_frames_of_the_result(film, tmp_path):
    seen = oldfilm.preview(film, "Sharpen", tmp_path / "out.mkv", frames=3, codec="ffv1")
    assert seen.times == (Fraction(10, 25), Fraction(30, 25), Fraction(50, 25))
    assert seen.path == tmp_path / "out_preview.png"
    assert not (tmp_path / "out.mkv").exists()
    sheet = read_photograph(seen.path).image
    assert sheet.shape == (3 * (48 + 26), 2 * 64, 3)
    oldfilm.restore(film, "Sharpen", tmp_path / "out.mkv", codec="ffv1")
    before, after = Film.open(film), Film.open(tmp_path / "out.mkv")
    for row, moment in enumerate(seen.times):
        index = int(moment * 25)
        strip = sheet[row * 74 : row * 74 + 48]
        for side, source in ((strip[:, :64], before), (strip[:, 64:], after)):
            (frame,) = decode(source, index, index + 1)
            assert np.abs(side - frame.image).max() < 0.02
        for image, source in zip(seen.pairs[row], (before, after)):
            (frame,) = decode(source, index, index + 1)
            assert np.abs(image - frame.image).max() < 0.02


@pytest.mark.parametrize("rate", ["5", "60", "12"])
def test_a_preview_fits_any_frame_rate(film, tmp_path, rate):
    seen = oldfilm.preview(film, "DAIN", tmp_path, frames=2, fps=rate, variant="lite")
    assert len(seen.times) == 2
    assert seen.path == tmp_path / "film_DAIN_out_preview.png"


def test_a_preview_takes_the_time_of_its_windows_and_not_that_of_the_film(tmp_path):
    short = make_film(tmp_path / "short.mp4", frames=30, size=(64, 48))
    long = make_film(tmp_path / "long.mp4", frames=1200, size=(64, 48))
    seconds = []
    for film in (short, long):
        began = time.monotonic()
        oldfilm.preview(film, "Sharpen", tmp_path, frames=2, progress=False)
        seconds.append(time.monotonic() - began)
    assert seconds[1] < 3 * seconds[0] + 5


def test_a_previewed_frame_sees_a_few_neighbors_however_many_the_chain_asks_for(film, tmp_path):
    stages = [Recorder(Window(1, 20, 20), name) for name in "AB"]
    preview(film, stages, tmp_path / "out.mp4", RestoreOptions(), frames=2)
    cores = slice(REACH, REACH + 1)
    assert [(len(seen), core) for seen, core in stages[1].seen] == [(2 * REACH + 1, cores)] * 2


def test_previews_of_the_command_line(film, tmp_path, capsys):
    run = ["--input", str(film), "--output", str(tmp_path), "--process_order", "Sharpen"]
    assert main([*run, "--preview", "2"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'film_Sharpen_out_preview.png'}\n"
    assert main([*run, "--preview", "3"]) == 0  # replaces the earlier one
    assert main([*run, "--preview", "0"]) == 2
    assert "--preview 0: must be at least 1" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["film_Sharpen_out_preview.png"]


def test_a_picture_of_someone_else_is_not_replaced_by_a_preview(film, tmp_path):
    (tmp_path / "out_preview.png").write_bytes(b"mine")
    with pytest.raises(oldfilm.OldfilmError, match="exists"):
        oldfilm.preview(film, "Sharpen", tmp_path / "out.mp4")
    assert (tmp_path / "out_preview.png").read_bytes() == b"mine"


def test_an_estimate_names_time_disk_and_memory(film, tmp_path, capsys):
    run = ["--input", str(film), "--output", str(tmp_path), "--process_order", "Sharpen"]
    assert main([*run, "--estimate"]) == 0
    shown = capsys.readouterr().out
    assert f"{film}: about " in shown
    for part in ("for 60 frames", "64x48, 25 fps", "of disk", "GiB of memory"):
        assert part in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "order", [["PPMSVSR"], ["DeOldify", "DAIN"], ["Despot", "Denoise"], ["Sharpen"]]
)
def test_the_estimate_of_a_film_of_300_frames_is_right_within_a_quarter(tmp_path, order):
    film = tmp_path / "film.mkv"
    lines = 160 if order == ["PPMSVSR"] else 240
    options = ["-frames:v", 300, "-vf", f"scale=-2:{lines}", "-c:v", "ffv1", "-pix_fmt", "gray"]
    ffmpeg("-stream_loop", 9, "-i", FILMS / "market-street-1906.mkv", *options, film)
    found = oldfilm.estimate(film, order, tmp_path, progress=False)
    began = time.monotonic()
    summary = oldfilm.restore(film, order, tmp_path, progress=False)
    seconds = time.monotonic() - began
    print(f"{order}: {found.seconds:.1f} s estimated, {seconds:.1f} s taken")
    size = summary.path.stat().st_size
    print(f"{order}: {found.result_bytes / 1e6:.2f} MB estimated, {size / 1e6:.2f} MB written")
    assert found.frames == 300
    assert 0.75 < found.seconds / seconds < 1.25
    assert 0.5 < found.result_bytes / size < 2
