"""Takes batch normalisation out of a trained network: a scale and a shift of its convolution."""

from __future__ import annotations

import torch
from torch import Tensor


def folded(state: dict[str, Tensor], epsilon: float = 1e-5) -> dict[str, Tensor]:
    """The state dict of the same network without batch normalisation.

    Every `X.norm` must follow a bias-free convolution `X.conv`; all other keys pass through.
    """
    plain = {key: value for key, value in state.items() if ".norm." not in key}
    for key in [key for key in state if key.endswith(".norm.weight")]:
        unit = key[: -len(".norm.weight")]
        scale = state[key] / torch.sqrt(state[f"{unit}.norm.running_var"] + epsilon)
        plain[f"{unit}.conv.weight"] = state[f"{unit}.conv.weight"] * scale[:, None, None, None]
        shift = state[f"{unit}.norm.bias"] - state[f"{unit}.norm.running_mean"] * scale
        plain[f"{unit}.conv.bias"] = shift
    return plain
