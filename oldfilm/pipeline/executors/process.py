"""One worker: a process that restores segments, as its parent sees it and as it sees itself."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import re
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from oldfilm.errors import OldfilmError, OptionError
from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.executors.base import (
    InProcessExecutor,
    JobSpec,
    Order,
    StageFactory,
    chain_of,
)
from oldfilm.stage import Stage

_COMMAND = "from oldfilm.pipeline.executors.process import work; work()"
_GIVEN_BACK = 16 << 20
"""Bytes from which what glibc allocates goes back to the system when it is freed. It learns to keep
all up to 32 MiB, in pieces: hundreds of MiB that nobody used, most of the time."""

_OUT_OF_MEMORY = re.compile("alloc|insufficient memory|out of memory|resource ?exhausted", re.I)
"""How the libraries below say it, which have no common error for it."""


def pickled(recipe: StageFactory) -> bytes:
    """The recipe, ready for another process.

    Raises:
        OptionError: it cannot be handed over.
    """
    try:
        made = pickle.dumps(recipe)
        if b"__main__" in made:
            raise pickle.PicklingError("they know nothing of the program that was started")
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise OptionError(
            f"the stages cannot be made in other processes ({error}): give a function of a module, "
            "or functools.partial of one, that makes them."
        ) from error
    return made


@dataclass(frozen=True)
class Reached:
    """How far an order is. work: frames and seconds of every stage, for this order."""

    frames: int
    work: dict[str, tuple[int, float]]
    finished: bool = False


@dataclass(frozen=True)
class Record:
    logger: str
    level: int
    message: str


WorkerMessage = Reached | Record | BaseException
"""What a worker says: how far it is, for the log, an error."""


class WorkerLost(Exception):
    """A worker has ended, or has too little memory to go on."""


class WorkerProcess:
    """A process that restores one segment at a time. place: its number among those at work."""

    def __init__(
        self, recipe: bytes, threads: int, place: int, processors: set[int] | None
    ) -> None:
        self.threads = threads
        self.place = place
        paths = [str(Path(path).absolute()) for path in sys.path]
        usual = {"MALLOC_MMAP_THRESHOLD_": str(_GIVEN_BACK)}
        named = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(paths)}
        with _on(processors):
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**usual, **os.environ, **named},
                # A Ctrl-C in the terminal is for us, who end it ourselves.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        self._orders: Any = self._process.stdin
        self._said: Any = self._process.stdout
        self._recipe: bytes | None = recipe

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def make(self, assignment: JobSpec, order: Order) -> Iterator[WorkerMessage]:
        """Restore a segment.

        Raises:
            WorkerLost: the process is no more, or of no more use.
        """
        try:
            if self._recipe:
                self._send(self._recipe)
                self._recipe = None
            self._send((assignment, order))
            while True:
                said: WorkerMessage = pickle.load(self._said)
                if isinstance(said, MemoryError):
                    raise WorkerLost("out of memory")
                yield said
                if said.finished if isinstance(said, Reached) else isinstance(said, BaseException):
                    return
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise WorkerLost(_ended(self.end())) from error

    def _send(self, message: object) -> None:
        pickle.dump(message, self._orders)
        self._orders.flush()

    def end(self) -> int:
        """End the process, and its encoder, which would else write on for a moment.

        Returns its exit status.
        """
        # Until somebody has waited for it, its number is nobody else's.
        if hasattr(os, "killpg") and self._process.returncode is None:
            # Where it is dead already and alone: no such group, on macOS not permitted.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        return self._process.wait()


def _ended(status: int) -> str:
    if status == -9:
        return "killed, as a system does that has no memory left"
    return f"signal {-status}" if status < 0 else f"exit status {status}"


@contextlib.contextmanager
def _on(processors: set[int] | None) -> Iterator[None]:
    """A process that is started meanwhile has these processors, as the thread that starts it."""
    if processors is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def work() -> None:
    """What a worker runs: takes orders from its standard input, tells of them on its output."""
    said = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What libraries print is not meant for the parent.
    tell = _MessageWriter(said)
    logging.basicConfig(handlers=[tell])
    orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    maker = TaskRunner(orders.get())
    while True:
        assignment, order = orders.get()
        try:
            for made in maker.make(assignment, order):
                tell(made)
        except Exception as error:
            tell(portable(error))


def _listen(orders: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            orders.put(pickle.load(sys.stdin.buffer))
    finally:
        os._exit(1)  # The parent is gone; nobody wants what is being made.


class TaskRunner:
    """Makes the stages when they are first needed, and keeps them."""

    def __init__(self, recipe: bytes) -> None:
        self._recipe = recipe
        self._stages: Sequence[Stage] | None = None
        self._assignment: JobSpec | None = None
        self._chain: Chain | None = None

    def make(self, assignment: JobSpec, order: Order) -> Iterator[Reached]:
        chain = self._chain_of(assignment)
        before = chain.work
        with contextlib.closing(InProcessExecutor(chain).make(assignment, [order])) as making:
            for made in making:
                work = {name: difference(now, before[name]) for name, now in chain.work.items()}
                yield Reached(made.frames, work, made.finished)

    def _chain_of(self, assignment: JobSpec) -> Chain:
        if self._stages is None:
            self._stages = pickle.loads(self._recipe)()
        if self._chain is None or assignment != self._assignment:
            self._chain = chain_of(self._stages, assignment)
            self._assignment = assignment
        return self._chain


def difference(after: tuple[int, float], before: tuple[int, float]) -> tuple[int, float]:
    """Frames and seconds between two moments."""
    return after[0] - before[0], after[1] - before[1]


class Log:
    """Logs what workers have to say, once: all say the same."""

    def __init__(self) -> None:
        self._told: set[Record] = set()
        self._one_at_a_time = threading.Lock()

    def __call__(self, record: Record) -> None:
        with self._one_at_a_time:
            new = record not in self._told
            self._told.add(record)
        if new:
            logging.getLogger(record.logger).log(record.level, record.message)


class _MessageWriter(logging.Handler):
    """Sends messages to the parent, also those that are logged."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self._one_at_a_time = threading.Lock()

    def __call__(self, said: WorkerMessage) -> None:
        with self._one_at_a_time:
            pickle.dump(said, self._stream)
            self._stream.flush()

    def emit(self, record: logging.LogRecord) -> None:
        self(Record(record.name, record.levelno, record.getMessage()))


def portable(error: Exception) -> BaseException:
    """The error itself where the parent can take it, else what there is to say of it."""
    ours = isinstance(error, (OldfilmError, OSError))
    if isinstance(error, MemoryError) or (not ours and _OUT_OF_MEMORY.search(str(error))):
        return MemoryError()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class does when it is made anew
        return RuntimeError("".join(traceback.format_exception(type(error), error, None)))
    return error
