"""`oldfilm photo`: restore photographs, and save intermediate steps on request."""

from __future__ import annotations

import argparse
import functools
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from oldfilm import media
from oldfilm.api import predictors
from oldfilm.apps.old_photo.predictor import OldPhotoPredictor
from oldfilm.cli.log import record
from oldfilm.cli.main import error_line, execute, status_of
from oldfilm.cli.options import Parser, add_log, in_flags
from oldfilm.errors import MachineError, MediaError, OptionError
from oldfilm.pipeline import JobProgress, is_own_result
from oldfilm.pipeline.photo_job import PhotoJob
from oldfilm.pipeline.progress import KINDS, ProgressLines, ProgressObjects
from oldfilm.pipeline.report import RESTORING
from oldfilm.weights.commands import command

logger = logging.getLogger(__name__)

OPTIONS = ("with_scratch", "hr", "variant", "device", "network_engine")

LOSSLESS = {".png", ".tif", ".tiff", ".bmp"}
"""A photograph in one of these formats keeps it; all others become PNG, which is lossless."""

STEP_FOLDERS = {
    "origin": "stage_1_restore_output/origin",
    "input": "stage_1_restore_output/masks/input",
    "mask": "stage_1_restore_output/masks/mask",
    "masked": "stage_1_restore_output/input_image",
    "restored": "stage_1_restore_output/restored_image",
    "before": "stage_2_detection_output",
    "after": "stage_3_face_output/each_img",
}
"""The folder of each step in the authors' `run.py`; "before" and "after" are steps of a face."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `oldfilm photo`; returns the exit status."""
    parse = make_parser().parse_args
    return execute(parse, run, argv, "The photographs that were finished are kept.")


def run(arguments: argparse.Namespace) -> int:
    """Restore all photographs; returns the worst of their exit statuses."""
    tasks = _tasks(arguments)
    given = {name: getattr(arguments, name) for name in OPTIONS}
    (predictor,) = predictors(["OldPhoto"], {**given, "device": _device(arguments)})
    assert isinstance(predictor, OldPhotoPredictor)
    return _restore_all(tasks, predictor, arguments)


@dataclass(frozen=True)
class PhotoTask:
    """A photograph, its result, and the folder of its steps, or None."""

    source: Path
    result: Path
    steps: Path | None

    def path_of(self, step: str, page: int = 1) -> Path:
        """Return where a step of a page is kept: "mask", or for the first face "face-1-after"."""
        assert self.steps is not None
        name = self.result.stem if page == 1 else f"{self.result.stem}_page{page}"
        if step.startswith("face-"):
            _, number, step = step.split("-")
            name = f"{name}_{number}"
        return self.steps / STEP_FOLDERS[step] / f"{name}.png"


def _tasks(arguments: argparse.Namespace) -> list[PhotoTask]:
    """Return the photographs to restore, with the paths of their results.

    Raises:
        MediaError, OptionError: there is nothing to restore, or the output does not suit it.
    """
    given = [*arguments.input, *arguments.input_folder]
    if not given:
        raise OptionError("name the photographs: --input FOLDER or FILE.")
    if arguments.checkpoint_name:
        logger.warning("--checkpoint_name changes nothing: --HR chooses the weights for faces.")
    output = arguments.output or arguments.output_folder or Path("output")
    is_result = functools.partial(is_own_result, output=output, names=())
    sources = [path for each in given for path in _photographs(each, is_result)]
    steps = None
    if arguments.keep_steps or arguments.input_folder or arguments.output_folder:
        if media.is_photograph(output):
            raise OptionError(
                f"`output={output}` is one file, but steps are kept too: give a folder."
            )
        steps, output = output, output / "final_output"
    results = _results(sources, output)
    return [PhotoTask(source, result, steps) for source, result in zip(sources, results)]


def _results(sources: Sequence[Path], output: Path) -> list[Path]:
    if not media.is_photograph(output):
        return [output / name for name in _names(sources)]
    if len(sources) > 1:
        raise OptionError(
            f"`output={output}` is one file, but there are {len(sources)} photographs: "
            "give a folder."
        )
    return [output]


