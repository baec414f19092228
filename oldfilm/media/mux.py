"""Join segments without re-encoding, and add the source's sound, subtitles and chapters."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from oldfilm.errors import MediaError
from oldfilm.media.codecs import FRAMES_PATTERN, PixelLayout, consists_of_images, timescale
from oldfilm.media.containers import CONTAINERS, TrackMapping
from oldfilm.media.ffmpeg import reading, run, seconds, url
from oldfilm.media.film import Film, Track
from oldfilm.media.output import scratch_folder, whole_output
from oldfilm.media.probe import pixel_format, sound_tracks

_GIF_RATE = Fraction(50)
"""Viewers play a GIF of a higher frame rate at ten frames per second."""

_TRIAL_SECONDS = "60"
"""How much of a track to try: damage that prevents muxing is in its header."""


def join(segments: Sequence[Path], destination: Path, rate: Fraction) -> None:
    """Concatenate the segments of a film: the same packets, with exact time stamps.

    segments: files of an `Encoder` with the same settings, in order, of the suffix that
    `segment_suffix` returns. The destination has the same suffix.

    Raises:
        MediaError: a segment is missing or damaged, or the file cannot be written.
    """
    for segment in segments:
        if not segment.is_file():
            raise MediaError(f"{segment}: a segment of the film is missing")
    listed = "".join(f"file {_quoted(url(segment))}\n" for segment in segments)
    ticks = timescale(rate)
    # The concat demuxer adds durations in microseconds, which drift, so each time is rounded.
    step = int(ticks / rate)
    exact = f"setts=pts=round(PTS/{step})*{step}:dts=round(DTS/{step})*{step}"
    with scratch_folder(destination) as folder, whole_output(destination) as unfinished:
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


def _quoted(name: str) -> str:
    """Quote a name for the list that the concat demuxer reads."""
    return "'" + name.replace("'", "'\\''") + "'"


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
    """Write the result: the frames of `video` and the other tracks of the source.

    video: a file written by `join`. source: the film with the tracks to keep, if any.
    rate: frames per second of `video`. audio: a file whose first sound track replaces the source's
    sound; it starts with the source's first frame. keep_audio: False leaves out all sound.
    start, duration: the part of the source that `video` shows, in seconds from its first frame.
    slowdown: any value but 1 leaves out sound, subtitles and chapters.

    Returns a sentence for each track that is converted or left out.

    Raises:
        MediaError: the result cannot be written; an existing file is left as it was.
    """
    suffix = destination.suffix.lower()
    if consists_of_images(destination):
        if suffix == ".gif":
            return _write_gif(video, destination, rate) + _lost(source, audio, "a GIF")
        _write_images(video, destination.parent)
        return _lost(source, audio, "a folder of images")
    if suffix not in CONTAINERS:
        raise MediaError(f"{destination}: films cannot be written as {suffix or 'this'}")
    notes = []
    if slowdown != 1:
        notes = _lost(source, audio, "a film in slow motion")
        source = audio = None
    sound = audio if keep_audio else None
    job = _Mux(video, destination, rate, sound, keep_audio, start, duration)
    try:
        return notes + job.write(source)
    except MediaError:
        readable = job.without_damaged_tracks(source) if source else None
        if source is None or readable is None or readable == source:
            raise
        return notes + _damaged_tracks(source, readable) + job.write(readable)


@dataclass(frozen=True)
class _Mux:
    """One call of `mux` that writes a container; see there."""

    video: Path
    destination: Path
    rate: Fraction
    audio: Path | None
    keep_audio: bool
    start: Fraction
    duration: Fraction | None

    def write(self, source: Film | None) -> list[str]:
        """Write the result with the tracks of `source`; return a sentence for each conversion."""
        container = CONTAINERS[self.destination.suffix.lower()]
        tracks = TrackMapping(container)
        if self.audio:
            tracks.add_sound(2 if source else 1, [first_sound(self.audio)])
        elif source and self.keep_audio:
            tracks.add_sound(1, source.audio)
        if source:
            tracks.add_subtitles(1, source.subtitles)
            tracks.add_attachments(1, source.attachments)
            tracks.options += ["-map_metadata", "1", "-map_chapters", "1"]
        ticks = ["-video_track_timescale", str(timescale(self.rate))]
        if container.name in ("mkv", "webm"):
            ticks = []
        with whole_output(self.destination) as unfinished:
            run(
                [
                    *self._inputs(source),
                    *("-map", "0:v:0", "-c:v", "copy", "-r", str(self.rate), *ticks),
                    *(*tracks.options, *self._part(), *container.options),
                    url(unfinished),
                ],
                f"{self.destination}: cannot be written",
            )
        return tracks.notes

    def _inputs(self, source: Film | None) -> list[str]:
        """Return the arguments of all inputs, on a common clock.

        A whole film keeps the clock of its file, on which picture and sound may start at different
        times. For a part, the clock starts with its first frame.
        """
        lead = source.start - source.origin if source else Fraction(0)
        if self._part():
            inputs = reading(self.video)
            if source:
                inputs += reading(source.path, "-ss", seconds(lead + self.start))
            if self.audio:
                inputs += reading(self.audio, "-ss", seconds(self.start))
            return inputs
        inputs = ["-copyts", *reading(self.video, "-itsoffset", seconds(lead))]
        if source:
            inputs += reading(source.path, "-itsoffset", seconds(-source.origin))
        if self.audio:
            inputs += reading(self.audio, "-itsoffset", seconds(lead))
        return inputs

    def _part(self) -> list[str]:
        """Return options that keep a part of all tracks; none for a whole film.

        Sound before the first frame is dropped, since Matroska would delay the picture for it.
        """
        if not self.start and self.duration is None:
            return []
        end = [] if self.duration is None else ["-t", seconds(self.duration)]
        return ["-copypriorss", "0", *end]

    def without_damaged_tracks(self, source: Film) -> Film:
        """Leave out the tracks that are too damaged for the destination's container."""

        def fits(add: Callable[[TrackMapping, int, Sequence[Track]], None], track: Track) -> bool:
            tracks = TrackMapping(CONTAINERS[self.destination.suffix.lower()])
            add(tracks, 0, [track])
            if not tracks.options:
                return True
            with scratch_folder(self.destination) as folder:
                trial = url(folder / f"track{self.destination.suffix.lower()}")
                try:
                    run([*reading(source.path), *tracks.options, "-t", _TRIAL_SECONDS, trial], "")
                except MediaError:
                    return False
            return True

        return replace(
            source,
            audio=tuple(t for t in source.audio if fits(TrackMapping.add_sound, t)),
            subtitles=tuple(t for t in source.subtitles if fits(TrackMapping.add_subtitles, t)),
        )


