"""Turns a published file, as its authors made it, into weights of our network.

Authors wrap their weights in dicts, prefix their keys, and PyTorch's layers hold some of them in
other ways than Paddle's. That is undone here for all models; `convert` in a config says the rest.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from oldfilm import __version__
from oldfilm.errors import TransferError, WeightsError
from oldfilm.weights.first_use import remember, sha256_of
from oldfilm.weights.folders import converted_folder
from oldfilm.weights.load import Kind, Misfit, flattened, kind_of, misfit
from oldfilm.weights.paddle_file import read_paddle
from oldfilm.weights.registry import Model, Variant
from oldfilm.weights.torch_file import read_torch

if TYPE_CHECKING:
    import paddle

Build = Callable[[str, "dict[str, Any]"], "paddle.nn.Layer"]
"""Makes a network of its name and settings in `configs/`."""

WRAPPERS = ("params_ema", "params", "state_dict", "generator", "model")
"""Entries that hold the weights in authors' files, the best first."""

_SHOWN = 20


@dataclass(frozen=True)
class Converted:
    """A variant, and where its weights are now."""

    variant: Variant
    path: Path


def convert(
    path: Path,
    model: Model,
    build: Build,
    variant: str | None = None,
    output: Path | None = None,
) -> Converted:
    """Write the weights of a published file where they are found by name from then on.

    path: a PyTorch or a Paddle file. build: makes networks. variant: whose weights they are; by
    default the one that they fit. output: a `.safetensors` in place of the one that is found.

    Raises:
        WeightsError: it cannot be read, or it fits no variant, or several.
        TransferError: the result cannot be written.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file.")
    if output is not None and output.suffix != ".safetensors":
        raise WeightsError(f"--output {output}: weights are written as .safetensors.")
    stored, from_torch = _read(path)
    attempts = _attempts(stored, from_torch, _asked_for(model, variant), build)
    chosen = _fitting(path, model, attempts)
    destination = output or converted_folder() / chosen.variant.file
    _write(chosen.weights, destination, _facts(path, model, chosen.variant))
    remember(destination, sha256_of(destination))
    return Converted(chosen.variant, destination)


def _read(path: Path) -> tuple[Any, bool]:
    """What the file holds, and whether it is PyTorch's."""
    kind = kind_of(path)
    if kind is Kind.TORCH:
        return read_torch(path), True
    if kind is Kind.PADDLE:
        return read_paddle(path), False
    raise WeightsError(f"{path} is {kind.value}, or damaged: give a PyTorch or a Paddle file.")


@dataclass(frozen=True)
class _Attempt:
    variant: Variant
    weights: dict[str, np.ndarray]
    misfit: Misfit


def _asked_for(model: Model, variant: str | None) -> list[Variant]:
    if variant is not None:
        return [model.variant(variant)]
    return [known for known in model.variants.values() if not known.shipped]


def _attempts(
    stored: Any, from_torch: bool, variants: list[Variant], build: Build
) -> list[_Attempt]:
    networks: dict[str, paddle.nn.Layer] = {}  # Variants often share theirs.
    attempts = []
    for variant in variants:
        key = json.dumps([variant.network, variant.settings], sort_keys=True)
        if key not in networks:
            networks[key] = build(variant.network, variant.settings)
        weights = translated(stored, variant, networks[key], from_torch)
        attempts.append(_Attempt(variant, weights, misfit(networks[key], weights)))
    return attempts


def _fitting(path: Path, model: Model, attempts: list[_Attempt]) -> _Attempt:
    """The attempt that fits; of several, the one whose published file has this name."""
    if not attempts:
        raise WeightsError(f"{model.name} has no published variant.")
    fitting = [attempt for attempt in attempts if not attempt.misfit]
    if not fitting:
        nearest = min(attempts, key=lambda attempt: len(attempt.misfit))
        raise WeightsError(
            f"{path} does not fit the {nearest.variant.name} variant of {model.name}; it holds the "
            f"weights of another network, or of another variant "
            f"({nearest.misfit.told(_SHOWN)})."
        )
    named = [attempt for attempt in fitting if path.name in attempt.variant.published_names]
    if len(fitting) > 1 and len(named) != 1:
        names = ", ".join(attempt.variant.name for attempt in fitting)
        raise WeightsError(f"{path} fits {names} of {model.name}: say which with --variant.")
    return (named or fitting)[0]


