"""A stage that also works by itself, on files and on arrays."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from oldfilm.errors import OptionError
from oldfilm.pipeline.chain import restore_frames
from oldfilm.pipeline.executors import open_executor
from oldfilm.pipeline.executors.base import StageFactory
from oldfilm.pipeline.job import restore
from oldfilm.pipeline.options import restore_options
from oldfilm.pipeline.progress import reporting
from oldfilm.pipeline.report import Progress
from oldfilm.stage import FingerprintValue, Stage


class Restored(NamedTuple):
    """The result of `run`, as PaddleGAN's predictors return it.

    frames: the pattern of the saved frames, or None. path: the restored film or photograph.
    """

    frames: str | None
    path: str


class RunnableStage(Stage):
    """A stage that also works by itself; the class that notebooks import."""

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *arguments: Any, **keywords: Any) -> RunnableStage:
        stage = super().__new__(cls)
        stage._arguments = (arguments, keywords)
        return stage

    def __init__(self, output: str = "output") -> None:
        """output: the folder that `run` writes to."""
        self.output = Path(output)

    @property
    def label(self) -> str:
        """The name for messages; stages with weights add the variant."""
        return self.name

    @property
    def factory(self) -> Callable[[], Stage]:
        """Builds an equal stage, also in another process if the constructor's arguments pickle.

        A variant that was chosen here is not chosen again there.
        """
        arguments, keywords = self._arguments
        if any(option.name == "variant" for option in self.options):
            keywords = {**keywords, "variant": getattr(self, "variant", "auto")}
        return functools.partial(type(self), *arguments, **keywords)

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """Return the declared options by name."""
        values = {option.name: getattr(self, option.name) for option in self.options}
        plain = (str, int, float, type(None))
        return {k: v if isinstance(v, plain) else str(v) for k, v in values.items()}

    def run(
        self, path: str | Path, *, progress: bool | Progress = True, **options: Any
    ) -> Restored:
        """Restore a film or a photograph into the folder `output`.

        path: a film, a photograph, or a folder of numbered frames. progress: True shows it on the
        standard error; a function is called with every `JobProgress`. options: of
        `RestoreOptions`, such as `save_frames=True`, `start="1:30"` and `workers=2`.

        Returns a pair that unpacks as `(frames, path)`.

        Raises:
            OldfilmError: the message says what is wrong and what to do.
        """
        for name in options:
            if any(option.name == name for option in self.options):
                raise OptionError(
                    f"`{name}` is an argument of {type(self).__name__}(), not of run()"
                )
        chosen = restore_options(options)
        with contextlib.ExitStack() as stack:
            report = stack.enter_context(reporting(progress))
            executor = None
            if chosen.workers or chosen.address or chosen.engine != "local":
                factory = stage_factory([self])
                opened = open_executor(factory, chosen.workers, chosen.engine, chosen.address)
                executor = stack.enter_context(opened)
            summary = restore(path, [self], self.output, chosen, report, executor)
        return Restored(summary.frames, str(summary.path))

    def restored(self, frames: np.ndarray) -> list[np.ndarray]:
        """Restore the frames of one shot, float32 [t, h, w, c] in [0, 1]."""
        return restore_frames([self], frames)

    def predict(self, array: np.ndarray) -> np.ndarray:
        """Restore a picture or the frames of one shot, without files.

        array: [h, w, c] or [t, h, w, c], RGB or luma, uint8 in [0, 255] or float in [0, 1].
        Returns an array of the same kind.

        Raises:
            OptionError: the array has another shape or type.
        """
        restored = np.stack(self.restored(_as_frames(array)))
        if array.dtype == np.uint8:
            restored = np.rint(np.clip(restored, 0, 1) * 255).astype(np.uint8)
        return restored if array.ndim == 4 else restored[0]


def stage_factory(stages: Sequence[RunnableStage]) -> StageFactory:
    """Return a function that builds equal stages in another process."""
    return functools.partial(_build, [stage.factory for stage in stages])


def _build(factories: Sequence[Callable[[], Stage]]) -> list[Stage]:
    return [build() for build in factories]


def _as_frames(array: np.ndarray) -> np.ndarray:
    """Return float32 [t, h, w, c] in [0, 1]."""
    if array.ndim not in (3, 4) or array.shape[-1] not in (1, 3):
        raise OptionError(
            f"predict() takes [h, w, 3] or [t, h, w, 3] (or 1 for luma), not {list(array.shape)}."
        )
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255
    elif not np.issubdtype(array.dtype, np.floating):
        raise OptionError(f"predict() takes uint8 or floats in [0, 1], not {array.dtype}.")
    frames = array if array.ndim == 4 else array[None]
    return np.ascontiguousarray(frames, np.float32)
