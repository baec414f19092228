"""`oldfilm enhance`: restore films and photographs with a chain of stages."""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from oldfilm import pipeline
from oldfilm.api import Job, ignored_options, make_job
from oldfilm.apps import PREDICTORS, STAGES, stage_options
from oldfilm.apps.job_files import JobFile, read_job, write_job
from oldfilm.apps.presets import Preset, presets, read_preset, variants_of
from oldfilm.cli.log import record
from oldfilm.cli.main import FAILED_WORK, error_line, execute, status_of
from oldfilm.cli.options import (
    Parser,
    add_job_options,
    add_log,
    add_stage_options,
    in_flags,
)
from oldfilm.cli.progress import (
    Display,
    InputProgress,
    about,
    gib_of_memory,
    restore_in_parallel,
    size,
)
from oldfilm.errors import OldfilmError, OptionError
from oldfilm.media import sources
from oldfilm.pipeline.options import job_options
from oldfilm.pipeline.progress import KINDS

logger = logging.getLogger(__name__)

RESUMES = "What was finished is kept: run the same command again to resume."

GENERAL = "input, output and stages"
"""The first group of flags in --help-all."""

ESSENTIAL = (
    *("input", "output", "preset", "process_order", "fps"),
    *("height", "duration", "preview", "compare", "overwrite"),
)
"""The flags that --help lists."""

IGNORED_ELSEWHERE = ("time_step", "steady", "variant", "device", "network_engine")
"""Options of stages that are silently ignored if no stage of the chain has them."""

MAKES_FRAMES = ("fps", "slow_motion")
"""Options of stages that are an error if no stage of the chain has them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `oldfilm enhance`; returns the exit status."""
    return execute(_parse, run, argv, RESUMES)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments, and fill in what the job file states."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    job = read_job(arguments.job) if arguments.job else JobFile()
    arguments.input = arguments.input or list(job.inputs)
    arguments.output = arguments.output or job.output or Path("output")
    arguments.chain = read_preset(arguments.preset) if arguments.preset else job.chain
    arguments.quiet = arguments.quiet or bool(arguments.chain and arguments.chain.quiet)
    if not arguments.input:
        parser.error("the following arguments are required: --input")
    return arguments


def run(arguments: argparse.Namespace) -> int:
    """Restore all inputs; returns the worst of their exit statuses."""
    preset, quiet = arguments.chain, arguments.quiet
    if arguments.save_job:
        return _save_job(arguments)
    output, inputs = arguments.output, _inputs(arguments)
    job = job_of(arguments, preset)
    for name, path in job.options.extras.items():
        if len(inputs) > 1:
            raise OptionError(
                f"`{name}={path}` is one file, but there are {len(inputs)} inputs: "
                f"restore one input for each {name}."
            )
    began = time.monotonic()
    display = Display(quiet, len(inputs), arguments.progress)
    with contextlib.closing(display), job.open_executor() as executor:
        stems = pipeline.separate_stems(inputs)
        if arguments.estimate or arguments.preview is not None:
            look = functools.partial(_look, job, stems, arguments, display, executor)
            return max(look(source) for source in inputs)
        each = functools.partial(_restore, job, stems, output, quiet, display, executor)
        if executor.count > 1:
            statuses = restore_in_parallel(inputs, each, executor, display)
        else:
            statuses = [each(source) for source in inputs]
    if len(inputs) > 1 and not quiet:
        display.print(_totals(inputs, statuses, time.monotonic() - began), sys.stderr)
    return max(statuses)


def _inputs(arguments: argparse.Namespace) -> list[Path]:
    """Return all sources, without the results of earlier runs.

    Raises:
        MediaError, OptionError: there is none, or the output is one file for several.
    """
    output, preset = arguments.output, arguments.chain
    names = {*STAGES, *presets(), *([preset.name] if preset and preset.name else [])}
    is_result = functools.partial(pipeline.is_own_result, output=output, names=names)
    inputs = [source for path in arguments.input for source in sources(path, is_result)]
    if len(inputs) > 1 and pipeline.is_result_path(output):
        raise OptionError(
            f"`output={output}` is one file, but there are {len(inputs)} inputs: give a folder."
        )
    return inputs


def _save_job(arguments: argparse.Namespace) -> int:
    """Write the job that the arguments describe to a file, and restore nothing."""
    job_of(arguments, arguments.chain)  # refuses what is wrong
    base = arguments.chain if arguments.job and not arguments.preset else Preset("")
    options = {**(base.options or {}), **given_options(arguments)}
    if arguments.cpu:
        options["device"] = "cpu"
    write_job(
        arguments.save_job,
        arguments.input,
        arguments.output,
        arguments.process_order or base.order,
        options,
        preset=arguments.preset,
        weights={**(base.weights or {}), **_given_weights(arguments)},
        variants=arguments.variant or base.variants,
        quiet=arguments.quiet,
    )
    print(arguments.save_job)
    return 0


