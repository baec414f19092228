"""Join segments without re-encoding, and add the source's sound, subtitles and chapters."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from oldfilm.errors import MachineError, MediaError
from oldfilm.media.animation import plays
from oldfilm.media.captions import CAPTIONS_TITLE, extract_captions
from oldfilm.media.changing_sound import changing_sound
from oldfilm.media.codecs import PixelLayout, consists_of_images, is_pattern, timescale
from oldfilm.media.containers import CONTAINERS, TAGGED, Container, Faults, TrackMapping
from oldfilm.media.contents import (
    ATTACHMENT,
    COVER,
    DATA,
    SOUND,
    SUBTITLES,
    Contents,
    Track,
    read_contents,
)
from oldfilm.media.default_tracks import hide_subtitles
from oldfilm.media.ffmpeg import quoted, reading, run, seconds, url
from oldfilm.media.film import Film, FilmClock
from oldfilm.media.image_results import write_animation, write_gif, write_images
from oldfilm.media.languages import stored_language
from oldfilm.media.losses import (
    data_tracks,
    is_technical,
    listed,
    missing,
    unused_tracks,
    without_pictures,
)
from oldfilm.media.opening import opened
from oldfilm.media.output import scratch_folder, whole_output
from oldfilm.media.picture import CAPTIONS, TRANSPARENCY, with_picture
from oldfilm.media.probe import pixel_format, sound_tracks
from oldfilm.media.restamp import restamped
from oldfilm.media.timecode import shifted

_TRIAL_SECONDS = "60"
"""How much of a track to try: damage that prevents muxing is in its header."""

_LISTED = "concat,mov,matroska"
"""The formats that the list of segments may name."""

_COVER_SUFFIXES = {"mjpeg": "jpg"}
"""By codec; the others have the name of the codec."""


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
    ticks = timescale(rate)
    # The concat demuxer adds durations in microseconds, which drift, so each time is rounded.
    step = int(ticks / rate)
    exact = f"setts=pts=round(PTS/{step})*{step}:dts=round(DTS/{step})*{step}"
    if destination.suffix == ".mkv":  # Its times are rounded themselves, but frames are in order.
        exact = f"setts=ts=round(N/({rate})/TB)"
    with (
        scratch_folder(destination) as folder,
        whole_output(destination) as unfinished,
        _listable(segments) as paths,
    ):
        listed = "".join(f"file {quoted(url(path))}\n" for path in paths)
        names = folder / "segments.txt"
        names.write_bytes(os.fsencode(listed))
        run(
            [
                *reading(names, "-f", "concat", "-safe", "0", "-format_whitelist", _LISTED),
                *("-map", "0:v:0", "-c", "copy", "-bsf:v", exact),
                *(_exact_ticks(ticks) if destination.suffix != ".mkv" else []),
                url(unfinished),
            ],
            f"{destination}: the segments cannot be joined",
        )


def _exact_ticks(ticks: int) -> list[str]:
    return ["-video_track_timescale", str(ticks), "-movflags", "+write_colr"]


@contextlib.contextmanager
def _listable(segments: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """Yield paths without line breaks, which end an entry in a list: links where one has any."""
    if not any({"\n", "\r"} & set(str(segment.absolute())) for segment in segments):
        yield segments
        return
    with tempfile.TemporaryDirectory(prefix="oldfilm-") as folder:
        links = [Path(folder) / f"{n}{segment.suffix}" for n, segment in enumerate(segments)]
        for link, segment in zip(links, segments):
            link.symlink_to(segment.absolute())
        yield links


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
    scan: Path | None = None,
) -> list[str]:
    """Write the result: the frames of `video` and the other tracks of the source.

    video: a file written by `join`. source: the film with the tracks to keep, if any.
    rate: frames per second of `video`. audio: a file whose first sound track replaces the source's
    sound; it starts with the source's first frame. keep_audio: False leaves out all sound.
    start, duration: the part of the source that `video` shows, in seconds from its first frame.
    slowdown: any value but 1 leaves out sound, subtitles and chapters. scan: see `write_images`.

    Returns a sentence for each track that is converted or left out.

    Raises:
        MediaError: the result cannot be written. An existing file stays.
    """
    contents = with_picture(source.path, source.contents) if source else Contents()
    if consists_of_images(destination):
        times = plays(source.path) if source else 0
        return _write_images(video, contents, destination, rate, audio, scan, times)
    if source and not source.in_container:
        source = None
    suffix = destination.suffix.lower()
    if suffix not in CONTAINERS:
        raise MediaError(f"{destination}: films cannot be written as {suffix or 'this'}")
    sound = audio if keep_audio else None, keep_audio
    job = _Mux(video, source, contents, destination, rate, *sound, start, duration, slowdown)
    return job.write_without_faults()


@dataclass(frozen=True)
class _Mux:
    """One call of `mux` that writes a container; see there."""

    video: Path
    source: Film | None
    contents: Contents
    destination: Path
    rate: Fraction
    audio: Path | None
    keep_audio: bool
    start: Fraction
    duration: Fraction | None
    slowdown: Fraction

    @property
    def keeps_sound(self) -> bool:
        """Whether the result has the sound of the source."""
        return self.keep_audio and self.audio is None and self.slowdown == 1

    def write_without_faults(self) -> list[str]:
        """Write the result; if a track stops that, write it without the tracks at fault."""
        known = self.changing_sound()
        try:
            return self.write(known)
        except MediaError:
            if faults := self.find_faults():
                return self.write({**known, **faults})
            raise

    def changing_sound(self) -> Faults:
        """Return the source's sound tracks that change midway, which no container takes as such."""
        if self.source is None or not self.keeps_sound:
            return {}
        changing = changing_sound(self.source.path, self.source.audio)
        return dict.fromkeys((self.source.path, track.index) for track in changing)

    @property
    def _container(self) -> Container:
        return CONTAINERS[self.destination.suffix.lower()]

    def write(self, faults: Faults) -> list[str]:
        """Write the result; return a sentence for all that is converted or left out."""
        with scratch_folder(self.destination) as folder:
            captions = self._captions(folder)
            tracks = self._tracks(faults, folder)
            if captions:
                tracks.add_captions(2 + bool(self.audio), CAPTIONS_TITLE)
            ticks = ["-video_track_timescale", str(timescale(self.rate))]
            if self._container.format not in TAGGED:
                ticks = []
            with whole_output(self.destination) as unfinished:
                run(
                    [
                        *self._inputs(),
                        *(reading(captions, "-format_whitelist", "srt") if captions else []),
                        *("-map", "0:v:0", "-c:v:0", "copy", "-r:v:0", str(self.rate), *ticks),
                        *(*tracks.options, *self._tags(), *self._part()),
                        *(*self._container.options, url(unfinished)),
                    ],
                    f"{self.destination}: cannot be written",
                )
                if self._hides_subtitles(tracks):
                    hide_subtitles(unfinished)
        return self._notes(tracks, captions is not None)

    def _hides_subtitles(self, tracks: TrackMapping) -> bool:
        """Return whether no subtitle track is shown by default, in a container of MP4's kind."""
        subtitles = tracks.kept[SUBTITLES]
        shown = any("default" in track.dispositions for track in subtitles)
        return self._container.format in TAGGED and bool(subtitles) and not shown

    def _captions(self, folder: Path) -> Path | None:
        """Return the captions that the frames of the source carry, as a file of their own."""
        source = self.source
        if not source or source.clock or self.slowdown != 1:
            return None
        begin = source.start + self.start if self._is_part else source.origin
        has_captions = CAPTIONS in self.contents.picture
        return extract_captions(source, folder, begin) if has_captions else None

    def _tracks(self, faults: Faults, folder: Path) -> TrackMapping:
        """Choose the tracks of the result. folder: for files to attach."""
        tracks, source = TrackMapping(self._container, faults), self.source
        if self.slowdown == 1:
            if self.audio:
                tracks.add(2 if source else 1, self.audio, [first_sound(self.audio)])
            elif source and self.keep_audio:
                tracks.add(1, source.path, source.audio)
            if source:
                tracks.add(1, source.path, source.subtitles)
                tracks.add(1, source.path, data_tracks(self.contents))
        if source:
            tracks.add(1, source.path, source.attachments)
            covers = self.contents.of(COVER)
            if self._container.covers == ATTACHMENT:
                for number, cover in enumerate(covers, 1):
                    picture = _extract_cover(source.path, cover, folder)
                    tracks.attach(picture, cover, number)
            else:
                tracks.add(1, source.path, covers)
        return tracks

    def _tags(self) -> list[str]:
        """Return options for chapters, and the tags of the file and the video track."""
        track = self.contents.video
        if not track:
            return []
        options = ["-map_metadata", "1", "-map_chapters", "1" if self.slowdown == 1 else "-1"]
        tags = {
            key: value
            for key, value in track.tags.items()
            if key == "handler_name" or not is_technical(key)
        }
        # ffmpeg makes a timecode track of the tag of the video track, but prefers the file's.
        tags |= self._timecode()
        if "stereo_mode" in self.contents.tags:  # Matroska's muxer makes a property of it.
            tags["stereo_mode"] = self.contents.tags["stereo_mode"]
        options += ["-metadata", "timecode="]
        if track.title:
            tags["title"] = track.title
        if track.language:
            tags["language"] = stored_language(track.language, self._container.format)
        for key, value in tags.items():
            options += ["-metadata:s:v:0", f"{key}={value}"]
        marks = "+".join(sorted(track.dispositions | {"default"}))
        return [*options, "-disposition:v:0", marks]

    def _timecode(self) -> dict[str, str]:
        """Return the tags with the timecode of the result's first frame, and with the reel."""
        if self.source is None or self.slowdown != 1:
            return {}
        code = self.contents.timecode or ""
        timecode = shifted(code, self.source.rate, self.start, self.rate)
        tags = {"timecode": timecode, "reel_name": self.contents.reel}
        return {key: value for key, value in tags.items() if value}

    def _notes(self, tracks: TrackMapping, has_captions: bool) -> list[str]:
        """Compare the result with the source; return all sentences for the user."""
        notes, slow = [], self.slowdown != 1
        source = self.contents
        if has_captions:
            source = replace(source, picture=source.picture - {CAPTIONS})
        if slow:
            names = listed(source, (SOUND, SUBTITLES, DATA))
            names += ["sound"] if self.audio and "sound" not in names else []
            notes += _left_out(names, "a film in slow motion")
        with opened(self.destination) as container:
            result = read_contents(self.destination, container)
        result = with_picture(self.destination, result)
        whole = not slow and not self._is_part
        names = missing(source, result, tracks.kept, whole=whole)
        notes += [*unused_tracks(source), *tracks.notes]
        notes += _left_out(names, self._container.name)
        return notes + without_pictures(source, result)

    def _inputs(self) -> list[str]:
        """Return the arguments of all inputs, on a common clock.

        A whole film keeps the clock of its file, on which picture and sound may start at different
        times. For a part, the clock starts with its first frame.
        """
        source = self.source
        if source and source.clock:
            return self._repaired_inputs(source, source.clock)
        lead = source.start - source.origin if source else Fraction(0)
        if self._is_part:
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

    def _repaired_inputs(self, source: Film, clock: FilmClock) -> list[str]:
        """Return the same for a source whose clock is repaired; its tracks end with the part."""
        begin, length, lead, part = clock.origin, None, source.start - clock.origin, []
        if self._is_part:
            begin, lead = source.start + self.start, Fraction(0)
            length = source.duration - self.start if self.duration is None else self.duration
            part = ["-ss", seconds(self.start), "-t", seconds(length)]
        inputs = ["-copyts", *reading(self.video, "-itsoffset", seconds(lead))]
        inputs += reading(source.path, *restamped(clock, begin, length))
        if self.audio:
            inputs += reading(self.audio, *part, "-itsoffset", seconds(lead - self.start))
        return inputs

    @property
    def _is_part(self) -> bool:
        return bool(self.start) or self.duration is not None

    def _part(self) -> list[str]:
        """Return options that keep a part of all tracks; none for a whole film.

        Sound before the first frame is dropped, since Matroska would delay the picture for it.
        """
        if not self._is_part or (self.source and self.source.clock):
            return []
        end = [] if self.duration is None else ["-t", seconds(self.duration * self.slowdown)]
        return ["-copypriorss", "0", *end]

    def find_faults(self) -> Faults:
        """Try each track by itself, as a copy and converted; return those that cannot be copied."""
        if self.source is None:
            return {}
        faults: dict[tuple[Path, int], str | None] = {}
        path, tracks = self.source.path, (*self.source.audio, *self.source.subtitles)
        for track in (*tracks, *data_tracks(self.contents)):
            if self._complaint(path, track, {}):
                faults[path, track.index] = None
                faults[path, track.index] = self._complaint(path, track, faults)
        for cover in self.contents.of(COVER):
            complaint = _cover_complaint(path, cover)
            if complaint:
                faults[path, cover.index] = complaint
        return faults

    def _complaint(self, path: Path, track: Track, faults: Faults) -> str | None:
        """Return what ffmpeg says about a track that it cannot copy or convert, else None."""
        tracks = TrackMapping(self._container, faults)
        tracks.add(0, path, [track])
        if not tracks.options:
            return None
        with scratch_folder(self.destination) as folder:
            trial = url(folder / f"track{self._container.suffix}")
            try:
                run([*reading(path), *tracks.options, "-t", _TRIAL_SECONDS, trial], "")
            except MachineError:
                raise
            except MediaError as error:
                return str(error).lstrip(": ")
        return None


