"""What a film is: size, exact rate, colors, tracks, and where its frames lie in time."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oldfilm.errors import MediaError
from oldfilm.media.ffmpeg import FORMATS, url
from oldfilm.media.fields import Fields
from oldfilm.stage import FilmInfo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
FOLDER_RATE = Fraction(25)
"""Frames a second of a folder of numbered frames, where none is given."""

# Code points of ITU-T H.273, by the names that ffmpeg's filters take.
_MATRICES = {
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020nc",
    10: "bt2020c",
}
_PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
}
_TRANSFERS = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    11: "iec61966-2-4",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    18: "arib-std-b67",
}
_RANGES = {1: False, 2: True}

_USUAL_RATES = (
    *(Fraction(n) for n in range(1, 121)),
    *(Fraction(n, 2) for n in range(1, 120, 2)),
    *(Fraction(n * 1000, 1001) for n in (12, 15, 24, 30, 48, 60, 120)),
)
_FILM_RATE = Fraction(24000, 1001)
_MATROSKA_TICK = Fraction(1, 1000)
_LONGEST_FRAME = 3600
"""Seconds that a frame may last."""
_UNTIMED_FORMATS = frozenset({"h264", "hevc", "m4v", "mpegvideo", "mjpeg", "dv", "rawvideo"})
"""Containers that keep no presentation times: their frames are counted, not timed."""


@dataclass(frozen=True)
class ColorTags:
    """How a film's code values are meant, in ffmpeg's words; None where the film does not say."""

    matrix: str | None = None
    primaries: str | None = None
    transfer: str | None = None
    full_range: bool | None = None


@dataclass(frozen=True)
class Track:
    """A stream that travels beside the picture. index: its number in the file."""

    index: int
    codec: str
    language: str | None = None


@dataclass(frozen=True)
class FrameTimes:
    """Where the packets of a video stream lie.

    stamps: int64, presentation times in ticks of `tick` seconds, ascending. keys: those of the
    frames that decoding can begin at.
    """

    stamps: np.ndarray
    keys: np.ndarray
    tick: Fraction

    def slot(self, stamp: int | Fraction, rate: Fraction) -> int:
        """Index of a stamp on a grid of `rate` that begins with the first frame."""
        return round((stamp - int(self.stamps[0])) * self.tick * rate)


@dataclass(frozen=True)
class Film:
    """A video file, or a folder of numbered frames.

    width, height, sample_aspect: as displayed, rotation done. rate: frames a second; for a film of
    variable rate, the constant one that it is read at. frames: how many there should be; only the
    analysis knows how many can be read. declared_frames: how many the file's header promises, 0
    where it does not say. gray: its pixels hold luma only; rgb: they are RGB already. start: time
    of the first frame on the file's own clock, where `origin` is the earliest time of any track, in
    seconds. stream: number of the picture's track in the file. times: None where frames can only be
    counted from the first on. numbered: a folder's pictures. fields: how its frames are made of
    woven ones, which `rate` and `frames` tell already and `times` do not; None: they are whole.
    hears_damage: called with what a decoder complains of, where somebody wants to know.
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
    color: ColorTags = ColorTags()
    variable_rate: bool = False
    rotation: int = 0
    audio: tuple[Track, ...] = ()
    subtitles: tuple[Track, ...] = ()
    attachments: tuple[Track, ...] = ()
    chapters: int = 0
    start: Fraction = Fraction(0)
    origin: Fraction = Fraction(0)
    stream: int = 0
    declared_frames: int = 0
    times: FrameTimes | None = field(default=None, repr=False, compare=False)
    numbered: tuple[Path, ...] = field(default=(), repr=False)
    fields: Fields | None = None
    hears_damage: Callable[[str], None] | None = field(default=None, repr=False, compare=False)

    @property
    def duration(self) -> Fraction:
        """Seconds of picture."""
        return self.frames / self.rate

    @property
    def woven_rate(self) -> Fraction:
        """Frames a second in the file itself."""
        return self.rate / self.fields.speed if self.fields else self.rate

    @property
    def full_range(self) -> bool:
        """Whether black is code value 0; untagged YUV is of limited range."""
        if self.color.full_range is None:
            return self.gray or self.rgb
        return self.color.full_range

    @property
    def info(self) -> FilmInfo:
        """What the first stage of a chain is told."""
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

        rate: frames a second of a folder (25 where None); a video file has its own.

        Raises:
            MediaError: there is no film that can be read.
        """
        path = Path(path)
        if not path.exists():
            raise MediaError(f"{path}: there is no such file or folder")
        if path.is_dir():
            return _open_folder(path, FOLDER_RATE if rate is None else Fraction(rate))
        if rate is not None:
            raise MediaError(
                f"{path}: a video file has a rate of its own; give one for folders only"
            )
        with _opened(path) as container:
            return _probe(path, container)


def numbered_frames(folder: str | Path) -> tuple[Path, ...]:
    """The pictures of a folder in the order of their numbers, whatever the first; gaps are allowed.

    Raises:
        MediaError: the folder does not hold the frames of one film: no pictures, pictures without a
            number, or names that differ in more than the number.
    """
    folder = Path(folder)
    try:
        pictures = [p for p in folder.iterdir() if _is_picture(p)]
    except OSError as error:
        raise MediaError(f"{folder}: cannot be read: {error.strerror}") from error
    if not pictures:
        raise MediaError(f"{folder}: there are no pictures in this folder")
    numbers, names = {}, set()
    for picture in sorted(pictures):
        parts = re.fullmatch(r"(.*?)(\d+)(\D*)", picture.stem)
        if not parts:
            raise MediaError(
                f"{folder}: {picture.name} has no number; the frames of a film are numbered"
            )
        numbers[picture] = int(parts.group(2))
        names.add((parts.group(1), parts.group(3), picture.suffix.lower()))
    if len(names) > 1:
        raise MediaError(f"{folder}: the pictures are not the numbered frames of one film")
    return tuple(sorted(numbers, key=lambda picture: numbers[picture]))


def _is_picture(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() in PICTURE_SUFFIXES and not hidden and path.is_file()


def _open_folder(folder: Path, rate: Fraction) -> Film:
    from oldfilm.media.photo import read_photograph

    if rate <= 0:
        raise MediaError(f"{folder}: a rate of {rate} frames a second is not possible")
    frames = numbered_frames(folder)
    first = read_photograph(frames[0])
    height, width, channels = first.image.shape
    gray = channels == 1 and read_photograph(frames[-1]).image.shape[2] == 1
    return Film(
        path=folder,
        width=width,
        height=height,
        rate=rate,
        frames=len(frames),
        pixel_format={(True, 8): "gray", (True, 16): "gray16", (False, 16): "rgb48"}.get(
            (gray, first.bits), "rgb24"
        ),
        bits=first.bits,
        gray=gray,
        rgb=not gray,
        declared_frames=len(frames),
        numbered=frames,
    )


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    """A file opened by PyAV; what PyAV raises is told in a sentence."""
    import av

    if not path.exists():
        raise MediaError(f"{path}: there is no such file")
    try:
        only = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
        with av.open(url(path), options=only, **_text_errors(av.__version__)) as container:
            yield container
    except PermissionError as error:
        raise MediaError(f"{path}: no permission to read this file") from error
    except av.error.FFmpegError as error:
        if path.stat().st_size == 0:
            raise MediaError(f"{path}: this file is empty") from error
        if error.errno == errno.EINVAL:  # so it is where it is not one of FORMATS
            raise MediaError(
                f"{path}: not a film, or a damaged one, or of a kind that is not read, "
                "as are lists that name other files"
            ) from error
        raise MediaError(f"{path}: not a film, or a damaged one ({error.strerror})") from error


def _text_errors(version: str) -> dict[str, Any]:
    """How PyAV reads metadata that is not UTF-8: since 19 it accepts such text by itself."""
    return {} if int(version.split(".")[0]) >= 19 else {"metadata_errors": "replace"}


def _probe(path: Path, container: InputContainer) -> Film:
    form = container.format.name
    if form == "image2" or form.endswith("_pipe"):
        raise MediaError(f"{path}: this is a photograph, not a film")
    stream = next((s for s in container.streams.video if not _is_cover(s)), None)
    if stream is None:
        raise MediaError(f"{path}: there is no picture in this file")

    times, count, last_duration = _frame_times(container, stream)
    facts = _picture_facts(path, stream.index)
    if form in _UNTIMED_FORMATS or times is None:
        times, variable = None, False
        rate = _usual(stream.guessed_rate or stream.average_rate or FOLDER_RATE)
        frames = count
    else:
        _refuse_endless(path, int(np.diff(times.stamps).max(initial=0)) * times.tick)
        rate, variable = _rate(times, (stream.guessed_rate, stream.base_rate, stream.average_rate))
        if variable:
            _refuse_endless(path, last_duration)
        last = times.slot(int(times.stamps[-1]), rate)
        frames = last + max(1, round(last_duration * rate)) if variable else last + 1
    origin = Fraction(container.start_time or 0, 1_000_000)
    start = origin
    if times is not None:
        start = int(times.stamps[0]) * times.tick
    elif stream.start_time is not None:
        start = stream.start_time * _tick(stream)
    return Film(
        path=path,
        rate=rate,
        frames=frames,
        variable_rate=variable,
        audio=_tracks(container.streams.audio),
        subtitles=_tracks(container.streams.subtitles),
        attachments=_tracks(container.streams.attachments),
        # PyAV tells chapters only lately; they are carried over all the same.
        chapters=len(container.chapters()) if hasattr(container, "chapters") else 0,
        start=start,
        origin=min(origin, start),
        stream=stream.index,
        declared_frames=_declared_frames(stream, rate, start),
        times=times,
        **facts,
    )


def _is_cover(stream: VideoStream) -> bool:
    return "attached_pic" in str(stream.disposition).lower()


def _picture_facts(path: Path, index: int) -> dict[str, Any]:
    """What the stream's header and its first frame say."""
    import av

    with _opened(path) as container:
        stream = next(s for s in container.streams.video if s.index == index)
        first = next(
            (frame for packet in container.demux(stream) for frame in stream.decode(packet)), None
        )
    if first is None:
        raise MediaError(f"{path}: there is not one frame in this film")
    name = first.format.name
    pixels = av.VideoFormat(name)
    gray = len([c for c in pixels.components if not c.is_alpha]) == 1 and not pixels.has_palette
    context = stream.codec_context
    full_range = _RANGES.get(int(context.color_range))
    if name.startswith("yuvj"):
        full_range = True
    if pixels.is_rgb or pixels.has_palette or gray:
        full_range = None  # of full range by nature (for gray, that is what ffmpeg takes it for)
    aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
    width, height = first.width, first.height
    if first.rotation % 180:
        width, height, aspect = height, width, 1 / aspect
    return {
        "width": width,
        "height": height,
        "sample_aspect": aspect,
        "pixel_format": name,
        "bits": max(c.bits for c in pixels.components) if not pixels.has_palette else 8,
        "gray": gray,
        "rgb": pixels.is_rgb or pixels.has_palette,
        "color": ColorTags(
            matrix=None if gray else _MATRICES.get(int(context.colorspace)),
            primaries=_PRIMARIES.get(int(context.color_primaries)),
            transfer=_TRANSFERS.get(int(context.color_trc)),
            full_range=full_range,
        ),
        "rotation": int(first.rotation),
    }


