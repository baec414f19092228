"""Open films with PyAV and read their properties."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oldfilm.errors import MediaError, written
from oldfilm.media import edit_list, unreadable
from oldfilm.media.animation import is_decoded_here, open_animation
from oldfilm.media.clock import WRAPS, repaired_clock
from oldfilm.media.contents import (
    DATA,
    SOUND,
    SUBTITLES,
    Contents,
    Track,
    description,
    read_contents,
    tagged_end,
)
from oldfilm.media.ffmpeg import NUT, FFmpeg, open_nut, reading
from oldfilm.media.film import ColorTags, Film, FrameTimes
from oldfilm.media.frame_rate import MATROSKA_TICK, animation_rate, estimate_rate, placed
from oldfilm.media.image_sequence import open_folder
from oldfilm.media.joined import note_on
from oldfilm.media.late_tracks import late_tracks
from oldfilm.media.linked_parts import linked_parts
from oldfilm.media.opening import opened
from oldfilm.media.packets import UNKNOWN, Packets, read_packets
from oldfilm.media.picture import ALPHA_DECODERS, HDR10, has_alpha, turned
from oldfilm.media.untimed import is_photograph, is_untimed, rate_of, refuse_rate

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Code points of ITU-T H.273, by the names that ffmpeg's filters take.
_MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    11: "smpte2085",
    12: "chroma-derived-nc",
    13: "chroma-derived-c",
    14: "ictcp",
    15: "ipt-c2",
    16: "ycgco-re",
    17: "ycgco-ro",
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

_ANIMATIONS = frozenset({"gif", "apng"})

_CINEMA = "xyz"
"""How names of pixel formats begin that hold the colors of digital cinema (SMPTE 428-1)."""
_UNEVEN_START = Fraction(1, 4)
"""Part of a frame by which the first one may be early or late without moving the whole picture."""
_LONGEST_FRAME = 3600
"""Longest plausible display time of one frame, in seconds."""


def open_film(path: Path, rate: Fraction | None = None) -> Film:
    """Probe a video file or a folder of numbered frames; see `Film.open`."""
    if not path.exists():
        raise MediaError(f"{path}: no such file or folder")
    rate = None if rate is None else Fraction(rate)
    if rate is not None and rate <= 0:
        raise MediaError(f"{path}: a rate of {written(rate)} frames per second is not possible")
    if path.is_dir():
        return open_folder(path, rate)
    if path.is_file() and (known := unreadable.reason(path)):
        raise MediaError(f"{path}: {known}")
    if path.is_file() and is_decoded_here(path):
        refuse_rate(path, rate)
        return open_animation(path)
    with opened(path) as container:
        return _probe(path, container, rate)


def sound_tracks(path: Path) -> tuple[Track, ...]:
    """Return the sound tracks of a media file, which need not have a video stream.

    Raises:
        MediaError: the file cannot be read.
    """
    with opened(path) as container:
        return read_contents(path, container).of(SOUND)


def pixel_format(path: Path) -> str:
    """Return ffmpeg's name for the pixel format of a file's first video stream.

    Raises:
        MediaError: the file cannot be read.
    """
    with opened(path) as container:
        return container.streams.video[0].codec_context.pix_fmt or ""


def _probe(path: Path, container: InputContainer, rate: Fraction | None) -> Film:
    if is_photograph(path, container):
        raise MediaError(f"{path}: this is a photograph, not a film")
    contents = read_contents(path, container)
    stream = next((s for s in container.streams.video if s.index == contents.main), None)
    if stream is None:
        raise MediaError(f"{path}: this file has no video stream")
    timing = _timing(path, container, contents, stream, rate)
    properties = _frame_properties(path, stream.index)
    timing["notes"] += properties.pop("notes")
    if timing["clock"] and stream.codec_context.codec.canonical_name in ALPHA_DECODERS:
        properties["alpha"] = False  # It does not pass through the pipe of a repaired film.
    return Film(
        path=path,
        contents=contents,
        declared_frames=_declared_frames(stream, timing),
        **timing,
        **properties,
    )


def _timing(
    path: Path,
    container: InputContainer,
    contents: Contents,
    stream: VideoStream,
    given: Fraction | None,
) -> dict[str, Any]:
    """Read the fields of `Film` that concern rate, length and start. given: the user's rate."""
    kept = {t.index for kind in (SOUND, SUBTITLES, DATA) for t in contents.of(kind)}
    others = [other for other in container.streams if other.index in kept]
    packets = read_packets(container, [stream, *others])
    form = container.format.name
    unread = _notes_on_unread(path, container, stream, list(packets.values()))
    video = packets.pop(stream.index)
    clock, notes = repaired_clock(video, packets, form, _rate_hints(stream))
    times = clock.times if clock else _frame_times(video)
    if times is None or is_untimed(form):
        rate, assumed = rate_of(path, stream, video, given)
        times, variable, frames = None, False, len(video)
        notes = [*notes, *assumed]
    else:
        refuse_rate(path, given)
        rate, variable, times, uneven = _rate_and_places(path, form, stream, video, times)
        notes = [*notes, *uneven]
        frames = _length(times, rate, _last_duration(video) if variable else None)
    if "mov" in form:
        notes = [*notes, *edit_list.hidden_part(stream, len(video) + video.second_fields, rate)]
        notes += edit_list.other_speeds(path)
    origin = clock.origin if clock else Fraction(container.start_time or 0, 1_000_000)
    start = _start(video, rate, origin) if clock is None else clock.start
    start += _shift(times, rate)
    return {
        "rate": rate,
        "variable_rate": variable,
        "frames": frames,
        "times": times,
        "start": start,
        "origin": min(origin, start),
        "clock": clock,
        "notes": (*notes, *unread),
    }


