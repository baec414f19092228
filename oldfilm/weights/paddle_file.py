"""Read `.pdparams` files as data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oldfilm.weights.unpickler import StoredArray, Unpickler, refusing

_SLICED = "UnpackBigParamInfor@@"
_STATIC_NAMES = "StructuredToParameterName@@"


def read_paddle(path: Path) -> Any:
    """Read a file of `paddle.save`: a dict of arrays, of plain values, or of such dicts.

    Raises:
        WeightsError: the file is damaged, or holds more than data; no code in it has run.
    """
    with refusing(path), path.open("rb") as file:
        return _joined(Unpickler(file).load())


def _joined(stored: Any) -> Any:
    """Undo the changes that `paddle.save` makes to a state_dict.

    It stores tensors as (name, array), splits arrays of more than 1 GiB into slices with protocols
    2 and 3, and adds a table of names.
    """
    if isinstance(stored, tuple) and len(stored) == 2 and isinstance(stored[1], StoredArray):
        return stored[1].value
    if isinstance(stored, StoredArray):
        return stored.value
    if not isinstance(stored, Mapping):
        return stored
    values = {
        key: _joined(value) for key, value in stored.items() if key not in (_SLICED, _STATIC_NAMES)
    }
    for name, facts in stored.get(_SLICED, {}).items():
        slices = [values.pop(part) for part in facts["slices"]]
        values[name] = np.concatenate(slices).reshape(facts["OriginShape"])
    return values
