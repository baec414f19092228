"""Bring the published weights of a variant to this machine, ready for use."""

from __future__ import annotations

import logging

from oldfilm.errors import TransferError
from oldfilm.system.locks import locked
from oldfilm.weights.convert import Build, convert
from oldfilm.weights.download import Progress
from oldfilm.weights.folders import download_folder
from oldfilm.weights.registry import Model, Variant
from oldfilm.weights.resolve import (
    ResolvedWeights,
    candidates,
    download_published,
    download_variant,
    find,
    needs_conversion,
)
from oldfilm.weights.torch_file import import_torch

logger = logging.getLogger(__name__)


def fetch(
    model: Model, variant: Variant, build: Build, progress: Progress | None = None
) -> ResolvedWeights:
    """Find the weights of `variant`; download and convert them where necessary.

    A PyTorch file that is already on this machine is converted in place of a download.

    build: builds a network, as for `convert`. progress: reports the download.

    Raises:
        WeightsError: the weights are not published, damaged, or need PyTorch for the conversion.
        TransferError: they cannot be downloaded or stored.
    """
    if (found := find(model, variant)) is not None:
        return found
    in_progress = download_folder() / f"{variant.file}.fetch"
    try:
        with locked(in_progress, lambda: logger.warning("waiting for another fetch of the file")):
            return find(model, variant) or _brought(model, variant, build, progress)
    except OSError as error:
        raise TransferError(
            f"{in_progress.parent} cannot be written ({error.strerror}): set $OLDFILM_CACHE to a "
            "folder that can."
        ) from error


def _brought(
    model: Model, variant: Variant, build: Build, progress: Progress | None
) -> ResolvedWeights:
    """Convert a PyTorch file of the variant, or download the published file first."""
    existing = next(candidates(variant), None)
    if existing is None and not needs_conversion(variant):
        return download_variant(model, variant, progress)
    import_torch(variant.published_names[-1])  # Fails before the download rather than after it.
    source = existing or download_published(model, variant, progress)
    converted = convert(source, model, build, variant.name)
    if existing is None:
        source.unlink()
    found = find(model, variant)
    assert found is not None, converted
    return found
