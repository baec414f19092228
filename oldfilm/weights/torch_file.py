"""Read PyTorch files as data, without PyTorch: since 1.6 a zip file, before that pickles."""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from oldfilm.weights.unpickler import (
    ALLOWED,
    Dict,
    Forbidden,
    Plain,
    StoredArray,
    Unpickler,
    refusing,
)

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickled number at the start of files that torch before 1.6 saved."""

_TYPES = {
    "Float": "f4",
    "Double": "f8",
    "Half": "f2",
    "BFloat16": "bfloat16",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "b1",
}
"""Names of torch's storages, and the numpy types of their numbers."""

_DTYPES = {
    **{"float32": "f4", "float64": "f8", "float16": "f2", "bfloat16": "bfloat16", "bool": "b1"},
    **{"int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1", "uint8": "u1"},
    **{"float": "f4", "double": "f8", "half": "f2", "long": "i8", "int": "i4", "short": "i2"},
    **{"uint16": "u2", "uint32": "u4", "uint64": "u8"},
}
"""Names of torch's dtypes."""

_MOST_VIEWS = 4
"""How many times the numbers of a file may occur in its tensors."""
_MOST_VALUES = 1_000_000
"""How many values the dicts of a file may hold; one dict may occur in several others."""


def is_torch_archive(path: Path) -> bool:
    """Return whether a zip file, which may be damaged, is one of `torch.save`."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        # The table of contents is at the end: a truncated file lacks it. Its first member does not.
        with path.open("rb") as file:
            return b"data.pkl" in file.read(128)


def read_torch(path: Path) -> Any:
    """Read a file of `torch.save`: dicts of float32 or integer arrays, and plain values.

    Raises:
        WeightsError: the file is damaged, or holds more than data; no code in it has run.
    """
    with refusing(path):
        with path.open("rb") as file:
            is_old = file.read(len(MAGIC)) == MAGIC
        return _resolved(_read_pickles(path) if is_old else _read_archive(path))


class _Kind:
    """Substitute for a type of storage, or for a dtype: the type of its numbers."""

    __slots__ = ("code",)

    def __init__(self, code: str | None) -> None:
        self.code = code


class _Storage:
    """The numbers that tensors are views of.

    key: its name in the file. kind: numpy's type, "bfloat16", or None if only bytes are known.
    numbers: None until they have been read.
    """

    __slots__ = ("key", "kind", "count", "numbers")

    def __init__(self, key: str, kind: str | None, count: int) -> None:
        self.key = key
        self.kind = kind
        self.count = count
        self.numbers: np.ndarray | None = None

    def fill(self, content: bytes, order: Any) -> None:
        code = "u2" if self.kind == "bfloat16" else self.kind or "u1"
        self.numbers = np.frombuffer(content, np.dtype(code).newbyteorder(order))
        if self.numbers.size != self.count:
            raise ValueError(f"the tensor {self.key} has {self.numbers.size}, not {self.count}")


class _Tensor:
    """A view of a storage."""

    __slots__ = ("storage", "offset", "shape", "strides", "kind")

    def __init__(self, storage: Any, offset: Any, shape: Any, strides: Any, kind: Any) -> None:
        if not isinstance(storage, _Storage):
            raise TypeError("a tensor without a storage")
        self.storage = storage
        self.offset, self.shape, self.strides = int(offset), tuple(shape), tuple(strides)
        self.kind = kind.code if isinstance(kind, _Kind) else storage.kind

    def array(self) -> np.ndarray:
        """Return the tensor as an array; a view that leaves its storage is an error."""
        numbers = self.storage.numbers
        if numbers is None or len(self.shape) != len(self.strides):
            raise ValueError(f"the tensor {self.storage.key} is missing")
        if self.storage.kind is None and self.kind != "bfloat16":
            numbers = numbers.view(self.kind or "u1")
        elif self.storage.kind is None:
            numbers = numbers.view("u2")
        last = sum((n - 1) * stride for n, stride in zip(self.shape, self.strides))
        sides = (*self.shape, *self.strides, self.offset)
        if any(not isinstance(side, int) or side < 0 for side in sides):
            raise ValueError(f"the tensor {self.storage.key} has sizes below 0")
        if 0 not in self.shape and self.offset + last >= numbers.size:
            raise ValueError(f"the tensor {self.storage.key} is larger than its data")
        steps = [stride * numbers.itemsize for stride in self.strides]
        view = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps)
        return _in_float32(view, self.kind)


def _in_float32(array: np.ndarray, kind: str | None) -> np.ndarray:
    if kind == "bfloat16":  # The upper half of a float32.
        return (array.astype(np.uint32) << 16).view(np.float32)
    native = array.dtype.newbyteorder("=")
    return np.asarray(array, np.float32 if native.kind == "f" else native, order="C")


class _Rebuild:
    """Substitute for torch's functions that make a tensor of a storage."""

    __slots__ = ("_has_kind",)

    def __init__(self, has_kind: bool = False) -> None:
        self._has_kind = has_kind

    def __call__(self, storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> _Tensor:
        return _Tensor(storage, offset, shape, strides, rest[2] if self._has_kind else None)


class _Same:
    """Substitute for torch's functions that mark a tensor as a parameter."""

    __slots__ = ()

    def __call__(self, tensor: Any, *rest: Any) -> Any:
        return tensor


class _FromType:
    """Substitute for torch's function that makes a tensor with attributes."""

    __slots__ = ()

    def __call__(self, function: Any, kind: Any, arguments: Any, state: Any) -> Any:
        if not isinstance(function, (_Rebuild, _Same)):
            raise Forbidden("a tensor made by an unknown function")
        return function(*arguments)


_TORCH: Mapping[tuple[str, str], Any] = {
    **ALLOWED,
    **{("torch", f"{name}Storage"): _Kind(code) for name, code in _TYPES.items()},
    **{("torch", name): _Kind(code) for name, code in _DTYPES.items()},
    **{
        (module, name): _Kind(None)
        for module in ("torch", "torch.storage")
        for name in ("UntypedStorage", "_UntypedStorage")
    },
    ("torch", "Size"): tuple,
    ("torch", "device"): Plain(),
    ("torch", "Tensor"): Plain(),
    ("torch._utils", "_rebuild_tensor"): _Rebuild(),
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("torch._utils", "_rebuild_tensor_v3"): _Rebuild(has_kind=True),
    ("torch._utils", "_rebuild_parameter"): _Same(),
    ("torch._utils", "_rebuild_parameter_with_state"): _Same(),
    ("torch.nn.parameter", "Parameter"): _Same(),
    ("torch._tensor", "_rebuild_from_type_v2"): _FromType(),
}


class _TorchUnpickler(Unpickler):
    """Collects the storages that a pickle refers to; their numbers are read afterwards."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, _TORCH)
        self.storages: dict[str, _Storage] = {}

    def persistent_load(self, stated: Any) -> _Storage:
        """Return the storage that ("storage", type, key, device, count[, view]) names."""
        if not isinstance(stated, tuple) or len(stated) < 5 or stated[0] != "storage":
            named = stated[0] if isinstance(stated, tuple) and stated else stated
            raise Forbidden(f"the program of a {str(named)[:40]}")
        _, kind, key, _, count = stated[:5]
        if not isinstance(kind, _Kind) or not isinstance(count, int):
            raise Forbidden("a storage of an unknown type")
        whole = self.storages.setdefault(str(key), _Storage(str(key), kind.code, count))
        if len(stated) == 5 or stated[5] is None:
            return whole
        raise Forbidden("a view of a storage, as torch before 0.4 saved it")


def _read_archive(path: Path) -> tuple[Any, list[_Storage]]:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        members = _members(archive, size)
        stem = next(name for name in members if name.endswith("data.pkl"))[: -len("data.pkl")]
        with archive.open(f"{stem}data.pkl") as file:
            unpickler = _TorchUnpickler(file)
            stored = unpickler.load()
        order = "<"
        if f"{stem}byteorder" in members:
            order = ">" if archive.read(f"{stem}byteorder") == b"big" else "<"
        for storage in unpickler.storages.values():
            storage.fill(archive.read(f"{stem}data/{storage.key}"), order)
    return stored, list(unpickler.storages.values())


def _members(archive: zipfile.ZipFile, size: int) -> set[str]:
    """Return the members' names; torch never compresses, so together they fit into the file."""
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise Forbidden("compressed data, which PyTorch never writes,")
    if sum(member.file_size for member in members) > size:
        raise Forbidden("members that overlap")
    names = [member.filename for member in members]
    for name in names:
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise Forbidden(f"a member outside its folder ({name[:80]!r})")
    return set(names)


def _read_pickles(path: Path) -> tuple[Any, list[_Storage]]:
    """Read the layout before torch 1.6.

    It is a sequence: a magic number, a version, facts of the machine, the object, the keys of the
    storages, then of each storage the count of its numbers (int64) and the numbers.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        for _ in ("magic", "version"):
            Unpickler(file).load()
        machine = Unpickler(file).load()
        unpickler = _TorchUnpickler(file)
        stored = unpickler.load()
        order = "<" if machine.get("little_endian", True) else ">"
        for key in Unpickler(file).load():
            storage = unpickler.storages[str(key)]
            (count,) = struct.unpack(f"{order}q", file.read(8))
            width = 2 if storage.kind == "bfloat16" else np.dtype(storage.kind or "u1").itemsize
            if count != storage.count or count < 0 or count * width > size:
                raise ValueError(f"the tensor {key} has {count} numbers, not {storage.count}")
            content = file.read(count * width)
            if len(content) < count * width:
                raise EOFError("the file ends early")
            storage.fill(content, order)
    return stored, list(unpickler.storages.values())


def _resolved(read: tuple[Any, list[_Storage]]) -> Any:
    """Replace tensors by arrays; refuse views that repeat the same numbers without end."""
    stored, storages = read
    numbers = _MOST_VIEWS * sum(storage.count for storage in storages)
    values = _MOST_VALUES

    def resolved(value: Any) -> Any:
        nonlocal numbers, values
        values -= 1
        numbers -= math.prod(value.shape) if isinstance(value, _Tensor) else 0
        if numbers < 0 or values < 0:
            raise Forbidden("data that repeats itself")
        if isinstance(value, _Tensor):
            return value.array()
        if isinstance(value, StoredArray):
            return value.value
        if isinstance(value, Mapping):
            return Dict([(key, resolved(part)) for key, part in value.items()])
        return value

    return resolved(stored)
