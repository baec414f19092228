"""Reads weights, and loads them so that nothing is left out without a word."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from oldfilm.errors import WeightsError
from oldfilm.weights.commands import command
from oldfilm.weights.paddle_file import read_paddle

if TYPE_CHECKING:
    import paddle

_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files of torch before 1.6 begin: a pickled number."""


class Kind(Enum):
    """What a file is, by its first bytes; names lie (`.pkl`, `.tar`, `.ckpt`)."""

    SAFETENSORS = "a .safetensors file"
    PADDLE = "a Paddle file"
    TORCH = "a PyTorch file"
    WEB_PAGE = "a web page"
    OTHER = "no weight file"


def kind_of(path: Path) -> Kind:
    """What the file at `path` is.

    Raises:
        WeightsError: it cannot be opened.
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
    """Whether these are the first bytes of HTML."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return text.startswith((b"<!doctype", b"<html", b"<?xml"))


def _is_torch_archive(path: Path, start: bytes) -> bool:
    if not start.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:  # Not complete: its table stands at the end.
        return False


def read_weights(path: Path, layout: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of a `.safetensors` or `.pdparams` file, by name, in float32.

    layout: the entry of a `.pdparams` that holds the network, where it has one of that name.

    Raises:
        WeightsError: the file is of another kind, damaged, or holds more than data.
    """
    kind = kind_of(path)
    if kind is Kind.SAFETENSORS:
        return _in_float32(_read_safetensors(path))
    if kind is Kind.PADDLE:
        return flattened(_entry(read_paddle(path), layout))
    if kind is Kind.TORCH:
        raise WeightsError(
            f"{path} is a PyTorch file: convert it once with "
            f"`{command('weights', 'convert', path, '--model', 'NAME')}`."
        )
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
    """The float32 arrays of nested dicts, by their keys joined with dots; other values are dropped.

    Raises:
        WeightsError: an array holds no numbers.
    """
    arrays: dict[str, np.ndarray] = {}
    for key, value in stored.items() if isinstance(stored, Mapping) else ():
        if isinstance(value, Mapping):
            arrays.update({f"{key}.{name}": part for name, part in flattened(value).items()})
        elif isinstance(value, np.ndarray):
            if value.dtype.kind not in "biuf":
                raise WeightsError(f"the entry {key!r} holds {value.dtype}, which are no weights.")
            arrays[str(key)] = value
    return _in_float32(arrays)


def _in_float32(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: value.astype(np.float32 if value.dtype.kind == "f" else value.dtype, "C", copy=False)
        for name, value in arrays.items()
    }


@dataclass(frozen=True)
class Misfit:
    """How weights differ from what a network wants, by key."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    misshapen: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.misshapen)

    def __len__(self) -> int:
        return len(self.missing) + len(self.extra) + len(self.misshapen)

    def told(self, shown: int = 5) -> str:
        """In words; of each kind the first `shown` keys are named."""
        parts = [f"{kind}: {_listed(names, shown)}" for kind, names in vars(self).items() if names]
        return "; ".join(parts)


def misfit(network: paddle.nn.Layer, weights: Mapping[str, np.ndarray]) -> Misfit:
    """How `weights` differ from what `network` wants; false where they fit."""
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    misshapen = [
        f"{name} is {list(found[name])}, not {list(wanted[name])}"
        for name in sorted(wanted.keys() & found.keys())
        if found[name] != wanted[name]
    ]
    return Misfit(
        missing=tuple(sorted(wanted.keys() - found.keys())),
        extra=tuple(sorted(found.keys() - wanted.keys())),
        misshapen=tuple(misshapen),
    )


def load_strictly(network: paddle.nn.Layer, weights: dict[str, np.ndarray], origin: str) -> None:
    """Put `weights` into `network`; every key and shape must match.

    origin: where the weights are from, for the message.

    Raises:
        WeightsError: a key is missing or extra, or a shape differs; the message names them.
    """
    if wrong := misfit(network, weights):
        raise WeightsError(
            f"{origin} does not fit {type(network).__name__}; it holds the weights of another "
            f"network, or of another variant ({wrong.told()})."
        )
    network.set_state_dict(weights)  # type: ignore[arg-type]  # arrays are taken as well


def _listed(names: tuple[str, ...], shown: int) -> str:
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest
