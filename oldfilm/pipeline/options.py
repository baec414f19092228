"""The options of a job, declared once for the command line, `oldfilm.restore` and `run`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from oldfilm.errors import OptionError, did_you_mean
from oldfilm.media import DEINTERLACING
from oldfilm.pipeline.executors import EXECUTORS
from oldfilm.pipeline.segments import SEGMENT_FRAMES
from oldfilm.stage import Option, seconds, time_span

FILM, RESULT, JOB, MACHINES = "film", "result", "job", "processors and machines"
"""Groups of options in --help."""


def option(type: Callable[[str], Any], default: Any = None, **facts: Any) -> Any:
    """A dataclass field that carries its `Option`; facts: more of `Option`'s attributes."""
    return field(default=default, metadata={"option": Option("", type, default, **facts)})


@dataclass(frozen=True)
class RestoreOptions:
    """Everything about a job that is not an option of a stage.

    Each field takes its own type or text: `start="1:30"`, `input_fps="24000/1001"`, `crf="18"`.
    None is the default. A stopped job resumes when it is run again with the same options, apart
    from those that do not change its frames.

    Raises:
        OptionError: a value cannot be converted, or is out of range.
    """

    start: Fraction | None = option(
        seconds, help="begin here: seconds or h:mm:ss", metavar="TIME", minimum=0, group=FILM
    )
    duration: Fraction | None = option(
        seconds,
        help="restore only this much: seconds or h:mm:ss",
        metavar="TIME",
        minimum=0,
        group=FILM,
    )
    input_fps: Fraction | None = option(
        Fraction,
        help="rate of numbered frames, or of a file that states none (25)",
        metavar="RATE",
        group=FILM,
    )
    deinterlace: str = option(
        str,
        "auto",
        help="deinterlace and undo telecine: if measured (auto), always (on), never (off), or "
        "with a frame for every field (double)",
        choices=tuple(DEINTERLACING),
        group=FILM,
    )
    height: int | None = option(
        int, help="lines of the result, such as 2160", metavar="LINES", group=RESULT
    )
    codec: str | None = option(
        str, help="h264, h265, vp9, prores, ffv1; by default, as the extension says", group=RESULT
    )
    crf: int | None = option(
        int, help="quality of h264, h265 and vp9; lower is better", group=RESULT
    )
    pix_fmt: str | None = option(
        str, help="pixel format as ffmpeg names it, such as yuv420p10le", group=RESULT
    )
    audio: Path | None = option(
        Path, help="take the sound from this file", metavar="FILE", group=RESULT
    )
    keep_audio: bool = option(
        bool, True, help="leave out the sound", flag="--no-audio", group=RESULT
    )
    compare: bool = option(
        bool, False, help="also write source and result side by side", group=RESULT
    )
    report: Path | None = option(
        Path,
        help="also write an HTML page about the job, with frames before and after and curves",
        metavar="FILE",
        group=RESULT,
    )
    excerpt: Path | None = option(
        Path,
        help="also write a few seconds of the result to this .gif or .mp4, to share",
        metavar="FILE",
        group=RESULT,
    )
    excerpt_time: str | None = option(
        time_span,
        help="what to show there, in times of the source (5 seconds from the middle)",
        metavar="START[-END]",
        group=RESULT,
    )
    save_frames: bool = option(
        bool, False, help="also save the frames of the result as PNG files", group=RESULT
    )
    label: str | None = option(
        str, help="the result's file name has this in place of the stages", visible=False
    )
    stem: str | None = option(
        str, help="the result's file name has this in place of the source's", visible=False
    )
    overwrite: bool = option(bool, False, help="replace an existing result", group=JOB)
    restart: bool = option(
        bool, False, help="start over and discard what an earlier run finished", group=JOB
    )
    work_dir: Path | None = option(
        Path,
        help="keep unfinished work here; by default next to the result",
        metavar="FOLDER",
        group=JOB,
    )
    segment_frames: int = option(
        int,
        SEGMENT_FRAMES,
        help="maximum number of source frames that are restored and kept as a unit",
        minimum=1,
        visible=False,
    )
    workers: int | None = option(
        int,
        help="processes that restore segments in parallel (1); with Ray, the maximum",
        metavar="N",
        minimum=1,
        group=MACHINES,
    )
    engine: str = option(
        str,
        "local",
        help="where the workers run: on this machine or on a Ray cluster",
        choices=EXECUTORS,
        group=MACHINES,
    )
    address: str | None = option(
        str, help="address of the Ray cluster; by default a new one", group=MACHINES
    )

    def __post_init__(self) -> None:
        for declared in job_options():
            value = declared.convert(getattr(self, declared.name))
            if value is None:
                value = declared.default
            object.__setattr__(self, declared.name, value)

    @property
    def extras(self) -> dict[str, Path]:
        """The files about the result that are wanted, by the option that names them."""
        both = {"report": self.report, "excerpt": self.excerpt}
        return {name: path for name, path in both.items() if path is not None}

    def deciding_frames(self) -> dict[str, Any]:
        """The options that decide the frames of the result, by name."""
        return {
            declared.name: getattr(self, declared.name)
            for declared in job_options()
            if declared.name not in _CHANGES_NO_FRAME
        }


_CHANGES_NO_FRAME = {
    "report",
    "excerpt",
    "excerpt_time",
    "label",
    "stem",
    "overwrite",
    "restart",
    "work_dir",
    "workers",
    "engine",
    "address",
}


@lru_cache(maxsize=1)
def job_options() -> tuple[Option, ...]:
    """The declarations of all fields of `RestoreOptions`."""
    return tuple(
        replace(declared.metadata["option"], name=declared.name)
        for declared in fields(RestoreOptions)
    )


def restore_options(given: Mapping[str, Any]) -> RestoreOptions:
    """Return the options of a job from keywords.

    Raises:
        OptionError: an option does not exist, or a value is invalid.
    """
    known = [declared.name for declared in job_options()]
    for name in given:
        if name not in known:
            raise unknown_option(name, known)
    return RestoreOptions(**given)


def unknown_option(name: str, known: Iterable[str]) -> OptionError:
    """Return the error for an option that does not exist, with the most similar known one."""
    return OptionError(f"unknown option `{name}`{did_you_mean(name, known)}")
