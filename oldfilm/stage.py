"""The contract between models and the pipeline: what a frame is, and what a stage promises.

A stage states facts (how many frames it takes at once, which sizes, how much it enlarges) and
turns one window of frames into restored ones. Grouping into windows, tiles, padding, segments and
progress are the pipeline's work, written once there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Union

import numpy as np

from oldfilm.errors import OptionError

FingerprintValue = Union[str, int, float, bool, None]
"""What a job notes of whatever decides its frames."""


@dataclass(frozen=True)
class Frame:
    """One picture of a film.

    image: float32 [h, w, 3], RGB, or [h, w, 1], luma; in [0, 1].
    time: seconds since the source's first frame, on the source's own time line.
    starts_shot: true on the first frame after a cut (set by the pipeline, for every stage).
    """

    image: np.ndarray
    time: Fraction
    starts_shot: bool = False


@dataclass(frozen=True)
class FilmInfo:
    """What a film is between two stages.

    rate: frames a second. slowdown: how many seconds of the result show one second of the source
    (above 1 for slow motion). sample_aspect: width over height of one sample.
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
        """Seconds that the film lasts when shown."""
        return self.frames / self.rate


@dataclass(frozen=True)
class FilmFacts:
    """What the analysis pass found, once for the whole chain.

    cuts: times of the first frame of every shot but the first.
    repeats: times of frames that show the same picture as the frame before them.
    brightness: mean luma of every frame, in [0, 1].
    """

    cuts: tuple[Fraction, ...] = ()
    repeats: frozenset[Fraction] = field(default_factory=frozenset)
    brightness: tuple[float, ...] = ()


@dataclass(frozen=True)
class Window:
    """How many frames a stage takes at once, and the neighbors of the same shot it must see too.

    core: frames that come out restored. before, after: neighbors on either side, in frames of the
    stage's input; fewer where the shot begins or ends.
    """

    core: int = 1
    before: int = 0
    after: int = 0


@dataclass(frozen=True)
class SizeRequirement:
    """Which frame sizes a network takes; the pipeline pads by reflection and crops again."""

    minimum: int = 1
    multiple_of: int = 1


@dataclass(frozen=True)
class Tiling:
    """When and how large frames are cut: more than max_pixels are cut into tiles that overlap.

    overlap: input pixels that neighboring tiles share; the outer half is dropped, the inner half
    blended.
    """

    max_pixels: int
    overlap: int = 32


@dataclass(frozen=True)
class Option:
    """One option of a stage or of a job, declared once.

    The command line's flags, the keywords of `oldfilm.restore`, presets, the job's fingerprint and
    the documentation are all made from this declaration.

    name: the keyword in Python, and the flag: `num_frames` is --num_frames and --num-frames.
    type: turns the text of the command line into a value; `bool` makes a switch.
    default: None where the stage chooses a value that suits its weights or its film.
    help: one line for --help and the documentation.
    minimum, maximum: the range of a number, both included. choices: all values that are possible.
    flag: another spelling of the flag; for a switch that is on by default, the flag that turns it
    off (`--no-steady`).
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

    def check(self, value: Any) -> Any:
        """Return the value if it is possible.

        Raises:
            OptionError: it is out of range, or not one of the choices.
        """
        if value is None:
            return value
        if self.choices and value not in self.choices:
            raise OptionError(f"`{self.name}={value}`: choose from {_listed(self.choices)}")
        low, high = self.minimum, self.maximum
        if (low is None or value >= low) and (high is None or value <= high):
            return value
        if high is None:
            raise OptionError(f"`{self.name}={value}`: must be at least {low:g}")
        if low is None:
            raise OptionError(f"`{self.name}={value}`: must be at most {high:g}")
        raise OptionError(f"`{self.name}={value}`: must be between {low:g} and {high:g}")


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


class Stage(ABC):
    """One step of a chain."""

    name: str
    """Unique in a chain; the last part of the result's name."""

    options: tuple[Option, ...] = ()
    """What can be chosen: every option is an argument of the constructor, with the same default,
    and an attribute of the same name."""

    window: Window = Window()
    size: SizeRequirement = SizeRequirement()
    tiling: Tiling | None = None
    """None: frames are never cut into tiles."""

    device: str = "cpu"
    """What it computes on: "cpu", "gpu", "gpu:1"."""
    fields: str | None = None
    """How the decoder is to make frames of fields (one of `media.DEINTERLACING`), where a stage
    asks for that: nobody sees fields after it."""

    @abstractmethod
    def describe(self, info: FilmInfo) -> FilmInfo:
        """The film that comes out when `info` goes in.

        Called before any work and possibly more than once; changes nothing.

        Raises:
            OptionError: an option of this stage cannot work on this film.
        """

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """What decides this stage's frames, beside its name and its window: options, weights.

        A job notes it, and is not gone on with where any of it has changed.
        """
        return {}

    def analyze(self, info: FilmInfo, facts: FilmFacts) -> None:  # noqa: B027 (optional)
        """Take what this stage wants from the analysis pass; called once, before any frame."""

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """Memory that one more frame in a window takes; the pipeline shortens windows by it."""
        return 0

    @abstractmethod
    def process(self, frames: Sequence[Frame], core: slice) -> Iterable[Frame]:
        """Restore the frames of one window.

        frames: consecutive frames of one shot, neighbors included, all of the same size.
        core: which of them to restore.
        Returns, in order of time, the frames that take the place of the core's.
        """
