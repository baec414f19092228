"""Paths of results, and checks that nothing is overwritten by accident."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oldfilm import media
from oldfilm.errors import MediaError, OptionError
from oldfilm.pipeline.completed_jobs import is_extra, is_result
from oldfilm.pipeline.options import RestoreOptions
from oldfilm.pipeline.resize import Resize
from oldfilm.stage import Stage
from oldfilm.system.files import make_folder


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
    suffix; {base} stands for the source's name up to its first dot. photograph: {name} and {suffix}
    stand for those of the source; a suffix that cannot be written becomes ".png".
    """

    folder: str
    film: str = ""
    frames: str = "{base}/frames_pred/%08d.png"
    photograph: str = "{name}.png"

    def results(
        self, source: Path, folder: Path, suffix: str, label: str | None, replaces: bool
    ) -> Results:
        """Return the paths of a source's results.

        folder: the predictor's own. suffix: of a film. label: replaces the predictor's name in the
        file's name.
        """
        if media.is_photograph(source):
            written = source.suffix if source.suffix.lower() in media.WRITTEN_SUFFIXES else ".png"
            name = self.photograph.format(name=source.stem, suffix=written)
            name = f"{source.stem}_{label}_out.png" if label else name
            return Results(folder / name, replaces=replaces)
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
    source: Path, stages: Sequence[Stage], output: Path, suffix: str, options: RestoreOptions
) -> Path:
    """Return `<output>/<name>_<Stage>_<Stage>_out<suffix>`, or `output` if it names a file.

    The options `stem` and `label` replace the name and the stages.
    """
    if media.is_pattern(output) and not media.is_photograph(source):
        return output.parent
    if is_result_path(output):
        return output
    stem = options.stem or _own_stem(source)
    stages = [stage for stage in stages if not isinstance(stage, Resize)]
    names = options.label or "_".join(stage.name for stage in stages)
    return output / f"{stem}_{names}_out{suffix}"


def is_result_path(output: Path) -> bool:
    """Whether an output is the path of a result, not a folder for results."""
    return output.suffix.lower() in media.RESULT_SUFFIXES and not output.is_dir()


def separate_stems(sources: Sequence[Path]) -> dict[Path, str]:
    """Return names for results of sources whose own names differ only in the suffix.

    The results of `reel.mov` and `reel.mp4` are called after the whole names.

    Raises:
        OptionError: sources in different folders have the same name.
    """
    times = Counter(source.stem.casefold() for source in sources if not source.is_dir())
    stems = {s: s.name for s in sources if not s.is_dir() and times[s.stem.casefold()] > 1}
    results = Counter(stems.get(s, _own_stem(s)).casefold() for s in dict.fromkeys(sources))
    for source in sources:
        if results[stems.get(source, _own_stem(source)).casefold()] > 1:
            raise OptionError(
                f"several sources are called {source.name}: give each its own `output`."
            )
    return stems


def _own_stem(source: Path) -> str:
    return source.absolute().name if source.is_dir() else source.stem


def is_own_result(path: Path, output: Path, names: Collection[str]) -> bool:
    """Whether a file next to the sources is a result of an earlier run into the same folder.

    output: the folder of the results. names: of all stages and presets.
    """
    if _place(path.parent) != _place(output):
        return False
    if is_result(path):
        return True
    labels = "|".join(re.escape(name) for name in names)
    return bool(names and re.search(rf"_(?:{labels})_out(?:_compare)?$", path.stem))


def claim(paths: Iterable[Path], source: Path, overwrite: bool) -> None:
    """Make sure that the results may be written, and create their folders.

    Raises:
        MediaError: a result exists and `overwrite` is false, is the source itself, or its folder
            cannot be created.
    """
    for path in paths:
        if path.exists() or path.is_symlink():  # also a link that leads nowhere
            if path.exists() and path.resolve() == source.resolve():
                raise MediaError(f"{path} is the source itself: give another `output`.")
            if not overwrite:
                raise MediaError(
                    f"{path} exists: `overwrite=True` replaces it, or give another `output`."
                )
        make_folder(path.parent)


def claim_extras(options: RestoreOptions, targets: Iterable[Path], source: Path) -> None:
    """Make sure that the files about a result may be written, see `claim`.

    They replace those of an earlier run, but never a result. targets: the other files
    that the job writes.

    Raises:
        MediaError: as `claim`.
        OptionError: the job writes another file at the same place.
    """
    taken = {_place(target) for target in targets}
    for name, path in options.extras.items():
        place = _place(path)
        if not taken.isdisjoint([place, *place.parents]):
            raise OptionError(
                f"`{name}={path}`: the job writes something else there: give another path."
            )
        claim([path], source, options.overwrite or is_extra(path))
        taken.add(place)


def _place(path: Path) -> Path:
    """Resolve links, but for those of a loop, where `Path.resolve` would raise an error."""
    return Path(os.path.realpath(path))
