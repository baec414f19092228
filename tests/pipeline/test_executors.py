"""Several worker processes restore the same frames as one, even if some of them are lost."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from oldfilm import media
from oldfilm.api import predictors
from oldfilm.errors import MachineError, MediaError, NetworkError, OptionError
from oldfilm.pipeline import RESTORING, LocalExecutor, RestoreOptions, restore
from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.executors.process import portable_error
from oldfilm.pipeline.workdir import open_workdir
from oldfilm.stage import FilmInfo, Stage
from tests.films import facts, make_film

OPTIONS = RestoreOptions(segment_frames=8)
ROOT = Path(__file__).parents[2]


class Fatal(Stage):
    """Kills its own process at the first frame of the film, `times` times."""

    name = "Fatal"

    def __init__(self, folder, times, memory=False):
        self.folder = Path(folder)
        self.times = times
        self.memory = memory

    def describe(self, info):
        return info

    def process(self, frames, core):
        if frames[0].time == 0 and len(list(self.folder.iterdir())) < self.times:
            (self.folder / str(time.time_ns())).touch()
            if self.memory:
                raise MemoryError
            os.kill(os.getpid(), signal.SIGKILL)
        return frames[core]


class Parent(Stage):
    """Starts a child process that would outlive its own, then kills its own."""

    name = "Parent"

    def __init__(self, log):
        self.log = log

    def describe(self, info):
        return info

    def process(self, frames, core):
        asleep = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with self.log.open("a") as log:
            print(asleep.pid, file=log)
        os.kill(os.getpid(), signal.SIGKILL)


class Slow(Stage):
    name = "Slow"

    def describe(self, info):
        return info

    def process(self, frames, core):
        time.sleep(0.05)
        return frames[core]


class Unlike(Stage):
    """Has another fingerprint in every process."""

    name = "Unlike"

    def fingerprint(self):
        return {"process": os.getpid()}

    def describe(self, info):
        return info

    def process(self, frames, core):
        return frames[core]


class Faulty(Slow):
    """Raises an error at its first frame."""

    name = "Faulty"

    def __init__(self, error):
        self.error = error

    def process(self, frames, core):
        raise self.error


@pytest.fixture
def film(tmp_path):
    return make_film(tmp_path / "film.mp4", frames=30, size=(64, 48))


def descendants(pid):
    """All processes below one, with their command lines."""
    found = {}
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found[process] = " ".join(process.cmdline())
    return found


def worker_processes():
    return [process for process, line in descendants(os.getpid()).items() if "run_worker" in line]


def is_running(pid):
    """False for a zombie too: in some containers nobody reaps orphans."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def factory(*stages):
    """A stage factory that workers can unpickle."""
    return functools.partial(list, stages)


def repair(*names):
    return functools.partial(predictors, names)


def restored(film, output, stage_factory, count=2, options=OPTIONS, progress=None, memory=None):
    with LocalExecutor(stage_factory, count, memory) as executor:
        return restore(film, stage_factory(), output, options, progress, executor)


def notes_on_workers(summary):
    return [note for note in summary.notes if "worker" in note]


def fatal(tmp_path, times, **more):
    folder = tmp_path / "losses"
    folder.mkdir()
    return factory(Fatal(folder, times, **more))


def assert_same_frames(one, other):
    assert np.array_equal(facts(one)["images"], facts(other)["images"])


