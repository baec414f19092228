"""Reads PyTorch's files as data, with torch's own `weights_only`; only `convert` needs it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from oldfilm.errors import WeightsError

HARMLESS = [datetime]
"""What authors' files hold beside weights (Super SloMo's says when it was saved)."""


def read_torch(path: Path) -> Any:
    """What `torch.save` wrote: dicts of float32 (or integer) arrays; plain values are kept.

    Raises:
        WeightsError: torch is not installed; the file is damaged, or holds anything but data.
    """
    torch = import_torch(path)
    try:
        with torch.serialization.safe_globals(HARMLESS):
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"{path} is damaged, or holds more than weights, and was not opened; save its "
            f"state_dict alone, with torch.save ({reason})."
        ) from error
    except Exception as error:  # torch raises RuntimeError, EOFError, KeyError, ... for damage
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise WeightsError(
            f"{path} cannot be read as weights: it is damaged, or not complete ({reason})."
        ) from error
    return _as_arrays(stored, torch)


def import_torch(wanted_for: Path | str) -> Any:
    """The module torch.

    wanted_for: the file that is to be read, for the message.

    Raises:
        WeightsError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise WeightsError(
            f"{wanted_for} is a PyTorch file, and reading it takes torch, once: "
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
