"""Pseudo-random weights for DAIN, and a predictor with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from oldfilm.apps.dain.predictor import DAINPredictor
from oldfilm.networks.dain import DAIN
from oldfilm.weights import model
from oldfilm.weights.convert import translated
from tests.parity import formula

HERE = Path(__file__).parent

GAINS = {
    "flownets": 1.0,
    "depthNet": 1.4,
    "ctxNet": 1.2,
    "rectifyNet": 1.0,
    "rectifyNet.block5": 0.01,
    "initScaleNets": 1.4,
    "initScaleNets_filter1.2": 0.1,
    "initScaleNets_filter2.2": 0.1,
}
"""Gain by prefix of the key (the last match counts), for moderate flow and unsaturated frames."""


def published_weights() -> dict[str, np.ndarray]:
    """Return weights with the published keys; the estimated kernels sum to about 1."""
    keys = json.loads((HERE / "keys" / "dain-full.json").read_text())["keys"]
    weights = {}
    for part, gain in GAINS.items():
        shapes = {key: shape for key, shape in keys.items() if key.startswith(part)}
        weights.update(formula.weights(shapes, gain))
    for head in "12":
        weights[f"initScaleNets_filter{head}.2.bias"] += 0.25
    return weights


def our_weights(network: DAIN) -> dict[str, np.ndarray]:
    """Return the same weights with our keys."""
    full = model("dain").variant("full")
    return translated(published_weights(), full, network, from_torch=True)


class OnPaddle(DAINPredictor):
    """A predictor that exports nothing, as an export takes longer than one run."""

    def graph(self, part="", *, export=True, **inputs):
        return super().graph(part, export=False, **inputs)


def predictor(folder: Path, **options) -> OnPaddle:
    """Return a predictor with the weights above, which are written to `folder`."""
    path = folder / "dain-full.safetensors"
    if not path.is_file():
        save_file(our_weights(DAIN()), path)
    return OnPaddle(weight_path=str(path), device="cpu", **options)