def test_two_workers_restore_the_same_frames(film, tmp_path):
    stage_factory = repair("Despot", "Sharpen")
    options = replace(OPTIONS, save_frames=True)
    reports = []
    restore(film, stage_factory(), tmp_path / "one.mp4", options)
    summary = restored(
        film, tmp_path / "two.mp4", stage_factory, options=options, progress=reports.append
    )
    assert_same_frames(tmp_path / "one.mp4", summary.path)
    for picture in (tmp_path / "one_frames").iterdir():
        assert (tmp_path / "two_frames" / picture.name).read_bytes() == picture.read_bytes()
    counts = [report.done for report in reports if report.part == RESTORING]
    assert counts == sorted(counts)
    assert counts[-1] == 30
    assert {name for report in reports for name in report.speeds} == {"Despot", "Sharpen"}
    assert all(seconds > 0 for seconds in summary.stage_seconds.values())
    assert not worker_processes()


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"memory": True}], ids=["killed", "out of memory"])
def test_a_segment_is_restored_again_after_its_worker_was_lost(film, tmp_path, more):
    restore(film, [Slow()], tmp_path / "one.mp4", OPTIONS)
    summary = restored(film, tmp_path / "out" / "two.mp4", fatal(tmp_path, 1, **more))
    assert_same_frames(tmp_path / "one.mp4", summary.path)
    (note,) = notes_on_workers(summary)
    assert "frames 1 to 7 were restored again: a worker was lost" in note
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["two.mp4"]


@pytest.mark.slow
def test_the_last_attempt_runs_alone(film, tmp_path):
    summary = restored(film, tmp_path / "out.mp4", fatal(tmp_path, 2))
    assert facts(summary.path)["frames"] == 30
    (note,) = notes_on_workers(summary)
    assert "frames 1 to 7 were restored with no other worker running" in note
    assert "from then on at most 1 ran at a time" in summary.notes


