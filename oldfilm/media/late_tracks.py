"""Find tracks that begin late in a broadcast or DVD, where ffmpeg does not look for them.

Such files have no list of their tracks. ffmpeg reads a few megabytes at their begin and end.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from oldfilm.media.clock import WRAPS

if TYPE_CHECKING:
    from av.container import InputContainer

_PLACES = 16
"""In how many places to look for tracks."""
_BYTES = 1 << 20
"""How many bytes to read in each place."""
_LEFT = (
    "of the file is left out: the file begins with a part without it; restore the parts one by one"
)


def late_tracks(path: Path, container: InputContainer) -> list[str]:
    """Return notes if a file has sound or pictures that ffmpeg does not find when it opens it."""
    if container.format.name not in WRAPS:
        return []
    known, size = {stream.id for stream in container.streams}, path.stat().st_size
    notes: dict[str, str] = {}
    with path.open("rb") as file:
        for place in range(0, size, max(_BYTES, size // _PLACES)):
            file.seek(place)
            found = _tracks_in(file.read(_BYTES), container.format.name)
            for kind in (kind for number, kind in found.items() if number not in known):
                notes.setdefault(kind, f"{kind} that begins after about {place:,} bytes {_LEFT}")
    return list(notes.values())


def _tracks_in(data: bytes, form: str) -> dict[int, str]:
    """Return the kinds of the tracks in a piece of a file, by number."""
    import av

    try:
        with av.open(io.BytesIO(data), format=form) as container:
            # Streams that PyAV cannot decode lack these attributes.
            audio, video = container.streams.audio, container.streams.video
            sound = {s.id: "sound" for s in audio if getattr(s, "sample_rate", 0)}
            pictures = {s.id: "video" for s in video if getattr(s, "width", 0)}
            return {**sound, **pictures}
    except (av.error.FFmpegError, ValueError):
        return {}