def _notes_on_unread(
    path: Path, container: InputContainer, stream: VideoStream, tracks: Sequence[Packets]
) -> list[str]:
    """Return notes on what ffmpeg does not read of a file."""
    form = container.format.name
    linked = linked_parts(path) if "matroska" in form else []
    return [
        *note_on(path, form, tracks),
        *late_tracks(path, container),
        *unreadable.scrambled_part(path, form, stream.id),
        *linked,
    ]


def _shift(times: FrameTimes | None, rate: Fraction) -> Fraction:
    """Return by how much the picture begins later than its first frame says, in seconds."""
    lead = times.lead if times else Fraction(0)
    return lead if abs(lead * rate) > _UNEVEN_START else Fraction(0)


def _rate_hints(stream: VideoStream) -> tuple[Fraction | None, ...]:
    return stream.guessed_rate, stream.base_rate, stream.average_rate


def _rate_and_places(
    path: Path, format_name: str, stream: VideoStream, video: Packets, times: FrameTimes
) -> tuple[Fraction, bool, FrameTimes, list[str]]:
    """Return the rate, whether it varies, the times with places at this rate, and notes."""
    _refuse_endless(path, int(np.diff(times.stamps).max(initial=0)) * times.tick)
    last_duration = _last_duration(video)
    hints = _rate_hints(stream)
    if len(times.stamps) == 1 and format_name in WRAPS and last_duration:
        hints = (1 / last_duration,)  # Of a single frame, ffmpeg states the rate of fields.
    if format_name in _ANIMATIONS:
        rate, variable = animation_rate(times, last_duration)
    else:
        rate, variable = estimate_rate(times, hints)
    if variable:
        _refuse_endless(path, last_duration)
    times, notes = placed(times, rate, variable)
    return rate, variable, times, notes


def _last_duration(video: Packets) -> Fraction:
    """Return how long the last frame is shown, in seconds."""
    return int(video.durations[np.argmax(video.pts)]) * video.tick


def _length(times: FrameTimes, rate: Fraction, last_duration: Fraction | None) -> int:
    """Return the number of frames. last_duration: of a film of variable rate, in seconds."""
    last = times.slot(int(times.stamps[-1]), rate)
    return last + (1 if last_duration is None else max(1, round(last_duration * rate)))


def _start(video: Packets, rate: Fraction, origin: Fraction) -> Fraction:
    """Return the time of the first frame, in seconds. The first packets may have no time."""
    known = np.flatnonzero(video.pts != UNKNOWN)
    if not known.size:
        return origin
    return int(video.pts[known].min()) * video.tick - int(known[0]) / rate


def _frame_times(video: Packets) -> FrameTimes | None:
    """Return the times of all packets; None if some have none, or share one."""
    if not len(video) or (video.pts == UNKNOWN).any() or len(np.unique(video.pts)) < len(video):
        return None
    return FrameTimes(np.sort(video.pts), np.sort(video.pts[video.keys]), video.tick)


def _refuse_endless(path: Path, longest: Fraction) -> None:
    """Reject a damaged time stamp, which would make one frame repeat for hours."""
    if longest > _LONGEST_FRAME:
        raise MediaError(
            f"{path}: its time stamps are damaged: "
            f"one frame would last {float(longest / 3600):.1f} hours"
        )


