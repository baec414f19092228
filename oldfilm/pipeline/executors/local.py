"""Restores segments in several processes of this machine; lost processes are replaced."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from oldfilm.errors import OptionError
from oldfilm.pipeline.executors.base import (
    Executor,
    JobSpec,
    SegmentTask,
    StageFactory,
    TaskProgress,
    TaskUpdates,
)
from oldfilm.pipeline.executors.process import (
    LogMessage,
    WorkerLog,
    WorkerLost,
    WorkerProcess,
    pickled,
)
from oldfilm.pipeline.executors.retry import RetryState
from oldfilm.system.memory import available_memory
from oldfilm.system.threads import threads

logger = logging.getLogger(__name__)

_Reply = tuple[SegmentTask, TaskProgress] | BaseException


class LocalExecutor(Executor):
    """Worker processes on this machine. A context manager.

    The workers share the processors, and end when this process ends, even if it is killed. If
    memory does not suffice for all of them, fewer run at a time, and the summary says so.
    """

    def __init__(self, stage_factory: StageFactory, count: int, memory: int | None = None) -> None:
        """Create the executor; worker processes start with the first tasks.

        stage_factory: builds the stages, once in each worker. count: maximum number of workers.
        memory: bytes for all workers together; by default what is available now.

        Raises:
            OptionError: count is below 1, or the stage factory cannot be pickled.
        """
        if count < 1:
            raise OptionError(f"`workers={count}`: must be at least 1")
        self.count = count
        self.threads = max(1, threads() // count)
        self._stage_factory = pickled(stage_factory)
        self._memory = available_memory() if memory is None else memory
        self._smallest_share = 1 / count
        self._changed = threading.Condition()
        self._waiting: deque[_QueuedTask] = deque()
        self._running: dict[_QueuedTask, WorkerProcess] = {}
        self._idle: list[WorkerProcess] = []
        self._closed = False
        self._log = WorkerLog()
        self._threads = [
            threading.Thread(target=self._run_queue, name="oldfilm-worker", daemon=True)
            for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Kill all workers, see `Executor.close`."""
        with self._changed:
            self._closed = True
            for worker in [*self._idle, *self._running.values()]:
                worker.end()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def run(self, job: JobSpec, tasks: Sequence[SegmentTask]) -> TaskUpdates:
        """Restore the tasks in worker processes, see `Executor.run`."""
        replies: queue.SimpleQueue[_Reply] = queue.SimpleQueue()
        share, notes = self._memory_share(job.memory)
        queued = [_QueuedTask(job, task, replies=replies, share=share) for task in tasks]
        for first in queued[:1]:
            first.notes += notes
        with self._changed:
            self._waiting.extend(queued)
            self._changed.notify_all()
        unfinished = len(queued)
        try:
            while unfinished:
                task, progress = self._next_reply(replies)
                unfinished -= progress.finished
                yield task, progress
        finally:
            self._cancel(queued)

    def _next_reply(self, replies: queue.SimpleQueue[_Reply]) -> tuple[SegmentTask, TaskProgress]:
        while not self._closed:
            # On Windows, Ctrl-C does not interrupt a wait without a timeout.
            with contextlib.suppress(queue.Empty):
                reply = replies.get(timeout=0.5)
                if isinstance(reply, BaseException):
                    raise reply
                return reply
        raise KeyboardInterrupt

    def _memory_share(self, memory: int) -> tuple[float, list[str]]:
        """The share of the available memory that a segment takes, in (0, 1], and a note on it."""
        if self._memory is None or memory * self.count <= self._memory:
            return self._smallest_share, []
        if memory > self._memory:
            logger.warning(
                "This chain needs about %s at this size, but only %s are available.",
                _gib(memory),
                _gib(self._memory),
            )
        share = max(min(1.0, memory / self._memory), self._smallest_share)
        at_once = int(1 / share)
        if at_once == self.count:
            return share, []
        return share, [
            f"{at_once} of {self.count} workers ran at a time: each needs about "
            f"{_gib(memory)}, and {_gib(self._memory)} were available"
        ]

    def _cancel(self, tasks: Sequence[_QueuedTask]) -> None:
        """Remove tasks from the queue and kill the workers that run them."""
        with self._changed:
            for task in tasks:
                task.is_wanted = False
                if task in self._running:
                    self._running[task].end()
            self._waiting = deque(task for task in self._waiting if task.is_wanted)
            self._changed.wait_for(lambda: not any(task in self._running for task in tasks))

    def _run_queue(self) -> None:
        """Run queued tasks, one at a time, until the executor is closed."""
        while (queued := self._next_task()) is not None:
            worker = self._running[queued]
            try:
                self._run_task(queued, worker)
            except BaseException as error:  # Raised again in the thread that waits for the task.
                queued.replies.put(error)
            with self._changed:
                del self._running[queued]
                if worker.is_alive:
                    self._idle.append(worker)
                self._changed.notify_all()

    def _next_task(self) -> _QueuedTask | None:
        """Wait for the first task in the queue to fit into memory; None if closed."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._closed or self._first_fits())
                if self._closed:
                    return None
                queued = self._waiting.popleft()
                try:
                    self._running[queued] = self._worker_for(queued)
                    return queued
                except OSError as error:  # The process could not be started.
                    queued.replies.put(error)

    def _first_fits(self) -> bool:
        if not self._waiting:
            return False
        taken = sum(queued.share for queued in self._running)
        return not self._running or taken + self._waiting[0].share < 1 + 1e-9

    def _worker_for(self, queued: _QueuedTask) -> WorkerProcess:
        """Take an idle worker or start one. A task that needs all memory gets the only worker."""
        threads = queued.job.threads
        while queued.share == 1 and len(self._idle) > 1:
            self._idle.pop().end()
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive and worker.threads == threads:
                return worker
            worker.end()
        used = {worker.slot for worker in self._running.values()}
        slot = next(slot for slot in range(self.count) if slot not in used)
        return WorkerProcess(self._stage_factory, threads, slot, self._processors(threads, slot))

    def _processors(self, threads: int, slot: int) -> set[int] | None:
        """Processors for one worker alone; None if there are too few, or none can be reserved."""
        if not hasattr(os, "sched_getaffinity"):
            return None
        available = sorted(os.sched_getaffinity(0))
        own = available[slot * threads : (slot + 1) * threads]
        return set(own) if threads * self.count <= len(available) else None

    def _run_task(self, queued: _QueuedTask, worker: WorkerProcess) -> None:
        try:
            for message in worker.run(queued.job, queued.task):
                if isinstance(message, LogMessage):
                    self._log(message)
                else:
                    queued.replies.put(queued.update(message))
        except WorkerLost as lost:
            worker.end()
            self._retry(queued, lost)

    def _retry(self, queued: _QueuedTask, lost: WorkerLost) -> None:
        with self._changed:
            if not queued.is_wanted:
                return
            queued.lose(lost)
            if queued.runs_alone:
                self._reduce_workers(queued)
            self._waiting.appendleft(queued)

    def _reduce_workers(self, queued: _QueuedTask) -> None:
        """Reserve all memory for this task, and twice as much as before for all others."""
        queued.share = 1.0
        if self.count == 1:
            return
        self._smallest_share = min(1.0, 2 * self._smallest_share)
        queued.notes.append(f"from then on at most {int(1 / self._smallest_share)} ran at a time")
        for waiting in self._waiting:
            waiting.share = max(waiting.share, self._smallest_share)


@dataclass(eq=False)
class _QueuedTask(RetryState):
    """A task in the queue. share: of the available memory, in (0, 1]."""

    replies: queue.SimpleQueue[_Reply] = field(default_factory=queue.SimpleQueue)
    share: float = 1.0
    is_wanted: bool = True


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