def _damaged_tracks(source: Film, readable: Film) -> list[str]:
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


def _lost(source: Film | None, audio: Path | None, result: str) -> list[str]:
    """List the tracks that a result without sound and subtitles cannot hold, in a sentence."""
    lost = {
        "sound": bool(audio or (source and source.audio)),
        "subtitles": bool(source and source.subtitles),
        "chapters": bool(source and source.chapters),
    }
    names = [name for name, exists in lost.items() if exists]
    return [f"left out, because {result} cannot hold it: {', '.join(names)}"] if names else []


def first_sound(path: Path) -> Track:
    """Return the first sound track of a file.

    Raises:
        MediaError: the file cannot be read, or has no sound.
    """
    tracks = sound_tracks(path)
    if not tracks:
        raise MediaError(f"{path}: this file has no sound")
    return tracks[0]


def _write_images(video: Path, folder: Path) -> None:
    with whole_output(folder) as unfinished:
        unfinished.mkdir()
        pattern = str(unfinished.absolute()).replace("%", "%%")
        pixels = "rgb48be" if PixelLayout.of(pixel_format(video)).bits > 8 else "rgb24"
        run(
            [*reading(video), "-pix_fmt", pixels, "-f", "image2", f"{pattern}/{FRAMES_PATTERN}"],
            f"{folder}: the images cannot be written",
        )
        _check_replaceable(folder)


def _check_replaceable(folder: Path) -> None:
    """Raise MediaError unless a folder is missing, or holds nothing but images we numbered."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise MediaError(f"{folder}: this is a file, not a folder")
    if not all(re.fullmatch(r"\d{8}\.png", path.name) for path in folder.iterdir()):
        raise MediaError(f"{folder}: this folder holds other files than numbered frames")


def _write_gif(video: Path, destination: Path, rate: Fraction) -> list[str]:
    """Write a GIF in two passes, the first for the palette: one pass needs all frames in memory."""
    slower = f"fps={_GIF_RATE}," if rate > _GIF_RATE else ""
    with scratch_folder(destination) as folder, whole_output(destination) as gif:
        palette = folder / "palette.png"
        purpose = f"{destination}: the GIF cannot be written"
        # -update makes ffmpeg take a % in the folder's name literally.
        run([*reading(video), "-vf", "palettegen", "-update", "1", url(palette)], purpose)
        run(
            [
                *(*reading(video), *reading(palette, "-f", "png_pipe")),
                *("-lavfi", f"{slower}paletteuse", "-loop", "0", url(gif)),
            ],
            purpose,
        )
    return [f"a GIF shows at most {_GIF_RATE} frames per second"] if slower else []
