"""Joins segments without re-encoding, and adds all that the source had beside pictures."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from oldfilm.errors import MediaError, from_os
from oldfilm.media.encode import FRAMES_PATTERN, PixelLayout, is_pictures, timescale
from oldfilm.media.ffmpeg import reading, run, seconds, url
from oldfilm.media.film import Film, Track
from oldfilm.media.probe import pixel_format, sound_tracks
from oldfilm.system.files import sync

_TEXTS = frozenset({"subrip", "ass", "ssa", "webvtt", "mov_text", "text", "microdvd", "subviewer"})
_BITMAPS = frozenset({"hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub"})
_LOSSLESS = ("pcm_", "flac", "alac", "wavpack", "tta", "truehd", "mlp")
_GIF_RATE = Fraction(50)
"""Viewers show a GIF of more frames a second at ten."""


@dataclass(frozen=True)
class Container:
    """Which tracks a kind of file takes as they are, and what it turns others into.

    audio: beginnings of codec names ("" takes all). encode, encode_lossless: the codecs for other
    sound, after a lossy and a lossless one. subtitles: codecs taken as they are. text: the codec
    for other subtitles that are text.
    """

    audio: tuple[str, ...]
    encode: str
    encode_lossless: str
    subtitles: frozenset[str]
    text: str
    attachments: bool = False
    options: tuple[str, ...] = ()


_MP4 = Container(
    audio=("aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac", "dts"),
    encode="aac",
    encode_lossless="aac",
    subtitles=frozenset({"mov_text"}),
    text="mov_text",
    options=("-movflags", "+faststart"),
)
_CONTAINERS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": replace(
        _MP4, audio=("aac", "mp3", "ac3", "eac3", "alac", "pcm_"), encode_lossless="alac"
    ),
    ".mkv": Container(
        audio=("",),
        encode="flac",
        encode_lossless="flac",
        subtitles=_BITMAPS - {"xsub"} | {"subrip", "ass", "ssa", "webvtt"},
        text="srt",
        attachments=True,
    ),
    ".webm": Container(
        audio=("opus", "vorbis"),
        encode="libopus",
        encode_lossless="libopus",
        subtitles=frozenset({"webvtt"}),
        text="webvtt",
    ),
}


def join(segments: Sequence[Path], destination: Path, rate: Fraction) -> None:
    """Put the segments of one film, in order, into one file: the same packets, exact time stamps.

    The segments are files of one `Encoder`'s settings, of a suffix that `segment_suffix` gives; so
    is the destination.

    Raises:
        MediaError: a segment is missing or damaged, or the file cannot be written.
    """
    for segment in segments:
        if not segment.is_file():
            raise MediaError(f"{segment}: a segment of the film is missing")
    listed = "".join(f"file {_quoted(url(segment))}\n" for segment in segments)
    ticks = timescale(rate)
    # The concat demuxer adds up durations in microseconds; that drifts, so each time is set right.
    step = int(ticks / rate)
    exact = f"setts=pts=round(PTS/{step})*{step}:dts=round(DTS/{step})*{step}"
    with _scratch(destination) as folder, _beside(destination) as unfinished:
        names = folder / "segments.txt"
        names.write_bytes(os.fsencode(listed))
        run(
            [
                *reading(names, "-f", "concat", "-safe", "0", "-format_whitelist", "concat,mov"),
                *("-map", "0:v:0", "-c", "copy", "-bsf:v", exact),
                *("-video_track_timescale", str(ticks), url(unfinished)),
            ],
            f"{destination}: the segments cannot be joined",
        )


def mux(
    video: Path,
    source: Film | None,
    destination: Path,
    rate: Fraction,
    *,
    audio: Path | None = None,
    keep_audio: bool = True,
    start: Fraction = Fraction(0),  # noqa: B008 (immutable)
    duration: Fraction | None = None,
    slowdown: Fraction = Fraction(1),  # noqa: B008 (immutable)
) -> list[str]:
    """Write the result: the pictures of `video`, and all that its source has beside pictures.

    video: what `join` made, of `rate` frames a second. source: None where there is nothing to keep.
    audio: a file whose first sound track takes the place of the source's; its beginning belongs to
    the source's first frame. keep_audio: False leaves all sound out. start, duration: which part of
    the source `video` shows, in seconds from its first frame. slowdown: anything
    but 1 leaves out sound, subtitles and chapters.
    Returns what was re-encoded or left out, each in one plain sentence.

    Raises:
        MediaError: it cannot be written; what existed under that name is as it was.
    """
    suffix = destination.suffix.lower()
    if suffix == ".gif":
        return _write_gif(video, destination, rate) + _lost(source, audio, "GIF")
    if is_pictures(destination):
        _write_pictures(video, destination.parent)
        return _lost(source, audio, "a folder of pictures")
    if suffix not in _CONTAINERS:
        raise MediaError(f"{destination}: a film cannot be written as {destination.suffix}")
    notes = []
    if slowdown != 1:
        notes = _lost(source, audio, "a film whose time is stretched")
        source = audio = None
    tracks = _Tracks(_CONTAINERS[suffix], suffix[1:])
    inputs = _inputs(video, source, audio if keep_audio else None, start, duration)
    if audio and keep_audio:
        tracks.add_sound(2 if source else 1, [first_sound(audio)])
    elif source and keep_audio:
        tracks.add_sound(1, source.audio)
    if source:
        tracks.add_subtitles(1, source.subtitles)
        tracks.add_attachments(1, source.attachments)
        tracks.options += ["-map_metadata", "1", "-map_chapters", "1"]
    ticks = [] if suffix in (".mkv", ".webm") else ["-video_track_timescale", str(timescale(rate))]
    try:
        with _beside(destination) as unfinished:
            run(
                [
                    *inputs,
                    *("-map", "0:v:0", "-c:v", "copy", "-r", str(rate), *ticks),
                    *(*tracks.options, *_part(start, duration), *_CONTAINERS[suffix].options),
                    url(unfinished),
                ],
                f"{destination}: cannot be written",
            )
    except MediaError:
        readable = _readable(source, destination) if source else None
        if source is None or readable is None or readable == source:
            raise
        rest = mux(
            video,
            readable,
            destination,
            rate,
            audio=audio,
            keep_audio=keep_audio,
            start=start,
            duration=duration,
        )
        return notes + _left_out(source, readable) + rest
    return notes + tracks.notes


_TRIAL_SECONDS = "60"
"""How much of a track is tried: what is wrong with one shows in its header."""


def _readable(source: Film, destination: Path) -> Film:
    """The film without the tracks that are too damaged for the destination's kind of file."""
    suffix = destination.suffix.lower()

    def fits(add: Callable[[_Tracks, int, Sequence[Track]], None], track: Track) -> bool:
        tracks = _Tracks(_CONTAINERS[suffix], suffix[1:])
        add(tracks, 0, [track])
        if not tracks.options:
            return True
        with _scratch(destination) as folder:
            trial = url(folder / f"track{suffix}")
            try:
                run([*reading(source.path), *tracks.options, "-t", _TRIAL_SECONDS, trial], "")
            except MediaError:
                return False
        return True

    return replace(
        source,
        audio=tuple(t for t in source.audio if fits(_Tracks.add_sound, t)),
        subtitles=tuple(t for t in source.subtitles if fits(_Tracks.add_subtitles, t)),
    )