def _extract_cover(path: Path, cover: Track, folder: Path) -> Path | None:
    """Write a cover picture of a film to a file of its own; None if it is damaged."""
    suffix = _COVER_SUFFIXES.get(cover.codec, cover.codec)
    picture = folder / f"cover{cover.index}.{suffix}"
    copied = ["-map", f"0:{cover.index}", "-c", "copy", "-frames:v", "1", "-f", "image2"]
    try:
        run([*reading(path), *copied, "-update", "1", url(picture)], "")
    except MachineError:
        raise
    except MediaError:
        return None
    return picture if picture.exists() else None


def _cover_complaint(path: Path, cover: Track) -> str | None:
    """Return what ffmpeg says about a cover picture that it cannot decode, else None."""
    try:
        run([*reading(path), "-map", f"0:{cover.index}", "-frames:v", "1", "-f", "null", "-"], "")
    except MachineError:
        raise
    except MediaError as error:
        return str(error).lstrip(": ")
    return None


def _left_out(names: Sequence[str], holder: str) -> list[str]:
    return [f"left out, because {holder} cannot hold it: {', '.join(names)}"] if names else []


def first_sound(path: Path) -> Track:
    """Return the first sound track of a file.

    Raises:
        MediaError: the file cannot be read, or has no sound.
    """
    tracks = sound_tracks(path)
    if not tracks:
        raise MediaError(f"{path}: this file has no sound")
    return tracks[0]


