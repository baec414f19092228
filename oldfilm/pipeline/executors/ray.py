"""Restores segments on the machines of a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from oldfilm.errors import MediaError, OptionError
from oldfilm.pipeline.executors.base import Executor, JobSpec, Made, Order, StageFactory
from oldfilm.pipeline.executors.process import Log, Record, TaskRunner, pickled, portable
from oldfilm.pipeline.executors.retry import RetryState

_PART = 64 << 20
"""Bytes of a file that are sent at once."""

_REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class _Content:
    """The next bytes of a file that belongs where its maker cannot write."""

    path: Path
    content: bytes


class _SourceWanted:
    """A machine does not see the source."""


class RayExecutor(Executor):
    """Tasks of a Ray cluster, a segment each; a context manager.

    A task asks Ray for the processors, the GPU and the memory that its chain takes. What a machine
    was at that is lost is done again on another. Files go by way of a shared folder where a machine
    sees this one's at the same path; else through Ray's object store.
    """

    threads = 1

    def __init__(
        self, recipe: StageFactory, count: int | None = None, address: str | None = None
    ) -> None:
        """Connect to a cluster, or start one.

        recipe: makes the stages, once in each of Ray's processes. count: tasks at a time, at most;
        by default as many as the cluster has processors. address: as `ray.init` takes it; by
        default the cluster of this machine, or else a new one that lasts as long as this.

        Raises:
            OptionError: Ray is missing or cannot be reached, or the recipe cannot be handed over.
        """
        if count is not None and count < 1:
            raise OptionError(f"--workers {count}: give 1 or more.")
        self._recipe = pickled(recipe)
        self._ray, self._is_ours = _connected(address)
        self.count = count or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._room = threading.Semaphore(self.count)
        self._task = self._ray.remote(_restore)
        self._log = Log()
        self._closed = False

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        if self._is_ours:
            self._ray.shutdown()

    def close(self) -> None:
        """As `Executor.close`."""
        self._closed = True

    def make(self, assignment: JobSpec, orders: Sequence[Order]) -> Generator[Made, None, None]:
        """As `Executor.make`."""
        sent = self._ray.put(assignment)
        job = _Job(assignment, sent, deque(RetryState(assignment, order) for order in orders))
        try:
            while job.waiting or job.going:
                if self._closed:
                    raise KeyboardInterrupt
                self._begin(job)
                for task in self._ready(job):
                    yield from self._heard(job, task)
        finally:
            for task in job.going:
                self._ray.cancel(task, force=True)
                self._room.release()

    def _begin(self, job: _Job) -> None:
        """Hand over as many segments as there is room for."""
        while job.waiting and self._room.acquire(timeout=0 if job.going else _REPORT_SECONDS):
            turn = job.waiting.popleft()
            asked = self._resources(turn)
            task = self._task.options(num_returns="streaming", max_retries=0, **asked).remote(
                self._recipe, job.sent, turn.order, job.source, job.size, str(Path.cwd())
            )
            job.going[task] = turn

    def _ready(self, job: _Job) -> list[Any]:
        if not job.going:
            return []
        going = list(job.going)
        ready, _ = self._ray.wait(going, timeout=_REPORT_SECONDS, fetch_local=False)
        return ready

    def _resources(self, turn: RetryState) -> dict[str, float]:
        """What a task asks for: what its chain takes, or, where it was lost twice, a whole node."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        memory = max(node.get("memory", 0.0) for node in nodes)
        if turn.alone:
            whole = max(nodes, key=lambda node: node.get("CPU", 0.0))
            return {"num_cpus": whole.get("CPU", 1.0), "num_gpus": whole.get("GPU", 0.0)}
        return {
            "num_cpus": turn.assignment.threads,
            "num_gpus": 1.0 if turn.assignment.on_gpu else 0.0,
            "memory": min(float(turn.assignment.memory), memory),
        }

    def _heard(self, job: _Job, task: Any) -> Iterator[Made]:
        """What a task says next."""
        turn = job.going[task]
        try:
            said = self._ray.get(next(task))
        except self._ray.exceptions.RayError as error:
            self._end(job, task)
            turn.lose(type(error).__name__)
            job.waiting.appendleft(turn)
            return
        if isinstance(said, Record):
            self._log(said)
        elif isinstance(said, _Content):
            with said.path.open("ab") as stream:
                stream.write(said.content)
        elif isinstance(said, _SourceWanted):
            self._end(job, task)
            job.send_source(self._ray)
            job.waiting.appendleft(turn)
        elif isinstance(said, MemoryError):
            self._end(job, task)
            turn.lose("out of memory")
            job.waiting.appendleft(turn)
        else:
            if isinstance(said, BaseException) or said.finished:
                self._end(job, task)
            yield turn.heard(said)

    def _end(self, job: _Job, task: Any) -> None:
        del job.going[task]
        self._room.release()


