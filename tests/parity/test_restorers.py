"""MPRNet, NAFNet, SwinIR and InvDN compute the same as the published code."""

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
SIZES = [(16, 32), (48, 32)]
EXPECTED = np.load(HERE / "restorers.npz")

TINY = {
    "mpr-deblurring": {"n_feat": 8, "scale_unetfeats": 4, "scale_orsnetfeats": 4, "num_cab": 2},
    "nafnet-full": {
        "width": 8,
        "enc_blk_nums": [1, 2],
        "middle_blk_num": 2,
        "dec_blk_nums": [1, 1],
    },
    "swinir-full": {"img_size": 32, "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 2]},
    "invdn-full": {"block_num": [2, 2]},
}
PUBLISHED = {
    # Name of the variant: the implementations that it was compared with.
    "mpr-deblurring": ("paddlegan", "authors"),
    "mpr-denoising": ("paddlegan", "authors"),
    "mpr-deraining": ("paddlegan", "authors"),
    "nafnet-full": ("paddlegan", "authors"),
    "nafnet-gopro": ("authors",),
    "swinir-full": ("paddlegan",),
    "swinir-noise15": ("authors",),
    "invdn-full": ("paddlegan", "authors"),
}
FIXED = ("relative_position_index", "attn_mask", "haar_weights")
"""Entries of published files that are not learned."""


def weights(shapes, name):
    """Return weights of the formula; the activation that MPRNet's blocks share has one value.

    With larger weights, InvDN amplifies rounding errors: it divides by exponentials.
    """
    made, gain = {}, 0.3 if name.startswith("invdn") else 1.0
    for key, shape in shapes.items():
        shared = key.endswith(("body.1._weight", "body.1.weight"))
        made[key] = formula.weight("act.weight" if shared else key, tuple(shape), gain)
    return made


def check(network, name: str, implementation: str) -> None:
    network.eval()
    for height, width in SIZES:
        size = f"{height}x{width}"
        inputs = [formula.picture(f"frame {size}", (1, 3, height, width))]
        if name.startswith("invdn"):
            noise = formula.uniform(f"noise {size}", (1, 3, height, width))
            inputs.append(noise.astype(np.float32))
        with paddle.no_grad():
            found = network(*[paddle.to_tensor(each) for each in inputs]).numpy()
        assert found.shape == (1, 3, height, width)
        wanted = EXPECTED[f"{name} {implementation} {size}"]
        error = formula.relative_error(formula.sampled(found, wanted.size), wanted)
        print(f"{name} {implementation} {size}: {error:.1e}")
        assert error < 1e-4


@pytest.mark.parametrize("name", TINY)
def test_a_small_network_equals_paddlegans(name):
    config, _, variant = name.partition("-")
    network = build_network(model(config).variant(variant).network, TINY[name])
    own = {key: value.numpy() for key, value in network.state_dict().items()}
    made = weights({key: value.shape for key, value in own.items()}, name)
    fixed = {key: own[key] for key in own if key.endswith(FIXED)}
    load_strictly(network, {**made, **fixed}, "")
    check(network, name, "tiny")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "implementation"),
    [(name, each) for name, found in PUBLISHED.items() for each in found],
)
def test_a_published_file_gives_the_published_output(name, implementation):
    config, _, variant = name.partition("-")
    known = model(config).variant(variant)
    both = len(PUBLISHED[name]) == 2
    suffix = ".authors" if both and implementation == "authors" else ""
    keys = json.loads((HERE / "keys" / f"{name}{suffix}.json").read_text())["keys"]
    network = build_network(known.network, known.settings)
    own = {key: value.numpy() for key, value in network.state_dict().items()}
    loaded = translated(weights(keys, name), known, network, implementation == "authors")
    fixed = {key: own[key] for key in own if key.endswith(FIXED)}
    load_strictly(network, {**loaded, **fixed}, "")
    check(network, name, implementation)
