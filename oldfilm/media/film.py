"""Films: size, exact rate, color tags, tracks and frame times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from oldfilm.media.contents import ATTACHMENT, SOUND, SUBTITLES, Contents, Track
from oldfilm.media.deinterlacer import Deinterlacer
from oldfilm.media.picture import HDR10
from oldfilm.stage import FilmInfo

FOLDER_RATE = Fraction(25)
"""Frame rate of a folder of numbered frames, or of a file, that states none."""


@dataclass(frozen=True)
class ColorTags:
    """The color metadata of a film, in ffmpeg's names; None where a film is untagged."""

    matrix: str | None = None
    primaries: str | None = None
    transfer: str | None = None
    full_range: bool | None = None


@dataclass(frozen=True)
class Places:
    """Where frames are shown whose time stamps are too uneven to say so.

    numbers: int64, the places of all frames at `rate`, ascending. rate: frames per second.
    """

    numbers: np.ndarray
    rate: Fraction


@dataclass(frozen=True)
class FrameTimes:
    """The presentation times of a video stream.

    stamps: int64, times of all frames in ticks of `tick` seconds, ascending.
    keys: int64, times of the key frames, where decoding can begin.
    places: of the frames, if their time stamps vary around them; by default, they follow from the
    time stamps.
    """

    stamps: np.ndarray
    keys: np.ndarray
    tick: Fraction
    places: Places | None = None

    def slot(self, stamp: int | Fraction, rate: Fraction) -> int:
        """Return the frame number of a time stamp at a constant `rate`, counted from the start."""
        if self.places is None:
            return round((stamp - int(self.stamps[0])) * self.tick * rate)
        place = _interpolated(stamp, self.stamps, self.places.numbers)
        return round(place * rate / self.places.rate)

    @property
    def lead(self) -> Fraction:
        """How many seconds the first frame is early (negative: late) against most others."""
        if self.places is None:
            return Fraction(0)
        ticks = self.stamps - self.stamps[0]
        frame = 1 / float(self.places.rate * self.tick)
        early = float(np.median(ticks - self.places.numbers * frame))
        return round(early) * self.tick

    def last_stamp(self, index: int, rate: Fraction) -> int:
        """Return the last tick at which the frame with a number is on screen."""
        middle = index + Fraction(1, 2)
        if self.places is not None:
            place = middle * self.places.rate / rate
            return math.floor(_interpolated(place, self.places.numbers, self.stamps))
        tick = int(self.stamps[0]) + int(middle / (rate * self.tick))
        return tick - 1 if self.slot(tick, rate) > index else tick


def _interpolated(at: Fraction | int, known: np.ndarray, values: np.ndarray) -> Fraction:
    """Return the value between those of ascending numbers; outside, the first or the last."""
    after = int(np.searchsorted(known, math.floor(at), side="right"))
    if after == 0 or after == len(known):
        return Fraction(int(values[min(after, len(known) - 1)]))
    (low, high), (first, last) = known[after - 1 : after + 1], values[after - 1 : after + 1]
    part = (at - int(low)) / Fraction(int(high - low))
    return int(first) + part * int(last - first)


@dataclass(frozen=True)
class TrackClock:
    """The repaired times of a sound or subtitle track, packet by packet in the order of the file.

    times: int64, in ticks of `tick` seconds. stored: the same in the file, without wraps.
    wrap: after how many ticks the stored clock starts again, 0 if it does not.
    dropped: bool, packets that overlap the picture on the other side of a jump.
    repaired: whether the times differ from those stored even if the picture's do not.
    jumps: how often the track jumps while the picture does not.
    """

    tick: Fraction
    times: np.ndarray
    stored: np.ndarray
    wrap: int
    dropped: np.ndarray
    repaired: bool
    jumps: int


@dataclass(frozen=True)
class FilmClock:
    """The repaired times of a film whose stored clock jumps.

    stamps: int64, presentation times of the video packets, in ticks of `tick` seconds, in the order
    of the file. keys: numbers of the packets where decoding can begin. positions: of the packets,
    in bytes. origin: the earliest time of any track, in seconds. tracks: the others, by stream.
    counted: whether the times of single frames are not exact, so that frames are counted.
    """

    stamps: np.ndarray
    keys: np.ndarray
    positions: np.ndarray
    tick: Fraction
    origin: Fraction
    tracks: Mapping[int, TrackClock]
    counted: bool = False

    @property
    def start(self) -> Fraction:
        """The time of the first frame, in seconds."""
        return int(self.stamps.min()) * self.tick

    @property
    def times(self) -> FrameTimes | None:
        """The times of the frames, in the order in which they are shown; None if not exact."""
        if self.counted:
            return None
        return FrameTimes(np.sort(self.stamps), np.sort(self.stamps[self.keys]), self.tick)


