"""What becomes of one order while workers come and go."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from oldfilm.errors import MachineError
from oldfilm.pipeline.executors.base import JobSpec, Made, Order
from oldfilm.pipeline.executors.process import Reached, difference

LOSSES = 3
"""So many workers may be lost on one segment; the last of them has no other beside it. After the
first, no frame is made ahead of the encoder, which takes less memory."""


@dataclass(eq=False)
class RetryState:
    """An order, how many workers were lost on it, and what is to be said of that.

    counted: frames and seconds of every stage that were told of.
    """

    assignment: JobSpec
    order: Order
    losses: int = 0
    notes: list[str] = field(default_factory=list)
    counted: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether no other worker may be beside it: the last try, with all the memory there is."""
        return self.losses == LOSSES - 1

    def heard(self, said: Reached | BaseException) -> Made:
        """How far it is, by what the worker says; an error is raised."""
        if isinstance(said, BaseException):
            raise said
        work = {n: difference(now, self.counted.get(n, (0, 0.0))) for n, now in said.work.items()}
        self.counted = said.work
        return Made(self.order, said.frames, said.finished, work, tuple(self.notes))

    def lose(self, reason: object) -> None:
        """Prepare it for another worker, after one was lost.

        Raises:
            MachineError: so many were lost that another one would be as well.
        """
        self.losses += 1
        self.counted = {}
        where = f"frames {self.order.segment.start + 1} to {self.order.segment.stop}"
        if self.losses == LOSSES:
            raise MachineError(
                f"{where}: {LOSSES} workers were lost ({reason}), the last with none beside it. "
                "There may be too little memory for this chain at this size."
            )
        if self.alone:
            del self.notes[-1]
            self.notes.append(
                f"{where} were restored with no other worker beside: two were lost there ({reason})"
            )
        else:
            self.notes.append(f"{where} were restored again: a worker was lost ({reason})")
        # What the lost one has started may still be writing to the old place.
        folder = self.order.path.parent / f"again-{self.order.segment.start}-{self.losses}"
        folder.mkdir(exist_ok=True)
        self.order = replace(self.order, path=folder / self.order.path.name, ahead_bytes=0)
