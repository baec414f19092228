"""Who restores the segments of a job: processes of this machine, or a cluster."""

from __future__ import annotations

from contextlib import AbstractContextManager

from oldfilm.errors import OptionError
from oldfilm.pipeline.executors.base import Executor, StageFactory
from oldfilm.pipeline.executors.local import LocalExecutor

EXECUTORS = ("local", "ray")


def open_executor(
    recipe: StageFactory,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
) -> AbstractContextManager[Executor]:
    """The workers of an engine, as long as the context lasts.

    recipe: makes the stages. workers: how many, at most; by default one with "local", as many as
    there is room for with "ray". One is a process of its own as well: it is what the system ends
    where memory runs out, and this process is left to tell of it. address: of a Ray cluster.

    Raises:
        OptionError: what cannot be together, or a Ray that is missing or cannot be reached.
    """
    if engine == "ray":
        from oldfilm.pipeline.executors.ray import RayExecutor

        return RayExecutor(recipe, workers, address)
    if engine not in EXECUTORS:
        raise OptionError(
            f"there is no engine {engine!r}; the engines are: {', '.join(EXECUTORS)}."
        )
    if address is not None:
        raise OptionError("--address is that of a Ray cluster: give --engine ray with it.")
    return LocalExecutor(recipe, 1 if workers is None else workers)