def _left_out(source: Film, readable: Film) -> list[str]:
    kinds = {
        "sound": (source.audio, readable.audio),
        "subtitle": (source.subtitles, readable.subtitles),
    }
    return [
        f"{kind} track {number} ({track.codec}) was left out: it is damaged and cannot be read"
        for kind, (tracks, kept) in kinds.items()
        for number, track in enumerate(tracks, 1)
        if track not in kept
    ]


def _inputs(
    video: Path,
    source: Film | None,
    audio: Path | None,
    start: Fraction,
    duration: Fraction | None,
) -> list[str]:
    """The arguments of all inputs, put on one clock.

    A whole film keeps the clock of its file, where picture and sound may begin at different times;
    of a part, the clock begins with its first frame.
    """
    lead = source.start - source.origin if source else Fraction(0)
    if _part(start, duration):
        inputs = reading(video)
        if source:
            inputs += reading(source.path, "-ss", seconds(lead + start))
        if audio:
            inputs += reading(audio, "-ss", seconds(start))
        return inputs
    inputs = ["-copyts", *reading(video, "-itsoffset", seconds(lead))]
    if source:
        inputs += reading(source.path, "-itsoffset", seconds(-source.origin))
    if audio:
        inputs += reading(audio, "-itsoffset", seconds(lead))
    return inputs


def _part(start: Fraction, duration: Fraction | None) -> list[str]:
    """The options that keep a part of all tracks; none where the film is kept whole.

    What sounds before the first frame has to go: Matroska would move the picture for it.
    """
    if not start and duration is None:
        return []
    return ["-copypriorss", "0", *([] if duration is None else ["-t", seconds(duration)])]


