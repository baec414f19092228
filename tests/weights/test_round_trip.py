"""A file with the keys and shapes of each published file is converted and loaded.

`tests/parity/keys` holds the keys and shapes; the values come from the formula.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from oldfilm.apps.base import build_network
from oldfilm.engine.device import import_paddle
from oldfilm.errors import WeightsError
from oldfilm.weights import (
    configs,
    load_strictly,
    model,
    read_weights,
    resolve,
    structure_of,
)
from oldfilm.weights.convert import convert
from tests.parity import formula
from tests.weights import torch_files

paddle = import_paddle()
KEYS = sorted((Path(__file__).parent.parent / "parity" / "keys").glob("*.json"))
LARGE = 60_000_000
"""Files with more values take seconds to write and read."""
SMALL = 4_000_000


def of(path):
    """Return the model and the variant of a file of keys."""
    stem = path.name[: -len(".json")].replace(".authors", "")
    for config in configs():
        known = model(config)
        for variant in known.variants.values():
            if variant.file == f"{stem}.safetensors":
                return known, variant
    raise AssertionError(f"{path.name} belongs to no variant of configs/")


def size(path):
    return sum(math.prod(shape) for shape in json.loads(path.read_text())["keys"].values())


def listed(path):
    marks = [pytest.mark.slow] if size(path) > LARGE else []
    return pytest.param(path, marks=marks, id=path.stem)


def save(stated, arrays, path):
    """Save arrays in the format of the published file, Paddle's or PyTorch's."""
    if "PaddleGAN" in stated["source"]:
        tensors = {name: paddle.to_tensor(value) for name, value in arrays.items()}
        path, write = str(path), paddle.save  # paddle.save takes no Path
    else:
        tensors = torch_files.tensors(arrays)
        write = torch_files.save
    write({stated["wrapper"]: tensors} if stated["wrapper"] else tensors, path)


def sums(arrays):
    """Sum each array, which identifies it even when transposed."""
    return [round(float(value.sum(dtype=np.float64)), 6) for value in arrays]


class Published:
    """A file with the keys of a published one, for the network that it belongs to."""

    def __init__(self, path, folder):
        self.stated = json.loads(path.read_text())
        self.model, self.variant = of(path)
        self.network = build_network(self.variant.network, self.variant.settings)
        self.arrays = formula.weights(self.stated["keys"])
        self.path = folder / "published"
        save(self.stated, self.arrays, self.path)

    def convert(self):
        convert(self.path, self.model, lambda name, settings: self.network, self.variant.name)

    def arrived(self):
        """Convert the file, and return the sums of the arrays that reach the network."""
        self.convert()
        weights = read_weights(resolve(self.model, self.variant.name).path)
        load_strictly(self.network, weights, "")
        return set(sums(weights.values()))

    def assert_refused(self, message):
        with pytest.raises(WeightsError, match=message) as raised:
            self.convert()
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("path", [listed(path) for path in KEYS])
def test_a_published_file_reaches_its_network(path, tmp_path):
    published = Published(path, tmp_path)
    assert published.arrived() <= set(sums(published.arrays.values()))
    shapes = {name: value.shape for name, value in published.network.state_dict().items()}
    assert published.variant.structure == structure_of(shapes)


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem) for path in KEYS if size(path) < SMALL]
)
def test_a_file_that_is_damaged_or_of_another_network_is_refused(path, tmp_path):
    published = Published(path, tmp_path)
    stated, arrays, file = published.stated, published.arrays, published.path
    arrived = published.arrived()
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    published.assert_refused("damaged")
    file.write_bytes(b"<!DOCTYPE html><html></html>")
    published.assert_refused("is a web page")
    save(stated, {"weight": np.zeros((2, 2), np.float32)}, file)
    published.assert_refused("the weights of another network")
    renamed, reshaped = [name for name, value in arrays.items() if sums([value])[0] in arrived][:2]
    arrays[f"{renamed}_"] = arrays.pop(renamed)
    arrays[reshaped] = np.zeros((*arrays[reshaped].shape, 2), np.float32)
    save(stated, arrays, file)
    published.assert_refused("missing: .*extra: .*misshapen: ")
