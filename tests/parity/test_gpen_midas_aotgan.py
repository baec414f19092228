"""GPEN, MiDaS and AOT-GAN compute the same as the published code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from oldfilm.apps.base import build_network  # noqa: E402
from oldfilm.weights import load_strictly, model  # noqa: E402
from oldfilm.weights.convert import translated  # noqa: E402
from tests.parity import formula  # noqa: E402

HERE = Path(__file__).parent
EXPECTED = np.load(HERE / "gpen_midas_aotgan.npz")

TINY = {
    "aotgan-full": {"block_num": 2},
    "midas-full": {"blocks": [1, 2, 1, 1], "features": 40},
    "gpen-full": {"size": 64, "style_dim": 32, "n_mlp": 2, "narrow": 0.0625},
}
PUBLISHED = [
    # Variant, implementation that it was compared with, and file of its keys.
    ("aotgan-full", "paddlegan", "aotgan-full"),
    ("aotgan-full", "authors", "aotgan-full.authors"),
    ("midas-full", "paddlegan", "midas-full"),
    ("gpen-full", "paddlegan", "gpen-full"),
    ("gpen-bfr-256", "authors", "gpen-bfr-256"),
    ("gpen-bfr-512", "authors", "gpen-bfr-512"),
]
FIXED = ".kernel"
"""The end of entries of published files that are not learned."""


def check(network, name: str, implementation: str) -> None:
    network.eval()
    stored = [key for key in EXPECTED if key.startswith(f"{name} {implementation} ")]
    assert stored
    for key in stored:
        size = key.rpartition(" ")[2]
        height, width = map(int, size.split("x"))
        inputs = [formula.picture(f"frame {size}", (1, 3, height, width)) * 2 - 1]
        if name.startswith("aotgan"):
            mask = formula.picture(f"mask {size}", (1, 1, height, width)) > 0.5
            inputs = [inputs[0] * (1 - mask) + mask, mask]
        with paddle.no_grad():
            found = network(*[paddle.to_tensor(each.astype(np.float32)) for each in inputs])
        assert found.shape[2:] == [height, width]
        wanted = EXPECTED[key]
        error = formula.relative_error(formula.sampled(found.numpy(), wanted.size), wanted)
        print(f"{key}: {error:.1e}")
        assert error < 1e-4


def weights(network, shapes) -> dict[str, np.ndarray]:
    """Return weights of the formula; what is not learned keeps the network's values."""
    own = network.state_dict()
    made = formula.weights({key: tuple(shape) for key, shape in shapes.items()})
    kept = {key: own[key].numpy() for key in made if key.endswith(FIXED) and key in own}
    return {**made, **kept}


@pytest.mark.parametrize("name", TINY)
def test_a_small_network_equals_paddlegans(name):
    config, _, variant = name.partition("-")
    network = build_network(model(config).variant(variant).network, TINY[name])
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    load_strictly(network, weights(network, shapes), "")
    check(network, name, "tiny")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "implementation", "file"), PUBLISHED)
def test_a_published_file_gives_the_published_output(name, implementation, file):
    config, _, variant = name.partition("-")
    known = model(config).variant(variant)
    keys = json.loads((HERE / "keys" / f"{file}.json").read_text())["keys"]
    network = build_network(known.network, known.settings)
    loaded = translated(weights(network, keys), known, network, implementation == "authors")
    load_strictly(network, loaded, "")
    check(network, name, implementation)
