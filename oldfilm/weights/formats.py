"""Recognize and read the file formats of weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from oldfilm.errors import WeightsError
from oldfilm.weights.commands import command
from oldfilm.weights.ncnn_file import FULL, HALF
from oldfilm.weights.paddle_file import read_paddle
from oldfilm.weights.torch_file import MAGIC, is_torch_archive


class Kind(Enum):
    """The format of a file, recognized by its content: `.pkl`, `.tar` and `.ckpt` mean anything."""

    SAFETENSORS = "a .safetensors file"
    PADDLE = "a Paddle file"
    TORCH = "a PyTorch file"
    NCNN = "a file of ncnn"
    EMPTY = "an empty file (0 bytes)"
    WEB_PAGE = "a web page"
    LFS_POINTER = "a Git LFS pointer: the name of the weights, without the weights"
    ARCHIVE = "an archive, which must be unpacked first"
    OTHER = "not a weight file"

    @property
    def must_be_converted(self) -> bool:
        """Whether oldfilm reads the format only to convert it."""
        return self in (Kind.TORCH, Kind.NCNN)


def kind_of(path: Path) -> Kind:
    """Recognize the format of a file.

    Raises:
        WeightsError: the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}).") from error
    if start.startswith(MAGIC):
        return Kind.TORCH
    if start.startswith(b"PK"):
        return Kind.TORCH if is_torch_archive(path) else Kind.ARCHIVE
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return Kind.PADDLE
    if start.startswith(HALF) or (start.startswith(FULL) and path.suffix == ".bin"):
        return Kind.NCNN
    return _kind_of_text(start)


def _kind_of_text(start: bytes) -> Kind:
    if not start:
        return Kind.EMPTY
    if is_web_page(start):
        return Kind.WEB_PAGE
    if start.startswith(b"version https://git-lfs"):
        return Kind.LFS_POINTER
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")):
        return Kind.ARCHIVE
    return Kind.SAFETENSORS if start[8:9] == b"{" else Kind.OTHER


def is_web_page(start: bytes) -> bool:
    """Return whether a file that starts with these bytes is HTML or XML."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return re.match(rb"<[!?a-z]", text) is not None


def read_weights(path: Path, layout: str | None = None) -> dict[str, np.ndarray]:
    """Read the arrays of a `.safetensors` or `.pdparams` file, by name, in float32.

    layout: the entry of a `.pdparams` file that holds the network. Ignored where the file has no
    such entry.

    Raises:
        WeightsError: the file is damaged, has another format, or holds more than data.
    """
    kind = kind_of(path)
    if kind is Kind.SAFETENSORS:
        return _in_float32(_read_safetensors(path))
    if kind is Kind.PADDLE:
        return flattened(_entry(read_paddle(path), layout))
    if kind.must_be_converted:
        convert = command("weights", "convert", path, "--model", "NAME")
        raise WeightsError(f"{path} is {kind.value}: convert it once with `{convert}`.")
    raise WeightsError(f"{path} cannot be read as weights: {unreadable(kind)}.")


def unreadable(kind: Kind) -> str:
    """Say what a file is that holds no weights."""
    return f"it is {kind.value}{', or damaged' if kind is Kind.OTHER else ''}"


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as weights ({error}).") from error


def metadata_of(path: Path) -> dict[str, str]:
    """Return the metadata in the header of a `.safetensors` file; empty if there is none."""
    try:
        with safe_open(path, "np") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError, ValueError):  # Reading the weights reports the damage.
        return {}


def _entry(stored: Any, layout: str | None) -> Any:
    if layout and isinstance(stored, Mapping) and isinstance(stored.get(layout), Mapping):
        return stored[layout]
    return stored


def flattened(stored: Any) -> dict[str, np.ndarray]:
    """Collect the arrays of nested dicts, in float32, by their keys joined with dots.

    Values that are not arrays are dropped.

    Raises:
        WeightsError: an array holds something other than numbers.
    """
    arrays: dict[str, np.ndarray] = {}
    for key, value in stored.items() if isinstance(stored, Mapping) else ():
        if isinstance(value, Mapping):
            arrays.update({f"{key}.{name}": part for name, part in flattened(value).items()})
        elif isinstance(value, np.ndarray):
            if value.dtype.kind not in "biuf":
                raise WeightsError(f"the entry {key!r} holds {value.dtype} in place of numbers.")
            arrays[str(key)] = value
    return _in_float32(arrays)


def _in_float32(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: value.astype(np.float32 if value.dtype.kind == "f" else value.dtype, "C", copy=False)
        for name, value in arrays.items()
    }