def _photographs(path: Path, is_result: Callable[[Path], bool]) -> list[Path]:
    is_film = path.suffix.lower() in media.RESULT_SUFFIXES and not media.is_photograph(path)
    if path.is_file() and is_film:
        restore_film = command("enhance", "--input", path, "--process_order", "OldPhoto")
        raise MediaError(f"{path} is a film: `{restore_film}` restores it.")
    return media.sources(path, is_result, media.PHOTOGRAPH_SUFFIXES)


def _names(sources: Sequence[Path]) -> list[str]:
    """Return the names of the results; photographs that differ only in their suffix keep it there.

    Raises:
        OptionError: photographs in different folders have the same name.
    """
    for name, count in Counter(source.name.lower() for source in sources).items():
        if count > 1:
            raise OptionError(f"{count} photographs are called {name}: give each its own `output`.")
    names = [s.name if s.suffix.lower() in LOSSLESS else f"{s.stem}.png" for s in sources]
    times = Counter(Path(name).stem.lower() for name in names)
    return [
        name if times[Path(name).stem.lower()] == 1 else f"{source.name}.png"
        for name, source in zip(names, sources)
    ]


def _device(arguments: argparse.Namespace) -> str | None:
    """Return the device of `--cpu`, `--device`, or the authors' `--GPU`."""
    if arguments.cpu:
        return "cpu"
    if arguments.device is not None or arguments.GPU is None:
        return arguments.device
    try:
        number = int(arguments.GPU.split(",")[0])
    except ValueError:
        raise OptionError(f"--GPU {arguments.GPU}: give a number; -1 is the CPU.") from None
    return f"gpu:{number}" if number >= 0 else "cpu"


def _restore_all(
    tasks: Sequence[PhotoTask], predictor: OldPhotoPredictor, arguments: argparse.Namespace
) -> int:
    """Restore all photographs; if one fails, the others are still restored.

    Raises:
        OldfilmError: the weights or the device are unusable, so that none can be restored.
    """
    statuses = []
    view = _view(arguments.progress)
    with _bar(len(tasks), arguments) as bar:
        for number, task in enumerate(tasks):
            view.source = task.source
            view(JobProgress(RESTORING, number, len(tasks)))
            try:
                summary = _restore(task, predictor, arguments, bar)
                statuses.append(0)
                record(f"{summary}\n{task.result}")
                if not arguments.quiet:
                    bar.write(summary, file=sys.stderr)
                bar.write(str(task.result), file=sys.stdout)
            except (MediaError, MachineError, MemoryError) as error:
                if isinstance(error, MemoryError):
                    error = MachineError(f"{task.source}: there is not enough memory for it")
                statuses.append(status_of(error))
                bar.write(error_line(error), file=sys.stderr)
                record(error_line(error), logging.ERROR)
            bar.update()
        view(JobProgress(RESTORING, len(tasks), len(tasks)))
    if missing := [str(task.source) for task, status in zip(tasks, statuses) if status]:
        restored = len(tasks) - len(missing)
        print(f"{restored} of {len(tasks)} restored; not {', '.join(missing)}", file=sys.stderr)
    return max(statuses)


def _bar(total: int, arguments: argparse.Namespace) -> tqdm:
    """Return the progress bar, which also prints messages; by default, only a terminal shows it."""
    kind = arguments.progress or ("bar" if sys.stderr.isatty() and not arguments.quiet else None)
    return tqdm(total=total, unit="photograph", file=sys.stderr, disable=kind != "bar")


def _view(kind: str | None) -> PhotographLines | ProgressObjects:
    """Return what shows the progress besides the bar."""
    return ProgressObjects() if kind == "json" else PhotographLines(kind == "lines")


class PhotographLines(ProgressLines):
    """Progress as plain lines, if they are wanted. source: the current photograph."""

    source: Path | None = None

    def __init__(self, wanted: bool) -> None:
        super().__init__(None if wanted else lambda line: None, unit="photographs")


