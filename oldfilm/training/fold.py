"""Fold batch normalization into convolutions to ship a network, and unfold it to train on."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]
ShowSamples = Callable[[nn.Module], None]
"""Runs a network on training samples."""


def folded(weights: Weights, network: nn.Module) -> Weights:
    """Remove the batch normalization from weights of `network`.

    Every normalization `X.norm` must follow a bias-free convolution `X.conv`; other keys are kept.
    """
    plain = {key: value for key, value in weights.items() if ".norm." not in key}
    for unit, norm in _norms(network).items():
        of_norm = {name: weights[f"{unit}.norm.{name}"] for name in norm.state_dict()}
        scale = of_norm["weight"] / torch.sqrt(of_norm["running_var"] + norm.eps)
        plain[f"{unit}.conv.weight"] = weights[f"{unit}.conv.weight"] * scale[:, None, None, None]
        plain[f"{unit}.conv.bias"] = of_norm["bias"] - of_norm["running_mean"] * scale
    return plain


def _norms(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    """The normalizations by the name of the unit around them."""
    return {
        name.rpartition(".")[0]: module
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    }


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
    norms = _norms(normed)
    sums = _measure(plain, norms.keys(), show_samples)
    given, state = plain.state_dict(), normed.state_dict()
    state.update({key: value for key, value in given.items() if key in state})
    for unit, (count, total, squares) in sums.items():
        mean = total / count
        epsilon = norms[unit].eps
        variance = (squares / count - mean.square()).clamp(min=epsilon)
        state[f"{unit}.norm.running_mean"] = mean.float()
        state[f"{unit}.norm.running_var"] = variance.float()
        state[f"{unit}.norm.weight"] = torch.sqrt(variance + epsilon).float()
        state[f"{unit}.norm.bias"] = (given[f"{unit}.conv.bias"] + mean).float()
    normed.load_state_dict(state)


def _measure(plain: nn.Module, units: Collection[str], show_samples: ShowSamples) -> Weights:
    """Sums of ones, values and squares, [3, channels], of the convolution of each unit.

    The bias is not counted.
    """
    sums: Weights = {}

    def add(unit: str, conv: nn.Conv2d, output: Tensor) -> None:
        values = (output - conv.bias[:, None, None]).double()
        one = torch.ones_like(values)
        totals = [part.sum((0, 2, 3)) for part in (one, values, values.square())]
        sums[unit] = sums.get(unit, 0) + torch.stack(totals)

    hooks = [
        plain.get_submodule(f"{unit}.conv").register_forward_hook(
            lambda conv, _, output, unit=unit: add(unit, conv, output)
        )
        for unit in units
    ]
    with torch.no_grad():
        show_samples(plain)
    for hook in hooks:
        hook.remove()
    return sums