def translated(
    stored: Any, variant: Variant, network: paddle.nn.Layer, from_torch: bool
) -> dict[str, np.ndarray]:
    """The arrays of a published file under the keys, and in the shapes, of our network.

    stored: what the file holds. from_torch: whether it is PyTorch's; the config's rules are for it.
    Nothing is left out but what `network` cannot hold by its kind; `misfit` tells the rest.
    """
    wanted = network.state_dict()
    arrays = _without_prefixes(flattened(_unwrapped(stored, variant.layout)), wanted)
    if not from_torch:
        return arrays
    for pattern, replacement in variant.convert:
        arrays = _renamed(arrays, pattern, replacement)
    return _as_paddle_holds_them(arrays, network)


def _unwrapped(stored: Any, layout: str | None) -> Any:
    while isinstance(stored, Mapping):
        names = (layout, *WRAPPERS) if layout else WRAPPERS
        inner = [stored[name] for name in names if isinstance(stored.get(name), Mapping)]
        if not inner:
            break
        stored = inner[0]
    return stored


def _without_prefixes(
    arrays: dict[str, np.ndarray], wanted: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Take away what DataParallel and training frameworks write before a network's own keys.

    Beside a generator there may be a discriminator and losses, which are not wanted.
    """
    for prefix, beside_others in (("module.", False), ("generator.", True), ("module.", False)):
        inside = {n[len(prefix) :]: v for n, v in arrays.items() if n.startswith(prefix)}
        ours = any(name.startswith(prefix) for name in wanted)
        if inside and not ours and (beside_others or len(inside) == len(arrays)):
            arrays = inside
    return arrays


def _renamed(
    arrays: dict[str, np.ndarray], pattern: str, replacement: str | None
) -> dict[str, np.ndarray]:
    if replacement is None:
        return {name: value for name, value in arrays.items() if not re.search(pattern, name)}
    renamed = {re.sub(pattern, replacement, name): value for name, value in arrays.items()}
    if len(renamed) != len(arrays):
        raise WeightsError(f"the rule {pattern!r} gives two of the file's keys the same name.")
    return renamed


def _as_paddle_holds_them(
    arrays: dict[str, np.ndarray], network: paddle.nn.Layer
) -> dict[str, np.ndarray]:
    """Rename what norms know and PReLU's slopes, transpose matrices, flatten weight norms."""
    from paddle.nn import Linear

    wanted = network.state_dict()
    names = {}
    for ours in wanted:
        parent, dot, name = ours.rpartition(".")
        theirs = {"_mean": "running_mean", "_variance": "running_var", "_weight": "weight"}
        if name in theirs:
            names[f"{parent}{dot}{theirs[name]}"] = ours
    matrices = {
        f"{name}.weight" if name else "weight"
        for name, layer in network.named_sublayers(include_self=True)
        if isinstance(layer, Linear)
    }
    held = {}
    for theirs_name, value in arrays.items():
        if theirs_name.endswith("num_batches_tracked") and theirs_name not in wanted:
            continue
        ours = theirs_name if theirs_name in wanted else names.get(theirs_name, theirs_name)
        if ours in matrices:
            value = np.ascontiguousarray(value.T)
        elif ours.endswith("weight_g") and value.shape[1:] == (1,) * (value.ndim - 1):
            value = value.reshape(-1)  # Weight norm's lengths, one for every output.
        held[ours] = value
    return held


def _facts(path: Path, model: Model, variant: Variant) -> dict[str, str]:
    """What the converted file says of itself."""
    return {
        "oldfilm": __version__,
        "model": model.name,
        "variant": variant.name,
        "source": path.name,
        "source_sha256": sha256_of(path),
        "licence": variant.licence,
    }


def _write(weights: dict[str, np.ndarray], destination: Path, facts: dict[str, str]) -> None:
    beside = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(weights, beside, facts)
            beside.replace(destination)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise TransferError(f"{destination} cannot be written ({error}).") from error
