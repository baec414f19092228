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
from oldfilm.weights import configs, load_strictly, model, read_weights, resolve
from oldfilm.weights.convert import convert
from tests.parity import formula
from tests.weights import torch_files

paddle = import_paddle()
KEYS = sorted((Path(__file__).parent.parent / "parity" / "keys").glob("*.json"))
LARGE = 60_000_000


def of(path):
    """Return the model and the variant of a file of keys."""
    stem = path.name[: -len(".json")].replace(".authors", "")
    for config in configs():
        known = model(config)
        for variant in known.variants.values():
            if variant.file == f"{stem}.safetensors":
                return known, variant
    raise AssertionError(f"{path.name} belongs to no variant of configs/")


def listed(path):
    size = sum(math.prod(shape) for shape in json.loads(path.read_text())["keys"].values())
    marks = [pytest.mark.slow] if size > LARGE else []
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


@pytest.mark.parametrize("path", [listed(path) for path in KEYS])
def test_a_published_file_reaches_its_network(path, tmp_path):
    stated = json.loads(path.read_text())
    known, variant = of(path)
    network = build_network(variant.network, variant.settings)
    arrays = formula.weights(stated["keys"])
    published = tmp_path / "published"

    def converted():
        return convert(published, known, lambda name, settings: network, variant.name)

    save(stated, arrays, published)
    converted()
    weights = read_weights(resolve(known, variant.name).path)
    load_strictly(network, weights, "")
    arrived = set(sums(weights.values()))
    assert arrived <= set(sums(arrays.values()))

    def assert_refused(message):
        with pytest.raises(WeightsError, match=message) as raised:
            converted()
        assert "\n" not in str(raised.value)

    published.write_bytes(published.read_bytes()[: published.stat().st_size // 2])
    assert_refused("damaged")
    published.write_bytes(b"<!DOCTYPE html><html></html>")
    assert_refused("is a web page")
    save(stated, {"weight": np.zeros((2, 2), np.float32)}, published)
    assert_refused("the weights of another network")

    renamed, reshaped = [name for name, value in arrays.items() if sums([value])[0] in arrived][:2]
    arrays[f"{renamed}_"] = arrays.pop(renamed)
    arrays[reshaped] = np.zeros((*arrays[reshaped].shape, 2), np.float32)
    save(stated, arrays, published)
    assert_refused("missing: .*extra: .*misshapen: ")
