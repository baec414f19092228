"""EDVR computes the same as PaddleGAN's and BasicSR's code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from oldfilm.engine.device import import_paddle

pytest.importorskip("paddle")
paddle = import_paddle()

from oldfilm.apps.base import build_network  # noqa: E402
from oldfilm.networks.edvr import EDVRNet  # noqa: E402
from oldfilm.weights import model  # noqa: E402
from oldfilm.weights.convert import translated  # noqa: E402
from tests.parity import formula  # noqa: E402

HERE = Path(__file__).parent
SIZES = {"minimum": (32, 32), "wide": (36, 44)}
GAINS = {"small": 1.0, "medium": 0.9, "full": 0.7}


def network(variant: str) -> paddle.nn.Layer:
    if variant == "small":
        return EDVRNet(nf=16, back_RBs=2)
    chosen = model("edvr").variants[variant]
    return build_network(chosen.network, chosen.settings)


def shapes(layer: paddle.nn.Layer) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in layer.state_dict().items()}


def keys(name: str) -> dict[str, list[int]]:
    return json.loads((HERE / name).read_text())["keys"]


def picture_error(layer: paddle.nn.Layer, size: str, batch: int, name: str) -> float:
    """Return the relative error of the output of `layer` to the fixture `name`."""
    height, width = SIZES[size]
    frames = formula.picture(size, (batch, 5, 3, height, width))
    layer.eval()
    with paddle.no_grad():
        found = layer(paddle.to_tensor(frames)).numpy()
    assert found.shape == (batch, 3, 4 * height, 4 * width)
    return formula.relative_error(formula.sampled(found), np.load(HERE / "edvr.npz")[name])


def paddlegan_error(variant: str, size: str) -> float:
    layer = network(variant)
    layer.set_state_dict(formula.weights(shapes(layer), GAINS[variant]))
    batch = 2 if (variant, size) == ("small", "wide") else 1
    return picture_error(layer, size, batch, f"{variant}-{size}")


@pytest.mark.parametrize("variant", ["full", "medium"])
def test_weights_have_the_published_names_and_shapes(variant):
    found = {name: list(shape) for name, shape in shapes(network(variant)).items()}
    assert found == keys(f"keys/edvr-{variant}.json")


@pytest.mark.parametrize(
    ("variant", "layout"),
    [
        ("full", "keys/edvr-full.authors.json"),
        ("medium", "keys/edvr-medium.authors.json"),
        ("medium", "edvr.old.json"),
        ("medium", "edvr.mmediting.json"),
    ],
)
def test_keys_of_other_publishers_are_converted(variant, layout):
    published = {name: np.zeros(shape) for name, shape in keys(layout).items()}
    layer = network(variant)
    found = translated(published, model("edvr").variants[variant], layer, from_torch=True)
    assert {name: value.shape for name, value in found.items()} == shapes(layer)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("variant", ["full", "medium", "small"])
def test_the_output_equals_paddlegans(variant, size):
    assert paddlegan_error(variant, size) < 1e-4


def test_the_output_equals_basicsrs():
    layer = network("small")
    layer.set_state_dict(weights_under_basicsrs_names(layer))
    assert picture_error(layer, "minimum", 1, "authors-minimum") < 1e-4


def weights_under_basicsrs_names(layer: paddle.nn.Layer) -> dict[str, np.ndarray]:
    """Return weights for our keys, each computed from its name in their file."""
    names = list(keys("keys/edvr-medium.authors.json"))
    numbered = {name: np.array([i]) for i, name in enumerate(names)}
    numbers = translated(numbered, model("edvr").variants["medium"], layer, from_torch=True)
    theirs = {ours: names[numbers[ours].item()] for ours in numbers}
    return {ours: formula.weight(theirs[ours], shape) for ours, shape in shapes(layer).items()}
