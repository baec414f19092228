"""What a job reports: its progress while it runs, and a summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from oldfilm.pipeline.chain import Chain
from oldfilm.stage import FilmInfo, FingerprintValue

ANALYZING, RESTORING, JOINING = "Analyzing", "Restoring", "Joining"
"""The parts of a job."""

UP_TO_DATE = "already up to date: an earlier run of the same job wrote this result"


@dataclass(frozen=True)
class Needs:
    """What a job takes of a machine, in bytes, and what there is.

    disk: while it runs; until a segment is finished, what is usual for its codec. free: of the
    disk. memory: of all workers. available: memory now, or None if unknown.
    """

    disk: float
    free: int
    memory: int
    available: int | None


@dataclass(frozen=True)
class JobProgress:
    """Progress of a job.

    part: ANALYZING, RESTORING or JOINING. done, total: frames in this part. speeds: frames per
    second of each stage while it works. needs: while frames are restored.
    """

    part: str
    done: int
    total: int
    speeds: dict[str, float] = field(default_factory=dict)
    needs: Needs | None = None


Progress = Callable[[JobProgress], None]
"""A callback for the progress of a job."""


@dataclass(frozen=True)
class Restoration:
    """What is known of the run that restored the frames of a result.

    seconds: duration of the run. stage_seconds: of each stage. frames: of the source. start: where
    the restored part begins in the source, in seconds. cuts, repairs: its cuts and what was
    repaired, at times from there.
    """

    seconds: float
    stage_seconds: dict[str, float]
    frames: int
    start: Fraction = Fraction(0)
    cuts: tuple[Fraction, ...] = ()
    repairs: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """What a job has done.

    path: the result. before, after: the source and the result. seconds: duration of the run.
    notes: sentences for the user, such as what could not be kept. compare: the comparison, if one
    was written. frames: pattern of the saved frames, if they were saved. job: everything that
    determined the frames, by name: source, stages, options, weights, versions. restoration: of an
    earlier run if this one had nothing to do; None if nothing is known of it.

    Notebooks show it as a player with a slider.
    """

    source: Path
    path: Path
    before: FilmInfo
    after: FilmInfo
    seconds: float
    stage_seconds: dict[str, float]
    notes: tuple[str, ...] = ()
    compare: Path | None = None
    frames: str | None = None
    job: Mapping[str, FingerprintValue] = field(default_factory=dict, repr=False)
    restoration: Restoration | None = None

    @property
    def start(self) -> Fraction:
        """Where the restored part begins in the source, in seconds."""
        return self.restoration.start if self.restoration else Fraction(0)

    def _repr_html_(self) -> str:
        from oldfilm.pipeline.page import shown  # It imports this module.

        return shown(self)


def restoring(chain: Chain, done: int, needs: Needs | None = None) -> JobProgress:
    """Report `done` restored frames of the chain's result."""
    speeds = {
        link.stage.name: link.frames / link.seconds for link in chain.links if link.seconds > 0
    }
    return JobProgress(RESTORING, done, chain.result.frames, speeds, needs)


def stage_seconds(chain: Chain) -> dict[str, float]:
    """Return how long each stage has worked."""
    return {link.stage.name: link.seconds for link in chain.links}
