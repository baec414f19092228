"""Find the weight file of a variant on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oldfilm.errors import WeightsError
from oldfilm.weights.commands import fetch_command
from oldfilm.weights.first_use import check_against_first_use, weights_sha256
from oldfilm.weights.folders import search_folders
from oldfilm.weights.formats import metadata_of
from oldfilm.weights.registry import Model, Variant

CONVERTED_SUFFIXES = {".pth", ".pt", ".pkl", ".ckpt", ".tar", ".bin"}
"""Suffixes of published files that must be converted before use."""


@dataclass(frozen=True)
class ResolvedWeights:
    """A variant and the file that holds its weights."""

    variant: Variant
    path: Path
    sha256: str


def terms_of(weights: ResolvedWeights) -> dict[str, str]:
    """Return file, license and source of weights, for a report."""
    variant = weights.variant
    return {
        f"{variant.name} weights": weights.path.name,
        f"{variant.name} license": variant.licence,
        f"{variant.name} source": variant.source,
    }


def find(model: Model, variant: Variant) -> ResolvedWeights | None:
    """Return the variant's weights if they are on this machine, ready for use.

    Raises:
        WeightsError: the file is damaged, or has changed since its first use.
    """
    for path in candidates(variant):
        if is_usable(variant, path):
            return ResolvedWeights(variant, path, check(model, variant, path))
    return None


def find_standard(model: Model, standard: Variant) -> ResolvedWeights | None:
    """Return the standard weights if they are on this machine, ready for use.

    A model without lite weights then takes another of its variants that is here, in the order of
    its config. Only the standard variant replaces lite: the others are for special purposes.

    Raises:
        WeightsError: a file is damaged, or has changed since its first use.
    """
    others = [] if model.get("lite") else model.variants.values()
    found = (find(model, variant) for variant in (standard, *others))
    return next((weights for weights in found if weights is not None), None)


def is_usable(variant: Variant, path: Path) -> bool:
    """Return whether one of the candidates can be read without conversion."""
    return path.name == variant.file or path.suffix not in CONVERTED_SUFFIXES


def candidates(variant: Variant) -> Iterator[Path]:
    """Yield the files on this machine that have a name of the variant, in search order.

    Files to be converted may have generic names (x4.bin); those of another hash are left out.
    """
    for folder in search_folders():
        for name in (variant.file, *variant.published_names):
            if (path := folder / name).is_file() and not _is_of_another(variant, path):
                yield path


def _is_of_another(variant: Variant, path: Path) -> bool:
    if is_usable(variant, path):
        return False
    known = variant.sha256_of(path.name)
    return known is not None and weights_sha256(path) != known


def check(model: Model, variant: Variant, path: Path) -> str:
    """Return the sha256 of a file, which must be the published one, or that of its first use.

    Raises:
        WeightsError: it is damaged, has changed, or holds the weights of another variant.
    """
    if path.name == variant.file and not variant.shipped:
        check_origin(model, variant, path)
        return check_against_first_use(path)
    known = variant.sha256_of(path.name)
    if known is None:
        return check_against_first_use(path)
    found = weights_sha256(path)
    if found != known:
        again = (
            f"delete it, and run `{fetch_command(model, variant)}`"
            if variant.urls
            else "reinstall oldfilm"
        )
        raise WeightsError(f"{path} is damaged (sha256 {found[:12]}, not {known[:12]}): {again}.")
    return found


def check_origin(model: Model, variant: Variant, path: Path) -> None:
    """Refuse a converted file whose source is the published file of another variant.

    Raises:
        WeightsError: it is.
    """
    source = metadata_of(path).get("source_sha256", "")
    owners = model.variants_with(source)
    if owners and variant not in owners:
        raise WeightsError(
            f"{path} holds the {owners[0].name} weights of {model.name}, not {variant.name}: "
            f"delete it, and run `{fetch_command(model, variant)}`."
        )
