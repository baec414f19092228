"""The command line of `tools/evaluate.py`: arguments, a table, a JSON file."""

from __future__ import annotations

import argparse
import functools
import json
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from oldfilm import __version__
from oldfilm.api import ignored_options, predictors
from oldfilm.apps import PREDICTORS, STAGES
from oldfilm.apps.base import Predictor
from oldfilm.errors import OldfilmError, OptionError
from oldfilm.evaluation.clips import Clip, clips
from oldfilm.evaluation.degrade import DEGRADATIONS
from oldfilm.evaluation.tasks import (
    MEASURES,
    PROTOCOLS,
    Protocol,
    Scores,
    Task,
    judge,
    mean_scores,
    task_for,
)
from oldfilm.pipeline import RunnableStage, restore_frames

WRONG_INPUT, INTERRUPTED = 2, 130

_DIGITS = {"ssim": 4, "chroma_flicker": 3}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 2 for wrong input."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(message)s")
    try:
        report = evaluate(arguments)
        if arguments.json:
            _write(report, arguments.json)
    except OldfilmError as error:
        sys.stderr.write(f"oldfilm: {error}\n")
        return WRONG_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    sys.stdout.write(table(report) + "\n")
    return 0


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Judge a chain beside its baselines; what comes back is what `--json` holds.

    Raises:
        OldfilmError: an option, weights or ground truth that do not exist or do not fit.
    """
    if arguments.json and not arguments.json.absolute().parent.is_dir():
        raise OptionError(f"--json {arguments.json}: there is no such folder.")
    chain = _chain(arguments)
    task = task_for(chain, arguments.task, arguments.degradation)
    protocol = arguments.protocol or ("reds" if task.name == "size" else "rgb")
    judged = _judged(arguments, chain, task, PROTOCOLS[protocol])
    if not judged:
        raise OptionError(f"there is nothing to compare for --task {task.name}.")
    means = {
        name: mean_scores([clip["scores"][name] for clip in judged]) for name in judged[0]["scores"]
    }
    for clip in judged:
        clip["scores"] = _finite(clip["scores"])
    return {
        "oldfilm": __version__,
        "task": task.name,
        "degradation": arguments.degradation if task.name == "size" else None,
        "protocol": protocol,
        "stages": [
            {
                "stage": stage.label,
                "sha256": stage.weights.sha256 if isinstance(stage, Predictor) else None,
            }
            for stage in chain
        ],
        "options": _options(arguments),
        "mean": _finite(means),
        "clips": judged,
    }


def _chain(arguments: argparse.Namespace) -> list[RunnableStage]:
    options = _options(arguments)
    unknown = ignored_options(arguments.process_order, options)
    if unknown:
        raise OptionError(f"no stage of this chain takes: {', '.join(sorted(unknown))}.")
    weights = {name: getattr(arguments, f"{name}_weight") for name in PREDICTORS}
    return predictors(arguments.process_order, options, weights)


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The constructor arguments that were given, by name."""
    given = dict(arguments.option, variant=arguments.variant, device=arguments.device)
    return {name: value for name, value in given.items() if value is not None}


def _judged(
    arguments: argparse.Namespace, chain: list[RunnableStage], task: Task, protocol: Protocol
) -> list[dict[str, Any]]:
    """Facts and scores of every clip."""
    label = " ".join(stage.label for stage in chain)
    methods = {label: functools.partial(restore_frames, chain)}
    judged = []
    for clip in tqdm(_clips(arguments), unit="clip", file=sys.stderr, disable=arguments.quiet):
        scores = judge(clip.frames, methods, task, protocol)
        if not scores:
            logging.warning(
                "%s: too short or too small to compare anything; it is left out.", clip.name
            )
            continue
        count, height, width = clip.frames.shape[:3]
        facts = {"name": clip.name, "frames": count, "width": width, "height": height}
        judged.append({**facts, "scores": scores})
    return judged


def _clips(arguments: argparse.Namespace) -> Iterator[Clip]:
    for path in arguments.input:
        yield from clips(path, arguments.frames, photographs=arguments.photographs)


def _finite(scores: dict[str, Scores]) -> dict[str, dict[str, float | None]]:
    """The same, with None for the PSNR of what is equal: JSON has no infinity."""
    return {
        name: {key: value if math.isfinite(value) else None for key, value in row.items()}
        for name, row in scores.items()
    }


def table(report: dict[str, Any]) -> str:
    """What was judged and how, and the means over all clips, in Markdown."""
    protocol, clips = report["protocol"], report["clips"]
    counted = f"clips: {len(clips)}, frames: {sum(clip['frames'] for clip in clips)}"
    made = f" ({report['degradation']})" if report["degradation"] else ""
    lines = [
        f"{report['task']}{made}, {counted}; protocol {protocol}: {PROTOCOLS[protocol]}",
        "",
        _row(["", *MEASURES.values()]),
        _row(["---", *["---:"] * len(MEASURES)]),
    ]
    for name, scores in report["mean"].items():
        lines.append(_row([name, *[_cell(scores, measure) for measure in MEASURES]]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(scores: dict[str, float | None], measure: str) -> str:
    if measure not in scores:
        return ""
    value = scores[measure]
    return "inf" if value is None else f"{value:.{_DIGITS.get(measure, 2)}f}"


def _write(report: dict[str, Any], path: Path) -> None:
    """Write beside, then rename: an older report stays if this fails."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_text(json.dumps(report, indent=1), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise OptionError(f"--json {path}: cannot be written: {error.strerror}.") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate",
        description="Judge a chain on ground truth that is made smaller, slower or gray.",
        epilog="docs/evaluation.md says how each figure is made.",
    )
    add = parser.add_argument
    add(
        "--input",
        nargs="+",
        required=True,
        type=Path,
        metavar="PATH",
        help="ground truth: films, photographs, folders of numbered frames, or folders of these",
    )
    add(
        "--process_order",
        nargs="+",
        required=True,
        metavar="STAGE",
        help=f"the stages to judge, as one chain: {', '.join(STAGES)}",
    )
    add("--task", choices=["size", "rate", "color"], help="default: what the chain changes")
    add(
        "--degradation",
        choices=DEGRADATIONS,
        default="bi",
        help="how ground truth is made small: bicubic (default), BasicVSR's blur, DUF's 13x13 blur",
    )
    add("--protocol", choices=list(PROTOCOLS), help="default: reds for size, rgb for the rest")
    add("--frames", type=_positive, default=100, help="frames of a clip or shot, at most (100)")
    add("--photographs", action="store_true", help="numbered pictures are not frames of a film")
    add("--json", type=Path, metavar="FILE", help="write all figures, clip by clip")
    add("--variant", metavar="NAME", help="weights to use")
    add("--device", help="cpu, gpu, gpu:1, ...; by default a GPU where there is one")
    add(
        "--option",
        nargs="+",
        type=_assignment,
        default=[],
        metavar="NAME=VALUE",
        help="arguments of the predictors, such as num_frames=30",
    )
    for name in PREDICTORS:
        add(f"--{name}_weight", metavar="FILE", help=f"weight file for {name}")
    add("--quiet", action="store_true", help="no progress")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames")
    return int(text)


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise argparse.ArgumentTypeError(f"{value!r} is no value of an option") from None
