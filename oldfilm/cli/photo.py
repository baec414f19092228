"""The command line of photographs: one, or a folder of them, and the steps of each."""

from __future__ import annotations

import argparse
import functools
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from oldfilm import __version__, media
from oldfilm.apps.old_photo.predictor import OldPhotoPredictor
from oldfilm.errors import MachineError, MediaError, OldfilmError, OptionError, from_os

WRONG_INPUT, FAILED_WORK, INTERRUPTED = 2, 1, 130

_LOSSLESS = {".png", ".tif", ".tiff", ".bmp"}
"""The result is a file of the same kind; of all others a PNG, as saving them again would lose."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 (failed work) or 2 (wrong input)."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.ERROR if arguments.quiet else None)
    try:
        work = _work(arguments)
        predictor = OldPhotoPredictor(
            with_scratch=arguments.with_scratch,
            hr=arguments.HR,
            variant=arguments.variant,
            device=_device(arguments),
        )
        return _restore_all(work, predictor, arguments)
    except OldfilmError as error:
        print(f"oldfilm: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("Stopped. The photographs that were finished are kept.", file=sys.stderr)
        return INTERRUPTED


@dataclass(frozen=True)
class _Work:
    """A photograph, and what is to be made of it. steps: a folder, None: they are not kept."""

    source: Path
    result: Path
    steps: Path | None
    compare: Path | None

    def kept(self, step: str) -> Path:
        """Where a step is kept: as the authors' `run.py` leaves it in its output folder."""
        assert self.steps is not None
        name = self.result.stem
        if step.startswith("face-"):
            _, number, when = step.split("-")
            name = f"{name}_{number}"
            folder = "stage_2_detection_output"
            if when == "after":
                folder = "stage_3_face_output/each_img"
        else:
            folder = (
                "stage_1_restore_output/"
                + {
                    "origin": "origin",
                    "input": "masks/input",
                    "mask": "masks/mask",
                    "masked": "input_image",
                    "restored": "restored_image",
                }[step]
            )
        return self.steps / folder / f"{name}.png"


def _work(arguments: argparse.Namespace) -> list[_Work]:
    """What is to be done.

    Raises:
        MediaError, OptionError: there is nothing to restore, or nowhere to put it.
    """
    given = [*arguments.input, *arguments.input_folder]
    if not given:
        raise OptionError("say which photographs: --input FOLDER or FILE.")
    if arguments.checkpoint_name:
        logging.warning("--checkpoint_name changes nothing: --HR chooses the weights for faces.")
    sources = [path for each in given for path in _photographs(each)]
    output = arguments.output or arguments.output_folder or Path("output")
    steps = None
    if arguments.keep_steps or arguments.input_folder or arguments.output_folder:
        if media.is_photograph(output):
            raise OptionError(f"--output {output} is one file: give a folder, for the steps too.")
        steps, output = output, output / "final_output"
    if media.is_photograph(output):
        if len(sources) > 1:
            raise OptionError(
                f"--output {output} is one file, but there are {len(sources)} photographs: "
                "give a folder."
            )
        results = [output]
    else:
        results = [output / name for name in _names(sources)]
    return [
        _Work(
            source,
            result,
            steps,
            result.with_name(f"{result.stem}_compare.png") if arguments.compare else None,
        )
        for source, result in zip(sources, results)
    ]


def _photographs(path: Path) -> list[Path]:
    if not path.exists():
        raise MediaError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        if path.suffix.lower() in media.RESULT_SUFFIXES and not media.is_photograph(path):
            raise MediaError(
                f"{path} is a film: tools/video-enhance.py --process_order OldPhoto restores it."
            )
        return [path]
    inside = (p for p in path.iterdir() if media.is_photograph(p) and not p.name.startswith("."))
    if found := sorted(inside):
        return found
    raise MediaError(f"{path}: there is no photograph in this folder")


def _names(sources: Sequence[Path]) -> list[str]:
    """The results' names; where two photographs differ in their suffixes alone, those stay.

    Raises:
        OptionError: two photographs have one name, in different folders.
    """
    for name, count in Counter(source.name.lower() for source in sources).items():
        if count > 1:
            raise OptionError(f"{count} photographs are called {name}: give each an own --output.")
    names = [s.name if s.suffix.lower() in _LOSSLESS else f"{s.stem}.png" for s in sources]
    times = Counter(Path(name).stem.lower() for name in names)
    return [
        name if times[Path(name).stem.lower()] == 1 else f"{source.name}.png"
        for name, source in zip(names, sources)
    ]


