"""The contents of a media file besides the images of its film: tracks, chapters and tags."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oldfilm.media.ffmpeg import executable, reading
from oldfilm.media.opening import opened
from oldfilm.media.packets import demuxed

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

VIDEO, SOUND, SUBTITLES, ATTACHMENT, COVER, DATA = (
    *("video", "sound", "subtitles", "attachment", "cover", "data"),
)
"""Kinds of tracks."""

_KINDS = {"video": VIDEO, "audio": SOUND, "subtitle": SUBTITLES, "attachment": ATTACHMENT}
_TITLES = ("title", "name")
"""The tags that hold the title of a track. ffmpeg writes `title` into MP4 and reads `name`."""

_NEARLY = Fraction(9, 10)
"""Tracks at least this long, as a share of the longest, count as equally long."""
_PEEK = 50
"""Packets of one track to read before another track with a single packet counts as a still."""


@dataclass(frozen=True)
class Track:
    """A track of a media file.

    index: the number of the stream in its file. kind: VIDEO, SOUND, SUBTITLES, ATTACHMENT, COVER
    or DATA. dispositions: ffmpeg's names of the marks that are set, such as "forced".
    size: width and height of a video track. channels: of a sound track.
    tags: all metadata, by key in lower case.
    """

    index: int
    codec: str
    language: str | None = None
    kind: str = ""
    title: str | None = None
    dispositions: frozenset[str] = frozenset()
    size: tuple[int, int] | None = None
    channels: int = 0
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Contents:
    """What a media file contains besides the images of its film.

    tracks: all tracks, in the order of the file. main: the index of the restored video track, or
    None. foreign: indices of the tracks of other programs of a broadcast, by program.
    chapters: their titles. tags: metadata of the file, by key in lower case. picture: what its
    frames carry besides their pixels, such as "closed captions"; see `with_picture`.
    """

    tracks: tuple[Track, ...] = ()
    main: int | None = None
    foreign: Mapping[str, frozenset[int]] = field(default_factory=dict, compare=False)
    chapters: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)
    picture: frozenset[str] = frozenset()

    def of(self, kind: str) -> tuple[Track, ...]:
        """Return the tracks of a kind that belong to the film, without the restored one."""
        elsewhere = {self.main}.union(*self.foreign.values())
        return tuple(t for t in self.tracks if t.kind == kind and t.index not in elsewhere)

    @property
    def video(self) -> Track | None:
        """The restored video track."""
        return next((t for t in self.tracks if t.index == self.main), None)

    @property
    def timecode(self) -> str | None:
        """The timecode of the first frame, such as "10:20:30:05"."""
        return self._first("timecode")

    @property
    def reel(self) -> str | None:
        """The name of the reel or tape that the timecode numbers."""
        return self._first("reel_name")

    def _first(self, key: str) -> str | None:
        """Return a tag of the video track, else of the file, else of a track of other data."""
        video = self.video.tags if self.video else {}
        every = [video, self.tags, *(track.tags for track in self.of(DATA))]
        return next((tags[key] for tags in every if tags.get(key)), None)

    def number(self, track: Track) -> int:
        """Return the number of a track among those of its kind, from 1."""
        return [t.index for t in self.tracks if t.kind == track.kind].index(track.index) + 1


def read_contents(path: Path, container: InputContainer) -> Contents:
    """Return what an opened file contains; its main video track is the one to restore.

    A broadcast may carry several programs: of those, only the one of the main video track counts.
    """
    stream = main_video(path, container)
    main = stream.index if stream else None
    # PyAV 12 and 13 do not list chapters; the result has them anyway.
    chapters = container.chapters() if hasattr(container, "chapters") else []
    streams = [s for s in container.streams if not _is_chapter_track(s, chapters)]
    unnamed = any(s.codec_context is None and s.type in _KINDS for s in streams)
    names = _codec_names(path) if unnamed else {}
    return Contents(
        tracks=tuple(_track(s, names.get(s.index)) for s in streams),
        main=main,
        foreign=_foreign(path, container, main),
        chapters=tuple(chapter["metadata"].get("title", "") for chapter in chapters),
        tags={key.lower(): value for key, value in container.metadata.items()},
    )


def _track(stream: Stream, known: str | None) -> Track:
    """Describe a stream. known: the name of its codec, if PyAV does not say it."""
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    language = tags.get("language")
    context: Any = stream.codec_context
    kind = COVER if _is_cover(stream) else _KINDS.get(stream.type, DATA)
    return Track(
        index=stream.index,
        codec=context.codec.canonical_name if context else known or _name(stream) or kind,
        language=None if language == "und" else language,
        kind=kind,
        title=next((tags[key] for key in _TITLES if tags.get(key)), None),
        dispositions=_dispositions(stream),
        size=(context.width, context.height) if kind == VIDEO and context else None,
        channels=context.channels if kind == SOUND and context else 0,
        tags=tags,
    )


def _name(stream: Stream) -> str | None:
    """Return the name of the data of a stream without a codec."""
    return getattr(stream, "name", None) if stream.type == "data" else None


def _dispositions(stream: Stream) -> frozenset[str]:
    marks = stream.disposition
    return frozenset(str(mark.name).lower() for mark in type(marks) if mark & marks)


def _is_cover(stream: Stream) -> bool:
    return stream.type == "video" and "attached_pic" in _dispositions(stream)


def _is_chapter_track(stream: Stream, chapters: Sequence) -> bool:
    """Return whether a stream repeats the chapters, as QuickTime stores them."""
    is_text = stream.type == "data" and getattr(stream, "name", None) == "bin_data"
    return bool(chapters) and (is_text or "timed_thumbnails" in _dispositions(stream))


# The main video track


def main_video(path: Path, container: InputContainer) -> VideoStream | None:
    """Return the video track that is the film; None if a file has none.

    It is the one marked as default, else the longest, else the largest. Attached pictures and
    tracks of a single image do not count if there is another.
    """
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if len(streams) < 2:
        return streams[0] if streams else None
    moving = _moving(path, [stream.index for stream in streams])
    streams = [stream for stream in streams if stream.index in moving] or streams
    longest = max(_length(stream) for stream in streams)

    def rank(stream: VideoStream) -> tuple[bool, bool, int]:
        context = stream.codec_context
        is_long = _length(stream) >= longest * _NEARLY
        return "default" in _dispositions(stream), is_long, context.width * context.height

    return max(streams, key=rank)


def _moving(path: Path, indices: Sequence[int]) -> set[int]:
    """Return which video streams have more than one image near the beginning."""
    import av

    counts = dict.fromkeys(indices, 0)
    with contextlib.suppress(av.error.FFmpegError), opened(path) as container:
        for packet in demuxed(container, [container.streams[index] for index in indices]):
            counts[packet.stream.index] += bool(packet.size)
            if min(counts.values()) > 1 or max(counts.values()) > _PEEK:
                break
    return {index for index, count in counts.items() if count > 1}


def _length(stream: VideoStream) -> Fraction:
    """Return the length of a track in seconds, 0 if the file does not say."""
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    return tagged_end(stream) or Fraction(0)


def tagged_end(stream: Stream) -> Fraction | None:
    """Return the time at which a Matroska track ends, in seconds, if the file says so."""
    tag = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))
    if not tag:
        return None
    hours, minutes, rest = tag.groups()
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(rest)


# The programs of a broadcast


def _foreign(path: Path, container: InputContainer, main: int | None) -> dict[str, frozenset[int]]:
    """Return the tracks that do not belong to the program of the main video track, by program.

    A file with one program has none.
    """
    if container.format.name != "mpegts" or len(container.streams) < 3:
        return {}
    programs = _programs(path)
    own = {index for streams in programs.values() if main in streams for index in streams}
    others = {name: frozenset(streams - own) for name, streams in programs.items()}
    return {name: streams for name, streams in others.items() if streams and own}


def _programs(path: Path) -> dict[str, set[int]]:
    """Return the streams of every program, by its name. PyAV does not list programs."""
    programs: dict[str, set[int]] = {}
    streams: set[int] = set()
    number = ""
    for line in description(path):
        if found := re.match(r"  (?:Program (\d+)|No Program)", line):
            number, streams = found.group(1), set()
            if number:
                programs[number] = streams
        elif found := re.match(r" {4}  service_name +: (.*)", line):
            if number in programs:
                programs[f"{number} ({found.group(1).strip()})"] = programs.pop(number)
        elif found := re.match(r" +Stream #0:(\d+)", line):
            streams.add(int(found.group(1)))
    return programs


# What ffmpeg says of a file, and PyAV does not


def description(path: Path) -> list[str]:
    """Return the lines with which ffmpeg describes a file."""
    command = [executable(), "-hide_banner", *reading(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    return done.stderr.decode(errors="replace").splitlines()


def _codec_names(path: Path) -> dict[int, str]:
    """Return the names of the codecs of all streams, also of those that ffmpeg cannot decode."""
    found = (re.match(r" +Stream #0:(\d+)\S*: \w+: (\w+)", line) for line in description(path))
    return {int(match[1]): match[2] for match in found if match}
