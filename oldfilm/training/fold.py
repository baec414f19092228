"""Takes batch normalization out of a trained network, and puts it back to train it on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

EPSILON = 1e-5
"""What torch adds to a variance."""


def folded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the same network without batch normalization: a scale and a shift of its
    convolutions.

    Every `X.norm` must follow a bias-free convolution `X.conv`; all other keys pass through.
    """
    plain = {key: value for key, value in state.items() if ".norm." not in key}
    for key in [key for key in state if key.endswith(".norm.weight")]:
        unit = key[: -len(".norm.weight")]
        scale = state[key] / torch.sqrt(state[f"{unit}.norm.running_var"] + EPSILON)
        plain[f"{unit}.conv.weight"] = state[f"{unit}.conv.weight"] * scale[:, None, None, None]
        shift = state[f"{unit}.norm.bias"] - state[f"{unit}.norm.running_mean"] * scale
        plain[f"{unit}.conv.bias"] = shift
    return plain


def unfolded(plain: nn.Module, normed: nn.Module, see: Callable[[nn.Module], None]) -> None:
    """Give `normed` the weights of `plain`, the same network without batch normalization.

    It then gives what `plain` gives, and its normalization has the means and deviations of what
    flows through `plain` meanwhile: those of training, if `see` shows it such samples.
    """
    sums: dict[str, Tensor] = {}

    def add(name: str, conv: nn.Conv2d, output: Tensor) -> None:
        values = (output - conv.bias[:, None, None]).double()
        one = torch.ones_like(values)
        totals = [part.sum((0, 2, 3)) for part in (one, values, values.square())]
        sums[name] = sums.get(name, 0) + torch.stack(totals)

    state = normed.state_dict()
    hooks = [
        conv.register_forward_hook(lambda conv, _, output, name=name: add(name, conv, output))
        for name, conv in plain.named_modules()
        if f"{name.rpartition('.')[0]}.norm.weight" in state and name.endswith(".conv")
    ]
    with torch.no_grad():
        see(plain)
    for hook in hooks:
        hook.remove()
    given = plain.state_dict()
    state.update({key: value for key, value in given.items() if key in state})
    for name, (count, total, squares) in sums.items():
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=EPSILON)
        norm = f"{name.rpartition('.')[0]}.norm"
        state[f"{norm}.running_mean"] = mean.float()
        state[f"{norm}.running_var"] = variance.float()
        state[f"{norm}.weight"] = torch.sqrt(variance + EPSILON).float()
        state[f"{norm}.bias"] = (given[f"{name}.bias"] + mean).float()
    normed.load_state_dict(state)
