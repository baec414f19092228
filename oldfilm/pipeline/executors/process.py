"""A worker process that restores segments: the parent's side, and the worker's."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from oldfilm.errors import OldfilmError, OptionError
from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.executors.base import (
    InProcessExecutor,
    JobSpec,
    SegmentTask,
    StageFactory,
    TaskProgress,
    build_chain,
)
from oldfilm.stage import Stage
from oldfilm.system.memory import is_out_of_memory

_COMMAND = "from oldfilm.pipeline.executors.process import run_worker; run_worker()"

_MMAP_THRESHOLD = 16 << 20
"""glibc's mmap threshold, in bytes. By default it grows to 32 MiB, which keeps hundreds of MiB of
freed arrays resident."""


def pickled(stage_factory: StageFactory) -> bytes:
    """Pickle a stage factory for worker processes.

    Raises:
        OptionError: it cannot be pickled, or a worker could not import it.
    """
    try:
        content = pickle.dumps(stage_factory)
        if b"__main__" in content:
            raise pickle.PicklingError("workers cannot import from the main script")
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise OptionError(
            f"the stages cannot be built in worker processes ({error}): pass a module-level "
            "function that builds them, or a functools.partial of one."
        ) from error
    return content


@dataclass(frozen=True)
class LogMessage:
    """A record that was logged in a worker."""

    logger: str
    level: int
    text: str


WorkerMessage = TaskProgress | LogMessage | BaseException


class WorkerLost(Exception):
    """A worker process died, or ran out of memory."""


class WorkerProcess:
    """A process that restores one segment at a time."""

    def __init__(
        self, stage_factory: bytes, threads: int, slot: int, processors: set[int] | None
    ) -> None:
        """Start the process.

        stage_factory: pickled. threads: threads per network. slot: number of this worker among
        those that run at the same time, from 0. processors: to run on, or None for any.
        """
        self.threads = threads
        self.slot = slot
        paths = [str(Path(path).absolute()) for path in sys.path]
        defaults = {"MALLOC_MMAP_THRESHOLD_": str(_MMAP_THRESHOLD)}
        required = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(paths)}
        with _affinity(processors):
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**defaults, **os.environ, **required},
                # Ctrl-C in the terminal must not reach the worker: the parent ends it.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        self._requests: Any = self._process.stdin
        self._messages: Any = self._process.stdout
        self._stage_factory: bytes | None = stage_factory

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def run(self, job: JobSpec, task: SegmentTask) -> Iterator[WorkerMessage]:
        """Restore a segment. The last message is a finished progress or an error.

        Raises:
            WorkerLost: the process died, or ran out of memory.
        """
        try:
            if self._stage_factory:
                self._send(self._stage_factory)
                self._stage_factory = None
            self._send((job, task))
            while True:
                message: WorkerMessage = pickle.load(self._messages)
                if isinstance(message, MemoryError):
                    raise WorkerLost("out of memory")
                yield message
                if isinstance(message, BaseException):
                    return
                if isinstance(message, TaskProgress) and message.finished:
                    return
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise WorkerLost(_exit_reason(self.end())) from error

    def _send(self, request: object) -> None:
        pickle.dump(request, self._requests)
        self._requests.flush()

    def end(self) -> int:
        """Kill the process and its ffmpeg, which would otherwise keep writing for a moment.

        Returns the exit status.
        """
        # The process ID cannot be reused before the process has been waited for.
        if hasattr(os, "killpg") and self._process.returncode is None:
            # The group may have ended already; macOS reports that as a missing permission.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        return self._process.wait()


def _exit_reason(status: int) -> str:
    if status == -9:
        return "killed, as the system does when memory runs out"
    return f"signal {-status}" if status < 0 else f"exit status {status}"


@contextlib.contextmanager
def _affinity(processors: set[int] | None) -> Iterator[None]:
    """Bind this thread to `processors`; processes started meanwhile inherit them."""
    if processors is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run_worker() -> None:
    """Run tasks from standard input and write messages to standard output, until killed."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Keep what libraries print out of the message stream.
    send = MessageWriter(output)
    logging.basicConfig(handlers=[send])
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests,), daemon=True).start()
    runner = TaskRunner(requests.get())
    while True:
        job, task = requests.get()
        try:
            for progress in runner.run(job, task):
                send(progress)
        except Exception as error:
            send(portable_error(error))


def _receive(requests: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            requests.put(pickle.load(sys.stdin.buffer))
    finally:
        os._exit(1)  # The parent has ended, so nothing waits for the result.


class TaskRunner:
    """Runs segment tasks in a worker. Builds the stages for the first task and keeps them."""

    def __init__(self, stage_factory: bytes) -> None:
        """stage_factory: pickled."""
        self._stage_factory = stage_factory
        self._stages: Sequence[Stage] | None = None
        self._job: JobSpec | None = None
        self._chain: Chain | None = None

    def run(self, job: JobSpec, task: SegmentTask, interval: float = 0.0) -> Iterator[TaskProgress]:
        """Restore a segment.

        Yields its progress, at most once per `interval` in seconds, and when it is finished.
        """
        chain = self._chain_of(job)
        reported, due = chain.work, time.monotonic() + interval
        with contextlib.closing(InProcessExecutor(chain).run(job, [task])) as updates:
            for _, progress in updates:
                if progress.finished or time.monotonic() >= due:
                    yield replace(progress, work=_added_work(reported, chain.work))
                    reported, due = chain.work, time.monotonic() + interval

    def _chain_of(self, job: JobSpec) -> Chain:
        if self._stages is None:
            self._stages = pickle.loads(self._stage_factory)()
        if self._chain is None or job != self._job:
            self._chain = build_chain(self._stages, job)
            self._job = job
        return self._chain


def _added_work(
    before: Mapping[str, tuple[int, float]], after: Mapping[str, tuple[int, float]]
) -> dict[str, tuple[int, float]]:
    """Frames and seconds that every stage has spent in between."""
    return {
        name: (frames - before[name][0], seconds - before[name][1])
        for name, (frames, seconds) in after.items()
    }


class WorkerLog:
    """Logs messages of several workers. Equal messages are logged once."""

    def __init__(self) -> None:
        self._seen: set[LogMessage] = set()
        self._lock = threading.Lock()

    def __call__(self, message: LogMessage) -> None:
        with self._lock:
            is_new = message not in self._seen
            self._seen.add(message)
        if is_new:
            logging.getLogger(message.logger).log(message.level, message.text)


class MessageWriter(logging.Handler):
    """Sends a worker's messages and log records to the parent."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self._write_lock = threading.Lock()

    def __call__(self, message: WorkerMessage) -> None:
        with self._write_lock:
            pickle.dump(message, self._stream)
            self._stream.flush()

    def emit(self, record: logging.LogRecord) -> None:
        self(LogMessage(record.name, record.levelno, record.getMessage()))


def portable_error(error: Exception) -> BaseException:
    """Convert an error to one that the parent can unpickle.

    A lack of memory becomes a MemoryError, so that the segment is tried again. An error that
    cannot be pickled becomes a RuntimeError with its traceback.
    """
    is_foreign = not isinstance(error, (OldfilmError, OSError))
    if isinstance(error, MemoryError) or (is_foreign and is_out_of_memory(error)):
        return MemoryError()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # Its class may raise anything when it is unpickled.
        return RuntimeError("".join(traceback.format_exception(type(error), error, None)))
    return error