def _frame_times(
    container: InputContainer, stream: VideoStream
) -> tuple[FrameTimes | None, int, Fraction]:
    """Times of all packets (None if some have none), how many, and seconds the last one lasts."""
    import av

    stamps, keys, count, durations = [], [], 0, {}
    try:
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                continue
            count += 1
            if packet.pts is None:
                continue
            stamps.append(packet.pts)
            durations[packet.pts] = packet.duration or 0
            if packet.is_keyframe:
                keys.append(packet.pts)
    except av.error.FFmpegError:
        pass  # cut off or damaged here: the analysis says how far it can be read
    if not stamps or len(set(stamps)) < count:
        return None, count, Fraction(0)
    times = FrameTimes(np.array(sorted(stamps)), np.array(sorted(keys)), _tick(stream))
    return times, count, durations[max(stamps)] * times.tick


def _refuse_endless(path: Path, longest: Fraction) -> None:
    """A frame that lasts for days has a damaged time stamp; it would be repeated for as long."""
    if longest > _LONGEST_FRAME:
        raise MediaError(
            f"{path}: its time stamps are damaged: "
            f"one frame would last {float(longest / 3600):.1f} hours"
        )


def _tick(stream: VideoStream) -> Fraction:
    return stream.time_base or _MATROSKA_TICK


