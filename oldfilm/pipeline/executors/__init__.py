"""Executors restore the segments of a film: in this process, in worker processes, or with Ray."""

from __future__ import annotations

from contextlib import AbstractContextManager

from oldfilm.errors import OptionError
from oldfilm.pipeline.executors.base import Executor, StageFactory
from oldfilm.pipeline.executors.local import LocalExecutor

EXECUTORS = ("local", "ray")
"""Values of the option `engine`."""


def open_executor(
    stage_factory: StageFactory,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
) -> AbstractContextManager[Executor]:
    """Open an executor for the duration of a `with` block.

    A single local worker is a process of its own too: if memory runs out, the system kills the
    worker, and this process survives to report it.

    stage_factory: builds the stages in each worker. workers: maximum number; by default 1 for
    "local", and as many as the cluster has processors for "ray". engine: one of `EXECUTORS`.
    address: of a Ray cluster.

    Raises:
        OptionError: a combination of options that does not work, or Ray is missing or unreachable.
    """
    if engine == "ray":
        from oldfilm.pipeline.executors.ray import RayExecutor

        return RayExecutor(stage_factory, workers, address)
    if engine not in EXECUTORS:
        raise OptionError(f"`engine={engine}`: choose from {', '.join(EXECUTORS)}")
    if address is not None:
        raise OptionError(f"`address={address}` is for a Ray cluster: set `engine=ray` as well.")
    return LocalExecutor(stage_factory, 1 if workers is None else workers)
