"""Convert published weight files to the keys and layout of oldfilm's networks.

Authors wrap their weights in dicts and prefix their keys, and PyTorch stores some parameters
differently from Paddle. This module undoes both for all models; the `convert` rules in a config
cover what is specific to a model.
"""

from __future__ import annotations

import json
import logging
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from oldfilm import __version__
from oldfilm.errors import TransferError, WeightsError
from oldfilm.system.files import replacing
from oldfilm.system.locks import locked
from oldfilm.weights.first_use import remember, weights_sha256
from oldfilm.weights.folders import converted_folder
from oldfilm.weights.formats import Kind, flattened, kind_of, metadata_of, unreadable
from oldfilm.weights.load import Mismatch, check_numbers, find_mismatch
from oldfilm.weights.ncnn_file import NcnnWeights
from oldfilm.weights.paddle_file import read_paddle
from oldfilm.weights.registry import Model, Variant
from oldfilm.weights.torch_file import read_torch

if TYPE_CHECKING:
    import paddle

logger = logging.getLogger(__name__)

Build = Callable[[str, "dict[str, Any]"], "paddle.nn.Layer"]
"""Builds a network from its name and settings in `configs/`."""

WRAPPERS = ("params_ema", "params", "state_dict", "generator", "model")
"""Entries that hold the weights in published files, in order of preference."""

_KEYS_IN_MESSAGE = 20
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})\.")
"""The first digits of the sha256, which authors put into the names of their files."""


@dataclass(frozen=True)
class Converted:
    """A variant and the file with its converted weights."""

    variant: Variant
    path: Path


