"""Find the films and photographs at a path."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from oldfilm.errors import MediaError, from_os
from oldfilm.media.animation import is_animation
from oldfilm.media.image_sequence import RepeatedNumber, numbered_frames
from oldfilm.media.picture_formats import PHOTOGRAPH_SUFFIXES

logger = logging.getLogger(__name__)

# fmt: off
FILM_SUFFIXES = frozenset([
    ".264", ".265", ".3g2", ".3gp", ".amv", ".apng", ".asf", ".avc", ".avi", ".cine", ".divx",
    ".dv", ".dif", ".f4v", ".flc", ".fli", ".flv", ".gif", ".gxf", ".h264", ".h265", ".hevc",
    ".ivf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod",
    ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm",
    ".rmvb", ".tod", ".trp", ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m",
])
# fmt: on
RESULT_SUFFIXES = FILM_SUFFIXES | PHOTOGRAPH_SUFFIXES
"""Suffixes of an output path that names the result itself, not its folder."""
_PHOTOGRAPH_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"II*\0", b"MM\0*")
"""The first bytes of JPEG, PNG and TIFF files."""
_MOST_NAMES = 5
"""How many of the files that are left out are named."""


def is_photograph(path: Path) -> bool:
    """Return whether a path is that of a photograph, not of a film or a folder.

    Its suffix decides; without one, the first bytes of the file do, since uploads have no suffix.
    An animated PNG, WebP or AVIF is a film.
    """
    if path.suffix:
        is_picture = path.suffix.lower() in PHOTOGRAPH_SUFFIXES and not path.is_dir()
        return is_picture and not is_animation(path)
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return start.startswith(_PHOTOGRAPH_SIGNATURES) or start[8:] == b"WEBP"


def sources(
    path: Path,
    is_result: Callable[[Path], bool] = lambda path: False,
    kinds: frozenset[str] = RESULT_SUFFIXES,
) -> list[Path]:
    """Return the films and photographs at a path: the file itself, or those in a folder.

    A folder of numbered frames, whose names differ only in the number, is one film. A warning names
    the files of a folder that are left out.

    is_result: says which files of a folder are results of ours, and not sources. kinds: suffixes
    of the files to return.

    Raises:
        MediaError: the path does not exist, or the folder has no films or photographs, or several
            frames of the same number.
    """
    if not path.exists():
        raise MediaError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    files = [p for p in _files(path) if not is_result(p)]
    if kinds & FILM_SUFFIXES and _is_film(path, files):
        return [path]
    found = [p for p in files if p.suffix.lower() in kinds or (not p.suffix and is_photograph(p))]
    if not found:
        what = "no film and no photograph" if kinds & FILM_SUFFIXES else "no photographs"
        raise MediaError(f"{path}: this folder has {what}")
    _name(path, [p.name for p in files if p not in found])
    return found


def _files(folder: Path) -> list[Path]:
    """The files of a folder by name, without hidden ones."""
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file())
    except OSError as error:
        raise from_os(f"{folder}: cannot be read", error) from error


def _name(folder: Path, left_out: list[str]) -> None:
    if left_out:
        more = f" and {len(left_out) - _MOST_NAMES} more" if len(left_out) > _MOST_NAMES else ""
        names = ", ".join(left_out[:_MOST_NAMES])
        logger.warning("%s: left out, because it cannot be restored: %s%s", folder, names, more)


def _is_film(folder: Path, files: list[Path]) -> bool:
    if any(p.suffix.lower() in FILM_SUFFIXES for p in files):
        return False
    try:
        return len(numbered_frames(folder, files)) > 1
    except RepeatedNumber:
        raise
    except MediaError:
        return False
