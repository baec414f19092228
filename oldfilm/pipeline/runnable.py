"""A stage that can be called by itself, as well as in a chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from oldfilm.errors import OptionError
from oldfilm.pipeline.chain import restore_frames
from oldfilm.pipeline.film_job import RestoreOptions, restore
from oldfilm.stage import Stage


class Restored(NamedTuple):
    """What `run` returns, as PaddleGAN's predictors do.

    frames: the pattern of the saved frames, or None. path: the restored film or photograph.
    """

    frames: str | None
    path: str


class RunnableStage(Stage):
    """A stage, and the class that notebooks import."""

    def __init__(self, output: str = "output") -> None:
        """output: the folder that `run` writes to."""
        self.output = Path(output)

    @property
    def label(self) -> str:
        """What is told of it: its name, and which variant of it this is."""
        return self.name

    def run(self, path: str, **options: Any) -> Restored:
        """Restore a film or a photograph into the folder `output`.

        path: a film, a photograph, or a folder of numbered frames. options: as `oldfilm.restore`
        takes them (`save_frames=True`, `overwrite=True`, ...).

        Returns a pair that unpacks as `(frames, path)`.
        """
        summary = restore(path, [self], self.output, RestoreOptions(**options))
        return Restored(summary.frames, str(summary.path))

    def restored(self, frames: np.ndarray) -> list[np.ndarray]:
        """What `predict` makes of frames: float32 [t, h, w, c] in [0, 1]."""
        return restore_frames([self], frames)

    def predict(self, array: np.ndarray) -> np.ndarray:
        """Restore a picture or the frames of one shot, without files.

        array: [h, w, c] or [t, h, w, c], RGB or luma, uint8 in [0, 255] or float in [0, 1].
        Returns an array of the same kind.

        Raises:
            OptionError: another shape or type.
        """
        restored = np.stack(self.restored(_as_frames(array)))
        if array.dtype == np.uint8:
            restored = np.rint(np.clip(restored, 0, 1) * 255).astype(np.uint8)
        return restored if array.ndim == 4 else restored[0]


def _as_frames(array: np.ndarray) -> np.ndarray:
    """float32 [t, h, w, c] in [0, 1]."""
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