def _restore(
    task: PhotoTask, predictor: OldPhotoPredictor, arguments: argparse.Namespace, bar: tqdm
) -> str:
    """Restore one photograph; returns the lines that report it."""
    started = time.monotonic()
    job = PhotoJob(task.source, task.result, arguments.compare)
    job.claim(arguments.overwrite)
    pages, damaged, faces = [], "", 0
    for number, page in enumerate(job.pages(), 1):
        for step, image in _steps(predictor, page.image, everything=task.steps is not None):
            bar.set_postfix_str(f"{task.source.name}: {step}")
            if step == "final":
                pages.append(image)
            elif task.steps is not None:
                job.write_step(task.path_of(step, number), image)
            if step == "mask":
                damaged = damaged or f", {image.mean():.1%} damaged"
            faces += step.startswith("face-") and step.endswith("-after")
    notes = job.write(pages)
    lines = [
        f"in    {task.source}",
        f"      {_describe(job.photograph)}{damaged}",
        f"by    {predictor.label}{_faces(faces)}",
        f"took  {time.monotonic() - started:.1f} s",
    ]
    lines += [f"note  {in_flags(note)}" for note in notes]
    lines += [f"also  {path}" for path in (job.compare, task.steps) if path]
    return "\n".join(lines)


def _describe(photograph: media.Photograph) -> str:
    height, width, channels = photograph.image.shape
    return f"{width}x{height}, {'gray' if channels == 1 else 'color'}, {photograph.bits} bits"


def _faces(count: int) -> str:
    return f", {count} face{'s' if count > 1 else ''} restored" if count else ""


def _steps(
    predictor: OldPhotoPredictor, image: np.ndarray, everything: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the predictor's steps with their names, as float32 [h, w, c].

    everything: also yield the other steps that the authors' program saves.
    """
    if not everything:
        yield from predictor.steps(image)
        return
    masked = image
    yield "origin", image
    for step, made in predictor.steps(image):
        if step == "mask":
            yield "input", image
            yield step, made[..., None]
            masked = np.where(made[..., None] > 0, np.float32(1), image)
            continue
        if step == "restored":
            yield "masked", masked
        yield step, made


def make_parser() -> Parser:
    """Build the parser."""
    parser = Parser(
        "oldfilm photo",
        "--input PATH ... [--output FOLDER] [OPTION ...]",
        "Restore old photographs: fading, grain, scratches, faces.",
        "The paths of the results go to the standard output, everything else to standard error.",
    )
    add = functools.partial(parser.flag, "options")
    parser.inputs(
        default=[],
        help="photographs, or folders of them",
    )
    add(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="folder of the results (by default output); for one photograph, also the path of its "
        "result",
    )
    declared = {option.name: option for option in OldPhotoPredictor.options}
    for name in OPTIONS:
        parser.option(declared[name], "options")
    add("--cpu", action="store_true", help="the same as --device cpu")
    add("--keep_steps", action="store_true", help="also keep mask, restored picture and faces")
    add("--compare", action="store_true", help="also write source and result side by side")
    add("--overwrite", action="store_true", help="replace existing results")
    add("--quiet", action="store_true", help="print only results and errors")
    add("--progress", choices=KINDS, help="how progress is shown; json: for other programs")
    add_log(parser, "options")
    _add_flags_of_the_authors(parser)
    return parser


def _add_flags_of_the_authors(parser: Parser) -> None:
    add = functools.partial(parser.flag, "flags of the authors' run.py")
    folder: dict[str, Any] = {"type": Path, "metavar": "FOLDER"}
    add("--input_folder", nargs=1, default=[], help="as --input; keeps the steps", **folder)
    add("--output_folder", help="as --output; keeps the steps", **folder)
    add("--GPU", metavar="NUMBERS", help="the first number is the device gpu:N; -1 is the CPU")
    add("--checkpoint_name", metavar="NAME", help="not needed, and ignored")
