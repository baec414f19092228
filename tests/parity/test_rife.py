"""RIFE 4.25 computes the same as the network in vs-rife."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from oldfilm.networks.rife import IFNet  # noqa: E402
from oldfilm.weights import model  # noqa: E402
from oldfilm.weights.convert import translated  # noqa: E402
from tests.parity import formula  # noqa: E402

HERE = Path(__file__).parent


def padded(frame: np.ndarray, multiple: int) -> paddle.Tensor:
    """Pad with zeros at the bottom and the right, as vs-rife does."""
    sides = [(0, -side % multiple) for side in frame.shape[2:]]
    return paddle.to_tensor(np.pad(frame, [(0, 0), (0, 0), *sides]))


def published_weights(network: IFNet) -> dict[str, np.ndarray]:
    """Return pseudo-random weights of the published keys, converted to ours."""
    keys = json.loads((HERE / "keys" / "rife-full.json").read_text())["keys"]
    published = formula.weights(keys)
    return translated(published, model("rife").variant("full"), network, from_torch=True)


def test_keys_match_the_published_file():
    network = IFNet()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert shapes == {key: value.shape for key, value in published_weights(network).items()}


def test_parameters_that_only_training_uses_are_dropped():
    network = IFNet()
    spare = {f"module.{name}.0.weight": np.zeros(1, np.float32) for name in ("teacher", "caltime")}
    rife = model("rife").variant("full")
    assert translated(spare, rife, network, from_torch=True) == {}


@pytest.mark.parametrize(
    ("size", "time", "flow_scale"),
    [((64, 128), 0.5, 1.0), ((70, 50), 0.3, 1.0), ((128, 128), 0.75, 0.5), ((64, 64), 0.25, 2.0)],
)
def test_the_output_equals_the_published_networks(size, time, flow_scale):
    network = IFNet(flow_scale=flow_scale)
    network.set_state_dict(published_weights(network))
    network.eval()
    height, width = size
    first, second = (
        padded(
            formula.picture(f"{name} {height}x{width}", (1, 3, height, width)),
            int(64 * max(1, 1 / flow_scale)),
        )
        for name in ("first", "second")
    )
    with paddle.no_grad():
        features = network.encode(first), network.encode(second)
        made = network(first, second, *features, paddle.full([1, 1, 1, 1], time))
    found = formula.sampled(made.numpy()[:, :, :height, :width])
    expected = np.load(HERE / "rife.npz")[f"{height}x{width}"]
    assert formula.relative_error(found, expected) < 1e-4
