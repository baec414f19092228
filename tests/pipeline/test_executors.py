"""Several processes make the frames that one makes, also where some of them are lost."""

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
from oldfilm.pipeline.workdir import open_workdir
from oldfilm.stage import FilmInfo, Stage
from tests.films import facts, make_film

OPTIONS = RestoreOptions(segment_frames=8)
ROOT = Path(__file__).parents[2]


class Fatal(Stage):
    """Sharpens nothing; ends its process at a segment's first frames, so many times in a row."""

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
    """Starts a process that would outlive its own, and ends its own."""

    name = "Parent"

    def __init__(self, told):
        self.told = told

    def describe(self, info):
        return info

    def process(self, frames, core):
        asleep = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with self.told.open("a") as told:
            print(asleep.pid, file=told)
        os.kill(os.getpid(), signal.SIGKILL)


class Slow(Stage):
    name = "Slow"

    def describe(self, info):
        return info

    def process(self, frames, core):
        time.sleep(0.05)
        return frames[core]


class Unlike(Stage):
    """Another one in every process."""

    name = "Unlike"

    def fingerprint(self):
        return {"process": os.getpid()}

    def describe(self, info):
        return info

    def process(self, frames, core):
        return frames[core]


class Faulty(Slow):
    """An error that is ours, or one that nobody has foreseen."""

    name = "Faulty"

    def __init__(self, error):
        self.error = error

    def process(self, frames, core):
        raise self.error


def chain(*stages):
    return list(stages)


@pytest.fixture
def film(tmp_path):
    return make_film(tmp_path / "film.mp4", frames=30, size=(64, 48))


def family(pid):
    """The processes that one has started, and what each runs."""
    found = {}
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found[process] = " ".join(process.cmdline())
    return found


def children():
    return [
        process
        for process, line in family(os.getpid()).items()
        if "executors.process import" in line
    ]


