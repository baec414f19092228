"""A killed job resumes, and its result is identical to the last bit."""

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
    """Start a job in its own process group."""
    command = [sys.executable, "-m", "tests.reliability.job", str(source), str(output), "8"]
    return subprocess.Popen(
        [*command, *stages], cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True
    )


def run_to_its_end(source, output, *stages):
    began = time.monotonic()
    process = started(source, output, *stages)
    _, error = process.communicate(timeout=1200)
    assert process.returncode == 0, error.decode()
    return time.monotonic() - began


def processes_with(folder):
    """Return the command lines of all processes that name a folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return [line for line in lines if str(folder) in line]


def killed(process, after):
    """Kill a job's process group after some seconds; returns False if the job ended before."""
    try:
        _, error = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    assert process.returncode == 0, error.decode()
    return False


def assert_no_process_stays(folder):
    deadline = time.monotonic() + 20
    while left := processes_with(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def content(path):
    """Return the files of a folder, or the decoded frames and sound packets of a film."""
    if path.is_dir():
        return {p.name: p.read_bytes() for p in path.iterdir()}
    if path.suffix == ".png":
        return path.read_bytes()
    sound = packets(path, "audio") if facts(path)["audio"] else None
    return facts(path)["images"].tobytes(), sound


def assert_killing_changes_nothing(tmp_path, source, stages, kills, name="out.mp4"):
    """Kill and restart a job until it has been killed `kills` times; compare every result."""
    whole, output = (tmp_path / folder / name for folder in ("whole", "killed"))
    whole_result, result = (p.parent if "%" in name else p for p in (whole, output))
    seconds = run_to_its_end(source, whole, *stages)
    start = run_to_its_end(
        source, whole, *stages
    )  # The job is complete: this measures the start alone.
    expected, chance, count = content(whole_result), random.Random(kills), 0
    hidden = result.with_name(f".{result.name}.oldfilm")

    def check():
        assert content(result) == expected
        assert list(result.parent.iterdir()) == [result]
        result.rename(tmp_path / f"done-{count}-{time.monotonic_ns()}")

    while count < kills:
        after = chance.uniform(0, 2 * start + seconds / 16)  # The worker must start too.
        if killed(started(source, output, *stages), after):
            count += 1
            print(f"killed {count} times", flush=True)
            assert_no_process_stays(result)
            if result.exists():
                assert content(result) == expected
                if not (hidden / "manifest.json").exists():  # It was killed after its last step.
                    result.rename(tmp_path / f"killed-{count}")
        else:
            check()
    run_to_its_end(source, output, *stages)
    check()


needs_proc = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")


@needs_proc
def test_two_kills_do_not_change_the_result(tmp_path):
    film = make_film(tmp_path / "film.mp4", frames=24, size=(96, 72), shots=2, sound=True)
    assert_killing_changes_nothing(tmp_path, film, ["Deflicker"], kills=2)


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.gif", "pictures/%08d.png", "out.mov"])
def test_kills_do_not_change_other_kinds_of_films(tmp_path, name):
    film = make_film(tmp_path / "film.mp4", frames=24, size=(96, 72), shots=2)
    assert_killing_changes_nothing(tmp_path, film, ["Deflicker"], kills=5, name=name)


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["ts", "mts", "vob"])
def test_kills_do_not_change_a_film_whose_clock_jumps(tmp_path, suffix):
    kind = {"mts": ("-f", "mpegts", "-mpegts_m2ts_mode", "1"), "vob": ("-f", "vob")}
    one = make_film(tmp_path / f"one.{suffix}", 24, "25", sound=True, options=kind.get(suffix, ()))
    film = tmp_path / f"film.{suffix}"
    film.write_bytes(one.read_bytes() * 2)
    assert_killing_changes_nothing(tmp_path, film, ["Deflicker"], kills=5)


@needs_proc
@pytest.mark.slow
def test_kills_do_not_change_a_photograph(tmp_path):
    Image.linear_gradient("L").save(tmp_path / "photo.png")
    photo = tmp_path / "photo.png"
    assert_killing_changes_nothing(tmp_path, photo, ["DeOldify"], kills=5, name="out.png")


def repeated(source, destination, frames, size):
    """Write a scaled film that repeats another one until it has enough frames."""
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
def test_a_hundred_kills_do_not_change_the_result(tmp_path):
    """A silent film of 300 frames; DAIN is a network that doubles the frame rate."""
    film = tmp_path / "film.mp4"
    if FILM.exists():
        repeated(FILM, film, frames=300, size=(96, 72))
    else:
        make_film(film, frames=300, size=(96, 72), shots=4, sound=True)
    assert_killing_changes_nothing(tmp_path, film, ["Deflicker", "Denoise", "DAIN"], kills=100)
