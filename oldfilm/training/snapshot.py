"""Writes weights while they are being made."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def write_weights(weights: dict[str, Tensor], output: Path) -> None:
    """Write a `.safetensors` beside, then rename it: a snapshot can be read at any time."""
    beside = output.with_suffix(".part")
    save_file({name: value.contiguous() for name, value in weights.items()}, str(beside))
    beside.replace(output)
