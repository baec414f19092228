"""Find the weight file of a variant: on this machine, or where it is published."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oldfilm.errors import TransferError, WeightsError
from oldfilm.weights.commands import command
from oldfilm.weights.download import Expected, Progress, download, online
from oldfilm.weights.first_use import check_against_first_use, weights_sha256
from oldfilm.weights.folders import download_folder, search_folders
from oldfilm.weights.formats import Kind, kind_of, read_weights
from oldfilm.weights.registry import Model, Variant

logger = logging.getLogger(__name__)

TORCH_SUFFIXES = {".pth", ".pt", ".pkl", ".ckpt", ".tar"}
"""Suffixes of published files that must be converted before use."""

failed_urls: set[str] = set()
"""Addresses that failed for "auto" in this process; they are not tried for the next film."""


@dataclass(frozen=True)
class ResolvedWeights:
    """A variant and the file that holds its weights."""

    variant: Variant
    path: Path
    sha256: str


def resolve(
    model: Model,
    variant: str = "auto",
    weight_path: str | None = None,
    *,
    device: str = "cpu",
    published: str = "full",
    progress: Progress | None = None,
) -> ResolvedWeights:
    """Find the weights of a variant, and download them if necessary.

    The search order is: `weight_path`, the shipped `weights/`, `$OLDFILM_WEIGHTS`, oldfilm's
    cache, PaddleGAN's cache, the addresses in `configs/`. In each folder, the variant's own file
    name comes before the published names.

    variant: name or alias of a variant, or "auto": the published variant if its file exists, or if
        `device` is a GPU and the file can be downloaded; "lite" otherwise.
    weight_path: a file to use in place of the variant's own.
    published: the published variant that "auto" stands for.
    progress: reports a download; by default it is logged.

    Raises:
        WeightsError: the variant or file does not exist, is damaged, or must be converted first.
        TransferError: the file cannot be downloaded.
    """
    if weight_path is not None:
        return _given(model, variant, Path(weight_path).expanduser(), published)
    if variant == "auto":
        return _automatic(model, published, device, progress)
    chosen = model.variant(variant)
    return find(model, chosen) or download_variant(model, chosen, progress)


def find(model: Model, variant: Variant) -> ResolvedWeights | None:
    """Return the variant's weights if they are on this machine, ready for use.

    Raises:
        WeightsError: the file is damaged, or has changed since its first use.
    """
    for path in candidates(variant):
        if is_usable(variant, path):
            return ResolvedWeights(variant, path, _checked(model, variant, path))
    return None


def is_usable(variant: Variant, path: Path) -> bool:
    """Return whether one of the candidates can be read without conversion."""
    return path.name == variant.file or path.suffix not in TORCH_SUFFIXES


def candidates(variant: Variant) -> Iterator[Path]:
    """Yield the files on this machine that have a name of the variant, in search order."""
    for folder in search_folders():
        for name in (variant.file, *variant.published_names):
            if (path := folder / name).is_file():
                yield path


def download_variant(
    model: Model, variant: Variant, progress: Progress | None = None
) -> ResolvedWeights:
    """Download the variant's weights.

    Raises:
        WeightsError: they are not published, must be converted, or have changed since first use.
        TransferError: they cannot be downloaded.
    """
    if needs_conversion(variant) or not variant.urls:
        raise WeightsError(_advice(model, variant))
    path = download_published(model, variant, progress)
    return ResolvedWeights(variant, path, _checked(model, variant, path))


def needs_conversion(variant: Variant) -> bool:
    """Return whether the published file is a PyTorch file."""
    return any(Path(name).suffix in TORCH_SUFFIXES for name in variant.published_names)


def download_published(model: Model, variant: Variant, progress: Progress | None = None) -> Path:
    """Download the variant's published file as it is, and return its path.

    Raises:
        TransferError: it cannot be downloaded.
    """
    name = variant.published_names[-1]
    if needs_conversion(variant):
        # Published names may be generic (best.pth), and this file is deleted after conversion.
        name = Path(variant.file).stem + Path(name).suffix
    destination = download_folder() / name
    try:
        expected = Expected(variant.bytes, variant.sha256, _check_content)
        report = progress or _LoggedProgress(f"{model.name}: {destination.name}")
        download(variant.urls, destination, expected, report)
    except TransferError as error:
        by_hand = (
            f"convert it with `{convert_command(model, variant, Path('FILE'))}`"
            if needs_conversion(variant)
            else f"put it into {destination.parent}"
        )
        raise TransferError(
            f"{error} Try again with `{fetch_command(model, variant)}`, or get the file in another "
            f"way and {by_hand}."
        ) from error
    return destination


def fetch_command(model: Model, variant: Variant) -> str:
    """Return the command that downloads the variant, and converts it if necessary."""
    return command("weights", "fetch", model.config or model.name, "--variant", variant.name)


def convert_command(model: Model, variant: Variant | None, path: Path) -> str:
    """Return the command that converts a PyTorch file."""
    which = ("--variant", variant.name) if variant else ()
    return command("weights", "convert", path, "--model", model.config or model.name, *which)


def _automatic(
    model: Model, published: str, device: str, progress: Progress | None
) -> ResolvedWeights:
    """Choose the variant for "auto", and log the choice."""
    wanted, lite = model.get(published), model.get("lite")
    if wanted is None:
        return resolve(model, "lite")
    found = find(model, wanted)
    if found is None and device != "cpu" and _can_be_downloaded(wanted):
        try:
            found = download_variant(model, wanted, progress)
        except TransferError as error:
            if lite is None:
                raise
            failed_urls.update(wanted.urls)
            logger.warning("%s", error)
    if found is not None:
        other = " `variant=lite` uses the lite weights." if lite else ""
        log_once(f"{model.name}: using the {wanted.name} weights in {found.path}.{other}")
        return found
    if lite is None:
        raise WeightsError(_advice(model, wanted))
    log_once(f"{model.name}: using the lite weights. {_advice(model, wanted)}")
    return resolve(model, "lite")


def _can_be_downloaded(variant: Variant) -> bool:
    if not variant.urls or needs_conversion(variant) or failed_urls.issuperset(variant.urls):
        return False
    return online(variant.urls)


def _advice(model: Model, variant: Variant) -> str:
    """Say how to get the variant's weights."""
    name = f"{variant.name} weights of {model.name}"
    for path in candidates(variant):
        return (
            f"{path} holds the {name} as a PyTorch file: convert it once with "
            f"`{convert_command(model, variant, path)}`."
        )
    fetch = fetch_command(model, variant)
    if needs_conversion(variant):
        return f"The {name} are published for PyTorch: `{fetch}` downloads and converts them."
    if variant.urls:
        size = f" ({variant.bytes / 1e6:.0f} MB)" if variant.bytes else ""
        return (
            f"The {name} are not on this machine: `variant={variant.name}` downloads them{size}, "
            f"as does `{fetch}`."
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


def _given(model: Model, variant: str, path: Path, published: str) -> ResolvedWeights:
    if not path.exists():
        raise WeightsError(f"{path}: no such weight file ({model.name}).")
    chosen = _variant_of(model, path, published) if variant == "auto" else model.variant(variant)
    if path.is_file() and kind_of(path) is Kind.TORCH:
        named = None if variant == "auto" else chosen
        raise WeightsError(
            f"{path} is a PyTorch file: convert it once with "
            f"`{convert_command(model, named, path)}`, and leave out the weight path."
        )
    return ResolvedWeights(chosen, path, weights_sha256(path))


def _variant_of(model: Model, path: Path, published: str) -> Variant:
    """Return the variant whose file has this name; else the published variant, or lite."""
    for variant in model.variants.values():
        if path.name in (variant.file, *variant.published_names):
            return variant
    return model.get(published) or model.variant("lite")


def _checked(model: Model, variant: Variant, path: Path) -> str:
    """Return the sha256 of a file, which must be the published one, or that of its first use."""
    if variant.sha256 is None or (variant.urls and path.name == variant.file):
        return check_against_first_use(path)
    found = weights_sha256(path)
    if found != variant.sha256:
        again = (
            f"delete it, and run `{fetch_command(model, variant)}`"
            if variant.urls
            else "reinstall oldfilm"
        )
        raise WeightsError(
            f"{path} is damaged (sha256 {found[:12]}, not {variant.sha256[:12]}): {again}."
        )
    return found


def _check_content(path: Path) -> None:
    """Refuse a download that cannot be read as weights; conversion checks PyTorch files."""
    if kind_of(path) is not Kind.TORCH:
        read_weights(path)


@functools.cache
def log_once(message: str) -> None:
    """Log a message the first time that it occurs in this process."""
    logger.warning("%s", message)


class _LoggedProgress:
    """Log the progress of a download: every tenth of its size."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tenths = -1

    def __call__(self, done: int, total: int | None) -> None:
        if not total or done * 10 // total == self._tenths:
            return
        self._tenths = done * 10 // total
        logger.warning("%s: %d %% of %.0f MB", self._name, self._tenths * 10, total / 1e6)
