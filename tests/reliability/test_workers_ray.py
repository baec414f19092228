"""A Ray cluster on one machine restores the same frames as one process."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from oldfilm.api import make_job, predictors
from oldfilm.cli.enhance import main
from oldfilm.errors import MachineError, OptionError
from oldfilm.pipeline import RESTORING, RestoreOptions, open_executor, restore
from oldfilm.pipeline.runnable import stage_factory
from tests.films import facts, make_film
from tests.pipeline.test_executors import Fatal, factory

ROOT = Path(__file__).parents[2]
OPTIONS = RestoreOptions(segment_frames=8, save_frames=True)


def test_the_error_without_ray_says_how_to_install_it(tmp_path):
    if _has_ray():
        pytest.skip("Ray is installed")
    with pytest.raises(OptionError, match=r'pip install "oldfilm\[ray\]"'):
        open_executor(functools.partial(predictors, ["Sharpen"]), engine="ray")


def _has_ray():
    return subprocess.run([sys.executable, "-c", "import ray"], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def cluster():
    """A cluster with two processors."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    paths = {"env_vars": {"PYTHONPATH": str(ROOT)}}
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=paths)
    yield ray
    ray.shutdown()


@pytest.fixture
def film(tmp_path):
    return make_film(tmp_path / "film.mp4", frames=60, size=(96, 72))


def restored(film, output, order, progress=None, engine="ray"):
    stages = make_job(order, {"device": "cpu"}).stages
    with open_executor(stage_factory(stages), engine=engine) as executor:
        return restore(film, stages, output, OPTIONS, progress, executor)


def assert_same(one, two):
    assert np.array_equal(facts(one)["images"], facts(two)["images"])
    for picture in one.with_name(f"{one.stem}_frames").iterdir():
        other = two.with_name(f"{two.stem}_frames") / picture.name
        assert picture.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_two_workers_restore_the_same_frames(cluster, film, tmp_path):
    order = ["Despot", "DAIN"]
    reports = []
    one = restored(film, tmp_path / "one.mp4", order, engine="local").path
    summary = restored(film, tmp_path / "two.mp4", order, reports.append)
    assert_same(one, summary.path)
    assert max(report.done for report in reports if report.part == RESTORING) == 120
    assert summary.stage_seconds["DAIN"] > 0


@pytest.mark.slow
def test_killing_a_worker_changes_no_frame(cluster, film, tmp_path):
    killed = []

    def kill_one(report):
        if report.part == RESTORING and report.done > 3 and not killed:
            for process in psutil.process_iter(["name", "cmdline"]):
                if "ray::_restore" in " ".join(process.info["cmdline"] or ()):
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)
                    break

    one = restored(film, tmp_path / "one.mp4", ["DAIN"], engine="local").path
    summary = restored(film, tmp_path / "two.mp4", ["DAIN"], kill_one)
    assert len(killed) == 1
    assert_same(one, summary.path)
    assert any("were restored again: a worker was lost" in note for note in summary.notes)


@pytest.mark.slow
def test_a_segment_that_kills_every_worker_ends_the_job_with_one_line(cluster, film, tmp_path):
    losses = tmp_path / "losses"
    losses.mkdir()
    fatal = factory(Fatal(losses, 9))
    lost = pytest.raises(MachineError, match="3 workers were lost")
    with open_executor(fatal, engine="ray") as executor, lost as error:
        restore(film, fatal(), tmp_path / "out.mp4", OPTIONS, None, executor)
    assert len(str(error.value).splitlines()) == 1


@contextlib.contextmanager
def another_machine(folder):
    """Start a cluster whose processes see `folder` empty; yields its address."""
    port = "6391"
    ray = Path(sys.executable).with_name("ray")
    start = f"{ray} start --head --port={port} --num-cpus=2 --include-dashboard=false --block"
    hidden = f"mount -t tmpfs none '{folder}' && echo hidden && exec {start}"
    machine = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", hidden],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    if b"hidden" not in machine.stdout.readline():
        pytest.skip("needs the right to mount")
    while b"Ray runtime started" not in (line := machine.stdout.readline()):
        assert line, "Ray has not started"
    try:
        yield f"127.0.0.1:{port}"
    finally:
        family = psutil.Process(machine.pid).children(recursive=True)
        machine.terminate()
        machine.wait(90)
        for process in psutil.wait_procs(family, timeout=30)[1]:
            process.kill()


@pytest.mark.slow
def test_files_that_a_machine_cannot_reach_are_sent_through_the_object_store(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    private = tmp_path / "private"
    private.mkdir()
    film = make_film(private / "film.mp4", frames=30)
    arguments = ["--input", str(film), "--process_order", "Sharpen", "--save_frames"]
    assert main([*arguments, "--output", str(tmp_path / "alone")]) == 0
    with another_machine(private) as address:
        command = [sys.executable, str(ROOT / "tools" / "video-enhance.py"), *arguments]
        command += ["--output", str(private / "out")]
        subprocess.run([*command, "--engine", "ray", "--address", address], check=True, cwd=ROOT)
    names = [f"{where}/film_Sharpen_out.mp4" for where in ("alone", "private/out")]
    assert_same(*(tmp_path / name for name in names))


@pytest.mark.slow
def test_the_command_line_runs_on_ray(film, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    command = ["--input", str(film), "--output", str(tmp_path / "out"), "--engine", "ray"]
    assert main([*command, "--process_order", "Sharpen", "--workers", "2"]) == 0
    assert facts(tmp_path / "out" / "film_Sharpen_out.mp4")["frames"] == 60
