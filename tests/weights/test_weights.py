"""Shipped weights, strict loading, and damaged files."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from oldfilm.engine.device import import_paddle
from oldfilm.errors import WeightsError
from oldfilm.weights import configs, data_folder, load_strictly, model, read_weights, resolve

paddle = import_paddle()
SHIPPED = [config for config in configs() if "lite" in model(config).variants]


@pytest.fixture
def network():
    return paddle.nn.Conv2D(3, 4, 3)


def state(layer):
    return {name: value.numpy() for name, value in layer.state_dict().items()}


@pytest.mark.parametrize("config", SHIPPED)
def test_shipped_weights_match_their_config(config):
    weights = resolve(model(config), "lite")
    assert weights.path.parent == data_folder("weights")
    assert weights.path.stat().st_size == weights.variant.bytes
    assert (data_folder("weights") / f"{weights.path.stem}.md").is_file()
    assert read_weights(weights.path)


def test_weights_survive_a_round_trip(tmp_path, network):
    save_file(state(network), tmp_path / "a.safetensors")
    other = paddle.nn.Conv2D(3, 4, 3)
    load_strictly(other, read_weights(tmp_path / "a.safetensors"), "a")
    np.testing.assert_array_equal(other.weight.numpy(), network.weight.numpy())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("bias"), "missing: bias"),
        (lambda w: w.update(scale=np.zeros(4, np.float32)), "extra: scale"),
        (lambda w: w.update(bias=np.zeros(5, np.float32)), r"bias is \[5\], not \[4\]"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_keys(network, change, message):
    weights = state(network)
    change(weights)
    with pytest.raises(WeightsError, match=message):
        load_strictly(network, weights, "these")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x08\0\0\0\0\0\0\0{}"])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_weights(path)


def test_half_precision_becomes_float32(tmp_path):
    save_file({"a": np.float16([0.5, 1 / 3])}, tmp_path / "a.safetensors")
    read = read_weights(tmp_path / "a.safetensors")["a"]
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, [0.5, 1 / 3], rtol=1e-3)
