"""Reads `.pdparams` files as data: an unpickler that knows arrays and containers, nothing else."""

from __future__ import annotations

import pickle
import re
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


class _Type:
    """Stands for `numpy.dtype`, of which a pickle could make one that takes bytes for addresses."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        self._code = code
        self._order: Any = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = {"<": "<", ">": ">"}.get(state[1], "=")

    @property
    def numpy(self) -> np.dtype:
        if not re.fullmatch(r"[biuf]\d+", self._code):
            return np.dtype(object)
        return np.dtype(self._code).newbyteorder(self._order)


class _Array:
    """Stands for `numpy.ndarray`, which a pickle could make of any size."""

    __slots__ = ("value",)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_columns, data = state
        self.value = np.empty(0, object)  # Refused where it is asked for weights.
        if kind.numpy.kind != "O":
            data = data.encode("latin1") if isinstance(data, str) else data
            order: Any = "F" if by_columns else "C"
            self.value = np.frombuffer(bytearray(data), kind.numpy).reshape(shape, order=order)


class _Reconstruct:
    """Stands for numpy's `_reconstruct`: an array that its `__setstate__` fills."""

    __slots__ = ()

    def __call__(self, kind: Any, shape: Any, code: Any) -> _Array:
        return _Array()


class _Scalar:
    """Stands for numpy's `scalar`."""

    __slots__ = ()

    def __call__(self, kind: _Type, data: Any) -> Any:
        data = data.encode("latin1") if isinstance(data, str) else data
        return np.frombuffer(data, kind.numpy)[0]


_CONTAINERS = {kind.__name__: kind for kind in (dict, list, tuple, set, frozenset)}
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _Latin1(),
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    # Python 2's name of the built-in module, and numpy 1's of its core, are written by older files.
    **{
        (module, name): value
        for module in ("builtins", "__builtin__")
        for name, value in {**_CONTAINERS, "eval": _Constant()}.items()
    },
    **{
        (module, name): value
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name, value in (("_reconstruct", _Reconstruct()), ("scalar", _Scalar()))
    },
}


# Python's own, not the one in C, which takes as much memory as a file's numbers tell it to.
class _Unpickler(pickle._Unpickler):
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
    if isinstance(stored, tuple) and len(stored) == 2 and isinstance(stored[1], _Array):
        return stored[1].value
    if isinstance(stored, _Array):
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
