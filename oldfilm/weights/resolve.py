"""Finds the file of a variant's weights on this machine."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from oldfilm.errors import WeightsError
from oldfilm.weights.registry import Model, Variant, data_folder


@dataclass(frozen=True)
class ResolvedWeights:
    """A variant and the file that holds its weights."""

    variant: Variant
    path: Path
    sha256: str


def resolve(model: Model, variant: str = "auto", weight_path: str | None = None) -> ResolvedWeights:
    """Find the weights of `variant`, or take `weight_path` for it.

    variant: a name of `model.variants`, or "auto", which is "lite" in this version.
    weight_path: a file that replaces the variant's own.

    Looked for in this order: `weight_path`, the shipped `weights/`, the folder `$OLDFILM_WEIGHTS`.

    Raises:
        WeightsError: no such variant, no such file, or a shipped file that is damaged.
    """
    chosen = _chosen(model, variant)
    if weight_path is not None:
        path = Path(weight_path).expanduser()
        if not path.is_file():
            raise WeightsError(f"{path}: there is no such weight file ({model.name}).")
        return ResolvedWeights(chosen, path, _sha256(path))
    for folder in _folders():
        path = folder / chosen.file
        if path.is_file():
            return ResolvedWeights(chosen, path, _checked(path, chosen.sha256))
    raise WeightsError(
        f"{chosen.file}, the {chosen.name} weights of {model.name}, is not in "
        f"{' or '.join(map(str, _folders()))}: install oldfilm again, or set $OLDFILM_WEIGHTS "
        "to the folder that has it."
    )


def _chosen(model: Model, variant: str) -> Variant:
    name = "lite" if variant == "auto" else variant
    if name not in model.variants:
        raise WeightsError(
            f"{model.name} has no variant {name!r} in this version; "
            f"it has: {', '.join(model.variants)}."
        )
    return model.variants[name]


def _folders() -> list[Path]:
    named = os.environ.get("OLDFILM_WEIGHTS")
    return [data_folder("weights"), *([Path(named).expanduser()] if named else [])]


def _checked(path: Path, sha256: str) -> str:
    found = _sha256(path)
    if found != sha256:
        raise WeightsError(
            f"{path} is damaged (sha256 {found[:12]}, not {sha256[:12]}): install oldfilm again."
        )
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
