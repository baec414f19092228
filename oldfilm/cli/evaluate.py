"""`oldfilm evaluate`: measure a chain against ground truth, in a table and a JSON file."""

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
from oldfilm.api import make_job
from oldfilm.apps import PREDICTORS, STAGES
from oldfilm.apps.base import Predictor
from oldfilm.cli.main import execute
from oldfilm.cli.options import Parser
from oldfilm.errors import OptionError
from oldfilm.evaluation.clips import Clip, clips, triplets
from oldfilm.evaluation.degrade import DEGRADATIONS
from oldfilm.evaluation.protocols import PROTOCOLS, Protocol, agreed
from oldfilm.evaluation.scoring import MEASURES, Scores, judge, mean_scores
from oldfilm.evaluation.tasks import TASKS, Task, task_for, task_name
from oldfilm.pipeline import RunnableStage, restore_frames
from oldfilm.stage import Option
from oldfilm.system.files import replacing

logger = logging.getLogger(__name__)

FRAMES = Option("frames", int, 100, "maximum number of frames of a clip or shot", minimum=1)

_DIGITS = {"ssim": 4, "chroma_flicker": 3}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `oldfilm evaluate`; returns the exit status."""
    return execute(make_parser().parse_args, run, argv)


def run(arguments: argparse.Namespace) -> int:
    """Print the table and write the JSON file."""
    report = evaluate(arguments)
    if arguments.json:
        _write(report, arguments.json)
    sys.stdout.write(table(report) + "\n")
    return 0


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure a chain and its baselines; returns what `--json` writes.

    Raises:
        OldfilmError: an option, weights or ground truth do not exist or do not fit.
    """
    if arguments.json and not arguments.json.absolute().parent.is_dir():
        raise OptionError(f"--json {arguments.json}: no such folder.")
    options = _options(arguments)
    weights = {name: getattr(arguments, f"{name}_weight") for name in PREDICTORS}
    chain = make_job(arguments.process_order, options, weights=weights).stages
    name, task, degradation = _setup(arguments, chain)
    measured = _measured(arguments, chain, task, PROTOCOLS[name])
    if not measured:
        raise OptionError(f"there is nothing to compare for --task {task.name}.")
    methods = measured[0]["scores"]
    means = {name: mean_scores([clip["scores"][name] for clip in measured]) for name in methods}
    for clip in measured:
        clip["scores"] = _finite(clip["scores"])
    return {
        "oldfilm": __version__,
        "task": task.name,
        "degradation": degradation if task.name == "size" else None,
        "protocol": name,
        "missing_clips": PROTOCOLS[name].missing(clip["name"] for clip in measured),
        "stages": [_describe(stage) for stage in chain],
        "options": options,
        "mean": _finite(means),
        "clips": measured,
    }


def _setup(arguments: argparse.Namespace, chain: list[RunnableStage]) -> tuple[str, Task, str]:
    """Return the name of the protocol, the task, and how the ground truth is shrunk."""
    stated = PROTOCOLS[arguments.protocol or "rgb"]
    chosen = [
        agreed(arguments.protocol, what, getattr(arguments, what), getattr(stated, what))
        for what in ("task", "degradation")
    ]
    degradation = chosen[1] or "bi"
    task = task_for(chain, chosen[0], degradation)
    default = "reds" if task.name == "size" else "rgb"
    return arguments.protocol or default, task, degradation


