"""Bring the published weights of a variant to this machine, ready for use."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import unquote

from oldfilm.errors import TransferError, WeightsError
from oldfilm.system.locks import locked
from oldfilm.weights.commands import convert_command, fetch_command
from oldfilm.weights.convert import Build, convert
from oldfilm.weights.download import Expected, Progress, Source, download_first, mirrored
from oldfilm.weights.folders import download_folder, search_folders
from oldfilm.weights.formats import kind_of, read_weights
from oldfilm.weights.progress import DownloadProgress
from oldfilm.weights.registry import Address, Model, Variant
from oldfilm.weights.search import (
    CONVERTED_SUFFIXES,
    ResolvedWeights,
    candidates,
    check,
    find,
    is_usable,
)

logger = logging.getLogger(__name__)


def fetch(
    model: Model, variant: Variant, build: Build | None = None, progress: Progress | None = None
) -> ResolvedWeights:
    """Find the weights of `variant`; download and convert them where necessary.

    A published file that is already on this machine is converted in place of a download.

    build: builds a network, as for `convert`; without it, nothing is converted. progress: reports
    the download; by default it is logged.

    Raises:
        WeightsError: the weights are not published, damaged, or must be converted.
        TransferError: they cannot be downloaded or stored.
    """
    if (found := find(model, variant)) is not None:
        return found
    if not can_be_fetched(variant, build):
        raise WeightsError(advice(model, variant))
    in_progress = download_folder() / f"{variant.file}.fetch"
    try:
        with locked(in_progress, lambda: logger.warning("waiting for another fetch of the file")):
            return find(model, variant) or _brought(model, variant, build, progress)
    except OSError as error:
        raise TransferError(
            f"{in_progress.parent} cannot be written ({error.strerror}): set $OLDFILM_CACHE to a "
            "writable folder."
        ) from error


def can_be_fetched(variant: Variant, build: Build | None) -> bool:
    """Return whether the weights can be downloaded, or converted from a file on this machine."""
    existing = next(candidates(variant), None)
    return bool(existing and build) or bool(_addresses(variant, build) and not existing)


def needs_conversion(variant: Variant) -> bool:
    """Return whether a published file of the variant must be converted, which takes Paddle."""
    return _addresses(variant, None) != list(variant.addresses)


def advice(model: Model, variant: Variant) -> str:
    """Say how to get the weights of a variant."""
    name = f"{variant.name} weights of {model.name}"
    for path in candidates(variant):
        return (
            f"{path} holds the {name} as {kind_of(path).value}: convert it once with "
            f"`{convert_command(model, variant, path)}`."
        )
    command = fetch_command(model, variant)
    if variant.urls and not _addresses(variant, None):
        return f"The {name} must be converted: `{command}` downloads and converts them."
    if variant.urls:
        first = variant.addresses[0]  # Of a package, the size is not known.
        size = f" ({first.bytes / 1e6:.0f} MB)" if first.bytes and not first.package else ""
        return (
            f"The {name} are not on this machine: `variant={variant.name}` downloads them{size}, "
            f"as does `{command}`."
        )
    if variant.shipped:
        folders = " or ".join(map(str, search_folders()))
        return (
            f"The {name} ({variant.file}) are missing from {folders}: reinstall oldfilm, or set "
            "$OLDFILM_WEIGHTS to the folder that contains them."
        )
    return (
        f"The {name} must be downloaded by hand ({variant.source}): convert them once with "
        f"`{convert_command(model, variant, Path('FILE'))}`."
    )


def _brought(
    model: Model, variant: Variant, build: Build | None, progress: Progress | None
) -> ResolvedWeights:
    """Convert a file of the variant, or download the published file first."""
    existing = next(candidates(variant), None)
    source = existing or _download(model, variant, _addresses(variant, build), progress)
    if existing is None and is_usable(variant, source):
        return ResolvedWeights(variant, source, check(model, variant, source))
    assert build is not None
    try:
        convert(source, model, build, variant.name)
    except WeightsError as error:
        if existing is not None or isinstance(error, TransferError):
            raise
        source.unlink()  # The next fetch would find it again, and download nothing.
        raise WeightsError(f"{error} The download was deleted.") from error
    if existing is None:
        source.unlink()
    found = find(model, variant)
    assert found is not None
    return found


def _addresses(variant: Variant, build: Build | None) -> list[Address]:
    """Return the addresses of files that can be used; those to be converted need `build`."""
    return [a for a in variant.addresses if build or Path(a.name).suffix not in CONVERTED_SUFFIXES]


def _download(
    model: Model, variant: Variant, addresses: list[Address], progress: Progress | None
) -> Path:
    """Download the variant's published file as it is, and return its path."""
    report = progress or DownloadProgress(f"{model.name} {variant.name}")
    sources = [_source(url, address, variant) for url, address in mirrored(addresses)]
    try:
        return download_first(sources, report)
    except TransferError as error:
        direct = is_usable(variant, sources[-1].destination)
        by_hand = (
            f"put it into {download_folder()}"
            if direct
            else f"convert it with `{convert_command(model, variant, Path('FILE'))}`"
        )
        raise TransferError(
            f"{error} Try again with `{fetch_command(model, variant)}`, or get the file in another "
            f"way and {by_hand}."
        ) from error


def _source(url: str, address: Address, variant: Variant) -> Source:
    name = unquote(address.name)
    if Path(name).suffix in CONVERTED_SUFFIXES:
        # Published names may be generic (best.pth), and this file is deleted after conversion.
        name = Path(variant.file).stem + Path(name).suffix
    expected = Expected(address.bytes, address.sha256, _check_content)
    return Source(url, download_folder() / name, expected)


def _check_content(path: Path) -> None:
    """Refuse a download that cannot be read as weights; conversion checks the other formats."""
    if not kind_of(path).must_be_converted:
        read_weights(path)