def default_matrix(width: int, height: int) -> str:
    """What an untagged film of this size is taken for: BT.709 for HD, else BT.601."""
    lines, columns = sorted((width, height))
    return "bt709" if lines > 576 or columns > 1024 else "smpte170m"


def _rate(times: FrameTimes, hints: Sequence[Fraction | None]) -> tuple[Fraction, bool]:
    """The rate of the grid that the times lie on, and False; or one to bring them to, and True.

    They may be off by a tick, or by one of Matroska's if they once were there. The rate that a
    container states may be rounded: the usual rates near to it and to what is measured come first.
    """
    ticks = times.stamps - times.stamps[0]
    if len(ticks) == 1:
        return _usual(next((h for h in hints if h), FOLDER_RATE)), False
    stated = [Fraction(h) for h in hints if h]
    steps = np.unique(np.diff(ticks))
    even = 1 / (int(steps[0]) * times.tick)
    if len(steps) == 1 and even in stated:
        return even, False
    measured = (len(ticks) - 1) / (int(ticks[-1]) * times.tick)
    near = sorted(_USUAL_RATES, key=lambda r: abs(r - measured))[:2]
    tolerance = 1.01 * max(1.0, float((_MATROSKA_TICK + times.tick) / times.tick))
    usual = [h for h in stated if h in _USUAL_RATES]
    for rate in [*usual, *near, *stated, _plain(measured)]:
        ideal = np.arange(len(ticks)) / float(rate * times.tick)
        if np.abs(ticks - ideal).max() <= tolerance:
            return rate, False
    if _shows_two_and_three_fields(ticks, times.tick, tolerance):
        return _FILM_RATE, False
    return _constant_rate(ticks, times.tick, stated), True


