"""Formula weights for the whole of DAIN, and a predictor that has them."""

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
"""By the beginning of a key, the last counts: flow of some pixels, frames that are not white."""


def published_weights() -> dict[str, np.ndarray]:
    """The formula's weights under the published keys; kernels have a sum of about 1."""
    keys = json.loads((HERE / "keys" / "dain-full.json").read_text())["keys"]
    weights = {}
    for part, gain in GAINS.items():
        shapes = {key: shape for key, shape in keys.items() if key.startswith(part)}
        weights.update(formula.weights(shapes, gain))
    for head in "12":
        weights[f"initScaleNets_filter{head}.2.bias"] += 0.25
    return weights


def our_weights(network: DAIN) -> dict[str, np.ndarray]:
    """The same under our keys."""
    full = model("dain").variant("full")
    return translated(published_weights(), full, network, from_torch=True)


class OnPaddle(DAINPredictor):
    """Without an export of every part, which takes longer than to run it once."""

    def graph(self, part="", *, export=True, **inputs):
        return super().graph(part, export=False, **inputs)


def predictor(folder: Path, **options) -> OnPaddle:
    """A predictor with the formula's weights, which are written into `folder`."""
    path = folder / "dain-full.safetensors"
    if not path.is_file():
        save_file(our_weights(DAIN()), path)
    return OnPaddle(weight_path=str(path), device="cpu", **options)
