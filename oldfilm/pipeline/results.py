"""Paths of results, and the refusal to overwrite what is already there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oldfilm import media
from oldfilm.errors import MediaError, from_os
from oldfilm.pipeline.resize import Resize
from oldfilm.stage import Stage


@dataclass(frozen=True)
class Results:
    """Where a job writes.

    path: the film or the photograph. frames: the pattern of its frames as pictures, or None for
    those of `frames_next_to`. first_number: of the first picture. replaces: write again whatever an
    earlier job wrote or began there, and wait for another run that is writing it.
    """

    path: Path
    frames: Path | None = None
    first_number: int = 1
    replaces: bool = False


@dataclass(frozen=True)
class PredictorNames:
    """Names of the results of one predictor, as in PaddleGAN.

    folder: the predictor's own folder, in `output`. film, frames: relative to it, without and with
    suffix; {base} stands for the source's name up to its first dot.
    """

    folder: str
    film: str = ""
    frames: str = "{base}/frames_pred/%08d.png"

    def results(
        self, source: Path, folder: Path, suffix: str, label: str | None, replaces: bool
    ) -> Results:
        """Return the paths of a source's results.

        folder: the predictor's own. suffix: of a film; a photograph is always a PNG file. label:
        replaces the predictor's name in that of the file.
        """
        if media.is_photograph(source):
            name = f"{source.stem}_{label}_out" if label else source.stem
            return Results(folder / f"{name}.png", replaces=replaces)
        base = source.name.lstrip(".").partition(".")[0] or source.name
        film = f"{{base}}_{label or self.folder}_out" if label or not self.film else self.film
        return Results(
            folder / f"{film.format(base=base)}{suffix}",
            folder / self.frames.format(base=base),
            first_number=0,
            replaces=replaces,
        )


def frames_next_to(path: Path) -> Path:
    """Return the pattern of a film's frames, in a folder next to the film."""
    return path.with_name(f"{path.stem}_frames") / media.FRAMES_PATTERN


def result_path(
    source: Path, stages: Sequence[Stage], output: Path, suffix: str, label: str | None = None
) -> Path:
    """Return `<output>/<name>_<Stage>_<Stage>_out<suffix>`, or `output` if it names a file.

    label: replaces the names of the stages.
    """
    if output.name == media.FRAMES_PATTERN:
        return output.parent
    if is_result_path(output):
        return output
    stem = source.name if source.is_dir() else source.stem
    names = label or "_".join(stage.name for stage in stages if not isinstance(stage, Resize))
    return output / f"{stem}_{names}_out{suffix}"


def is_result_path(output: Path) -> bool:
    """Whether an output is the path of a result, not a folder for results."""
    return output.suffix.lower() in media.RESULT_SUFFIXES and not output.is_dir()


def claim(paths: Iterable[Path], source: Path, overwrite: bool) -> None:
    """Make sure that the results may be written, and create their folders.

    Raises:
        MediaError: a result exists and `overwrite` is false, is the source itself, or its folder
            cannot be created.
    """
    for path in paths:
        if path.exists():
            if path.resolve() == source.resolve():
                raise MediaError(f"{path} is the source itself: give another `output`.")
            if not overwrite:
                raise MediaError(
                    f"{path} exists: `overwrite=True` replaces it, or give another `output`."
                )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise from_os(f"{path.parent}: cannot be created", error) from error