def job_of(arguments: argparse.Namespace, preset: Preset | None) -> Job:
    """Build the job that the arguments describe.

    Raises:
        OptionError, WeightsError: a stage, an option or weights do not exist or do not fit.
    """
    variant, variants = variants_of(arguments.variant or ())
    given = {**given_options(arguments), **({"variant": variant} if variant else {})}
    if arguments.cpu:
        given["device"] = "cpu"
    order = arguments.process_order or (preset.order if preset else ())
    for name in sorted(ignored_options(order, given) - set(MAKES_FRAMES)) if order else ():
        if name not in IGNORED_ELSEWHERE:
            logger.warning("`%s` changes nothing: no stage of this chain has this option.", name)
        del given[name]
    weights = _given_weights(arguments)
    return make_job(order, given, preset=preset, weights=weights, variants=variants)


def _given_weights(arguments: argparse.Namespace) -> dict[str, str]:
    weights = {name: getattr(arguments, f"{name}_weight") for name in PREDICTORS}
    return {name: path for name, path in weights.items() if path is not None}


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the job and its stages that were given, by their names in Python."""
    known = [*(option.name for option in job_options()), *stage_options()]
    values = {name: getattr(arguments, name, None) for name in known if name != "variant"}
    return {name: value for name, value in values.items() if value is not None}


def _restore(
    job: Job,
    stems: Mapping[Path, str],
    output: Path,
    quiet: bool,
    display: Display,
    executor: pipeline.Executor,
    source: Path,
) -> int:
    """Restore one input and return its exit status; errors are printed, not raised."""
    progress = InputProgress(display, source)
    job = replace(job, options=replace(job.options, stem=stems.get(source)))
    with _reporting_errors(display, progress) as outcome:
        summary = job.run(source, output, progress, executor)
        if quiet:
            record(describe_summary(summary, job))
        else:
            display.print(describe_summary(summary, job), sys.stderr)
        display.print(str(summary.path), sys.stdout)
    return outcome.status


def _look(
    job: Job,
    stems: Mapping[Path, str],
    arguments: argparse.Namespace,
    display: Display,
    executor: pipeline.Executor,
    source: Path,
) -> int:
    """Estimate or preview one input, or both, and return its exit status."""
    progress = InputProgress(display, source)
    options = replace(job.options, stem=stems.get(source))
    film = (source, job.stages, arguments.output, options)
    with _reporting_errors(display, progress) as outcome:
        if arguments.estimate:
            found = pipeline.estimate(*film, progress, executor)
            display.print(describe_estimate(found), sys.stdout)
        if arguments.preview is not None:
            seen = pipeline.preview(*film, arguments.preview, progress, executor)
            display.print(str(seen.path), sys.stdout)
    return outcome.status


@dataclass
class _Outcome:
    status: int = 0


@contextlib.contextmanager
def _reporting_errors(display: Display, progress: InputProgress) -> Iterator[_Outcome]:
    """Print an error of one input; its exit status is in the outcome afterwards."""
    outcome = _Outcome()
    try:
        yield outcome
    except OldfilmError as error:
        line = error_line(error)
        if progress.started:
            line = f"{line.rstrip('.')}. {RESUMES}"
        display.print(line, sys.stderr)
        outcome.status = FAILED_WORK if progress.started else status_of(error)
    finally:
        display.end()


def describe_estimate(found: pipeline.Estimate) -> str:
    """Return the lines that report what a job will take."""
    memory = gib_of_memory(found.memory_bytes, found.available_bytes)
    disk = f"{size(found.disk_bytes)} of disk while it runs ({size(found.free_bytes)} free)"
    return "\n".join(
        [
            f"{found.source}: about {about(found.seconds)} for {found.frames} frames",
            f"      {found.seconds / found.frames:.2f} s per source frame",
            f"      the result: {_describe_film(found.result)}, about {size(found.result_bytes)}",
            f"      {disk}",
            f"      {memory}",
        ]
    )


def describe_summary(summary: pipeline.Summary, job: Job) -> str:
    """Return the lines that report what came in, what went out, and how long it took."""
    lines = [
        f"in    {summary.source}",
        f"      {_describe_film(summary.before)}",
        f"by    {', '.join(stage.label for stage in job.stages)}",
        f"out   {_describe_film(summary.after)}",
        f"took  {_describe_time(summary)}",
    ]
    lines += [f"note  {in_flags(note)}" for note in summary.notes]
    extras = (summary.compare, summary.frames, *job.options.extras.values())
    lines += [f"also  {extra}" for extra in extras if extra]
    return "\n".join(lines)


def _describe_time(summary: pipeline.Summary) -> str:
    """Return how long a run took, each frame of a film, and each stage that worked."""
    frames, seconds = summary.before.frames, summary.seconds
    total = _clock(seconds) if frames > 1 else f"{seconds:.1f} s"
    if not any(summary.stage_seconds.values()):
        return total
    rate = f", {seconds / frames:.2f} s per source frame" if frames > 1 else ""
    times = ", ".join(f"{name} {spent:.1f} s" for name, spent in summary.stage_seconds.items())
    return f"{total}{rate} ({times})"


def _totals(inputs: Sequence[Path], statuses: Sequence[int], seconds: float) -> str:
    missing = [str(source) for source, status in zip(inputs, statuses) if status]
    restored = f"{len(inputs) - len(missing)} of {len(inputs)} restored in {_clock(seconds)}"
    return f"{restored}; not {', '.join(missing)}" if missing else restored


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(seconds))


def _describe_film(info: pipeline.FilmInfo) -> str:
    if info.frames == 1:
        return f"{info.width}x{info.height}"
    return (
        f"{info.width}x{info.height}, {_describe_rate(info.rate)} fps, {info.frames} frames, "
        f"{float(info.duration):.2f} s"
    )


def _describe_rate(rate: Fraction) -> str:
    return str(rate) if rate.denominator == 1 else f"{float(rate):.3f}"


def make_parser(everything: bool = False) -> Parser:
    """Build the parser. everything: --help lists all options."""
    parser = Parser(
        "oldfilm enhance",
        "--input PATH ... (--preset NAME | --process_order STAGE ... | --job FILE) [OPTION ...]",
        "Restore old films and photographs.",
        "The last line printed is the path of the result.",
        essential=() if everything else ESSENTIAL,
        everything=None if everything else functools.partial(make_parser, everything=True),
    )
    _add_paths(parser)
    _add_chain(parser)
    _add_reports(parser)
    add_job_options(parser)
    add_stage_options(parser, leave_out=("variant", "device", "weight_path"))
    for name in PREDICTORS:
        parser.flag("weight files", f"--{name}_weight", metavar="FILE", help=f"weights for {name}")
    return parser


def _add_paths(parser: Parser) -> None:
    """Add the flags for inputs, the output, and a job file that holds them."""
    add = functools.partial(parser.flag, GENERAL)
    add(
        "--input",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="films, photographs, folders of either, or a folder of numbered frames",
    )
    add(
        "--output",
        type=Path,
        metavar="PATH",
        help="a folder (output), or the result: .mp4 .mkv .mov .webm .gif .apng .webp, "
        "folder/%%08d.png .tif .dpx .exr",
    )
    add(
        "--job",
        metavar="FILE",
        help="a YAML file with input, output, stages and options; flags override it",
    )
    add("--save_job", metavar="FILE", help="write such a file from these flags, and end")


def _add_chain(parser: Parser) -> None:
    """Add the flags that choose stages, weights and the device."""
    add = functools.partial(parser.flag, GENERAL)
    add(
        "--preset",
        metavar="NAME",
        help=f"a chain with its options, {', '.join(presets())}, or a YAML file; options on the "
        "command line override it",
    )
    add(
        "--process_order",
        nargs="+",
        metavar="STAGE",
        help=f"stages in order; not needed with a preset: {', '.join(STAGES)}",
    )
    add(
        "--variant",
        nargs="+",
        metavar="NAME",
        help="weights to use: lite, full, ... for all stages, or STAGE=NAME for one; by default "
        "the published ones (full) if they are available, else lite",
    )
    parser.option(stage_options()["device"][0], GENERAL)
    add("--cpu", action="store_true", help="the same as --device cpu")


def _add_reports(parser: Parser) -> None:
    """Add the flags for previews, estimates, progress and logs."""
    add = functools.partial(parser.flag, GENERAL)
    add(
        "--preview",
        nargs="?",
        const=4,
        type=int,
        metavar="N",
        help="only show N frames (4) of each film before and after, in one picture",
    )
    add(
        "--estimate",
        action="store_true",
        help="only measure a few frames, and print the time, disk and memory that a run takes",
    )
    add("--quiet", action="store_true", help="print only the result's path and errors")
    add("--progress", choices=KINDS, help="how progress is shown; json: for other programs")
    add_log(parser, GENERAL)
