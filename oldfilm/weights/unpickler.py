"""Read pickles as data, with an unpickler that knows only arrays, plain values and containers."""

from __future__ import annotations

import contextlib
import pickle
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from oldfilm.errors import WeightsError


class Forbidden(Exception):
    """A pickle that refers to something outside the allow-list."""


class _Constant:
    """Substitute for `eval`: Paddle stores static tensors as `eval("data", {"data": array})`.

    Like all substitutes, it has fixed slots, so that a pickle cannot add attributes.
    """

    __slots__ = ()

    def __call__(self, expression: str, names: Any = None) -> Any:
        if expression != "data" or not isinstance(names, dict) or set(names) != {"data"}:
            raise Forbidden(f"the program {str(expression)[:40]!r}")
        return names["data"]


class _Latin1:
    """Substitute for `_codecs.encode`, with which protocol 2 stores the bytes of an array."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding != "latin1":
            raise Forbidden(f"text in the encoding {encoding!r}")
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


class StoredArray:
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

    def __call__(self, kind: Any, shape: Any, code: Any) -> StoredArray:
        return StoredArray()


class _Scalar:
    """Substitute for numpy's `scalar`."""

    __slots__ = ()

    def __call__(self, kind: _Type, data: Any) -> Any:
        data = data.encode("latin1") if isinstance(data, str) else data
        return np.frombuffer(data, kind.numpy)[0]


class Plain:
    """Substitute for a harmless type whose value is not needed, such as a date."""

    __slots__ = ()

    def __call__(self, *arguments: Any) -> None:
        return None


class Dict(OrderedDict[Any, Any]):
    """Substitute for dict types; attributes that a pickle adds are dropped.

    PyTorch adds `_metadata`; an attribute with the name of a method would replace that method.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*(a for a in arguments if isinstance(a, Mapping | list | tuple)))

    def __setstate__(self, state: Any) -> None:
        pass


_CONTAINERS = {kind.__name__: kind for kind in (dict, list, tuple, set, frozenset)}
_DATES = ("date", "datetime", "time", "timedelta", "timezone")
ALLOWED: Mapping[tuple[str, str], Any] = {
    **{("collections", name): Dict for name in ("OrderedDict", "defaultdict", "Counter")},
    **{("datetime", name): Plain() for name in _DATES},
    ("_codecs", "encode"): _Latin1(),
    ("numpy", "ndarray"): StoredArray,
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
"""What a pickle may refer to, by module and name, and our substitute for it."""


# The unpickler in Python: the one in C allocates whatever sizes a file states.
class Unpickler(pickle._Unpickler):
    """An unpickler that resolves only the names in its allow-list."""

    def __init__(self, file: IO[bytes], allowed: Mapping[tuple[str, str], Any] = ALLOWED) -> None:
        super().__init__(file, encoding="latin1")
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        """Return the substitute for an allowed name.

        Raises:
            Forbidden: the name is not allowed.
        """
        try:
            return self._allowed[module, name]
        except KeyError:
            raise Forbidden(f"{module}.{name}") from None


@contextlib.contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn whatever reading a damaged or malicious pickle raises into a WeightsError.

    path: the file, for the message.
    """
    try:
        yield
    except WeightsError:
        raise
    except Forbidden as error:
        raise WeightsError(
            f"{path} holds {error} in place of weights and was not opened. Use a file that was "
            "saved from a state_dict."
        ) from error
    except Exception as error:  # Damaged pickles raise errors of many types.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise WeightsError(
            f"{path} cannot be read as weights: it is damaged or incomplete ({reason})."
        ) from error
