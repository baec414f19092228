"""Edit lists of MP4 and QuickTime files: which part of a track is shown, and how fast."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from oldfilm.media.iso_boxes import movie_index
from oldfilm.media.opening import opened

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_NOTED_SECONDS = 1
"""How many seconds an edit list must hide for a note."""
_MOST_EDITS = 10_000
_LISTED = 5
"""How many speeds a note lists."""


def hides_all(path: Path, index: int) -> str | None:
    """Return what to do about an edit list that hides all frames; None if it does not."""
    with opened(path, ignore_editlist="1") as container:
        stream = next(s for s in container.streams.video if s.index == index)
        if next(container.decode(stream), None) is None:
            return None
    return (
        "its edit list hides all frames: `ffmpeg -ignore_editlist 1 -i FILE -map 0 -c copy NEW` "
        "writes a file that shows them"
    )


def hidden_part(stream: VideoStream, shown: int, rate: Fraction) -> list[str]:
    """Return a note if an edit list hides more than what decoding needs.

    shown: how many packets of the stream are not hidden.
    """
    hidden = stream.frames - shown
    if hidden < _NOTED_SECONDS * rate:
        return []
    return [
        f"the edit list of the file hides {hidden} of {stream.frames} frames: they are left out"
    ]


def other_speeds(path: Path) -> list[str]:
    """Return a note if an edit list shows parts of the file faster, slower, or as a still.

    ffmpeg shows them as they are stored.
    """
    speeds = sorted(set(_speeds(path)) - {1.0})
    if not speeds:
        return []
    listed = ", ".join(f"{speed:g}" for speed in speeds[:_LISTED])
    return [
        f"the edit list of the file plays parts at other speeds ({listed}): they are shown as "
        "fast as they are stored"
    ]


def _speeds(path: Path) -> list[float]:
    """Return the speeds of all edits (ISO 14496-12, 8.6.6) that are not empty."""
    index, speeds = movie_index(path), []
    for box in re.finditer(rb"edts.{4}elst", index, re.DOTALL):
        form = ">Qqi" if index[box.end()] == 1 else ">Iii"
        (count,) = struct.unpack_from(">I", index, box.end() + 4)
        size = struct.calcsize(form)
        edits = index[box.end() + 8 : box.end() + 8 + min(count, _MOST_EDITS) * size]
        whole = len(edits) // size * size
        every = struct.iter_unpack(form, edits[:whole])
        speeds += [speed / 65536 for _, begins, speed in every if begins >= 0]
    return speeds
