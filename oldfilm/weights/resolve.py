"""Finds the file of a variant's weights: on this machine, or where it is published."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oldfilm.errors import TransferError, WeightsError
from oldfilm.weights.commands import command
from oldfilm.weights.download import Expected, Progress, download, online
from oldfilm.weights.first_use import checked_against_first_use, sha256_of
from oldfilm.weights.folders import download_folder, search_folders
from oldfilm.weights.load import Kind, kind_of, read_weights
from oldfilm.weights.registry import Model, Variant

logger = logging.getLogger(__name__)

TORCH_SUFFIXES = {".pth", ".pt", ".pkl", ".ckpt", ".tar"}
"""What is published under such names has to be converted before it can be used."""


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
    """Find the weights of `variant`, download them, or take `weight_path` for them.

    variant: a name of `model.variants`, an alias, or "auto": the published variant where its file
    is here, or where `device` is a GPU and it can be downloaded; else "lite".
    weight_path: a file that replaces the variant's own. published: which published variant "auto"
    means. progress: of a download; by default it is logged.

    Looked for in this order: `weight_path`, the shipped `weights/`, `$OLDFILM_WEIGHTS`, our cache,
    PaddleGAN's cache, the addresses in `configs/`. In every folder `file` comes before the
    published names.

    Raises:
        WeightsError: no such variant or file, or one that is damaged or has to be converted first.
        TransferError: it cannot be downloaded.
    """
    if weight_path is not None:
        return _given(model, variant, Path(weight_path).expanduser(), published)
    if variant == "auto":
        return _chosen(model, published, device, progress)
    chosen = model.variant(variant)
    return found(model, chosen) or downloaded(model, chosen, progress)


def found(model: Model, variant: Variant) -> ResolvedWeights | None:
    """The variant's weights on this machine, or None.

    Raises:
        WeightsError: they are damaged, or not what they were.
    """
    for path in candidates(variant):
        if usable(variant, path):
            return ResolvedWeights(variant, path, _checked(model, variant, path))
    return None


def usable(variant: Variant, path: Path) -> bool:
    """Whether one of the candidates can be read as it is, without conversion."""
    return path.name == variant.file or path.suffix not in TORCH_SUFFIXES


def candidates(variant: Variant) -> Iterator[Path]:
    """The files on this machine under a name of the variant, the first in order first."""
    for folder in search_folders():
        for name in (variant.file, *variant.published_names):
            if (path := folder / name).is_file():
                yield path


def downloaded(model: Model, variant: Variant, progress: Progress | None = None) -> ResolvedWeights:
    """Download the variant's weights.

    Raises:
        WeightsError: they are not published, or have to be converted, or are another file than at
        their first use.
        TransferError: they cannot be downloaded.
    """
    if needs_conversion(variant) or not variant.urls:
        raise WeightsError(_how_to_get(model, variant))
    path = bring(model, variant, progress)
    return ResolvedWeights(variant, path, _checked(model, variant, path))


def needs_conversion(variant: Variant) -> bool:
    """Whether the published file is PyTorch's."""
    return any(Path(name).suffix in TORCH_SUFFIXES for name in variant.published_names)


def bring(model: Model, variant: Variant, progress: Progress | None = None) -> Path:
    """Download the variant's published file, whatever its kind; returns where it is.

    Raises:
        TransferError: it cannot be downloaded.
    """
    name = variant.published_names[-1]
    if needs_conversion(variant):
        # Its name may be anybody's (best.pth), and it does not stay.
        name = Path(variant.file).stem + Path(name).suffix
    destination = download_folder() / name
    told = progress or _Logged(f"{model.name}: {destination.name}")
    try:
        expected = Expected(variant.bytes, variant.sha256, _is_complete)
        download(variant.urls, destination, expected, told)
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
    """The command that downloads the variant, and converts it where need be."""
    return command("weights", "fetch", model.config or model.name, "--variant", variant.name)


def _chosen(
    model: Model, published: str, device: str, progress: Progress | None
) -> ResolvedWeights:
    """What "auto" is."""
    wanted, lite = model.get(published), model.get("lite")
    if wanted is None:
        return resolve(model, "lite")
    here = found(model, wanted)
    if here is None and device != "cpu" and _may_be_downloaded(wanted):
        try:
            here = downloaded(model, wanted, progress)
        except TransferError as error:
            if lite is None:
                raise
            _in_vain.update(wanted.urls)
            logger.warning("%s", error)
    if here is not None:
        other = ' For the lite ones: --variant lite (variant="lite").' if lite else ""
        _say(f"{model.name}: the {wanted.name} weights, {here.path}.{other}")
        return here
    if lite is None:
        raise WeightsError(_how_to_get(model, wanted))
    _say(f"{model.name}: the lite weights. {_how_to_get(model, wanted)}")
    return resolve(model, "lite")