@dataclass(frozen=True)
class Film:
    """A video file, or a folder of numbered frames.

    width, height, sample_aspect: as displayed, after rotation.
    rate: frames per second; a film of variable rate is decoded at this constant rate.
    frames: the expected number of frames; `analyze` counts those that can be decoded.
    gray: whether pixels hold luma only. rgb: whether pixels are stored as RGB.
    alpha: whether there is an alpha channel, in which any frame may be transparent.
    rotation: degrees by which the decoder rotates frames.
    start: time of the first frame on the file's clock, in seconds.
    origin: earliest time of any track on that clock, in seconds.
    contents: the tracks, chapters and tags of the file.
    hdr10: static HDR metadata of the first frame.
    declared_frames: frames according to the file's header, 0 if it does not say.
    times: None if the file has no usable time stamps; its frames are counted from the first.
    numbered: the frames of a folder, in order; empty for a video file.
    animation: whether it is an animated picture that ffmpeg does not read.
    clock: the repaired times of all tracks, if the stored ones jump.
    notes: sentences for the user on how the time stamps were read.
    deinterlacer: how the decoder deinterlaces; None for a progressive film. `rate`, `frames` and
    `declared_frames` count deinterlaced frames, `times` those in the file.
    """

    path: Path
    width: int
    height: int
    rate: Fraction
    frames: int
    sample_aspect: Fraction = Fraction(1)
    pixel_format: str = "rgb24"
    bits: int = 8
    gray: bool = False
    rgb: bool = False
    alpha: bool = False
    color: ColorTags = ColorTags()
    variable_rate: bool = False
    rotation: int = 0
    start: Fraction = Fraction(0)
    origin: Fraction = Fraction(0)
    contents: Contents = Contents()
    hdr10: HDR10 | None = None
    declared_frames: int = 0
    times: FrameTimes | None = field(default=None, repr=False, compare=False)
    numbered: tuple[Path, ...] = field(default=(), repr=False)
    animation: bool = False
    deinterlacer: Deinterlacer | None = None
    clock: FilmClock | None = field(default=None, repr=False, compare=False)
    notes: tuple[str, ...] = ()

    @property
    def in_container(self) -> bool:
        """Whether ffmpeg reads the film, with all its tracks."""
        return not self.numbered and not self.animation

    @property
    def stream(self) -> int:
        """The number of the video stream in the file."""
        return self.contents.main or 0

    @property
    def audio(self) -> tuple[Track, ...]:
        """The sound tracks of the film."""
        return self.contents.of(SOUND)

    @property
    def subtitles(self) -> tuple[Track, ...]:
        """The subtitle tracks of the film."""
        return self.contents.of(SUBTITLES)

    @property
    def attachments(self) -> tuple[Track, ...]:
        """The files attached to the film, such as fonts."""
        return self.contents.of(ATTACHMENT)

    @property
    def chapters(self) -> int:
        """The number of chapters."""
        return len(self.contents.chapters)

    @property
    def duration(self) -> Fraction:
        """Playing time of the video stream in seconds."""
        return self.frames / self.rate

    @property
    def stored_rate(self) -> Fraction:
        """Frames per second in the file, before deinterlacing."""
        return self.rate / self.deinterlacer.rate_factor if self.deinterlacer else self.rate

    @property
    def full_range(self) -> bool:
        """Whether black is code value 0. Untagged YUV has limited range."""
        if self.color.full_range is None:
            return self.gray or self.rgb
        return self.color.full_range

    @property
    def info(self) -> FilmInfo:
        """The properties that the first stage of a chain receives."""
        return FilmInfo(
            width=self.width,
            height=self.height,
            rate=self.rate,
            frames=self.frames,
            channels=1 if self.gray else 3,
            sample_aspect=self.sample_aspect,
        )

    @staticmethod
    def open(path: str | Path, rate: Fraction | None = None) -> Film:
        """Probe a video file or a folder of numbered frames.

        rate: frames per second of a folder, or of a file that states none, such as raw streams;
        25 by default.

        Raises:
            MediaError: the path does not exist or is not a readable film, or has a rate of its own.
        """
        from oldfilm.media.probe import open_film  # it builds Films

        return open_film(Path(path), rate)
