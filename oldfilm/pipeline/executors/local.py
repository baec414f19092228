"""Restores segments in several processes of this machine; what a lost one did is done again."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oldfilm.errors import OptionError
from oldfilm.pipeline.executors.base import Executor, JobSpec, Made, Order, StageFactory
from oldfilm.pipeline.executors.process import Log, Record, WorkerLost, WorkerProcess, pickled
from oldfilm.pipeline.executors.retry import RetryState
from oldfilm.system.threads import threads

logger = logging.getLogger(__name__)


class LocalExecutor(Executor):
    """Processes of this machine that restore segments; a context manager.

    They share the processors. They end with this process, however it ends. Where the memory that
    is free now does not hold all of them, fewer work at a time, and the summary says so.
    """

    def __init__(self, recipe: StageFactory, count: int) -> None:
        """recipe: makes the stages, once in each process. count: processes, at most.

        Raises:
            OptionError: count is below 1, or the recipe cannot be handed to another process.
        """
        if count < 1:
            raise OptionError(f"--workers {count}: give 1 or more.")
        self.count = count
        self.threads = max(1, threads() // count)
        self._recipe = pickled(recipe)
        self._memory = free_memory()
        self._least = 1 / count
        self._state = threading.Condition()
        self._waiting: deque[_QueuedTask] = deque()
        self._running: dict[_QueuedTask, WorkerProcess] = {}
        self._idle: list[WorkerProcess] = []
        self._closed = False
        self._log = Log()
        self._servants = [
            threading.Thread(target=self._serve, name="oldfilm-worker", daemon=True)
            for _ in range(count)
        ]
        for servant in self._servants:
            servant.start()

    def close(self) -> None:
        """End all processes; whoever waits for them gets a KeyboardInterrupt."""
        with self._state:
            self._closed = True
            for worker in [*self._idle, *self._running.values()]:
                worker.end()
            self._state.notify_all()
        for servant in self._servants:
            servant.join()

    def make(self, assignment: JobSpec, orders: Sequence[Order]) -> Generator[Made, None, None]:
        """As `Executor.make`."""
        replies: queue.SimpleQueue[Made | BaseException] = queue.SimpleQueue()
        share, notes = self._share(assignment.memory)
        turns = [_QueuedTask(assignment, order, replies=replies, share=share) for order in orders]
        for turn in turns[:1]:
            turn.notes += notes
        with self._state:
            self._waiting.extend(turns)
            self._state.notify_all()
        left = len(turns)
        try:
            while left:
                made = self._next_reply(replies)
                left -= made.finished
                yield made
        finally:
            self._withdraw(turns)

    def _next_reply(self, replies: queue.SimpleQueue[Made | BaseException]) -> Made:
        while not self._closed:
            # Ctrl-C does not end a wait without a limit on Windows.
            with contextlib.suppress(queue.Empty):
                reply = replies.get(timeout=0.5)
                if isinstance(reply, BaseException):
                    raise reply
                return reply
        raise KeyboardInterrupt

    def _share(self, memory: int) -> tuple[float, list[str]]:
        """Which part of all that is to be had a segment takes, and what to say of it."""
        if self._memory is None or memory * self.count <= self._memory:
            return self._least, []
        if memory > self._memory:
            logger.warning(
                "This chain takes about %s at this size, and %s are free: it may be too much.",
                _gib(memory),
                _gib(self._memory),
            )
        share = max(min(1.0, memory / self._memory), self._least)
        at_once = int(1 / share)
        if at_once == self.count:
            return share, []
        return share, [
            f"{at_once} of {self.count} workers at a time: each takes about "
            f"{_gib(memory)}, and {_gib(self._memory)} were free"
        ]

    def _withdraw(self, turns: Sequence[_QueuedTask]) -> None:
        """Let go of what is no longer wanted; what is being made of it is ended first."""
        with self._state:
            for turn in turns:
                turn.wanted = False
                if turn in self._running:
                    self._running[turn].end()
            self._waiting = deque(turn for turn in self._waiting if turn.wanted)
            self._state.wait_for(lambda: not any(turn in self._running for turn in turns))

    def _serve(self) -> None:
        while (turn := self._next_turn()) is not None:
            worker = self._running[turn]
            try:
                self._follow(turn, worker)
            except BaseException as error:  # raised again where the turn is waited for
                turn.replies.put(error)
            with self._state:
                del self._running[turn]
                if worker.lives:
                    self._idle.append(worker)
                self._state.notify_all()

    def _next_turn(self) -> _QueuedTask | None:
        """The first turn in the queue, as soon as there is room for it; None at the end."""
        with self._state:
            while True:
                self._state.wait_for(lambda: self._closed or self._has_room())
                if self._closed:
                    return None
                turn = self._waiting.popleft()
                try:
                    self._running[turn] = self._worker(turn)
                    return turn
                except OSError as error:  # no process can be started
                    turn.replies.put(error)

    def _has_room(self) -> bool:
        if not self._waiting:
            return False
        taken = sum(turn.share for turn in self._running)
        return not self._running or taken + self._waiting[0].share < 1 + 1e-9

    def _worker(self, turn: _QueuedTask) -> WorkerProcess:
        """An idle worker, or a new one; none stays idle beside a turn that takes all there is."""
        threads = turn.assignment.threads
        while turn.share == 1 and len(self._idle) > 1:
            self._idle.pop().end()
        while self._idle:
            worker = self._idle.pop()
            if worker.lives and worker.threads == threads:
                return worker
            worker.end()
        used = {worker.place for worker in self._running.values()}
        place = next(place for place in range(self.count) if place not in used)
        return WorkerProcess(self._recipe, threads, place, self._processors(threads, place))

    def _processors(self, threads: int, place: int) -> set[int] | None:
        """Those of a worker's own, where there are enough and the system can reserve them."""
        if not hasattr(os, "sched_getaffinity"):
            return None
        there = sorted(os.sched_getaffinity(0))
        own = there[place * threads : (place + 1) * threads]
        return set(own) if threads * self.count <= len(there) else None

    def _follow(self, turn: _QueuedTask, worker: WorkerProcess) -> None:
        try:
            for said in worker.make(turn.assignment, turn.order):
                if isinstance(said, Record):
                    self._log(said)
                else:
                    turn.replies.put(turn.heard(said))
        except WorkerLost as lost:
            worker.end()
            self._again(turn, lost)

    def _again(self, turn: _QueuedTask, lost: WorkerLost) -> None:
        """Have a segment done again whose worker was lost."""
        with self._state:
            if not turn.wanted:
                return
            turn.lose(lost)
            if turn.alone:
                self._go_on_smaller(turn)
            self._waiting.appendleft(turn)

    def _go_on_smaller(self, turn: _QueuedTask) -> None:
        """Give this turn all that is to be had, and all others twice as much as before."""
        turn.share = 1.0
        if self.count == 1:
            return
        self._least = min(1.0, 2 * self._least)
        turn.notes.append(f"from there on at most {int(1 / self._least)} worked at a time")
        for waiting in self._waiting:
            waiting.share = max(waiting.share, self._least)


@dataclass(eq=False)
class _QueuedTask(RetryState):
    """A turn in the queue. share: which part of what is to be had it takes, in (0, 1]."""

    replies: queue.SimpleQueue[Made | BaseException] = field(default_factory=queue.SimpleQueue)
    share: float = 1.0
    wanted: bool = True


def free_memory() -> int | None:
    """Bytes that can still be had, where the system tells: of the machine, or of our share."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration):
        return None
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):  # no limit, or none that is told so
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        free = min(free, limit - int((group / "memory.current").read_text(encoding="ascii")))
    return free


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
