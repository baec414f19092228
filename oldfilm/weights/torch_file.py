"""Read PyTorch files as data, with torch's `weights_only`; only `convert` needs torch."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from oldfilm.errors import WeightsError

HARMLESS = [datetime]
"""Harmless types in published files (Super SloMo's file stores a date)."""


def read_torch(path: Path) -> Any:
    """Read a file of `torch.save`: dicts of float32 or integer arrays, and plain values.

    Raises:
        WeightsError: torch is not installed; the file is damaged, or holds more than data.
    """
    torch = import_torch(path)
    try:
        with torch.serialization.safe_globals(HARMLESS):
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"{path} is damaged, or holds more than weights, and was not opened: save its "
            f"state_dict alone, with torch.save ({reason})."
        ) from error
    except Exception as error:  # Damaged files raise errors of many types.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise WeightsError(
            f"{path} cannot be read as weights: it is damaged or incomplete ({reason})."
        ) from error
    return _as_arrays(stored, torch)


def import_torch(wanted_for: Path | str) -> Any:
    """Import torch.

    wanted_for: the file to read, for the message.

    Raises:
        WeightsError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise WeightsError(
            f"{wanted_for} is a PyTorch file, and its conversion requires torch: "
            "`pip install 'oldfilm[convert]'`."
        ) from error
    return torch


def _as_arrays(stored: Any, torch: Any) -> Any:
    if isinstance(stored, Mapping):
        return {key: _as_arrays(value, torch) for key, value in stored.items()}
    if not isinstance(stored, torch.Tensor):
        return stored
    value = stored.detach()
    return (value.float() if value.is_floating_point() else value).contiguous().numpy()
