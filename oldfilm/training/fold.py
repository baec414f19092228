"""Fold batch normalization into convolutions to ship a network, and unfold it to train on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

EPSILON = 1e-5
"""PyTorch's addition to the variance."""

Weights = dict[str, Tensor]
ShowSamples = Callable[[nn.Module], None]
"""Runs a network on training samples."""


def folded(state: Weights) -> Weights:
    """The state dict of the same network without batch normalization.

    Every `X.norm` must follow a bias-free convolution `X.conv`; other keys are kept.
    """
    plain = {key: value for key, value in state.items() if ".norm." not in key}
    for key in [key for key in state if key.endswith(".norm.weight")]:
        unit = key[: -len(".norm.weight")]
        scale = state[key] / torch.sqrt(state[f"{unit}.norm.running_var"] + EPSILON)
        plain[f"{unit}.conv.weight"] = state[f"{unit}.conv.weight"] * scale[:, None, None, None]
        shift = state[f"{unit}.norm.bias"] - state[f"{unit}.norm.running_mean"] * scale
        plain[f"{unit}.conv.bias"] = shift
    return plain


def load_with_norm(
    normed: nn.Module, plain: nn.Module, weights: Weights, show_samples: ShowSamples
) -> None:
    """Load weights, folded or not, into a network that has batch normalization.

    plain: the same network without it.
    """
    if any(".norm." in name for name in weights):
        normed.load_state_dict(weights)
    else:
        plain.load_state_dict(weights)
        unfold_into(normed, plain, show_samples)


def unfold_into(normed: nn.Module, plain: nn.Module, show_samples: ShowSamples) -> None:
    """Give `normed` the weights of `plain`, the same network without batch normalization.

    Its output becomes that of `plain`. The running mean and variance of each normalization are
    those of what flows through `plain` while `show_samples` runs it.
    """
    sums = _measure(plain, normed.state_dict().keys(), show_samples)
    given, state = plain.state_dict(), normed.state_dict()
    state.update({key: value for key, value in given.items() if key in state})
    for name, (count, total, squares) in sums.items():
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=EPSILON)
        norm = _norm_after(name)
        state[f"{norm}.running_mean"] = mean.float()
        state[f"{norm}.running_var"] = variance.float()
        state[f"{norm}.weight"] = torch.sqrt(variance + EPSILON).float()
        state[f"{norm}.bias"] = (given[f"{name}.bias"] + mean).float()
    normed.load_state_dict(state)


def _measure(plain: nn.Module, keys: set[str], show_samples: ShowSamples) -> Weights:
    """Sums of ones, values and squares, [3, channels], of each convolution that a norm follows.

    The bias is not counted.
    """
    sums: Weights = {}

    def add(name: str, conv: nn.Conv2d, output: Tensor) -> None:
        values = (output - conv.bias[:, None, None]).double()
        one = torch.ones_like(values)
        totals = [part.sum((0, 2, 3)) for part in (one, values, values.square())]
        sums[name] = sums.get(name, 0) + torch.stack(totals)

    hooks = [
        conv.register_forward_hook(lambda conv, _, output, name=name: add(name, conv, output))
        for name, conv in plain.named_modules()
        if name.endswith(".conv") and f"{_norm_after(name)}.weight" in keys
    ]
    with torch.no_grad():
        show_samples(plain)
    for hook in hooks:
        hook.remove()
    return sums


def _norm_after(conv: str) -> str:
    return f"{conv.rpartition('.')[0]}.norm"
