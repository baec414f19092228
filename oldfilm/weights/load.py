"""Reads weights, and loads them so that nothing is left out without a word."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from oldfilm.errors import WeightsError

if TYPE_CHECKING:
    import paddle

_SHOWN = 5


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a `.safetensors` file, by name; float16, as shipped, becomes float32.

    Raises:
        WeightsError: the file is of another kind, or damaged.
    """
    if path.suffix != ".safetensors":
        raise WeightsError(f"{path}: weights are read from .safetensors files in this version.")
    try:
        stored = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read as weights ({error}).") from error
    return {
        name: value.astype(np.float32) if value.dtype == np.float16 else value
        for name, value in stored.items()
    }


def load_strictly(network: paddle.nn.Layer, weights: dict[str, np.ndarray], origin: str) -> None:
    """Put `weights` into `network`; every key and shape must match.

    origin: where the weights are from, for the message.

    Raises:
        WeightsError: a key is missing or extra, or a shape differs; the message names them.
    """
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    misshapen = [
        f"{name} is {list(found[name])}, not {list(wanted[name])}"
        for name in sorted(wanted.keys() & found.keys())
        if found[name] != wanted[name]
    ]
    problems = {
        "missing": sorted(wanted.keys() - found.keys()),
        "extra": sorted(found.keys() - wanted.keys()),
        "misshapen": misshapen,
    }
    told = [f"{kind}: {_listed(names)}" for kind, names in problems.items() if names]
    if told:
        raise WeightsError(
            f"{origin} does not fit {type(network).__name__}; it holds the weights of another "
            f"network, or of another variant ({'; '.join(told)})."
        )
    network.set_state_dict(weights)  # type: ignore[arg-type]  # arrays are taken as well


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