def _shows_two_and_three_fields(ticks: np.ndarray, tick: Fraction, tolerance: float) -> bool:
    """Whether a film of 24000/1001 is stored as it is, and shown with telecine (DVDs are so).

    Cuts may break the turn of two and three, as long as no frame is off by more than one field.
    """
    field = float(2 / (5 * _FILM_RATE * tick))
    if tolerance > field / 4:
        return False  # the clock is too coarse to tell
    even = np.abs(ticks - np.arange(len(ticks)) * 2.5 * field)
    fields = np.diff(ticks) / field
    near = np.abs(fields - np.clip(np.rint(fields), 2, 3)) <= 2 * tolerance / field
    return bool(near.all() and even.max() <= field + tolerance)


def _constant_rate(ticks: np.ndarray, tick: Fraction, stated: Sequence[Fraction]) -> Fraction:
    """A rate for a film of variable rate: that of its fastest stretches, so that none is dropped.

    The shortest twentieth of the intervals is left to chance (jitter).
    """
    intervals = np.diff(ticks) * float(tick)
    # Less than three fields, where some frames are shown for two of them.
    short = intervals[intervals <= 1.4 * np.percentile(intervals, 5)]
    fastest = Fraction(min(120.0, max(1.0, 1 / short.mean())))
    near = [rate for rate in stated if abs(rate - fastest) <= rate / 100]
    return near[0] if near else _usual(fastest)


def _usual(rate: Fraction) -> Fraction:
    """The usual rate within one per cent, where there is one."""
    if rate in _USUAL_RATES:
        return Fraction(rate)
    nearest = min(_USUAL_RATES, key=lambda r: abs(r - rate))
    return nearest if abs(nearest - rate) <= rate / 100 else _plain(rate)


def _plain(rate: Fraction) -> Fraction:
    return Fraction(rate).limit_denominator(1001) or Fraction(rate)


def _declared_frames(stream: VideoStream, rate: Fraction, start: Fraction) -> int:
    tag = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))
    if stream.duration:
        return round(stream.duration * _tick(stream) * rate)
    if tag:  # Matroska's: the time at which the track ends
        hours, minutes, rest = tag.groups()
        end = int(hours) * 3600 + int(minutes) * 60 + Fraction(rest)
        return round((end - start) * rate)
    return 0


def _tracks(streams: Sequence) -> tuple[Track, ...]:
    return tuple(Track(s.index, _codec_of(s), s.metadata.get("language")) for s in streams)


def _codec_of(stream: Stream) -> str:
    context = stream.codec_context
    return context.codec.canonical_name if context else stream.type


def sound_tracks(path: Path) -> tuple[Track, ...]:
    """The sound tracks of a file, which need not have pictures."""
    with _opened(path) as container:
        return _tracks(container.streams.audio)


def picture_format(path: Path) -> str:
    """ffmpeg's name of the pixels of a file's first video track."""
    with _opened(path) as container:
        return container.streams.video[0].codec_context.pix_fmt or ""
