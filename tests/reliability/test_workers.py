"""The command line restores a folder of films as one job with several workers."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from oldfilm.cli.enhance import main
from tests.films import facts, make_film

TOOL = Path(__file__).parents[2] / "tools" / "video-enhance.py"


def enhance(source, output, *arguments, order=("Sharpen",)):
    return main(
        ["--input", str(source), "--output", str(output), "--process_order", *order]
        + [str(argument) for argument in arguments]
    )


@pytest.fixture
def folder(tmp_path):
    """Three films, a broken one, and a photograph."""
    folder = tmp_path / "films"
    folder.mkdir()
    for n in (1, 2, 3):
        make_film(folder / f"film {n}.mp4", frames=4 * n, sound=True)
    (folder / "broken.mp4").write_bytes(b"no film")
    Image.new("L", (40, 30), 90).save(folder / "photograph.png")
    return folder


def test_a_broken_film_in_a_folder_does_not_stop_the_others(folder, tmp_path, capsys):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert enhance(folder, alone) == 2
    shown = capsys.readouterr()
    assert enhance(folder, shared, "--workers", 2) == 2
    shown_shared = capsys.readouterr()
    assert sorted(shown.out.splitlines()) == sorted(
        shown_shared.out.replace("shared", "alone").splitlines()
    )
    for text in (shown.err, shown_shared.err):
        assert "4 of 5 restored in 00:0" in text.splitlines()[-1]
        assert "broken.mp4" in text.splitlines()[-1]
        assert "Traceback" not in text
    names = sorted(path.name for path in alone.iterdir())
    assert len(names) == 4
    assert names == sorted(path.name for path in shared.iterdir())
    for name in names:
        if name.endswith(".mp4"):
            images = [facts(where / name)["images"] for where in (alone, shared)]
            assert np.array_equal(*images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "must be at least 1"),
        (["--address", "auto"], "is for a Ray cluster"),
    ],
)
def test_invalid_options_are_reported_in_one_line(folder, tmp_path, capsys, arguments, message):
    assert enhance(folder, tmp_path / "out", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_stops_all_films_and_they_can_be_resumed(tmp_path, stop):
    folder, output = tmp_path / "films", tmp_path / "out"
    folder.mkdir()
    make_film(folder / "1.mp4", frames=300, size=(32, 24))
    for n in (2, 3):
        shutil.copy(folder / "1.mp4", folder / f"{n}.mp4")
    command = [sys.executable, str(TOOL), "--input", str(folder), "--output", str(output)]
    command += ["--process_order", "Despot", "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    while not list(output.glob(".*/0*.mp4")):
        assert process.poll() is None
        time.sleep(0.01)
    family = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, stop)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Stopped. What was finished is kept" in error
    assert b"Traceback" not in error
    assert not psutil.wait_procs(family, timeout=20)[1]
    assert not list(output.glob(".*/unfinished-*"))
    again = subprocess.run(command, capture_output=True, check=True)
    assert b"had been restored by an earlier run" in again.stderr
    assert [path.suffix for path in output.iterdir()] == [".mp4"] * 3