def _write_images(
    video: Path,
    contents: Contents,
    destination: Path,
    rate: Fraction,
    audio: Path | None,
    scan: Path | None,
    times: int,
) -> list[str]:
    """Write an animation or numbered images; return notes on all that such a result cannot hold.

    times: how often an animation plays, 0 for endless.
    """
    notes, holder = [], "a folder of images"
    has_alpha = PixelLayout.of(pixel_format(video)).alpha > 0
    if destination.suffix.lower() == ".gif":
        notes, holder = write_gif(video, destination, rate, times), "a GIF"
        if has_alpha and not (contents.video and contents.video.codec == "gif"):
            notes.append("a GIF shows a pixel or does not: half transparency was rounded")
    elif not is_pattern(destination):
        write_animation(video, destination, times)
        holder = "an animation"
    else:
        write_images(video, destination, rate, scan)
        if destination.suffix.lower() == ".exr":
            notes.append("EXR holds linear light: the sRGB curve was undone")
    names = listed(contents)
    names += ["sound"] if audio and "sound" not in names else []
    names += missing(contents, Contents(), {}, whole=False)
    notes += [*_left_out(names, holder), *unused_tracks(contents)]
    picture = frozenset([TRANSPARENCY] if has_alpha else [])
    return notes + without_pictures(contents, Contents(picture=picture))
