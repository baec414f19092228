"""Paths of results, and the refusal to overwrite what is already there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from oldfilm import media
from oldfilm.errors import MediaError, from_os
from oldfilm.pipeline.resize import Resize
from oldfilm.stage import Stage


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
