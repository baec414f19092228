"""Reads `.pdparams` files as data: an unpickler that knows arrays and containers, nothing else."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oldfilm.errors import WeightsError

_SLICED = "UnpackBigParamInfor@@"
_STATIC_NAMES = "StructuredToParameterName@@"


def read_paddle(path: Path) -> Any:
    """What `paddle.save` wrote: a dict of arrays, or of such dicts; plain values are kept.

    Raises:
        WeightsError: the file is damaged, or holds anything but data; nothing of it was run.
    """
    try:
        with path.open("rb") as file:
            return _joined(_Unpickler(file, encoding="latin1").load())
    except _Forbidden as error:
        raise WeightsError(
            f"{path} holds {error}, which is no weights: it was not opened. Take a file that was "
            "saved from a state_dict."
        ) from error
    except Exception as error:  # A damaged pickle raises whatever its bytes happen to mean.
        raise WeightsError(
            f"{path} cannot be read as weights: it is damaged, or not complete ({error})."
        ) from error


class _Forbidden(Exception):
    """A pickle that asks for something that is not on the list."""


class _Constant:
    """Stands for `eval`: Paddle writes a static graph's tensors as eval("data", {"data": array}).

    Without attributes, so that no pickle can give it any.
    """

    __slots__ = ()

    def __call__(self, expression: str, names: Any = None) -> Any:
        if expression != "data" or not isinstance(names, dict) or set(names) != {"data"}:
            raise _Forbidden(f"the program {str(expression)[:40]!r}")
        return names["data"]


class _Latin1:
    """Stands for `_codecs.encode`, with which protocol 2 writes the bytes of an array."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding != "latin1":
            raise _Forbidden(f"text in the encoding {encoding!r}")
        return text.encode("latin1")


_CONTAINERS = {kind.__name__: kind for kind in (dict, list, tuple, set, frozenset)}
_NUMPY = {
    "_reconstruct": np.zeros(1).__reduce__()[0],  # type: ignore[index]
    "scalar": np.float32(0).__reduce__()[0],  # type: ignore[index]
}
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _Latin1(),
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    # Python 2's name of the built-in module, and numpy 1's of its core, are written by older files.
    **{
        (module, name): value
        for module in ("builtins", "__builtin__")
        for name, value in {**_CONTAINERS, "eval": _Constant()}.items()
    },
    **{
        (module, name): value
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name, value in _NUMPY.items()
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Forbidden(f"{module}.{name}") from None


def _joined(stored: Any) -> Any:
    """Undo what Paddle's saver does to a state_dict.

    Tensors come as (name, array); arrays of more than 1 GiB come in slices with protocols 2 and 3;
    a table of names stands beside the arrays.
    """
    if isinstance(stored, tuple) and len(stored) == 2 and isinstance(stored[1], np.ndarray):
        return stored[1]
    if not isinstance(stored, Mapping):
        return stored
    values = {
        key: _joined(value) for key, value in stored.items() if key not in (_SLICED, _STATIC_NAMES)
    }
    for name, facts in stored.get(_SLICED, {}).items():
        slices = [values.pop(part) for part in facts["slices"]]
        values[name] = np.concatenate(slices).reshape(facts["OriginShape"])
    return values
