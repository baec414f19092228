"""Open media files with PyAV."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oldfilm.errors import MediaError
from oldfilm.media import joined, unreadable
from oldfilm.media.ffmpeg import FORMATS, source_url

if TYPE_CHECKING:
    from av.container import InputContainer


@contextmanager
def opened(path: Path, **options: str) -> Iterator[InputContainer]:
    """Open a file with PyAV and turn PyAV's exceptions into `MediaError`.

    options: those of ffmpeg's demuxer.

    Raises:
        MediaError: the file does not exist, or cannot be read as media.
    """
    import av

    if not path.exists():
        raise MediaError(f"{path}: no such file")
    try:
        name, listed = source_url(path)
        options |= {"protocol_whitelist": "file", "format_whitelist": FORMATS, **listed}
        form = "concat" if listed else None
        errors = _text_errors(av.__version__)
        with av.open(name, format=form, options=options, **errors) as container:
            yield container
    except PermissionError as error:
        raise MediaError(f"{path}: no permission to read this file") from error
    except av.error.FFmpegError as error:
        if path.stat().st_size == 0:
            raise MediaError(f"{path}: this file is empty") from error
        if known := unreadable.reason(path) or joined.unopened(path):
            raise MediaError(f"{path}: {known}") from error
        if error.errno == errno.EINVAL:  # also raised for a format that is not in FORMATS
            raise MediaError(
                f"{path}: not a film, or damaged, or of an unsupported format "
                "(playlists and other lists of files are not read)"
            ) from error
        raise MediaError(f"{path}: not a film, or damaged ({error.strerror})") from error


def _text_errors(version: str) -> dict[str, Any]:
    """Return the arguments with which PyAV accepts metadata that is not UTF-8.

    PyAV 19 and later accept it without any.
    """
    return {} if int(version.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