def runs(pid):
    """Whether there is such a process; where nobody waits for orphans, a dead one stays."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def restored(film, output, recipe, count=2, options=OPTIONS, progress=None):
    with LocalExecutor(recipe, count) as workers:
        return restore(film, recipe(), output, options, progress, workers)


def told_of_workers(summary):
    return [note for note in summary.notes if "worker" in note]


def fatal(tmp_path, times, **more):
    folder = tmp_path / "losses"
    folder.mkdir()
    return functools.partial(chain, functools.partial(Fatal, folder, times, **more)())


def test_two_workers_make_the_same_frames(film, tmp_path):
    recipe = functools.partial(predictors, ["Despot", "Sharpen"])
    options = replace(OPTIONS, save_frames=True)
    told = []
    restore(film, recipe(), tmp_path / "one.mp4", options)
    summary = restored(film, tmp_path / "two.mp4", recipe, 2, options, told.append)
    assert np.array_equal(facts(tmp_path / "one.mp4")["images"], facts(summary.path)["images"])
    for picture in (tmp_path / "one_frames").iterdir():
        assert picture.read_bytes() == (tmp_path / "two_frames" / picture.name).read_bytes()
    assert max(report.done for report in told if report.part == RESTORING) == 30
    assert summary.stage_seconds["Despot"] > 0
    assert not told_of_workers(summary)
    assert not children()


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"memory": True}], ids=["killed", "out of memory"])
def test_what_a_lost_worker_did_is_done_again(film, tmp_path, more):
    restore(film, [Slow()], tmp_path / "one.mp4", OPTIONS)
    summary = restored(film, tmp_path / "out" / "two.mp4", fatal(tmp_path, 1, **more))
    assert np.array_equal(facts(tmp_path / "one.mp4")["images"], facts(summary.path)["images"])
    (note,) = told_of_workers(summary)
    assert "frames 1 to 7 were restored again: a worker was lost" in note
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["two.mp4"]


@pytest.mark.slow
def test_the_last_try_has_no_other_beside_it(film, tmp_path):
    summary = restored(film, tmp_path / "out.mp4", fatal(tmp_path, 2))
    assert facts(summary.path)["frames"] == 30
    (note,) = told_of_workers(summary)
    assert "frames 1 to 7 were restored with no other worker beside" in note
    assert "from there on at most 1 worked at a time" in summary.notes


def test_a_segment_that_ends_every_worker_is_one_clear_line(film, tmp_path):
    with pytest.raises(MachineError, match="frames 1 to 7: 3 workers were lost") as told:
        restored(film, tmp_path / "out" / "out.mp4", fatal(tmp_path, 9))
    assert len(str(told.value).splitlines()) == 1
    assert not children()
    # The other segments are kept.
    (work,) = (tmp_path / "out").iterdir()
    assert len(list(work.glob("0*.mp4"))) >= 1
    assert not list(work.glob("unfinished-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
def test_what_a_lost_worker_has_started_ends_with_it(film, tmp_path):
    told = tmp_path / "told"
    with pytest.raises(MachineError, match="workers were lost"):
        restored(film, tmp_path / "out.mp4", functools.partial(chain, Parent(told)), count=1)
    started = [int(line) for line in told.read_text().split()]
    assert started
    until = time.monotonic() + 10
    while any(map(runs, started)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(runs, started))


def test_a_killed_worker_changes_nothing(film, tmp_path):
    killed = []

    def kill_one(report):
        if report.part == RESTORING and report.done > 3 and not killed:
            killed.append(children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    recipe = functools.partial(chain, Slow())
    restore(film, recipe(), tmp_path / "one.mp4", OPTIONS)
    summary = restored(film, tmp_path / "two.mp4", recipe, progress=kill_one)
    assert np.array_equal(facts(tmp_path / "one.mp4")["images"], facts(summary.path)["images"])
    assert len(killed) == 1
    (note,) = told_of_workers(summary)
    assert "were restored again: a worker was lost" in note


@pytest.mark.slow
def test_an_interruption_ends_all_workers_and_the_job_goes_on(film, tmp_path):
    def interrupt(report):
        if report.part == RESTORING and report.done > 16:
            raise KeyboardInterrupt

    recipe = functools.partial(chain, Slow())
    with LocalExecutor(recipe, 2) as workers:
        with pytest.raises(KeyboardInterrupt):
            restore(film, recipe(), tmp_path / "out" / "out.mp4", OPTIONS, interrupt, workers)
        # No worker is left at the interrupted job; the next one finds what was finished.
        (work,) = (tmp_path / "out").iterdir()
        assert not list(work.glob("unfinished-*"))
        output = tmp_path / "out" / "out.mp4"
        summary = restore(film, recipe(), output, OPTIONS, None, workers)
    assert any("had been restored by an earlier run" in note for note in summary.notes)
    assert not children()


def test_workers_end_when_their_parent_is_killed(film, tmp_path):
    code = (
        "import functools; from oldfilm.pipeline import *; "
        "from tests.pipeline.test_executors import *; "
        "recipe = functools.partial(chain, Slow()); "
        f"restored({str(film)!r}, {str(tmp_path / 'out.mp4')!r}, recipe)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
    left = {}
    while not all(any(name in line for line in left.values()) for name in ("rawvideo", "worker")):
        assert parent.poll() is None
        left = family(parent.pid)
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive


@pytest.mark.slow
def test_two_films_share_the_workers(tmp_path):
    recipe = functools.partial(predictors, ["Sharpen"])
    films = [make_film(tmp_path / f"{n}.mp4", frames=8 * n, size=(64, 48)) for n in (1, 2, 3)]
    with LocalExecutor(recipe, 2) as workers:
        jobs = [
            threading.Thread(
                target=restore, args=(film, recipe(), tmp_path / "out", OPTIONS, None, workers)
            )
            for film in films
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
    for film in films:
        alone = restore(film, recipe(), tmp_path / "alone", OPTIONS).path
        together = tmp_path / "out" / alone.name
        assert np.array_equal(facts(together)["images"], facts(alone)["images"])


@pytest.mark.slow
def test_little_memory_means_fewer_workers_and_it_says_so(film, tmp_path, monkeypatch):
    recipe = functools.partial(predictors, ["Sharpen"])
    each = Chain(recipe(), media.Film.open(film).info).memory
    assert each > 2**28
    # What is free cannot be changed here without harm to others.
    monkeypatch.setattr("oldfilm.pipeline.executors.local.free_memory", lambda: int(2.5 * each))
    summary = restored(film, tmp_path / "out.mp4", recipe, 3)
    (note,) = told_of_workers(summary)
    assert "2 of 3 workers at a time: each takes about" in note


def test_a_chain_that_is_likely_to_take_too_much_says_so(film, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("oldfilm.pipeline.executors.local.free_memory", lambda: 1 << 20)
    summary = restored(film, tmp_path / "out.mp4", functools.partial(chain, Slow()), 1)
    (told,) = [
        r.getMessage() for r in caplog.records if r.name == "oldfilm.pipeline.executors.local"
    ]
    assert "at this size, and 0.0 GiB are free: it may be too much" in told
    assert not told_of_workers(summary)


def test_a_larger_film_is_known_to_take_more():
    stages = predictors(["Denoise", "Sharpen"])
    small, large = (
        Chain(stages, FilmInfo(w, h, 24, 9)).memory for w, h in ((320, 240), (3840, 2160))
    )
    assert large > 2 * small


def test_an_error_of_a_worker_is_raised_here(film, tmp_path):
    error = MediaError("no such frame")
    with pytest.raises(MediaError, match="no such frame"):
        restored(film, tmp_path / "out.mp4", functools.partial(chain, Faulty(error)))
    assert not children()


def test_workers_that_would_make_other_frames_are_refused(film, tmp_path):
    with pytest.raises(NetworkError, match="Unlike process was .* the same versions and weights"):
        restored(film, tmp_path / "out.mp4", functools.partial(chain, Unlike()))


def test_stages_that_cannot_be_made_elsewhere_are_refused(monkeypatch):
    with pytest.raises(OptionError, match="give a function of a module"):
        LocalExecutor(lambda: [Slow()], 2)
    own = type("Own", (Slow,), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Own", own, raising=False)
    with pytest.raises(OptionError, match="the program that was started.*function of a module"):
        LocalExecutor(functools.partial(chain, own()), 2)
    with pytest.raises(OptionError, match="--workers 0"):
        LocalExecutor(functools.partial(chain, Slow()), 0)


def test_the_job_is_still_the_only_one(film, tmp_path):
    recipe = functools.partial(chain, Slow())
    with open_workdir(tmp_path / "out.mp4"), pytest.raises(MediaError, match="another run"):
        restored(film, tmp_path / "out.mp4", recipe)
