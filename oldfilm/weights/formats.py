"""Recognize and read the file formats of weights."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from oldfilm.errors import WeightsError
from oldfilm.weights.commands import command
from oldfilm.weights.paddle_file import read_paddle

_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickled number at the start of files that torch before 1.6 saved."""


class Kind(Enum):
    """The format of a file, recognized by its content: `.pkl`, `.tar` and `.ckpt` mean anything."""

    SAFETENSORS = "a .safetensors file"
    PADDLE = "a Paddle file"
    TORCH = "a PyTorch file"
    WEB_PAGE = "a web page"
    OTHER = "not a weight file"


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
    if start.startswith(_TORCH_MAGIC) or _is_torch_archive(path, start):
        return Kind.TORCH
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04"):
        return Kind.PADDLE
    if is_web_page(start):
        return Kind.WEB_PAGE
    return Kind.SAFETENSORS if start[8:9] == b"{" else Kind.OTHER


def is_web_page(start: bytes) -> bool:
    """Return whether a file that starts with these bytes is HTML."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return text.startswith((b"<!doctype", b"<html", b"<?xml"))


def _is_torch_archive(path: Path, start: bytes) -> bool:
    if not start.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:  # Truncated: the table of contents is at the end.
        return False


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
    if kind is Kind.TORCH:
        convert = command("weights", "convert", path, "--model", "NAME")
        raise WeightsError(f"{path} is a PyTorch file: convert it once with `{convert}`.")
    raise WeightsError(f"{path} cannot be read as weights: it is {kind.value}, or damaged.")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as weights ({error}).") from error


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
