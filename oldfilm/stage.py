"""The contract between stages and the pipeline: frames, films, options and stages.

A stage declares its options and requirements (window, frame sizes, tiling) and restores one window
of frames at a time. The pipeline does the rest: windows, tiles, padding, segments and progress.
"""

from __future__ import annotations

import numbers
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from oldfilm.errors import OptionError, written

FingerprintValue = str | int | float | bool | None
"""A value in a job's fingerprint."""


@dataclass(frozen=True)
class Frame:
    """One frame of a film.

    image: float32 [h, w, 3], RGB, or [h, w, 1], luma; in [0, 1].
    time: seconds since the source's first frame, on the source's time line.
    starts_shot: whether a cut precedes the frame; the pipeline sets it for every stage.
    """

    image: np.ndarray
    time: Fraction
    starts_shot: bool = False


@dataclass(frozen=True)
class FilmInfo:
    """The properties of a film between two stages.

    rate: frames per second. slowdown: seconds of the result per second of the source, above 1 for
    slow motion. sample_aspect: width of a sample divided by its height.
    """

    width: int
    height: int
    rate: Fraction
    frames: int
    channels: int = 3
    sample_aspect: Fraction = Fraction(1)
    slowdown: Fraction = Fraction(1)

    @property
    def duration(self) -> Fraction:
        """Playing time in seconds."""
        return self.frames / self.rate


@dataclass(frozen=True)
class FilmFacts:
    """The results of the analysis pass, which every stage of a chain shares.

    start: time in the source of the first frame that is restored, which has the time 0 here.
    cuts: times of the first frame of every shot but the first.
    repeats: times of frames that repeat the frame before them.
    brightness: mean luma of every frame, in [0, 1].
    """

    cuts: tuple[Fraction, ...] = ()
    repeats: frozenset[Fraction] = field(default_factory=frozenset)
    brightness: tuple[float, ...] = ()
    start: Fraction = Fraction(0)


@dataclass(frozen=True)
class Window:
    """The frames that a stage takes at once.

    core: frames to restore. before, after: neighbors of the same shot that the stage must also
    see, in frames of its input; there are fewer where the shot begins or ends.
    """

    core: int = 1
    before: int = 0
    after: int = 0

    @property
    def core_share(self) -> float:
        """The share of a full window's frames that belong to its core."""
        return self.core / (self.core + self.before + self.after)


@dataclass(frozen=True)
class SizeRequirement:
    """The frame sizes that a network accepts; the pipeline pads by reflection, then crops."""

    minimum: int = 1
    multiple_of: int = 1


@dataclass(frozen=True)
class Tiling:
    """How large frames are cut into overlapping tiles.

    max_pixels: the size of a tile; larger frames are cut. overlap: input pixels that neighboring
    tiles share; the outer half is dropped and the inner half is blended.
    """

    max_pixels: int
    overlap: int = 32


@dataclass(frozen=True)
class Option:
    """One option of a stage or of a job, declared once.

    The flags of the command line, the keywords of `oldfilm.restore`, presets, the job's fingerprint
    and the documentation are all built from this declaration.

    name: the keyword in Python and the name of the flag: `num_frames` is also --num-frames.
    type: converts text to a value; `bool` makes a switch.
    default: None where the stage chooses a value that suits its weights or its film.
    help: one line for --help and the documentation.
    minimum, maximum: the range of a number, both inclusive. choices: every valid value.
    metavar: the placeholder of the value in --help.
    flag: another spelling of the flag; for a switch that is on by default, the flag that turns it
    off (`--no-steady`).
    group: the heading in --help; by default the names of the stages that have the option.
    visible: whether there is a flag. several: whether it takes several values; they become a tuple.
    """

    name: str
    type: Callable[[str], Any]
    default: Any = None
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    metavar: str | None = None
    flag: str | None = None
    group: str = ""
    visible: bool = True
    several: bool = False

    def convert(self, value: Any) -> Any:
        """Return the value that a person gave as text or as another type, converted and checked.

        Raises:
            OptionError: it cannot be converted, is out of range, or is not one of the choices.
        """
        if value is None:
            return None
        if self.several:
            values = value if isinstance(value, (list, tuple)) else [value]
            return tuple(replace(self, several=False).convert(each) for each in values)
        if self.type in (picture, data_file) and not isinstance(value, (str, os.PathLike)):
            return value
        try:
            converted = _truth(value) if self.type is bool else self.type(_text(value))
        except (ValueError, TypeError, ZeroDivisionError):
            raise OptionError(f"`{self.name}={written(value)}`: not {self._expected()}") from None
        return self.check(converted)

    def check(self, value: Any) -> Any:
        """Return the value if it is valid.

        Raises:
            OptionError: it is out of range, or not one of the choices.
        """
        if value is None:
            return value
        if self.choices and value not in self.choices:
            raise OptionError(
                f"`{self.name}={written(value)}`: choose from {_listed(self.choices)}"
            )
        low, high = self.minimum, self.maximum
        if (low is None or value >= low) and (high is None or value <= high):
            return value
        if high is None:
            raise OptionError(f"`{self.name}={written(value)}`: must be at least {low:g}")
        if low is None:
            raise OptionError(f"`{self.name}={written(value)}`: must be at most {high:g}")
        raise OptionError(f"`{self.name}={written(value)}`: must be between {low:g} and {high:g}")

    def _expected(self) -> str:
        return _TYPE_NAMES.get(self.type, "a valid value")


