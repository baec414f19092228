"""Write files as `torch.save` does, without torch.

`saved_by_torch/` holds files that torch wrote, which the same tests read.
"""

from __future__ import annotations

import collections
import io
import pickle
import struct
import zipfile
from pickle import _Pickler as PythonPickler  # Only this one calls `save_global`.

import numpy as np

from oldfilm.weights.torch_file import MAGIC

STORAGES = {"f4": "Float", "f2": "Half", "f8": "Double", "i8": "Long", "u1": "Byte", "b1": "Bool"}


class Named:
    """A function or class that a pickle refers to by its name."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("only its name is written")

    def __reduce__(self):
        return self.name


class Storage:
    def __init__(self, array, kind=None):
        self.array = array
        self.kind = kind or STORAGES[array.dtype.str[1:]]


class Tensor:
    """A tensor; facts that are given replace those of the array."""

    def __init__(self, array, offset=0, shape=None, strides=None, kind=None):
        array = np.asarray(array, order="C")
        self.storage = Storage(array.ravel(), kind)
        self.offset = offset
        self.shape = array.shape if shape is None else shape
        steps = tuple(step // array.itemsize for step in array.strides)
        self.strides = steps if strides is None else strides

    def __reduce__(self):
        facts = (self.storage, self.offset, self.shape, self.strides, False)
        return Named("torch._utils", "_rebuild_tensor_v2"), (*facts, collections.OrderedDict())


class _Pickler(PythonPickler):
    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = []

    def save_global(self, named, name=None):
        if not isinstance(named, Named):
            super().save_global(named, name)
            return
        self.write(f"c{named.module}\n{named.name}\n".encode())
        self.memoize(named)

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        if value not in self.storages:
            self.storages.append(value)
        kind = Named("torch", f"{value.kind}Storage")
        return "storage", kind, str(self.storages.index(value)), "cpu", value.array.size


class _OldPickler(_Pickler):
    def persistent_id(self, value):
        stated = super().persistent_id(value)
        return stated and (*stated, None)


def tensors(arrays):
    """Return a state_dict, as an OrderedDict with torch's `_metadata`."""
    found = collections.OrderedDict((name, Tensor(value)) for name, value in arrays.items())
    vars(found)["_metadata"] = collections.OrderedDict(version=1)
    return found


def save(stored, path, old=False):
    """Write dicts of `Tensor` and plain values; `old`: as torch before 1.6."""
    path.write_bytes(content(stored, old))


def content(stored, old=False):
    """Return the bytes that `save` writes."""
    out = io.BytesIO()
    pickler = (_OldPickler if old else _Pickler)(out)
    pickler.dump(stored)
    if old:
        return _in_the_old_layout(out.getvalue(), pickler.storages)
    numbers = {f"data/{i}": s.array.tobytes() for i, s in enumerate(pickler.storages)}
    return archive({"data.pkl": out.getvalue(), "byteorder": b"little", **numbers})


def archive(members, compression=zipfile.ZIP_STORED):
    """Return a zip file with a folder, as torch writes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for name, value in {**members, "version": b"3\n"}.items():
            zipped.writestr(zipfile.ZipInfo(f"archive/{name}"), value, compression)
    return out.getvalue()


def _in_the_old_layout(pickled, storages):
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    keys = [str(number) for number in range(len(storages))]
    head = MAGIC + pickle.dumps(1001, 2) + pickle.dumps(machine, 2) + pickled
    numbers = [struct.pack("<q", s.array.size) + s.array.tobytes() for s in storages]
    return head + pickle.dumps(keys, 2) + b"".join(numbers)
