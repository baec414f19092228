"""What `configs/<model>.yaml` says of every variant of a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from oldfilm.errors import WeightsError

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Variant:
    """One set of weights, with the settings of its network.

    network: the module and class in `oldfilm.networks`, such as "msvsr_lite.MSVSRLite".
    settings: the network's constructor arguments. predictor: what the predictor needs to know of
    this variant. file: the weights' name in `weights/`. sha256: of that file.
    """

    name: str
    network: str
    file: str
    sha256: str
    licence: str
    source: str
    settings: dict[str, Any] = field(default_factory=dict)
    predictor: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """All variants of one model, by name."""

    name: str
    variants: dict[str, Variant]


def data_folder(name: str) -> Path:
    """The folder `configs` or `weights`: of an installed package, else at the checkout's top."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def model(config: str) -> Model:
    """Read `configs/<config>.yaml`."""
    path = data_folder("configs") / f"{config}.yaml"
    if not path.is_file():
        raise WeightsError(f"{path} is missing: install oldfilm again.")
    stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    variants = {name: _variant(name, facts) for name, facts in stated["variants"].items()}
    return Model(stated["name"], variants)


def _variant(name: str, facts: dict[str, Any]) -> Variant:
    weights = facts["weights"]
    return Variant(
        name=name,
        network=facts["network"],
        file=weights["file"],
        sha256=weights["sha256"],
        licence=weights["licence"],
        source=weights["source"],
        settings=facts.get("settings") or {},
        predictor=facts.get("predictor") or {},
    )
