"""Restores segments on the machines of a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from oldfilm.errors import MediaError, OptionError
from oldfilm.pipeline.executors.base import (
    Executor,
    JobSpec,
    SegmentTask,
    StageFactory,
    TaskUpdates,
)
from oldfilm.pipeline.executors.process import (
    LogMessage,
    TaskRunner,
    WorkerLog,
    pickled,
    portable_error,
)
from oldfilm.pipeline.executors.retry import RetryState

_BLOCK = 64 << 20
"""Bytes of a file in one message."""

_REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class _FileBlock:
    """The next bytes of a file that the worker cannot write to its final path."""

    path: Path
    content: bytes


class _SourceNeeded:
    """The worker's machine cannot read the source."""


class RayExecutor(Executor):
    """Runs each segment as a task of a Ray cluster. A context manager.

    Each task requests the processors, the GPU and the memory that its chain needs. If a machine is
    lost, its segments are restored again on others. Files are read and written at the paths of
    this machine if the worker's machine has them (a shared folder); otherwise they are sent
    through Ray's object store.
    """

    threads = 1

    def __init__(
        self, stage_factory: StageFactory, count: int | None = None, address: str | None = None
    ) -> None:
        """Connect to a cluster, or start one.

        stage_factory: builds the stages, once in each Ray worker. count: maximum number of tasks
        at a time; by default the number of processors of the cluster. address: as for `ray.init`;
        by default the cluster on this machine, or else a new one that ends with this executor.

        Raises:
            OptionError: Ray is missing or unreachable, or the stage factory cannot be pickled.
        """
        if count is not None and count < 1:
            raise OptionError(f"`workers={count}`: must be at least 1")
        self._stage_factory = pickled(stage_factory)
        self._ray, self._owns_connection = _connect(address)
        self.count = count or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._slots = threading.Semaphore(self.count)
        self._remote = self._ray.remote(_restore_segment)
        self._log = WorkerLog()
        self._closed = False

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        if self._owns_connection:
            self._ray.shutdown()

    def close(self) -> None:
        """Stop all work, see `Executor.close`."""
        self._closed = True

    def run(self, job: JobSpec, tasks: Sequence[SegmentTask]) -> TaskUpdates:
        """Restore the tasks on the cluster, see `Executor.run`."""
        states = deque(RetryState(job, task) for task in tasks)
        film = _RayJob(job, self._ray.put(job), states)
        try:
            while film.waiting or film.running:
                if self._closed:
                    raise KeyboardInterrupt
                self._submit(film)
                for call in self._ready(film):
                    yield from self._receive(film, call)
        finally:
            for call in film.running:
                self._ray.cancel(call, force=True)
                self._slots.release()

    def _submit(self, film: _RayJob) -> None:
        """Submit waiting tasks while there are free slots."""
        timeout = 0 if film.running else _REPORT_SECONDS
        while film.waiting and self._slots.acquire(timeout=timeout):
            state = film.waiting.popleft()
            options = {"num_returns": "streaming", "max_retries": 0, **self._resources(state)}
            call = self._remote.options(**options).remote(
                self._stage_factory,
                film.reference,
                state.task,
                film.source,
                film.size,
                str(Path.cwd()),
            )
            film.running[call] = state
            timeout = 0

    def _ready(self, film: _RayJob) -> list[Any]:
        if not film.running:
            return []
        calls = list(film.running)
        ready, _ = self._ray.wait(calls, timeout=_REPORT_SECONDS, fetch_local=False)
        return ready

    def _resources(self, state: RetryState) -> dict[str, float]:
        """Resources to request: what the chain needs, or a whole node if the task runs alone."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        memory = max(node.get("memory", 0.0) for node in nodes)
        if state.runs_alone:
            largest = max(nodes, key=lambda node: node.get("CPU", 0.0))
            return {"num_cpus": largest.get("CPU", 1.0), "num_gpus": largest.get("GPU", 0.0)}
        return {
            "num_cpus": state.job.threads,
            "num_gpus": 1.0 if state.job.on_gpu else 0.0,
            "memory": min(float(state.job.memory), memory),
        }

    def _receive(self, film: _RayJob, call: Any) -> TaskUpdates:
        """Handle the next message of a running task."""
        state = film.running[call]
        try:
            message = self._ray.get(next(call))
        except self._ray.exceptions.RayError as error:
            self._retry(film, call, type(error).__name__)
            return
        if isinstance(message, LogMessage):
            self._log(message)
        elif isinstance(message, _FileBlock):
            with message.path.open("ab") as stream:
                stream.write(message.content)
        elif isinstance(message, _SourceNeeded):
            self._end(film, call)
            film.send_source(self._ray)
            film.waiting.appendleft(state)
        elif isinstance(message, MemoryError):
            self._retry(film, call, "out of memory")
        else:
            if isinstance(message, BaseException) or message.finished:
                self._end(film, call)
            yield state.update(message)

    def _retry(self, film: _RayJob, call: Any, reason: str) -> None:
        state = film.running[call]
        self._end(film, call)
        state.lose(reason)
        film.waiting.appendleft(state)

    def _end(self, film: _RayJob, call: Any) -> None:
        del film.running[call]
        self._slots.release()


@dataclass
class _RayJob:
    """A job and its tasks.

    reference: to the job in the object store. source: reference to the film's content there, if a
    machine cannot read the film.
    """

    job: JobSpec
    reference: Any
    waiting: deque[RetryState]
    source: Any = None

    def __post_init__(self) -> None:
        self.running: dict[Any, RetryState] = {}
        self.size = _source_size(self.job)

    def send_source(self, ray: Any) -> None:
        """Put the film into the object store, once."""
        film = self.job.film
        if film.numbered:
            raise MediaError(
                f"{film.path}: not all machines can read this folder: put it in a shared folder."
            )
        if self.source is None:
            self.source = ray.put(np.fromfile(film.path, np.uint8))


def _connect(address: str | None) -> tuple[Any, bool]:
    """Return Ray, and whether this function opened its connection."""
    try:
        import ray
    except ImportError as error:
        raise OptionError(
            '`engine=ray`: Ray is not installed; run `pip install "oldfilm[ray]"`.'
        ) from error
    if ray.is_initialized():
        return ray, False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Send no usage statistics.
    handler = signal.getsignal(signal.SIGTERM)
    paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
    try:
        ray.init(
            address=address,
            runtime_env={"env_vars": {"PYTHONPATH": paths}} if address is None else None,
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray's errors have no narrower common class.
        reason = str(error).partition("\n")[0]
        where = f"`address={address}`" if address else "`engine=ray`"
        raise OptionError(f"{where}: cannot connect to a Ray cluster: {reason}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray has replaced it.
    return ray, True


_runners: dict[tuple[bytes, int], TaskRunner] = {}
"""Task runners of this Ray worker, whose stages are kept for the next segments."""


def _restore_segment(
    stage_factory: bytes,
    job: JobSpec,
    task: SegmentTask,
    source: np.ndarray | None,
    size: int,
    directory: str,
) -> Iterator[Any]:
    """The Ray task: restore a segment and yield messages.

    source: content of the film, if it has been sent. size: of the source where the parent runs.
    directory: the parent's working directory.
    """
    with contextlib.suppress(OSError):  # This machine may not have that directory.
        os.chdir(directory)
    runner = _runners.setdefault((stage_factory, job.threads), TaskRunner(stage_factory))
    with tempfile.TemporaryDirectory(prefix="oldfilm-") as folder:
        try:
            if _source_size(job) != size:
                if source is None:
                    yield _SourceNeeded()
                    return
                path = Path(folder, job.film.path.name)
                source.tofile(path)
                job = replace(job, film=replace(job.film, path=path))
            yield from _run_task(runner, job, task, Path(folder))
        except Exception as error:
            yield portable_error(error)


def _source_size(job: JobSpec) -> int:
    """Return the size of the film, or how many numbered frames exist; -1 if the film is missing."""
    film = job.film
    if film.numbered:
        return sum(map(Path.is_file, film.numbered))
    return film.path.stat().st_size if film.path.is_file() else -1


def _run_task(runner: TaskRunner, job: JobSpec, task: SegmentTask, folder: Path) -> Iterator[Any]:
    """Run a task. If its folder does not exist here, write to `folder` and send the files."""
    local = task
    if not task.path.parent.is_dir():
        pictures = tuple(folder / picture.name for picture in task.pictures)
        local = replace(task, path=folder / task.path.name, pictures=pictures)
    for progress in runner.run(job, local, _REPORT_SECONDS):
        if progress.finished and local != task:
            written = (local.path, *local.pictures)
            for path, destination in zip(written, (task.path, *task.pictures)):
                yield from _file_blocks(path, destination)
        yield progress


def _file_blocks(path: Path, destination: Path) -> Iterator[_FileBlock]:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield _FileBlock(destination, block)