def seconds(text: str) -> Fraction:
    """A time as people write it, in seconds: "90", "1:30", "0:01:30.5".

    Raises:
        ValueError, ZeroDivisionError: it is not a time.
    """
    total = Fraction(0)
    for part in text.split(":"):
        total = total * 60 + Fraction(part)
    return total


def time_span(text: str) -> str:
    """A time, or two with a hyphen, as `seconds` takes them: "1:30", "1:30-1:33".

    Raises:
        ValueError, ZeroDivisionError: it is not a time span.
    """
    parse_time_span(text)
    return text


def parse_time_span(text: str) -> tuple[Fraction, Fraction | None]:
    """Return begin and end of a time span in seconds; the end is None if there is none.

    Raises:
        ValueError, ZeroDivisionError: it is not a time span, or ends before it begins.
    """
    begin, hyphen, end = text.partition("-")
    if not hyphen:
        return seconds(begin), None
    if seconds(end) <= seconds(begin):
        raise ValueError(text)
    return seconds(begin), seconds(end)


def picture(text: str) -> Path:
    """The path of a picture. In Python, an option of this type also takes pictures in memory."""
    return Path(text)


def data_file(text: str) -> Path:
    """The path of a file with data. In Python, an option of this type also takes the data."""
    return Path(text)


_TYPE_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Fraction: "a number or fraction",
    seconds: "a time in seconds or as h:mm:ss",
    time_span: "a time such as 1:30, or two such as 1:30-1:33",
    Path: "a path",
    picture: "a path",
    data_file: "a path",
}


def _truth(value: Any) -> bool:
    word = str(value).lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise ValueError(value)


def _text(value: Any) -> str:
    if isinstance(value, (str, numbers.Number)) and not isinstance(value, bool):
        return str(value)
    return os.fspath(value)


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


SHARPNESS = Option(
    "sharpness", float, 1.0, "how many times to add fine detail", minimum=0, metavar="X"
)
"""Of `Sharpen` and `Deblur`."""


class Stage(ABC):
    """One step of a chain."""

    name: str
    """Unique in a chain; part of the result's file name."""

    options: tuple[Option, ...] = ()
    """Every option is also a constructor argument with the same default, and an attribute."""

    window: Window = Window()
    size: SizeRequirement = SizeRequirement()
    tiling: Tiling | None = None
    """None if frames are never cut into tiles."""

    keeps_flat_frames: bool = False
    """Whether the pipeline blends the result of a frame that shows next to nothing with the frame
    itself (`imaging.content`). A network does not know blank film, and invents color and texture.
    Only for stages that return every frame at its own time."""

    counts_repairs: bool = False
    """Whether the pipeline counts the pixels that it changes, for the report. Only for stages that
    change damaged pixels alone, and return every frame at its own time and size."""

    device: str = "cpu"
    """The device that it computes on: "cpu", "gpu", "gpu:1"."""

    fields: str | None = None
    """The deinterlacing that the stage requires of the decoder, one of `media.DEINTERLACING`."""

    def describe(self, info: FilmInfo) -> FilmInfo:
        """Return the properties of the result for the input film `info`; by default the same.

        Called before any work, possibly more than once; it has no side effects.

        Raises:
            OptionError: an option of this stage does not suit this film.
        """
        return info

    def window_for(self, info: FilmInfo) -> Window:
        """Return the window for the input film `info`: `window`, unless it depends on the film."""
        return self.window

    def window_of_sample(self, info: FilmInfo, facts: FilmFacts) -> Window:
        """Return the window for a sample of a film whose facts are known, as small as they allow.

        A whole job uses `window_for`, so that its windows do not depend on what the analysis found.
        """
        return self.window_for(info)

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """Return everything that decides this stage's frames besides its name and window.

        That is options, weights and versions. A job resumes only if none of it has changed.
        """
        return {}

    def terms(self) -> Mapping[str, str]:
        """Return the license and the origin of the weights, by name; empty without weights."""
        return {}

    def analyze(self, info: FilmInfo, facts: FilmFacts) -> None:  # noqa: B027 (optional)
        """Take what this stage needs from the analysis pass; called once, before any frame."""

    def key_times(self) -> Sequence[Fraction]:
        """Return the times of frames that this stage must see before it processes any other.

        Called after `analyze`. Times that no frame has mean the frame before them.
        """
        return ()

    def study(self, frames: Sequence[Frame]) -> None:  # noqa: B027 (optional)
        """Take the frames of `key_times`, in this order, as the stages before this one return them.

        Called once before `process`, in every process that restores a part of the film.
        """

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """Return the bytes that each frame of a window takes; the pipeline limits windows by it."""
        return 0

    @abstractmethod
    def process(self, frames: Sequence[Frame], core: slice) -> Iterable[Frame]:
        """Restore the frames of one window.

        frames: consecutive frames of one shot, including neighbors, all of the same size.
        core: the frames to restore.
        Returns, in order of time, the frames that replace the core.
        """