_in_vain: set[str] = set()
"""Addresses from which "auto" got nothing in this run; the next film does not wait for them."""


def _may_be_downloaded(variant: Variant) -> bool:
    if not variant.urls or needs_conversion(variant) or _in_vain.issuperset(variant.urls):
        return False
    return online(variant.urls)


def _how_to_get(model: Model, variant: Variant) -> str:
    """What to do where a variant's weights are not here, or not to be used as they are."""
    which = f"the {variant.name} weights of {model.name}"
    for path in candidates(variant):
        return (
            f"{path}, {which}, is a PyTorch file: convert it once with "
            f"`{convert_command(model, variant, path)}`."
        )
    fetch = fetch_command(model, variant)
    if needs_conversion(variant):
        return f"For {which}, which are published for PyTorch: `{fetch}` converts them, once."
    if variant.urls:
        size = f" ({variant.bytes / 1e6:.0f} MB)" if variant.bytes else ""
        return (
            f"For {which}, which are not here: --variant {variant.name} "
            f'(variant="{variant.name}") downloads them{size}, as does `{fetch}`.'
        )
    if variant.shipped:
        return (
            f"{variant.file}, {which}, is not in {_listed(search_folders())}: install oldfilm "
            "again, or set $OLDFILM_WEIGHTS to the folder that has it."
        )
    return (
        f"For {which}, which can only be got by hand ({variant.source}): convert them once with "
        f"`{convert_command(model, variant, Path('FILE'))}`."
    )


def convert_command(model: Model, variant: Variant | None, path: Path) -> str:
    """The command that converts a PyTorch file."""
    which = ("--variant", variant.name) if variant else ()
    return command("weights", "convert", path, "--model", model.config or model.name, *which)


def _given(model: Model, variant: str, path: Path, published: str) -> ResolvedWeights:
    if not path.exists():
        raise WeightsError(f"{path}: there is no such weight file ({model.name}).")
    chosen = _variant_of(model, path, published) if variant == "auto" else model.variant(variant)
    if path.is_file() and kind_of(path) is Kind.TORCH:
        named = None if variant == "auto" else chosen
        raise WeightsError(
            f"{path} is a PyTorch file: convert it once with "
            f"`{convert_command(model, named, path)}`, and leave out the weight path."
        )
    return ResolvedWeights(chosen, path, sha256_of(path))


def _variant_of(model: Model, path: Path, published: str) -> Variant:
    """The variant whose file has this name; else the published one; else lite."""
    for variant in model.variants.values():
        if path.name in (variant.file, *variant.published_names):
            return variant
    return model.get(published) or model.variant("lite")


def _checked(model: Model, variant: Variant, path: Path) -> str:
    """The file's sha256, which is the published one, or the one of its first use."""
    if variant.sha256 is None or (variant.urls and path.name == variant.file):
        return checked_against_first_use(path)
    found = sha256_of(path)
    if found != variant.sha256:
        again = (
            f"delete it, and `{fetch_command(model, variant)}`"
            if variant.urls
            else "install oldfilm again"
        )
        raise WeightsError(
            f"{path} is damaged (sha256 {found[:12]}, not {variant.sha256[:12]}): {again}."
        )
    return found


def _is_complete(path: Path) -> None:
    """Refuse what cannot be read as weights; PyTorch's files are read when they are converted."""
    if kind_of(path) is not Kind.TORCH:
        read_weights(path)


def _listed(folders: list[Path]) -> str:
    return " or ".join(map(str, folders))


@functools.cache
def _say(message: str) -> None:
    """Log what was chosen; once in a run, although every film asks."""
    logger.warning("%s", message)


class _Logged:
    """Tells of a download: how large it is, and every tenth of it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tenths = -1

    def __call__(self, done: int, total: int | None) -> None:
        if not total or done * 10 // total == self._tenths:
            return
        self._tenths = done * 10 // total
        logger.warning("%s: %d %% of %.0f MB", self._name, self._tenths * 10, total / 1e6)
