"""RIFE 4.0 computes the same as the authors' network in vs-rife 2.0.0."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from oldfilm.cli import weights  # noqa: E402
from oldfilm.networks.rife_4 import IFNet  # noqa: E402
from oldfilm.weights import load_strictly, model, read_weights, resolve  # noqa: E402
from oldfilm.weights.convert import translated  # noqa: E402
from tests.parity import formula  # noqa: E402
from tests.parity.test_rife import padded  # noqa: E402

HERE = Path(__file__).parent
EXPECTED = HERE / "rife_4.npz"


def with_formula_weights(gain: float = 1.0, flow_scale: float = 1.0) -> IFNet:
    """Return the network with pseudo-random weights of the published keys."""
    network = IFNet(flow_scale=flow_scale)
    keys = json.loads((HERE / "keys" / "rife-4.0.json").read_text())["keys"]
    variant = model("rife").variant("4.0")
    stored = formula.weights(keys, gain)
    load_strictly(network, translated(stored, variant, network, from_torch=True), "")
    return network


def interpolated(
    network: IFNet, frames: tuple[np.ndarray, np.ndarray], time: float, flow_scale: float = 1.0
) -> np.ndarray:
    """Pad both frames as vs-rife does, interpolate, crop, and sample the result."""
    network.eval()
    height, width = frames[0].shape[2:]
    first, second = (padded(frame, round(128 * max(1, 1 / flow_scale))) for frame in frames)
    with paddle.no_grad():
        made = network(first, second, paddle.full([1, 1, 1, 1], time)).numpy()
    return formula.sampled(made[:, :, :height, :width])


@pytest.mark.parametrize(
    ("size", "time", "flow_scale", "gain"),
    [
        ((128, 128), 0.5, 1.0, 0.5),
        ((70, 50), 0.3, 1.0, 0.5),
        ((256, 128), 0.75, 0.5, 0.5),
        ((64, 64), 0.25, 2.0, 0.5),
        pytest.param((128, 256), 0.75, 0.5, 0.7, id="fast motion"),
    ],
)
def test_the_output_equals_the_authors_networks(size, time, flow_scale, gain):
    height, width = size
    shape = (1, 3, *size)
    frames = [formula.picture(f"{name} {height}x{width}", shape) for name in ("first", "second")]
    found = interpolated(with_formula_weights(gain, flow_scale), frames, time, flow_scale)
    assert formula.relative_error(found, np.load(EXPECTED)[f"{height}x{width}"]) < 1e-4


@pytest.fixture(scope="module")
def published():
    """Fetch the published weights, and return the network with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OLDFILM_OFFLINE")
        if weights.main(["fetch", "rife", "--variant", "4.0"]) != 0:
            pytest.skip("RIFE's weights cannot be fetched here")
    network = IFNet()
    load_strictly(network, read_weights(resolve(model("rife"), "4.0").path), "")
    return network


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "shift", "time"), [((128, 256), (2, 6), 0.5), ((90, 160), (0, 24), 0.25)]
)
def test_the_output_equals_the_authors_with_their_weights(size, shift, time, published):
    height, width = size
    first = formula.picture(f"first {height}x{width}", (1, 3, *size))
    found = interpolated(published, (first, np.roll(first, shift, (2, 3))), time)
    assert formula.relative_error(found, np.load(EXPECTED)[f"published {height}x{width}"]) < 1e-4


def test_the_network_that_only_training_uses_is_dropped():
    spare = {"module.block_tea.lastconv.bias": np.zeros(5, np.float32)}
    variant = model("rife").variant("4.0")
    assert translated(spare, variant, IFNet(), from_torch=True) == {}
