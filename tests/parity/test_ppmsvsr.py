"""PP-MSVSR and PP-MSVSR-L compute the same as PaddleGAN's code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from oldfilm.apps.base import build_network  # noqa: E402
from oldfilm.weights import model  # noqa: E402
from tests.parity import formula  # noqa: E402

HERE = Path(__file__).parent
SIZES = [(3, 64, 72), (2, 77, 65)]
GAINS = {"ppmsvsr": 1.0, "ppmsvsr_large": 0.9}
CONSTANTS = ("spynet.mean", "spynet.std")


def network(config: str, variant: str = "full") -> paddle.nn.Layer:
    chosen = model(config).variants[variant]
    return build_network(chosen.network, chosen.settings)


def shapes(layer: paddle.nn.Layer) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in layer.state_dict().items()}


def loaded(config: str) -> paddle.nn.Layer:
    """Return the network with pseudo-random weights, except for its constants."""
    layer = network(config)
    weights = formula.weights(shapes(layer), GAINS[config])
    constants = {name: layer.state_dict()[name] for name in CONSTANTS}
    layer.set_state_dict({**weights, **constants})
    layer.eval()
    return layer


@pytest.mark.parametrize("config", GAINS)
def test_weights_have_the_published_names_and_shapes(config: str) -> None:
    published = json.loads((HERE / "keys" / f"{config}-full.json").read_text())
    for variant in published["variants"]:
        found = shapes(network(config, variant))
        assert {name: list(shape) for name, shape in found.items()} == published["keys"]


@pytest.mark.parametrize("config", GAINS)
def test_the_flow_equals_paddlegans(config: str) -> None:
    layer = loaded(config)
    first, second = paddle.to_tensor(formula.picture("msvsr", (2, 3, 77, 65))).split(2)
    with paddle.no_grad():
        found = layer.spynet(first, second).numpy()
    assert found.shape == (1, 2, 77, 65)
    stored = np.load(HERE / "ppmsvsr.npz")[f"{config} flow 77x65"]
    assert formula.relative_error(formula.sampled(found), stored) < 1e-4


@pytest.mark.parametrize("config", GAINS)
def test_the_output_equals_paddlegans(config: str) -> None:
    layer = loaded(config)
    expected = np.load(HERE / "ppmsvsr.npz")
    for size in SIZES:
        count, height, width = size
        clip = formula.picture("msvsr", (1, count, 3, height, width))
        with paddle.no_grad():
            found = layer(paddle.to_tensor(clip)).numpy()
        assert found.shape == (1, count, 3, 4 * height, 4 * width)
        stored = expected["{} {}x{}x{}".format(config, *size)]
        assert formula.relative_error(formula.sampled(found), stored) < 1e-4
