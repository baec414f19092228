"""Films without time stamps, such as raw streams of H.264: their frames are counted."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from oldfilm.errors import MediaError, written
from oldfilm.media.film import FOLDER_RATE
from oldfilm.media.frame_rate import untimed_rate
from oldfilm.media.opening import opened
from oldfilm.media.packets import Packets, demuxed

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_FORMATS = frozenset(
    # fmt: off
    [
        "av1",
        "cavsvideo",
        "dirac",
        "dnxhd",
        "dv",
        "gxf",
        "h261",
        "h263",
        "h264",
        "hevc",
        "m4v",
        "mjpeg",
        "mpegvideo",
        "obu",
        "rawvideo",
        "vc1",
        "vvc",
    ]
    # fmt: on
)
"""Formats without presentation times, or with those that ffmpeg estimates."""

_TRIAL_RATE = "31"
"""Frames per second that few films have."""


def is_untimed(form: str) -> bool:
    """Return whether a format has no presentation times. form: ffmpeg's name of it."""
    return form in _FORMATS or form.endswith("_pipe")


def is_photograph(path: Path, container: InputContainer) -> bool:
    """Return whether an opened file is a single image, and not images one after the other."""
    form = container.format.name
    if form == "image2" or not form.endswith("_pipe"):
        return form == "image2"
    with opened(path) as again:
        packets = demuxed(again, [again.streams.video[0]])
        return len([packet for packet, _ in zip(packets, range(2))]) < 2


def rate_of(
    path: Path, stream: VideoStream, video: Packets, given: Fraction | None
) -> tuple[Fraction, list[str]]:
    """Return the frame rate of a film without time stamps, and a note if it is assumed.

    given: the user's rate.

    Raises:
        MediaError: the user gives a rate, and the file states one.
    """
    stated = stream.guessed_rate or stream.average_rate
    if stated and not _follows_user(path, stream):
        refuse_rate(path, given)
        return untimed_rate(video.durations, video.tick, stated), []
    if given:
        return given, []
    return FOLDER_RATE, [assumed(FOLDER_RATE)]


def refuse_rate(path: Path, given: Fraction | None) -> None:
    """Raise MediaError if the user gives a rate for a film that has one."""
    if given is not None:
        raise MediaError(
            f"{path}: this film has a rate of its own; set a rate only for folders of frames and "
            "for files that state none"
        )


def assumed(rate: Fraction) -> str:
    """Return the note on a rate that is stored nowhere."""
    return (
        f"no frame rate is stored: {written(rate)} frames per second are assumed; `input_fps` sets "
        "another"
    )


def _follows_user(path: Path, stream: VideoStream) -> bool:
    """Return whether ffmpeg takes the rate from the user, because the file states none."""
    with opened(path, framerate=_TRIAL_RATE) as container:
        again = container.streams[stream.index]
        return bool(again.guessed_rate != stream.guessed_rate)
