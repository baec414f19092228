"""Find the weight file of a variant: on this machine, or where it is published."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

from oldfilm.errors import TransferError, WeightsError
from oldfilm.weights.commands import convert_command
from oldfilm.weights.convert import Build
from oldfilm.weights.download import Progress, online
from oldfilm.weights.fetch import advice, can_be_fetched, fetch
from oldfilm.weights.first_use import weights_sha256
from oldfilm.weights.formats import kind_of
from oldfilm.weights.registry import Model, Variant
from oldfilm.weights.search import ResolvedWeights, find_standard

logger = logging.getLogger(__name__)

failed_urls: set[str] = set()
"""Addresses that failed for "auto" in this process; they are not tried for the next film."""


def resolve(
    model: Model,
    variant: str = "auto",
    weight_path: str | None = None,
    *,
    device: str = "cpu",
    published: str = "full",
    progress: Progress | None = None,
    build: Build | None = None,
) -> ResolvedWeights:
    """Find the weights of a variant, and download them if necessary.

    The search order is: `weight_path`, the shipped `weights/`, `$OLDFILM_WEIGHTS`, oldfilm's
    cache, PaddleGAN's cache, the addresses in `configs/`. In each folder, the variant's own file
    name comes before the published names.

    variant: name or alias of a variant, or "auto": the published variant if its file exists; for a
        model without "lite", another variant whose file exists; the published variant if `device`
        is a GPU and the file can be downloaded; "lite" otherwise.
    weight_path: a file to use in place of the variant's own.
    published: the published variant that "auto" stands for.
    progress: reports a download; by default it is logged.
    build: builds a network, as for `convert`; without it, nothing is converted.

    Raises:
        WeightsError: the variant or file does not exist, is damaged, or must be converted first.
        TransferError: the file cannot be downloaded.
    """
    if weight_path is not None:
        return _given(model, variant, Path(weight_path).expanduser(), published)
    if variant == "auto":
        return _automatic(model, published, device, progress, build)
    chosen = model.variant(variant)
    return fetch(model, chosen, build, progress)


def _automatic(
    model: Model, published: str, device: str, progress: Progress | None, build: Build | None
) -> ResolvedWeights:
    """Choose the variant for "auto", and log the choice."""
    wanted, lite = model.get(published), model.get("lite")
    if wanted is None:
        return resolve(model, "lite")
    found = find_standard(model, wanted)
    if found is None and device != "cpu" and _can_be_downloaded(wanted, build):
        try:
            found = fetch(model, wanted, build, progress)
        except TransferError as error:
            if lite is None:
                raise
            failed_urls.update(wanted.urls)
            logger.warning("%s", error)
    if found is not None:
        other = " `variant=lite` uses the lite weights." if lite else ""
        if found.variant is not wanted:
            other = f" {advice(model, wanted)}"
        log_once(f"{model.name}: using the {found.variant.name} weights in {found.path}.{other}")
        return found
    if lite is None:
        raise WeightsError(advice(model, wanted))
    log_once(f"{model.name}: using the lite weights. {advice(model, wanted)}")
    return resolve(model, "lite")


def _can_be_downloaded(variant: Variant, build: Build | None) -> bool:
    if not can_be_fetched(variant, build) or failed_urls.issuperset(variant.urls):
        return False
    return online(variant.urls)


def _given(model: Model, variant: str, path: Path, published: str) -> ResolvedWeights:
    if not path.exists():
        raise WeightsError(f"{path}: no such weight file ({model.name}).")
    chosen = _variant_of(model, path, published) if variant == "auto" else model.variant(variant)
    if path.is_file() and (kind := kind_of(path)).must_be_converted:
        named = None if variant == "auto" else chosen
        raise WeightsError(
            f"{path} is {kind.value}: convert it once with "
            f"`{convert_command(model, named, path)}`, and leave out the weight path."
        )
    return ResolvedWeights(chosen, path, weights_sha256(path))


def _variant_of(model: Model, path: Path, published: str) -> Variant:
    """Return the variant whose file has this name; else the published variant, or lite."""
    for variant in model.variants.values():
        if path.name in (variant.file, *variant.published_names):
            return variant
    return model.get(published) or model.variant("lite")


@functools.cache
def log_once(message: str) -> None:
    """Log a message the first time that it occurs in this process."""
    logger.warning("%s", message)
