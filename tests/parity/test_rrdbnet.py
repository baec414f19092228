"""RRDBNet and SRVGGNetCompact compute the same as the published code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from oldfilm.networks.rrdbnet import RRDBNet  # noqa: E402
from oldfilm.networks.srvgg import SRVGGNetCompact  # noqa: E402
from oldfilm.weights import model  # noqa: E402
from oldfilm.weights.convert import translated  # noqa: E402
from tests.parity import formula  # noqa: E402

HERE = Path(__file__).parent
SIZES = [(16, 24), (7, 11)]

PUBLISHED = {
    # Name in the fixture: keys of the published file, config and variant.
    "paddlegan": ("realsr-full", "realsr", "full"),
    "old_arch": ("esrgan-full.authors", "esrgan", "full"),
    "basicsr": ("esrgan-realesrgan", "esrgan", "realesrgan"),
    "animevideov3": ("esrgan-realesr-animevideov3", "esrgan", "realesr-animevideov3"),
    "general": ("esrgan-realesr-general-x4v3", "esrgan", "realesr-general-x4v3"),
}
NETWORKS = {"rrdbnet.RRDBNet": RRDBNet, "srvgg.SRVGGNetCompact": SRVGGNetCompact}


def keys(name: str) -> dict[str, list[int]]:
    return json.loads((HERE / "keys" / f"{name}.json").read_text())["keys"]


def loaded(published: str) -> paddle.nn.Layer:
    """Return our network with pseudo-random weights, converted from the published keys."""
    file, config, name = PUBLISHED[published]
    variant = model(config).variant(name)
    network = NETWORKS[variant.network](**variant.settings)
    from_torch = published != "paddlegan"
    weights = translated(formula.weights(keys(file)), variant, network, from_torch)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert {key: value.shape for key, value in weights.items()} == shapes
    network.set_state_dict(weights)
    network.eval()
    return network


@pytest.mark.parametrize("published", PUBLISHED)
def test_the_output_equals_the_published_networks(published):
    network = loaded(published)
    fixture = "rrdbnet" if isinstance(network, RRDBNet) else "srvgg"
    expected = np.load(HERE / f"{fixture}.npz")
    for height, width in SIZES:
        frame = formula.picture(f"frame {height}x{width}", (1, 3, height, width))
        with paddle.no_grad():
            large = network(paddle.to_tensor(frame)).numpy()
        assert large.shape == (1, 3, 4 * height, 4 * width)
        wanted = expected[f"{published}_{height}x{width}"]
        assert formula.relative_error(formula.sampled(large), wanted) < 1e-4


@pytest.mark.parametrize("name", ["full", "psnr", "realesrgan"])
@pytest.mark.parametrize("file", ["realsr-full", "esrgan-full", "esrgan-full.authors"])
def test_all_published_spellings_of_esrgans_keys_are_converted(name, file):
    published = {key: np.zeros(1, np.float32) for key in keys(file)}
    ours = translated(published, model("esrgan").variant(name), RRDBNet(nb=1), from_torch=True)
    assert ours.keys() == keys("realsr-full").keys()


def test_folded_residuals_change_nothing():
    network = loaded("paddlegan")
    frame = paddle.to_tensor(formula.picture("folded", (1, 3, 9, 12)))
    with paddle.no_grad():
        expected = network(frame).numpy()
        network.fold()
        found = network(frame).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
