"""A job that is killed goes on where it was, and its result is the same to the last bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.films import facts, make_film, packets

ROOT = Path(__file__).parents[2]


def started(source, output, segment_frames=8):
    """A job as the leader of a process group."""
    command = [sys.executable, "-m", "tests.reliability.job"]
    command += [str(source), str(output), str(segment_frames)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True)


def run_to_its_end(source, output):
    began = time.monotonic()
    process = started(source, output)
    _, told = process.communicate(timeout=600)
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


def assert_killing_changes_nothing(tmp_path, frames, kills):
    film = make_film(tmp_path / "film.mp4", frames=frames, size=(96, 72), shots=2, sound=True)
    whole, output = tmp_path / "whole" / "out.mp4", tmp_path / "killed" / "out.mp4"
    run_to_its_end(film, whole)  # the network is exported now
    seconds = run_to_its_end(film, tmp_path / "again.mp4")
    expected, sound = facts(whole)["images"], packets(whole, "audio")
    chance, count = random.Random(frames), 0

    def check():
        assert np.array_equal(facts(output)["images"], expected)
        assert packets(output, "audio") == sound
        assert list(output.parent.iterdir()) == [output]

    while count < kills:
        if killed(started(film, output), chance.uniform(0, 0.8 * seconds)):
            count += 1
            assert_no_process_stays(output.parent)
            if output.exists():
                assert np.array_equal(facts(output)["images"], expected)
                if not (output.parent / ".out.mp4.oldfilm" / "manifest.json").exists():
                    output.unlink()  # it was killed after its last step
        else:
            check()
            output.unlink()
    run_to_its_end(film, output)
    check()


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc"
)


@needs_proc
def test_three_kills_change_nothing(tmp_path):
    assert_killing_changes_nothing(tmp_path, frames=40, kills=3)


@needs_proc
@pytest.mark.slow
def test_a_hundred_kills_change_nothing(tmp_path):
    assert_killing_changes_nothing(tmp_path, frames=300, kills=100)
