"""Find the films and photographs at a path."""

from __future__ import annotations

from pathlib import Path

from oldfilm.errors import MediaError
from oldfilm.media.image_sequence import numbered_frames
from oldfilm.media.photo import PHOTOGRAPH_SUFFIXES

# fmt: off
FILM_SUFFIXES = frozenset([
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
])
# fmt: on
RESULT_SUFFIXES = FILM_SUFFIXES | PHOTOGRAPH_SUFFIXES
"""Suffixes of an output path that names the result itself, not its folder."""


def is_photograph(path: Path) -> bool:
    """Return whether a path has the suffix of a photograph and is not a folder."""
    return path.suffix.lower() in PHOTOGRAPH_SUFFIXES and not path.is_dir()


def sources(path: Path) -> list[Path]:
    """Return the films and photographs at a path: the file itself, or those in a folder.

    A folder of numbered frames, whose names differ only in the number, is one film.

    Raises:
        MediaError: the path does not exist, or the folder has no films or photographs.
    """
    if not path.exists():
        raise MediaError(f"{path}: no such file or folder")
    if not path.is_dir() or _is_numbered(path):
        return [path]
    known = FILM_SUFFIXES | PHOTOGRAPH_SUFFIXES
    found = sorted(
        p for p in path.iterdir() if p.suffix.lower() in known and not p.name.startswith(".")
    )
    if not found:
        raise MediaError(f"{path}: this folder holds no film and no photograph")
    return found


def _is_numbered(folder: Path) -> bool:
    if any(p.suffix.lower() in FILM_SUFFIXES for p in folder.iterdir()):
        return False
    try:
        return len(numbered_frames(folder)) > 1
    except MediaError:
        return False
