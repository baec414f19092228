"""Find sound that begins late in a broadcast or DVD, where ffmpeg does not look for tracks.

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
"""In how many places to look for sound."""
_BYTES = 1 << 20
"""How many bytes to read in each place."""


def late_sound(path: Path, container: InputContainer) -> list[str]:
    """Return a note if a file has sound that ffmpeg does not find when it opens the file."""
    if container.format.name not in WRAPS:
        return []
    known, size = {stream.id for stream in container.streams}, path.stat().st_size
    with path.open("rb") as file:
        for place in range(0, size, max(_BYTES, size // _PLACES)):
            file.seek(place)
            if not _sound_in(file.read(_BYTES), container.format.name) <= known:
                return [
                    f"sound that begins after about {place:,} bytes of the file is left out: the "
                    "file begins with a part without it; restore the parts one by one"
                ]
    return []


def _sound_in(data: bytes, form: str) -> set[int]:
    """Return the numbers of the sound tracks in a piece of a file."""
    import av

    try:
        with av.open(io.BytesIO(data), format=form) as container:
            return {stream.id for stream in container.streams.audio if stream.sample_rate}
    except (av.error.FFmpegError, ValueError):
        return set()
