"""Super SloMo computes the same as avinashpaliwal's code with PyTorch 0.4.1's `grid_sample`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from oldfilm.networks.super_slomo import SuperSloMo  # noqa: E402
from oldfilm.weights import model  # noqa: E402
from oldfilm.weights.convert import translated  # noqa: E402
from tests.parity import formula  # noqa: E402

HERE = Path(__file__).parent


def published_weights(network: SuperSloMo) -> dict[str, np.ndarray]:
    """Return pseudo-random weights of the published keys, converted to ours."""
    keys = json.loads((HERE / "keys" / "super_slomo-full.json").read_text())["keys"]
    published = formula.weights(keys, gain=1.7)
    return translated(published, model("super_slomo").variant("full"), network, from_torch=True)


def test_keys_match_the_published_file():
    network = SuperSloMo()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert shapes == {key: value.shape for key, value in published_weights(network).items()}


@pytest.mark.parametrize(("size", "time"), [((64, 96), 0.5), ((32, 32), 0.125)])
def test_the_output_equals_the_published_networks(size, time):
    network = SuperSloMo()
    network.set_state_dict(published_weights(network))
    network.eval()
    height, width = size
    frames = [
        paddle.to_tensor(formula.picture(f"{name} {height}x{width}", (1, 3, height, width)))
        for name in ("first", "second")
    ]
    with paddle.no_grad():
        flows = network.flow(*frames)
        made = network(*frames, paddle.full([1, 1, 1, 1], time))
    expected = np.load(HERE / "super_slomo.npz")
    for name, found in (("flow", flows), ("frame", made)):
        wanted = expected[f"{name}_{height}x{width}"]
        assert formula.relative_error(formula.sampled(found.numpy()), wanted) < 1e-4
