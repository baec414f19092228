"""BasicVSR, IconVSR and BasicVSR++ compute the same as PaddleGAN's and MMEditing's code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from oldfilm.engine.device import import_paddle

pytest.importorskip("paddle")
paddle = import_paddle()

from oldfilm.apps.base import build_network  # noqa: E402
from oldfilm.weights import model  # noqa: E402
from oldfilm.weights.convert import translated  # noqa: E402
from tests.parity import formula  # noqa: E402

HERE = Path(__file__).parent
CONFIGS = ["basicvsr", "iconvsr", "basicvsr_plus_plus"]
SMALL = {
    "basicvsr": {"mid_channels": 16, "num_blocks": 2},
    "iconvsr": {"mid_channels": 16, "num_blocks": 2},
    "basicvsr_plus_plus": {"mid_channels": 16, "num_blocks": 1},
}
FRAMES = {
    ("basicvsr", "small"): {"minimum": 3, "odd": 2},
    ("basicvsr", "full"): {"minimum": 2, "odd": 2},
    ("iconvsr", "small"): {"minimum": 7, "odd": 5},
    ("iconvsr", "full"): {"minimum": 5, "odd": 5},
    ("basicvsr_plus_plus", "small"): {"minimum": 4, "odd": 3},
    ("basicvsr_plus_plus", "full"): {"minimum": 3, "odd": 2},
}
SIZES = {"minimum": (64, 64), "odd": (65, 71)}
GAINS = {
    ("basicvsr", "full"): 0.7,
    ("iconvsr", "full"): 0.6,
    ("basicvsr_plus_plus", "full"): 0.9,
}
CONSTANTS = ("spynet.mean", "spynet.std")


def network(config: str, settings: str = "full") -> paddle.nn.Layer:
    variant = model(config).variants["full"]
    chosen = variant.settings if settings == "full" else SMALL[config]
    return build_network(variant.network, chosen)


def shapes(layer: paddle.nn.Layer) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in layer.state_dict().items()}


def keys(name: str) -> dict[str, list[int]]:
    return json.loads((HERE / name).read_text())["keys"]


def picture_error(layer: paddle.nn.Layer, config: str, size: str, frames: int, name: str) -> float:
    """Return the relative error of the output of `layer` to the fixture `name`."""
    height, width = SIZES[size]
    clip = formula.picture(size, (1, frames, 3, height, width))
    if config == "iconvsr":  # The size must be a multiple of 4; PaddleGAN's network pads by itself.
        below, right = -height % 4, -width % 4
        clip = np.pad(clip, ((0, 0), (0, 0), (0, 0), (0, below), (0, right)), mode="reflect")
    layer.eval()
    with paddle.no_grad():
        found = layer(paddle.to_tensor(clip)).numpy()
    assert found.shape == (1, frames, 3, 4 * clip.shape[3], 4 * clip.shape[4])
    return formula.relative_error(formula.sampled(found), np.load(HERE / f"{config}.npz")[name])


def paddlegan_error(config: str, settings: str, size: str) -> float:
    layer = network(config, settings)
    weights = formula.weights(shapes(layer), GAINS.get((config, settings), 1.0))
    constants = {name: layer.state_dict()[name] for name in CONSTANTS}
    layer.set_state_dict({**weights, **constants})
    frames = FRAMES[config, settings][size]
    return picture_error(layer, config, size, frames, f"{settings}-{size}")


@pytest.mark.parametrize("config", CONFIGS)
def test_weights_have_the_published_names_and_shapes(config):
    found = {name: list(shape) for name, shape in shapes(network(config)).items()}
    assert found == keys(f"keys/{config}-full.json")


@pytest.mark.parametrize("layout", ["keys/{}-full.authors.json", "{}.basicsr.json"])
@pytest.mark.parametrize("config", CONFIGS)
def test_keys_of_other_publishers_are_converted(config, layout):
    published = {name: np.zeros(shape) for name, shape in keys(layout.format(config)).items()}
    layer = network(config)
    variant = model(config).variants["full"]
    found = translated({"state_dict": published}, variant, layer, from_torch=True)
    assert {name: value.shape for name, value in found.items()} == shapes(layer)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("config", CONFIGS)
def test_the_output_equals_paddlegans(config, size):
    assert paddlegan_error(config, "small", size) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("config", CONFIGS)
def test_the_output_of_the_full_network_equals_paddlegans(config, size):
    assert paddlegan_error(config, "full", size) < 1e-4


@pytest.mark.parametrize("config", CONFIGS)
def test_the_output_equals_mmeditings(config):
    layer = network(config, "small")
    constants = {name: layer.state_dict()[name] for name in CONSTANTS}
    layer.set_state_dict({**weights_under_mmeditings_names(config, layer), **constants})
    frames = FRAMES[config, "small"]["minimum"]
    assert picture_error(layer, config, "minimum", frames, "authors-minimum") < 1e-4


def weights_under_mmeditings_names(config: str, layer: paddle.nn.Layer) -> dict[str, np.ndarray]:
    """Return weights for our keys, each computed from its name in their file."""
    names = list(keys(f"keys/{config}-full.authors.json"))
    numbered = {"state_dict": {name: np.array([i]) for i, name in enumerate(names)}}
    variant = model(config).variants["full"]
    numbers = translated(numbered, variant, layer, from_torch=True)
    theirs = {ours: names[numbers[ours].item()].replace("generator.", "") for ours in numbers}
    return {ours: formula.weight(theirs[ours], shape) for ours, shape in shapes(layer).items()}