def convert(
    path: Path,
    model: Model,
    build: Build,
    variant: str | None = None,
    output: Path | None = None,
    overwrite: bool = False,
) -> Converted:
    """Convert a published file and store it where its variant is searched for.

    path: a PyTorch, Paddle or ncnn file. build: builds a network, against which keys and shapes are
    checked. variant: the variant that the file holds; by default the one with its sha256, or else
    the one that it fits. output: a `.safetensors` file to write in place of the usual one, or the
    folder for it. overwrite: replace a result that was converted from another file.

    Raises:
        WeightsError: the file is damaged, or fits no variant, or several; or the result exists.
        TransferError: the result cannot be written.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file.")
    if output is not None and not output.is_dir() and output.suffix != ".safetensors":
        raise WeightsError(
            f"`output={output}`: the name must end in .safetensors, or be a folder's."
        )
    stored, from_torch = read_published(path)
    attempts = _attempts(stored, from_torch, _variants(path, model, variant), build)
    chosen = _fitting(path, model, attempts)
    _check_undamaged(path, model, chosen)
    destination = output or converted_folder()
    if output is None or output.is_dir():
        destination /= chosen.variant.file
    if destination.exists() and not overwrite:
        _check_same_source(path, destination)
    _write(chosen.weights, destination, _metadata(path, model, chosen.variant))
    remember(destination, weights_sha256(destination))
    return Converted(chosen.variant, destination)


def read_published(path: Path) -> tuple[Any, bool]:
    """Return the content of a PyTorch, Paddle or ncnn file, and whether it is PyTorch's.

    Raises:
        WeightsError: the file is damaged, has another format, or holds more than data.
    """
    kind = kind_of(path)
    if kind is Kind.TORCH:
        return read_torch(path), True
    if kind is Kind.PADDLE:
        return read_paddle(path), False
    if kind is Kind.NCNN:
        return NcnnWeights(path), False
    raise WeightsError(
        f"{path} cannot be converted: {unreadable(kind)}. PyTorch, Paddle and ncnn files can."
    )


@dataclass(frozen=True)
class _Attempt:
    variant: Variant
    weights: dict[str, np.ndarray]
    mismatch: Mismatch


def _check_same_source(path: Path, destination: Path) -> None:
    known = metadata_of(destination)
    if known.get("source_sha256") != weights_sha256(path):
        raise WeightsError(
            f"{destination} exists, converted from {known.get('source', 'an unknown file')} with "
            f"other content than {path}: `overwrite=True` replaces it."
        )


def _variants(path: Path, model: Model, variant: str | None) -> list[Variant]:
    """Return the variants that the file may hold: its sha256 decides, if it is a known one."""
    owners = model.variants_with(weights_sha256(path))
    if variant is not None:
        chosen = model.variant(variant)
        if owners and chosen not in owners:
            raise WeightsError(
                f"{path} holds the {owners[0].name} weights of {model.name}, by its sha256: "
                f"convert it with `variant={owners[0].name}`."
            )
        return [chosen]
    if owners:
        return owners
    return [known for known in model.variants.values() if not known.shipped]


def _attempts(
    stored: Any, from_torch: bool, variants: list[Variant], build: Build
) -> list[_Attempt]:
    networks: dict[str, paddle.nn.Layer] = {}  # Variants often share a network.
    attempts = []
    for variant in variants:
        key = json.dumps([variant.network, variant.settings], sort_keys=True)
        if key not in networks:
            networks[key] = build(variant.network, variant.settings)
        weights = translated(stored, variant, networks[key], from_torch)
        attempts.append(_Attempt(variant, weights, find_mismatch(networks[key], weights)))
    return attempts


def _fitting(path: Path, model: Model, attempts: list[_Attempt]) -> _Attempt:
    """Choose the attempt that fits; if several do, the one whose published file has this name."""
    if not attempts:
        raise WeightsError(f"{model.name} has no published variant.")
    fitting = [attempt for attempt in attempts if not attempt.mismatch]
    if not fitting:
        nearest = min(attempts, key=lambda attempt: len(attempt.mismatch))
        if not nearest.weights:
            raise WeightsError(
                f"{path} does not hold weights of {model.name}: it is damaged or incomplete, or "
                "holds the weights of another network."
            )
        raise WeightsError(
            f"{path} does not fit the {nearest.variant.name} variant of {model.name}; it holds the "
            f"weights of another network, or of another variant "
            f"({nearest.mismatch.summary(_KEYS_IN_MESSAGE)})."
        )
    named = [attempt for attempt in fitting if path.name in attempt.variant.published_names]
    if len(fitting) > 1 and len(named) != 1:
        names = ", ".join(attempt.variant.name for attempt in fitting)
        raise WeightsError(
            f"{path} fits several variants of {model.name}: {names}. "
            f"Choose one, for example `variant={fitting[0].variant.name}`."
        )
    return (named or fitting)[0]


def _check_undamaged(path: Path, model: Model, chosen: _Attempt) -> None:
    """Refuse a damaged file, if the damage shows: the oldest PyTorch files have no checksums."""
    variant, found = chosen.variant, weights_sha256(path)
    known = variant.sha256_of(path.name)
    if known is None and path.name in variant.published_names:
        stated = _HASH_IN_NAME.search(path.name)
        known = stated[1] if stated else None
    if known and not found.startswith(known):
        raise WeightsError(
            f"{path} has the name of the published {variant.name} weights of {model.name}, but "
            f"another sha256 ({found[:12]}, not {known[:12]}): it is damaged, or holds other "
            "weights. Download it again; if it holds weights of your own, rename it."
        )
    check_numbers(chosen.weights, str(path))
    verified = known or variant in model.variants_with(found)
    if not verified and not zipfile.is_zipfile(path):  # A zip file has checksums.
        logger.warning(
            "%s: not all damage to a file of this format shows. Compare its sha256, %s, with that "
            "of its source.",
            path,
            found,
        )


def translated(
    stored: Any, variant: Variant, network: paddle.nn.Layer, from_torch: bool
) -> dict[str, np.ndarray]:
    """Return the arrays of a published file with the keys and shapes of `network`.

    stored: the content of the file. from_torch: whether PyTorch wrote it; only then do the rules
    of the config apply. Keys that `network` does not have are kept, for `find_mismatch` to report.
    """
    if isinstance(stored, NcnnWeights):
        return stored.named(network)
    wanted = network.state_dict()
    arrays = _without_prefixes(flattened(_unwrapped(stored, variant.layout)), wanted)
    if not from_torch:
        return arrays
    for pattern, replacement in variant.convert:
        arrays = _renamed(arrays, pattern, replacement)
    return _in_paddle_layout(arrays, network)


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
    """Strip the prefixes that DataParallel and training frameworks add.

    "generator." also selects: a training checkpoint may hold a discriminator and losses as well.
    """
    for prefix, selects in (("module.", False), ("generator.", True), ("module.", False)):
        inside = {n[len(prefix) :]: v for n, v in arrays.items() if n.startswith(prefix)}
        ours = any(name.startswith(prefix) for name in wanted)
        if inside and not ours and (selects or len(inside) == len(arrays)):
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


def _in_paddle_layout(
    arrays: dict[str, np.ndarray], network: paddle.nn.Layer
) -> dict[str, np.ndarray]:
    """Rename the parameters of norms and PReLU, transpose matrices, flatten weight norms."""
    wanted = network.state_dict()
    paddle_names = _paddle_names(wanted)
    matrices = _matrices(network)
    result = {}
    for name, value in arrays.items():
        if name.endswith("num_batches_tracked") and name not in wanted:
            continue
        ours = name if name in wanted else paddle_names.get(name, name)
        if ours in matrices:
            value = np.ascontiguousarray(value.T)
        elif ours.endswith("weight_g") and value.shape[1:] == (1,) * (value.ndim - 1):
            value = value.reshape(-1)  # The lengths in a weight norm, one per output channel.
        result[ours] = value
    return result


def _paddle_names(wanted: Mapping[str, Any]) -> dict[str, str]:
    """Map PyTorch's names to Paddle's, for parameters that the two name differently."""
    torch_names = {"_mean": "running_mean", "_variance": "running_var", "_weight": "weight"}
    names = {}
    for ours in wanted:
        parent, dot, name = ours.rpartition(".")
        if name in torch_names:
            names[f"{parent}{dot}{torch_names[name]}"] = ours
    return names


def _matrices(network: paddle.nn.Layer) -> set[str]:
    """Return the keys of the weights of linear layers, which Paddle stores transposed."""
    from paddle.nn import Linear

    return {
        f"{name}.weight" if name else "weight"
        for name, layer in network.named_sublayers(include_self=True)
        if isinstance(layer, Linear)
    }


def _metadata(path: Path, model: Model, variant: Variant) -> dict[str, str]:
    """Return the metadata for the header of the converted file."""
    sha256 = weights_sha256(path)
    known = [address.url for address in variant.addresses if address.sha256 == sha256]
    return {
        "oldfilm": __version__,
        "model": model.name,
        "variant": variant.name,
        "source": known[0] if known else path.name,
        "source_sha256": sha256,
        "licence": variant.licence,
    }


def _write(weights: dict[str, np.ndarray], destination: Path, metadata: dict[str, str]) -> None:
    try:
        with locked(destination), replacing(destination) as unfinished:
            unfinished.touch()
            mode = unfinished.stat().st_mode
            save_file(weights, unfinished, metadata)
            unfinished.chmod(mode)  # safetensors creates files that only their owner can read.
    except (OSError, SafetensorError) as error:
        raise TransferError(f"{destination} cannot be written ({error}).") from error