class _Tracks:
    """The options that carry tracks into one kind of file, and what has to be said of them."""

    def __init__(self, container: Container, kind: str) -> None:
        self.options: list[str] = []
        self.notes: list[str] = []
        self._container = container
        self._kind = kind

    def add_sound(self, number: int, tracks: Sequence[Track]) -> None:
        for i, track in enumerate(tracks):
            codec = "copy"
            if not track.codec.startswith(self._container.audio):
                lossless = track.codec.startswith(_LOSSLESS)
                codec = self._container.encode_lossless if lossless else self._container.encode
                self._converted(f"sound track {i + 1}", track, codec)
            self.options += ["-map", f"{number}:{track.index}", f"-c:a:{i}", codec]
            if codec in ("aac", "libopus"):
                self.options += [f"-b:a:{i}", "192k"]

    def add_subtitles(self, number: int, tracks: Sequence[Track]) -> None:
        kept = 0
        for i, track in enumerate(tracks):
            codec = "copy"
            if track.codec not in self._container.subtitles:
                if track.codec not in _TEXTS:
                    self.notes.append(
                        f"subtitle track {i + 1} ({track.codec}) was left out: "
                        f"{self._kind} cannot hold it"
                    )
                    continue
                codec = self._container.text
                self._converted(f"subtitle track {i + 1}", track, codec)
            self.options += ["-map", f"{number}:{track.index}", f"-c:s:{kept}", codec]
            kept += 1

    def add_attachments(self, number: int, tracks: Sequence[Track]) -> None:
        if tracks and not self._container.attachments:
            self.notes.append(f"attached files were left out: {self._kind} cannot hold them")
            return
        for track in tracks:
            self.options += ["-map", f"{number}:{track.index}"]
        if tracks:
            self.options += ["-c:t", "copy"]

    def _converted(self, what: str, track: Track, codec: str) -> None:
        self.notes.append(
            f"{what} was converted from {track.codec} to {codec.replace('lib', '')}: "
            f"{self._kind} does not take it as it is"
        )


def _lost(source: Film | None, audio: Path | None, result: str) -> list[str]:
    """What to say where a result can hold nothing but pictures."""
    lost = {
        "sound": bool(audio or (source and source.audio)),
        "subtitles": bool(source and source.subtitles),
        "chapters": bool(source and source.chapters),
    }
    names = [name for name, there in lost.items() if there]
    return [f"left out, because {result} cannot hold it: {', '.join(names)}"] if names else []


def first_sound(path: Path) -> Track:
    """The first sound track of a file that the user gave as sound.

    Raises:
        MediaError: it cannot be read, or has none.
    """
    tracks = sound_tracks(path)
    if not tracks:
        raise MediaError(f"{path}: there is no sound in this file")
    return tracks[0]


def _write_pictures(video: Path, folder: Path) -> None:
    with _beside(folder) as unfinished:
        unfinished.mkdir()
        pattern = str(unfinished.absolute()).replace("%", "%%")
        pixels = "rgb48be" if PixelLayout.of(pixel_format(video)).bits > 8 else "rgb24"
        run(
            [*reading(video), "-pix_fmt", pixels, "-f", "image2", f"{pattern}/{FRAMES_PATTERN}"],
            f"{folder}: the pictures cannot be written",
        )


def _write_gif(video: Path, destination: Path, rate: Fraction) -> list[str]:
    """In two runs, one for the palette: in one, ffmpeg would keep all frames in memory."""
    slower = f"fps={_GIF_RATE}," if rate > _GIF_RATE else ""
    with _scratch(destination) as folder, _beside(destination) as gif:
        palette = folder / "palette.png"
        purpose = f"{destination}: the GIF cannot be written"
        # -update: of a folder whose name has a %, too.
        run([*reading(video), "-vf", "palettegen", "-update", "1", url(palette)], purpose)
        run(
            [
                *(*reading(video), *reading(palette, "-f", "png_pipe")),
                *("-lavfi", f"{slower}paletteuse", "-loop", "0", url(gif)),
            ],
            purpose,
        )
    return [f"GIF shows at most {_GIF_RATE} frames a second"] if slower else []


def _quoted(name: str) -> str:
    """A name as the list of the concat demuxer takes it."""
    return "'" + name.replace("'", "'\\''") + "'"


@contextmanager
def _scratch(destination: Path) -> Iterator[Path]:
    """A folder that is gone afterwards; beside a result, where a killed job's rest is cleared."""
    try:
        folder = tempfile.TemporaryDirectory(prefix=".oldfilm-", dir=destination.parent)
    except OSError as error:
        raise from_os(f"{destination}: cannot be written", error) from error
    with folder as name:
        yield Path(name)


@contextmanager
def _beside(destination: Path) -> Iterator[Path]:
    """A path to write to, which takes its final name when all went well, and is removed if not."""
    destination = destination.absolute()
    unfinished = destination.with_name(f".{destination.stem}.part{destination.suffix}")
    _remove(unfinished)
    try:
        yield unfinished
        for path in unfinished.iterdir() if unfinished.is_dir() else [unfinished]:
            sync(path)
        if destination.is_dir():
            _remove(destination)
        unfinished.replace(destination)
    except OSError as error:
        raise from_os(f"{destination}: cannot be written", error) from error
    finally:
        _remove(unfinished)


def _remove(path: Path) -> None:
    """Remove a file, or a folder of nothing but pictures that we numbered."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    strange = [p for p in path.iterdir() if not re.fullmatch(r"\d{8}\.png", p.name)]
    if strange:
        raise MediaError(f"{path}: this folder holds other things than our pictures")
    shutil.rmtree(path)