def _device(arguments: argparse.Namespace) -> str | None:
    """`--cpu`, `--device`, or the authors' `--GPU`: numbers, the first is taken; -1 is the CPU."""
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
    work: Sequence[_Work], predictor: OldPhotoPredictor, arguments: argparse.Namespace
) -> int:
    """Restore all; what is wrong with one photograph does not keep the next from its turn.

    Raises:
        OldfilmError: what is wrong with all of them: weights, the device.
    """
    statuses = []
    with tqdm(total=len(work), unit="photograph", file=sys.stderr, disable=arguments.quiet) as bar:
        for one in work:
            try:
                told = _restore(one, predictor, arguments.overwrite, bar)
                statuses.append(0)
                if not arguments.quiet:
                    bar.write(told, file=sys.stderr)
                bar.write(str(one.result), file=sys.stdout)
            except (MediaError, MachineError, MemoryError) as error:
                failed = isinstance(error, (MachineError, MemoryError))
                statuses.append(FAILED_WORK if failed else WRONG_INPUT)
                short = f"{one.source}: there is not enough memory for it"
                told = short if isinstance(error, MemoryError) else str(error)
                bar.write(f"oldfilm: {told}", file=sys.stderr)
            bar.update()
    if missing := [str(one.source) for one, status in zip(work, statuses) if status]:
        done = len(work) - len(missing)
        print(f"{done} of {len(work)} restored; not {', '.join(missing)}", file=sys.stderr)
    return max(statuses)


def _restore(one: _Work, predictor: OldPhotoPredictor, overwrite: bool, bar: tqdm) -> str:
    """Restore one photograph; returns what is told of it."""
    began = time.monotonic()
    for path in filter(None, (one.result, one.compare)):
        _claim(path, one.source, overwrite)
    photograph = media.read_photograph(one.source)
    final, found, faces = photograph.image, "", 0
    steps = predictor.steps if one.steps is None else functools.partial(_all_steps, predictor)
    for step, image in steps(photograph.image):
        bar.set_postfix_str(f"{one.source.name}: {step}")
        if step == "final":
            final = image
        elif one.steps is not None:
            _write(one.kept(step), image, icc=photograph.icc)
        if step == "mask":
            found = f", {image.mean():.1%} was damaged"
        faces += step.startswith("face-") and step.endswith("-after")
    notes = _write(
        one.result,
        final,
        alpha=photograph.alpha,
        bits=photograph.bits,
        exif=photograph.exif,
        icc=photograph.icc,
    )
    if one.compare:
        _write(one.compare, media.side_by_side(photograph.image, final), icc=photograph.icc)
    height, width, channels = photograph.image.shape
    kind = "gray" if channels == 1 else "color"
    lines = [
        f"in    {one.source}",
        f"      {width}x{height}, {kind}, {photograph.bits} bits{found}",
        f"by    {predictor.label}{f', {faces} faces painted anew' if faces else ''}",
        f"took  {time.monotonic() - began:.1f} s",
    ]
    lines += [f"note  {note}" for note in (photograph.damage, *notes) if note]
    lines += [f"also  {path}" for path in (one.compare, one.steps) if path]
    return "\n".join(lines)


def _all_steps(predictor: OldPhotoPredictor, image: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The predictor's steps, and what the authors keep beside them; float32 [h, w, c]."""
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


def _write(path: Path, image: np.ndarray, **options: Any) -> list[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise from_os(f"{path.parent}: cannot be made", error) from error
    return media.write_photograph(path, image, **options)


def _claim(path: Path, source: Path, overwrite: bool) -> None:
    """Refuse a result that exists, or that is the photograph itself."""
    if not path.exists():
        return
    if path.resolve() == source.resolve():
        raise MediaError(f"{path} is the photograph itself: give another --output.")
    if not overwrite:
        raise MediaError(f"{path} exists: give --overwrite to replace it, or another --output.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="restore-photo",
        description="Restore old photographs: fading, grain, scratches, faces.",
        epilog="The results' paths are what is printed; all else goes to the standard error.",
    )
    add = parser.add_argument
    add("--version", action="version", version=f"oldfilm {__version__}")
    add(
        "--input",
        nargs="+",
        default=[],
        type=Path,
        metavar="PATH",
        help="photographs, or folders of them",
    )
    add(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where the results go (output); for one photograph also its result's own name",
    )
    add("--with_scratch", action="store_true", help="also find scratches and mend them")
    add("--HR", action="store_true", help="for large pictures: fill by patches, faces of 512")
    add(
        "--variant",
        choices=("auto", "full", "lite"),
        default="auto",
        help="weights: by default the published ones (full) where they are here, else lite",
    )
    add("--device", help="cpu, gpu, gpu:1, ...; by default a GPU where there is one")
    add("--cpu", action="store_true", help="the same as --device cpu")
    add("--keep_steps", action="store_true", help="also keep mask, restored picture and faces")
    add("--compare", action="store_true", help="also write original and result side by side")
    add("--overwrite", action="store_true", help="replace existing results")
    add("--quiet", action="store_true", help="print nothing but results and errors")
    authors = parser.add_argument_group(
        "as in the authors' run.py",
        "With one of the first two, results and steps lie in the authors' folders.",
    ).add_argument
    authors("--input_folder", nargs=1, default=[], type=Path, metavar="FOLDER", help="--input")
    authors("--output_folder", type=Path, metavar="FOLDER", help="--output")
    authors("--GPU", metavar="NUMBERS", help="--device gpu:N, the first of the numbers; -1: cpu")
    authors("--checkpoint_name", metavar="NAME", help="is not needed, and ignored")
    return parser
