"""A job that is killed goes on where it was, and its result is the same to the last bit."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import pytest
from PIL import Image

from oldfilm import media
from tests.films import facts, make_film, packets

ROOT = Path(__file__).parents[2]
FILM = ROOT.parent / "shared" / "data" / "films" / "market-street-1906.mkv"


def started(source, output, *stages):
    """A job as the leader of a process group."""
    command = [sys.executable, "-m", "tests.reliability.job", str(source), str(output), "8"]
    return subprocess.Popen(
        [*command, *stages], cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True
    )


def run_to_its_end(source, output, *stages):
    began = time.monotonic()
    process = started(source, output, *stages)
    _, told = process.communicate(timeout=1200)
    assert process.returncode == 0, told.decode()
    return time.monotonic() - began


def working_on(folder):
    """Command lines of the processes that name a folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return [line for line in lines if str(folder) in line]


def killed(process, after):
    """Kill a job's process group after some seconds; False where it had ended before."""
    try:
        _, told = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    assert process.returncode == 0, told.decode()
    return False


def assert_no_process_stays(folder):
    patience = time.monotonic() + 20
    while left := working_on(folder):
        assert time.monotonic() < patience, left
        time.sleep(0.1)


def content(path):
    """All that is in a result: the files of a folder, or decoded frames and packets of sound."""
    if path.is_dir():
        return {p.name: p.read_bytes() for p in path.iterdir()}
    if path.suffix == ".png":
        return path.read_bytes()
    sound = packets(path, "audio") if facts(path)["audio"] else None
    return facts(path)["images"].tobytes(), sound


def assert_killing_changes_nothing(tmp_path, source, stages, kills, name="out.mp4"):
    """Kill a job again and again, begin it again when it is done, until it was killed so often."""
    whole, output = (tmp_path / folder / name for folder in ("whole", "killed"))
    whole_result, result = (p.parent if "%" in name else p for p in (whole, output))
    seconds = run_to_its_end(source, whole, *stages)
    start = run_to_its_end(source, whole, *stages)  # nothing is left to do
    expected, chance, count = content(whole_result), random.Random(kills), 0
    hidden = result.with_name(f".{result.name}.oldfilm")

    def check():
        assert content(result) == expected
        assert list(result.parent.iterdir()) == [result]
        result.rename(tmp_path / f"done-{count}-{time.monotonic_ns()}")

    while count < kills:
        after = chance.uniform(0, 2 * start + seconds / 16)  # the worker has to start as well
        if killed(started(source, output, *stages), after):
            count += 1
            print(f"killed {count} times", flush=True)
            assert_no_process_stays(result)
            if result.exists():
                assert content(result) == expected
                if not (hidden / "manifest.json").exists():  # it was killed after its last step
                    result.rename(tmp_path / f"killed-{count}")
        else:
            check()
    run_to_its_end(source, output, *stages)
    check()


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc"
)


@needs_proc
def test_three_kills_change_nothing(tmp_path):
    film = make_film(tmp_path / "film.mp4", frames=24, size=(96, 72), shots=2, sound=True)
    assert_killing_changes_nothing(tmp_path, film, ["Deflicker"], kills=3)


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.gif", "pictures/%08d.png", "out.mov"])
def test_kills_change_no_other_kind_of_film(tmp_path, name):
    film = make_film(tmp_path / "film.mp4", frames=24, size=(96, 72), shots=2)
    assert_killing_changes_nothing(tmp_path, film, ["Deflicker"], kills=5, name=name)


@needs_proc
@pytest.mark.slow
def test_kills_change_no_photograph(tmp_path):
    Image.linear_gradient("L").save(tmp_path / "photo.png")
    photo = tmp_path / "photo.png"
    assert_killing_changes_nothing(tmp_path, photo, ["DeOldify"], kills=5, name="out.png")


def repeated(source, destination, frames, size):
    """A film again and again until it has so many frames, scaled."""
    film = media.Film.open(source)
    width, height = size
    images = [frame.image for frame in media.decode(film, width=width, height=height)]
    info = replace(film.info, width=width, height=height, frames=frames)
    with media.Encoder(destination, info) as encoder:
        for image in islice(cycle(images), frames):
            encoder.write(image)
    return destination


@needs_proc
@pytest.mark.slow
def test_a_hundred_kills_change_nothing(tmp_path):
    """A silent film of 300 frames; DAIN is a network, and makes more frames than it gets."""
    film = tmp_path / "film.mp4"
    if FILM.exists():
        repeated(FILM, film, frames=300, size=(96, 72))
    else:
        make_film(film, frames=300, size=(96, 72), shots=4, sound=True)
    assert_killing_changes_nothing(tmp_path, film, ["Deflicker", "Denoise", "DAIN"], kills=100)