def _describe(stage: RunnableStage) -> dict[str, Any]:
    sha256 = stage.weights.sha256 if isinstance(stage, Predictor) else None
    return {"stage": stage.label, "sha256": sha256}


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the stages that were given, by name."""
    given = dict(arguments.option, variant=arguments.variant, device=arguments.device)
    return {name: value for name, value in given.items() if value is not None}


def _measured(
    arguments: argparse.Namespace, chain: list[RunnableStage], task: Task, protocol: Protocol
) -> list[dict[str, Any]]:
    """Return facts and scores of every clip."""
    label = " ".join(stage.label for stage in chain)
    methods = {label: functools.partial(restore_frames, chain)}
    measured = []
    show_bar = sys.stderr.isatty() and not arguments.quiet
    found = _clips(arguments, protocol)
    for clip in tqdm(found, unit="clip", file=sys.stderr, disable=not show_bar):
        scores = judge(clip.frames, methods, task, protocol)
        if not scores:
            logger.warning("%s: too short or too small to compare; it is left out.", clip.name)
            continue
        count, height, width = clip.frames.shape[:3]
        facts = {"name": clip.name, "frames": count, "width": width, "height": height}
        measured.append({**facts, "scores": scores})
    return measured


def _clips(arguments: argparse.Namespace, protocol: Protocol) -> Iterator[Clip]:
    """Read the clips of the input that are part of the benchmark."""
    frames = FRAMES.convert(arguments.frames) or FRAMES.default
    for path in arguments.input:
        if protocol.triplets:
            found = triplets(path)
        else:
            found = clips(path, frames, photographs=arguments.photographs)
        yield from (clip for clip in found if protocol.counts(clip.name))


def _finite(scores: dict[str, Scores]) -> dict[str, dict[str, float | None]]:
    """Return the scores with None for an infinite PSNR, which JSON cannot hold."""
    return {
        name: {key: value if math.isfinite(value) else None for key, value in row.items()}
        for name, row in scores.items()
    }


def table(report: dict[str, Any]) -> str:
    """Return a Markdown table of the means over all clips; its heading says what was measured."""
    lines = [
        *_heading(report),
        "",
        _row(["", *MEASURES.values()]),
        _row(["---", *["---:"] * len(MEASURES)]),
    ]
    for name, scores in report["mean"].items():
        lines.append(_row([name, *[_cell(scores, measure) for measure in MEASURES]]))
    return "\n".join(lines)


def _heading(report: dict[str, Any]) -> list[str]:
    name, protocol, clips = report["protocol"], PROTOCOLS[report["protocol"]], report["clips"]
    counted = f"clips: {len(clips)}, frames: {sum(clip['frames'] for clip in clips)}"
    made = f" ({report['degradation']})" if report["degradation"] else ""
    lines = [f"{report['task']}{made}, {counted}; protocol {name}: {protocol}"]
    if protocol.source:
        lines.append(f"as in {protocol.source}")
    if report["missing_clips"]:
        missing = ", ".join(report["missing_clips"])
        lines.append(f"not the whole benchmark: the input lacks {missing}")
    return lines


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(scores: dict[str, float | None], measure: str) -> str:
    if measure not in scores:
        return ""
    value = scores[measure]
    return "inf" if value is None else f"{value:.{_DIGITS.get(measure, 2)}f}"


def _write(report: dict[str, Any], path: Path) -> None:
    """Write the file atomically: if this fails, an older report stays."""
    try:
        with replacing(path) as unfinished:
            unfinished.write_text(json.dumps(report, indent=1), encoding="utf-8")
    except OSError as error:
        raise OptionError(f"--json {path}: cannot be written: {error.strerror}.") from error


def make_parser() -> Parser:
    """Build the parser."""
    parser = Parser(
        "oldfilm evaluate",
        "--input PATH ... --process_order STAGE ... [OPTION ...]",
        "Measure a chain against ground truth, which is first made smaller, slower or gray.",
        "Higher PSNR and SSIM are better; so are lower IE, a*b* error and flicker.",
    )
    add = functools.partial(parser.flag, "options")
    parser.inputs(
        required=True,
        help="ground truth: films, photographs, folders of numbered frames, or folders of these",
    )
    add(
        "--process_order",
        nargs="+",
        required=True,
        metavar="STAGE",
        help=f"the chain to measure: {', '.join(STAGES)}",
    )
    _add_task(parser)
    add("--json", type=Path, metavar="FILE", help="write all scores of every clip")
    add("--variant", metavar="NAME", help="weights to use")
    add("--device", help="cpu, gpu, gpu:1, ...; by default a GPU if there is one")
    add(
        "--option",
        nargs="+",
        type=_assignment,
        default=[],
        metavar="NAME=VALUE",
        help="options of the stages, such as num_frames=30",
    )
    for name in PREDICTORS:
        add(f"--{name}_weight", metavar="FILE", help=f"weights for {name}")
    add("--quiet", action="store_true", help="show no progress")
    return parser


def _add_task(parser: Parser) -> None:
    """Add the flags that choose what is measured, and how."""
    add = functools.partial(parser.flag, "options")
    add(
        "--task",
        type=task_name,
        choices=TASKS,
        help="by default, what the chain changes",
    )
    add(
        "--degradation",
        choices=DEGRADATIONS,
        help="how ground truth is shrunk: bicubic (bi, the default), BasicVSR's blur (bd), DUF's "
        "blur (bd13)",
    )
    add(
        "--protocol",
        choices=list(PROTOCOLS),
        help="how a benchmark measures; by default reds for size, rgb for the rest",
    )
    parser.option(FRAMES, "options")
    add("--photographs", action="store_true", help="numbered pictures are separate photographs")


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise argparse.ArgumentTypeError(f"{value!r} is not a valid value") from None