def test_a_segment_that_kills_every_worker_ends_the_job_with_one_line(film, tmp_path):
    with pytest.raises(MachineError, match="frames 1 to 7: 3 workers were lost") as error:
        restored(film, tmp_path / "out" / "out.mp4", fatal(tmp_path, 9))
    assert len(str(error.value).splitlines()) == 1
    assert not worker_processes()
    # The other segments are kept.
    (work,) = (tmp_path / "out").iterdir()
    assert len(list(work.glob("0*.mp4"))) >= 1
    assert not list(work.glob("unfinished-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
def test_children_of_a_lost_worker_end_with_it(film, tmp_path):
    log = tmp_path / "children"
    with pytest.raises(MachineError, match="workers were lost"):
        restored(film, tmp_path / "out.mp4", factory(Parent(log)), count=1)
    started = [int(line) for line in log.read_text().split()]
    assert started
    deadline = time.monotonic() + 10
    while any(map(is_running, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, started))


def test_killing_a_worker_changes_no_frame(film, tmp_path):
    killed = []

    def kill_one(report):
        if report.part == RESTORING and report.done > 3 and not killed:
            killed.append(worker_processes()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    stage_factory = factory(Slow())
    restore(film, stage_factory(), tmp_path / "one.mp4", OPTIONS)
    summary = restored(film, tmp_path / "two.mp4", stage_factory, progress=kill_one)
    assert_same_frames(tmp_path / "one.mp4", summary.path)
    assert len(killed) == 1
    (note,) = notes_on_workers(summary)
    assert "were restored again: a worker was lost" in note


@pytest.mark.slow
def test_an_interrupted_job_stops_its_workers_and_can_be_resumed(film, tmp_path):
    def interrupt(report):
        if report.part == RESTORING and report.done > 16:
            raise KeyboardInterrupt

    stage_factory, output = factory(Slow()), tmp_path / "out" / "out.mp4"
    with LocalExecutor(stage_factory, 2) as executor:
        with pytest.raises(KeyboardInterrupt):
            restore(film, stage_factory(), output, OPTIONS, interrupt, executor)
        # No worker still writes for the interrupted job, and the next job finds its segments.
        (work,) = output.parent.iterdir()
        assert not list(work.glob("unfinished-*"))
        summary = restore(film, stage_factory(), output, OPTIONS, None, executor)
    assert any("had been restored by an earlier run" in note for note in summary.notes)
    assert not worker_processes()


def test_workers_end_when_their_parent_is_killed(film, tmp_path):
    code = (
        "from tests.pipeline.test_executors import *; "
        f"restored({str(film)!r}, {str(tmp_path / 'out.mp4')!r}, factory(Slow()))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
    family = {}
    while not all(any(name in line for line in family.values()) for name in ("rawvideo", "worker")):
        assert parent.poll() is None
        family = descendants(parent.pid)
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


@pytest.mark.slow
def test_two_films_share_the_workers(tmp_path):
    stage_factory = repair("Sharpen")
    films = [make_film(tmp_path / f"{n}.mp4", frames=8 * n, size=(64, 48)) for n in (1, 2, 3)]
    with LocalExecutor(stage_factory, 2) as executor:
        jobs = [
            threading.Thread(
                target=restore,
                args=(film, stage_factory(), tmp_path / "out", OPTIONS, None, executor),
            )
            for film in films
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
    for film in films:
        alone = restore(film, stage_factory(), tmp_path / "alone", OPTIONS).path
        assert_same_frames(tmp_path / "out" / alone.name, alone)


@pytest.mark.slow
def test_fewer_workers_run_if_memory_is_short_and_the_summary_says_so(film, tmp_path):
    stage_factory = repair("Sharpen")
    each = Chain(stage_factory(), media.Film.open(film).info).memory
    assert each > 2**28
    summary = restored(film, tmp_path / "out.mp4", stage_factory, 3, memory=int(2.5 * each))
    (note,) = notes_on_workers(summary)
    assert "2 of 3 workers ran at a time: each needs about" in note


def test_a_chain_that_needs_more_memory_than_available_logs_a_warning(film, tmp_path, caplog):
    summary = restored(film, tmp_path / "out.mp4", factory(Slow()), 1, memory=1 << 20)
    (warning,) = [
        r.getMessage() for r in caplog.records if r.name == "oldfilm.pipeline.executors.local"
    ]
    assert "at this size, but only 0.0 GiB are available" in warning
    assert not notes_on_workers(summary)


def test_a_larger_film_is_estimated_to_need_more_memory():
    stages = predictors(["Denoise", "Sharpen"])
    small, large = (
        Chain(stages, FilmInfo(w, h, 24, 9)).memory for w, h in ((320, 240), (3840, 2160))
    )
    assert large > 2 * small


def test_an_error_in_a_worker_is_raised_in_the_parent(film, tmp_path):
    error = MediaError("no such frame")
    with pytest.raises(MediaError, match="no such frame"):
        restored(film, tmp_path / "out.mp4", factory(Faulty(error)))
    assert not worker_processes()


def test_a_worker_that_would_produce_other_frames_is_refused(film, tmp_path):
    with pytest.raises(NetworkError, match="Unlike process was .* the same versions and weights"):
        restored(film, tmp_path / "out.mp4", factory(Unlike()))


def test_a_stage_factory_that_cannot_be_pickled_is_refused(monkeypatch):
    with pytest.raises(OptionError, match="pass a module-level function"):
        LocalExecutor(lambda: [Slow()], 2)
    own = type("Own", (Slow,), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Own", own, raising=False)
    with pytest.raises(OptionError, match="the main script.*pass a module-level function"):
        LocalExecutor(factory(own()), 2)


def test_fewer_than_one_worker_is_refused():
    with pytest.raises(OptionError, match="`workers=0`: must be at least 1"):
        LocalExecutor(factory(Slow()), 0)


def test_a_job_with_workers_locks_its_result(film, tmp_path):
    with open_workdir(tmp_path / "out.mp4"), pytest.raises(MediaError, match="another run"):
        restored(film, tmp_path / "out.mp4", factory(Slow()))


def test_an_out_of_memory_error_of_a_library_reaches_the_parent_as_a_memory_error():
    assert type(portable_error(RuntimeError("std::bad_alloc"))) is MemoryError
    assert type(portable_error(MemoryError("4 TiB"))) is MemoryError


def test_an_error_that_only_mentions_an_allocation_is_not_a_memory_error():
    error = portable_error(ValueError("cannot allocate a color to this frame"))
    assert (type(error), str(error)) == (ValueError, "cannot allocate a color to this frame")


def test_an_error_that_cannot_be_pickled_reaches_the_parent_with_its_traceback():
    error = portable_error(Unpicklable("who", "what"))
    assert type(error) is RuntimeError
    assert "Unpicklable: who: what" in str(error)


class Unpicklable(Exception):
    def __init__(self, who, what):
        super().__init__(f"{who}: {what}")