def _frame_properties(path: Path, index: int) -> dict[str, Any]:
    """Read the fields of `Film` that come from the stream's header and first frame."""
    with opened(path) as container:
        stream = next(s for s in container.streams.video if s.index == index)
        first = next(
            (frame for packet in container.demux(stream) for frame in stream.decode(packet)),
            None,
        )
        if first is None:
            known = unreadable.reason(path) or unreadable.scrambled_picture(path, stream.id)
            known = known or edit_list.hides_all(path, index)
            known = known or f"not one frame of this film can be decoded{_coded(path, index)}"
            raise MediaError(f"{path}: {known}")
        found: dict[str, Any] = {
            "alpha": has_alpha(path, stream, first),
            "notes": (*turned(first, stream), *_cinema_note(first)),
        }
        aspect = stream.codec_context.sample_aspect_ratio
        if container.format.name == "dv" and aspect:
            found["sample_aspect"] = Fraction(aspect)  # ffmpeg states that of a later frame.
        return {**_geometry(path, index), **_properties(stream, first), **found}


def _cinema_note(first: VideoFrame) -> list[str]:
    if not first.format.name.startswith(_CINEMA):
        return []
    return ["its colors, the XYZ of digital cinema, were converted to BT.709"]


def _coded(path: Path, index: int) -> str:
    """Return the codec of a track as ffmpeg names it, in brackets; nothing if it does not say."""
    for line in description(path):
        if found := re.match(rf"  Stream #0:{index}\b.*: Video: (\w+)", line):
            return f" ({found.group(1)})"
    return ""


def _properties(stream: VideoStream, first: VideoFrame) -> dict[str, Any]:
    """Describe a frame and its stream, whose container must be open."""
    import av

    pixels = av.VideoFormat(first.format.name)
    gray = len([c for c in pixels.components if not c.is_alpha]) == 1 and not pixels.has_palette
    rgb = pixels.is_rgb or pixels.has_palette or pixels.name.startswith(_CINEMA)
    return {
        "rotation": int(first.rotation),
        "pixel_format": pixels.name,
        "bits": max(c.bits for c in pixels.components) if not pixels.has_palette else 8,
        "gray": gray,
        "rgb": rgb,
        "hdr10": HDR10.of(first, stream),
        "color": _color_tags(stream.codec_context, pixels, gray, rgb),
    }


def _geometry(path: Path, index: int) -> dict[str, Any]:
    """Return width, height and sample aspect as ffmpeg decodes them.

    ffmpeg crops and turns frames as the container says (clean aperture, display matrix); which of
    it PyAV reports depends on its version.
    """
    import av

    arguments = ["-nostdin", "-loglevel", "error", *reading(path), "-map", f"0:{index}"]
    # Without the matrix, ffmpeg converts films of any matrix to gray.
    arguments += ["-frames:v", "1", "-vf", "setparams=colorspace=unknown,format=gray"]
    arguments += ["-c:v", "rawvideo", *NUT, "-"]
    with FFmpeg(arguments, stdout=subprocess.PIPE) as child:
        try:
            with open_nut(child.stdout) as container:
                frame = container.streams.video[0]
                aspect = Fraction(frame.sample_aspect_ratio or 1) or Fraction(1)
                return {"width": frame.width, "height": frame.height, "sample_aspect": aspect}
        except av.error.FFmpegError as error:
            child.finish()
            reason = child.complaint()
            raise MediaError(f"{path}: no frame of this film can be decoded: {reason}") from error


def _color_tags(
    context: VideoCodecContext, pixels: VideoFormat, gray: bool, rgb: bool
) -> ColorTags:
    full_range = _RANGES.get(int(context.color_range))
    if pixels.name.startswith("yuvj"):
        full_range = True
    if rgb or gray:
        full_range = None  # Always of full range; for gray, this is what ffmpeg assumes.
    return ColorTags(
        matrix=None
        if gray or (rgb and context.colorspace == 0)
        else _MATRICES.get(int(context.colorspace)),
        primaries=_PRIMARIES.get(int(context.color_primaries)),
        transfer=_TRANSFERS.get(int(context.color_trc)),
        full_range=full_range,
    )


def _tick(stream: VideoStream) -> Fraction:
    return stream.time_base or MATROSKA_TICK


def _declared_frames(stream: VideoStream, timing: Mapping[str, Any]) -> int:
    if timing["clock"]:
        return 0  # The file compares its last time stamp with its first.
    rate, start = timing["rate"], timing["start"]
    end = tagged_end(stream)
    if stream.duration:
        return round(stream.duration * _tick(stream) * rate)
    return 0 if end is None else round((end - start) * rate)
