"""The command line: arguments, messages, exit codes."""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import signal
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from oldfilm import __version__, pipeline
from oldfilm.api import ignored_options, recipe
from oldfilm.apps import PREDICTORS, STAGES
from oldfilm.apps.presets import arguments_of, presets
from oldfilm.cli.progress import Display, together
from oldfilm.errors import MachineError, OldfilmError, OptionError
from oldfilm.media import DEINTERLACING, sources

WRONG_INPUT, FAILED_WORK, INTERRUPTED = 2, 1, 130

_GOES_ON = "What was finished is kept: the same command goes on from there."

_PREDICTOR_OPTIONS = (
    "artistic",
    "render_factor",
    "steady",
    "num_frames",
    "time_step",
    "fps",
    "slow_motion",
    "remove_duplicates",
    "flow_scale",
    "colorization",
    "reference_dir",
    "mindim",
    "strength",
    "crop",
    "grain",
    "sharpness",
    "with_scratch",
    "hr",
    "faces",
    "device",
)


# The rest means something in any chain, or is an error by itself.
_TOLD_WHEN_IGNORED = set(_PREDICTOR_OPTIONS).difference(
    ("time_step", "steady", "fps", "slow_motion", "device")
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 (failed work) or 2 (wrong input)."""
    _clean_up_when_terminated()
    try:
        arguments = _arguments(sys.argv[1:] if argv is None else argv)
        logging.basicConfig(format="%(message)s", level=logging.ERROR if arguments.quiet else None)
        inputs = [source for path in arguments.input for source in sources(path)]
        _check(arguments, inputs)
        return _restore_all(inputs, arguments)
    except OldfilmError as error:
        return _told(error, FAILED_WORK if isinstance(error, MachineError) else WRONG_INPUT)
    except KeyboardInterrupt:
        print(f"Stopped. {_GOES_ON}", file=sys.stderr)
        return INTERRUPTED


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    """What is given, after what the preset gives, which it replaces."""
    parser, first = _parser(), argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset")
    preset = first.parse_known_args(argv)[0].preset
    if preset is None:
        return parser.parse_args(argv)
    # argparse tells its options in no other way.
    return parser.parse_args([*arguments_of(preset, parser._option_string_actions), *argv])


def _restore_all(inputs: Sequence[Path], arguments: argparse.Namespace) -> int:
    """Restore all inputs as one job; returns the worst of their exit statuses."""
    began = time.monotonic()
    display = Display(arguments.quiet, len(inputs))
    asked = (arguments.workers, arguments.engine, arguments.address)
    open_executor = pipeline.open_executor(_chain(arguments)[1], *asked)
    with contextlib.closing(display), open_executor as workers:
        each = functools.partial(_restore, arguments, display, workers)
        several = workers.count > 1
        statuses = together(inputs, each, workers, display) if several else [*map(each, inputs)]
    if len(inputs) > 1 and not arguments.quiet:
        missing = [str(source) for source, status in zip(inputs, statuses) if status]
        took = _clock(time.monotonic() - began)
        not_these = f"; not {', '.join(missing)}" if missing else ""
        restored = len(inputs) - len(missing)
        print(f"{restored} of {len(inputs)} restored in {took}{not_these}", file=sys.stderr)
    return max(statuses)


def _chain(
    arguments: argparse.Namespace,
) -> tuple[list[pipeline.RunnableStage], pipeline.StageFactory]:
    variants = dict(v.split("=", 1) for v in arguments.variant if "=" in v)
    return recipe(arguments.process_order, _given(arguments), _weights(arguments), variants)


def _restore(
    arguments: argparse.Namespace,
    display: Display,
    workers: pipeline.Executor,
    source: Path,
) -> int:
    """Restore one input; an error is told, and does not keep the next input from its turn."""
    view = display.view()
    try:
        chain, _ = _chain(arguments)
        options, output = _pipeline_options(arguments), arguments.output
        summary = pipeline.restore(source, chain, output, options, view.show, workers)
    except OldfilmError as error:
        failed = view.started or isinstance(error, MachineError)
        told = f"{str(error).rstrip('.')}. {_GOES_ON}" if view.started else error
        display.print(f"oldfilm: {told}", sys.stderr)
        return FAILED_WORK if failed else WRONG_INPUT
    finally:
        display.end()
    if not arguments.quiet:
        display.print(_summary(summary, [stage.label for stage in chain]), sys.stderr)
    display.print(str(summary.path), sys.stdout)
    return 0


def _told(error: OldfilmError | str, status: int) -> int:
    print(f"oldfilm: {error}", file=sys.stderr)
    return status


def _check(arguments: argparse.Namespace, inputs: Sequence[Path]) -> None:
    given = [name for name in ("fps", "slow_motion") if getattr(arguments, name)]
    ignored = ignored_options(arguments.process_order, _given(arguments))
    for name in given:
        if name in ignored:
            raise OptionError(
                f"--{name} makes new frames: add DAIN, RIFE or SuperSloMo to --process_order."
            )
    for name in ignored & _TOLD_WHEN_IGNORED:
        logging.warning("--%s changes nothing: no stage of this chain takes it.", name)
    if len(inputs) > 1 and pipeline.is_result_path(arguments.output):
        raise OptionError(
            f"--output {arguments.output} is one file, but there are {len(inputs)} inputs: "
            "give a folder."
        )


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of predictors that were given, by their constructors' names."""
    values = {name: getattr(arguments, name) for name in _PREDICTOR_OPTIONS}
    if arguments.cpu:
        values["device"] = "cpu"
    for_all = [name for name in arguments.variant if "=" not in name]
    if len(for_all) > 1:
        raise OptionError(f"--variant {' '.join(for_all)}: give one for all, or STAGE=NAME each.")
    values["variant"] = for_all[0] if for_all else None
    return {name: value for name, value in values.items() if value is not None}


def _weights(arguments: argparse.Namespace) -> dict[str, str | None]:
    return {name: getattr(arguments, f"{name}_weight") for name in PREDICTORS}


def _pipeline_options(arguments: argparse.Namespace) -> pipeline.RestoreOptions:
    return pipeline.RestoreOptions(
        codec=arguments.codec,
        crf=arguments.crf,
        pix_fmt=arguments.pix_fmt,
        audio=arguments.audio,
        keep_audio=not arguments.no_audio,
        start=arguments.start,
        duration=arguments.duration,
        input_fps=arguments.input_fps,
        deinterlace=arguments.deinterlace,
        height=arguments.height,
        compare=arguments.compare,
        save_frames=arguments.save_frames,
        overwrite=arguments.overwrite,
        restart=arguments.restart,
        work_dir=arguments.work_dir,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="video-enhance",
        description="Restore old films and photographs.",
        epilog="The result's path is the last line printed.",
    )
    add = parser.add_argument
    add("--version", action="version", version=f"oldfilm {__version__}")
    add(
        "--input",
        nargs="+",
        required=True,
        type=Path,
        metavar="PATH",
        help="films, photographs, folders of either, or a folder of numbered frames",
    )
    add(
        "--output",
        default=Path("output"),
        type=Path,
        help="a folder, or the result's own path: .mp4 .mkv .mov .webm .gif, folder/%%08d.png",
    )
    add(
        "--preset",
        metavar="NAME",
        help=f"stages and options for {', '.join(presets())}, or of a YAML file; what else is "
        "given comes before them",
    )
    add(
        "--process_order",
        "--proccess_order",
        nargs="+",
        required=True,
        metavar="STAGE",
        help=f"stages, in order: {', '.join(STAGES)}",
    )
    add(
        "--variant",
        nargs="+",
        default=[],
        metavar="NAME",
        help="weights to use: lite, full, ... for all stages, or STAGE=NAME for one; by default "
        "the published ones (full) where they are here, else lite",
    )
    add("--device", default=None, help="cpu, gpu, gpu:1, ...; by default a GPU where there is one")
    add("--cpu", action="store_true", help="the same as --device cpu")
    for name in PREDICTORS:
        add(f"--{name}_weight", metavar="FILE", default=None, help=f"weight file for {name}")
    _add_stage_options(parser)
    _add_repair_options(parser)
    _add_film_options(parser)
    _add_engine_options(parser)
    return parser


def _add_stage_options(parser: argparse.ArgumentParser) -> None:
    color = parser.add_argument_group("DeOldify").add_argument
    color("--artistic", action="store_true", default=None, help="the more vivid weights")
    color(
        "--render_factor",
        type=int,
        default=None,
        metavar="N",
        help="works at 16 N pixels; default: what suits the variant (published weights: 32)",
    )
    color(
        "--no-steady",
        dest="steady",
        action="store_false",
        default=None,
        help="do not steady colors along time",
    )
    size = parser.add_argument_group("PPMSVSR, BasicVSR and the like").add_argument
    size(
        "--num_frames",
        type=int,
        default=None,
        metavar="N",
        help="frames restored together (10); fewer where memory is short",
    )
    rate = parser.add_argument_group("DAIN, RIFE, SuperSloMo").add_argument
    rate(
        "--time_step",
        type=_fraction,
        default=None,
        metavar="T",
        help="new frames at every T of the way to the next: 0.5 (default) doubles the rate",
    )
    rate("--fps", default=None, metavar="RATE", help="any rate, such as 60 or 24000/1001")
    rate(
        "--slow_motion",
        action="store_true",
        default=None,
        help="keep the rate and stretch time instead; sound is left out",
    )
    rate(
        "--remove_duplicates",
        type=_truth,
        nargs="?",
        const=True,
        default=None,
        metavar="BOOL",
        help="replace repeated frames by interpolated ones",
    )
    rate(
        "--flow_scale",
        type=float,
        default=None,
        metavar="S",
        help="RIFE seeks motion at this scale: 0.5 for 4K, 2 for small films (1)",
    )
    remaster = parser.add_argument_group("DeepRemaster").add_argument
    remaster("--colorization", action="store_true", default=None, help="also give it colors")
    remaster(
        "--reference_dir",
        default=None,
        metavar="FOLDER",
        help="colored pictures that show what colors the film has",
    )
    remaster(
        "--mindim", type=int, default=None, metavar="N", help="shorter side of the result (360)"
    )


def _add_repair_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("Deflicker, Stabilize, Denoise, Sharpen").add_argument
    add(
        "--crop",
        action="store_true",
        default=None,
        help="Stabilize: leave the borders out in place of filling them",
    )
    for name, told in (
        ("strength", "Deflicker: how much of the flicker goes, 0 to 1 (1)"),
        ("grain", "Denoise: how much grain is given back, 0 to 1 (0)"),
        ("sharpness", "Sharpen: how many times detail is added (1)"),
    ):
        add(f"--{name}", type=float, default=None, metavar="X", help=told)
    add = parser.add_argument_group("OldPhoto").add_argument
    add("--with_scratch", action="store_true", default=None, help="also mend scratches")
    add("--HR", dest="hr", action="store_true", default=None, help="for large pictures")
    add(
        "--no-faces",
        dest="faces",
        action="store_false",
        default=None,
        help="do not paint faces anew (published weights)",
    )


def _add_film_options(parser: argparse.ArgumentParser) -> None:
    film = parser.add_argument_group("film").add_argument
    film("--start", type=_seconds, default=None, metavar="TIME", help="seconds, or h:mm:ss")
    film("--duration", type=_seconds, default=None, metavar="TIME", help="seconds, or h:mm:ss")
    film(
        "--input_fps",
        type=_fraction,
        default=None,
        metavar="RATE",
        help="rate of a folder of numbered frames (25)",
    )
    film(
        "--deinterlace",
        choices=DEINTERLACING,
        default="auto",
        help="whole frames of a film that is woven of fields, and telecine undone: where it is "
        "measured (auto), in any case (on), never (off), or with a frame of every field (double)",
    )
    film("--height", type=int, default=None, metavar="LINES", help="lines of the result (2160)")
    film("--codec", default=None, help="h264, h265, vp9, prores, ffv1; default: by the extension")
    film("--crf", type=int, default=None, help="quality of h264, h265, vp9; lower is better")
    film("--pix_fmt", default=None, help="ffmpeg's pixel format, such as yuv420p10le")
    film("--audio", type=Path, default=None, metavar="FILE", help="the sound of this file instead")
    film("--no-audio", action="store_true", help="leave the sound out")
    film("--compare", action="store_true", help="also write original and result side by side")
    film("--save_frames", action="store_true", help="also keep the result's frames as PNG")
    film("--overwrite", action="store_true", help="replace an existing result")
    film("--restart", action="store_true", help="forget what an earlier run has finished")
    film(
        "--work-dir",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="keep what is finished here until all is; default: beside the result",
    )
    film("--quiet", action="store_true", help="print nothing but the result's path and errors")


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("many processors, many machines").add_argument
    add(
        "--workers",
        type=int,
        default=None,
        metavar="N",
        help="processes that restore at the same time, a segment each (1); with Ray, at most",
    )
    add(
        "--engine",
        choices=pipeline.EXECUTORS,
        default="local",
        help="what runs the workers: this machine, or a Ray cluster",
    )
    add("--address", default=None, help="of the Ray cluster; default: a new one on this machine")


def _fraction(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number or fraction") from None


def _seconds(text: str) -> Fraction:
    total = Fraction(0)
    for part in text.split(":"):
        total = total * 60 + _fraction(part)
    if total < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is before the film begins")
    return total


def _truth(text: str) -> bool:
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")


def _clean_up_when_terminated() -> None:
    """Let a polite kill run the same clean-up as Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def _summary(summary: pipeline.Summary, stages: Sequence[str]) -> str:
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary.stage_seconds.items())
    lines = [
        f"in    {summary.source}",
        f"      {_described(summary.before)}",
        f"by    {', '.join(stages)}",
        f"out   {_described(summary.after)}",
        f"took  {_clock(summary.seconds)}, "
        f"{summary.seconds / max(summary.before.frames, 1):.2f} s a source frame ({times})",
    ]
    lines += [f"note  {note}" for note in summary.notes]
    lines += [f"also  {extra}" for extra in (summary.compare, summary.frames) if extra]
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(seconds))


def _described(info: pipeline.FilmInfo) -> str:
    if info.frames == 1:
        return f"{info.width}x{info.height}"
    return (
        f"{info.width}x{info.height}, {_rate(info.rate)} fps, {info.frames} frames, "
        f"{float(info.duration):.2f} s"
    )


def _rate(rate: Fraction) -> str:
    return str(rate) if rate.denominator == 1 else f"{float(rate):.3f}"