@dataclass
class _Job:
    """The segments of a film. sent, source: the assignment, and the film's bytes where a machine
    does not see it, in the object store.
    """

    assignment: JobSpec
    sent: Any
    waiting: deque[RetryState]
    source: Any = None

    def __post_init__(self) -> None:
        self.going: dict[Any, RetryState] = {}
        self.size = _size(self.assignment)

    def send_source(self, ray: Any) -> None:
        """Put the film into the object store, once."""
        film = self.assignment.film
        if film.numbered:
            raise MediaError(
                f"{film.path}: not all machines see this folder: put it where they do."
            )
        if self.source is None:
            self.source = ray.put(np.fromfile(film.path, np.uint8))


def _connected(address: str | None) -> tuple[Any, bool]:
    """Ray, and whether the connection is ours to end."""
    try:
        import ray
    except ImportError as error:
        raise OptionError(
            '--engine ray: Ray is not installed here: pip install "oldfilm[ray]".'
        ) from error
    if ray.is_initialized():
        return ray, False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    before = signal.getsignal(signal.SIGTERM)
    paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
    try:
        ray.init(
            address=address,
            runtime_env={"env_vars": {"PYTHONPATH": paths}} if address is None else None,
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray's own share no narrower parent
        reason = str(error).partition("\n")[0]
        where = f"--address {address}" if address else "--engine ray"
        raise OptionError(f"{where}: no Ray cluster is reached: {reason}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray has put its own in the place of ours
    return ray, True


_apprentices: dict[tuple[bytes, int], TaskRunner] = {}
"""The stages that this process of Ray's has made, for the next segments."""


def _restore(
    recipe: bytes,
    assignment: JobSpec,
    order: Order,
    source: np.ndarray | None,
    size: int,
    home: str,
) -> Iterator[Any]:
    """The task: restore a segment, and tell how far it is, as a worker does."""
    with contextlib.suppress(OSError):  # not all machines have the same folders
        os.chdir(home)
    apprentice = _apprentices.setdefault((recipe, assignment.threads), TaskRunner(recipe))
    with tempfile.TemporaryDirectory(prefix="oldfilm-") as folder:
        try:
            if _size(assignment) != size:
                if source is None:
                    yield _SourceWanted()
                    return
                path = Path(folder, assignment.film.path.name)
                source.tofile(path)
                assignment = replace(assignment, film=replace(assignment.film, path=path))
            yield from _made(apprentice, assignment, order, Path(folder))
        except Exception as error:
            yield portable(error)


def _size(assignment: JobSpec) -> int:
    """Bytes of the source, or how many of its pictures are here; -1 where there is none."""
    film = assignment.film
    if film.numbered:
        return sum(map(Path.is_file, film.numbered))
    return film.path.stat().st_size if film.path.is_file() else -1


def _made(apprentice: TaskRunner, assignment: JobSpec, order: Order, folder: Path) -> Iterator[Any]:
    here = order
    if not order.path.parent.is_dir():
        pictures = tuple(folder / picture.name for picture in order.pictures)
        here = replace(order, path=folder / order.path.name, pictures=pictures)
    told = time.monotonic()
    for said in apprentice.make(assignment, here):
        if said.finished and here != order:
            for made, wanted in zip((here.path, *here.pictures), (order.path, *order.pictures)):
                yield from _sent(made, wanted)
        if said.finished or time.monotonic() > told + _REPORT_SECONDS:
            told = time.monotonic()
            yield said


def _sent(made: Path, wanted: Path) -> Iterator[_Content]:
    with made.open("rb") as stream:
        while part := stream.read(_PART):
            yield _Content(wanted, part)
