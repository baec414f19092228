"""Restores a segment again after its worker was lost, with more caution each time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from oldfilm.errors import MachineError
from oldfilm.pipeline.executors.base import JobSpec, SegmentTask, TaskProgress

ATTEMPTS = 3
"""Workers that may be lost on one segment. After the first loss no frames wait for the encoder,
which saves memory; the last attempt runs with no other worker at the same time."""


@dataclass(eq=False)
class RetryState:
    """A task, the number of workers lost on it, and notes on that for the summary."""

    job: JobSpec
    task: SegmentTask
    losses: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def runs_alone(self) -> bool:
        """Whether this is the last attempt, which no other worker may compete with for memory."""
        return self.losses == ATTEMPTS - 1

    def update(self, message: TaskProgress | BaseException) -> tuple[SegmentTask, TaskProgress]:
        """Return the task with the progress that a worker reported, or raise its error."""
        if isinstance(message, BaseException):
            raise message
        return self.task, replace(message, notes=tuple(self.notes))

    def lose(self, reason: object) -> None:
        """Prepare the task for another worker after one was lost.

        Raises:
            MachineError: this was the last attempt.
        """
        self.losses += 1
        where = f"frames {self.task.segment.start + 1} to {self.task.segment.stop}"
        if self.losses == ATTEMPTS:
            raise MachineError(
                f"{where}: {ATTEMPTS} workers were lost ({reason}), the last one while it ran "
                "alone. There may be too little memory for this chain at this size."
            )
        if self.runs_alone:
            del self.notes[-1]
            self.notes.append(
                f"{where} were restored with no other worker running: two were lost ({reason})"
            )
        else:
            self.notes.append(f"{where} were restored again: a worker was lost ({reason})")
        # A child process of the lost worker may still be writing to the old path.
        folder = self.task.path.parent / f"again-{self.task.segment.start}-{self.losses}"
        folder.mkdir(exist_ok=True)
        self.task = replace(self.task, path=folder / self.task.path.name, ahead_bytes=0)
