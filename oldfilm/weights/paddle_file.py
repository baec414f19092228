"""Read `.pdparams` files as data, with an unpickler that knows only arrays and containers."""

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
    """Read a file of `paddle.save`: a dict of arrays, of plain values, or of such dicts.

    Raises:
        WeightsError: the file is damaged, or holds more than data; no code in it has run.
    """
    try:
        with path.open("rb") as file:
            return _joined(_Unpickler(file, encoding="latin1").load())
    except _Forbidden as error:
        raise WeightsError(
            f"{path} holds {error} in place of weights and was not opened. Use a file that was "
            "saved from a state_dict."
        ) from error
    except Exception as error:  # Damaged pickles raise errors of many types.
        raise WeightsError(
            f"{path} cannot be read as weights: it is damaged or incomplete ({error})."
        ) from error


class _Forbidden(Exception):
    """A pickle that refers to something outside the allow-list."""


class _Constant:
    """Substitute for `eval`: Paddle stores static tensors as `eval("data", {"data": array})`.

    Like all substitutes, it has fixed slots, so that a pickle cannot add attributes.
    """

    __slots__ = ()

    def __call__(self, expression: str, names: Any = None) -> Any:
        if expression != "data" or not isinstance(names, dict) or set(names) != {"data"}:
            raise _Forbidden(f"the program {str(expression)[:40]!r}")
        return names["data"]


class _Latin1:
    """Substitute for `_codecs.encode`, with which protocol 2 stores the bytes of an array."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding != "latin1":
            raise _Forbidden(f"text in the encoding {encoding!r}")
        return text.encode("latin1")


class _Type:
    """Substitute for `numpy.dtype`: a forged one makes numpy use bytes as addresses."""

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
    """Substitute for `numpy.ndarray`, which a pickle could allocate in any size."""

    __slots__ = ("value",)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_columns, data = state
        self.value = np.empty(0, object)  # `flattened` refuses it.
        if kind.numpy.kind != "O":
            data = data.encode("latin1") if isinstance(data, str) else data
            order: Any = "F" if by_columns else "C"
            self.value = np.frombuffer(bytearray(data), kind.numpy).reshape(shape, order=order)


class _Reconstruct:
    """Substitute for numpy's `_reconstruct`, which makes an array for `__setstate__` to fill."""

    __slots__ = ()

    def __call__(self, kind: Any, shape: Any, code: Any) -> _Array:
        return _Array()


class _Scalar:
    """Substitute for numpy's `scalar`."""

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
    # Older files use Python 2's name of the built-in module, and numpy 1's name of its core.
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


# The unpickler in Python: the one in C allocates whatever sizes a file states.
class _Unpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Forbidden(f"{module}.{name}") from None


def _joined(stored: Any) -> Any:
    """Undo the changes that `paddle.save` makes to a state_dict.

    It stores tensors as (name, array), splits arrays of more than 1 GiB into slices with protocols
    2 and 3, and adds a table of names.
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
