"""Models with small networks and pseudo-random weights, in place of published ones."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from oldfilm.apps.base import build_network
from oldfilm.system.files import sha256_of_file
from oldfilm.weights import data_folder, model
from tests.parity import formula

FIRST_RELEASES = {"onnx": (1, 13), "paddle2onnx": (2, 0), "onnxruntime": (1, 32)}
"""The first releases with deformable convolutions."""


def runs_deformable_convolutions() -> bool:
    """Whether the exporter and ONNX Runtime here support deformable convolutions."""
    try:
        releases = [tuple(map(int, version(name).split(".")[:2])) for name in FIRST_RELEASES]
    except PackageNotFoundError:
        return False
    return all(release >= needed for release, needed in zip(releases, FIRST_RELEASES.values()))


needs_deformable_export = pytest.mark.skipif(
    not runs_deformable_convolutions(), reason="deformable convolutions run on Paddle here"
)


def save_weights(
    folder: Path, config: str, variant: str, factors: dict[str, float] | None = None, gain=1.0
) -> str:
    """Write weights of `tests.parity.formula` for a variant, and return the path.

    factors: factors of single weights, by key.
    """
    chosen = model(config).variant(variant)
    weights = formula_weights(config, variant, chosen.settings, gain)
    for key, factor in (factors or {}).items():
        weights[key] = weights[key] * factor
    path = folder / chosen.file
    save_file(weights, path)
    return str(path)


def replace_variants(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    config: str,
    tiny: Mapping[str, tuple[dict[str, Any], Mapping[str, np.ndarray]]],
    checked: bool = True,
) -> None:
    """Give variants of a model other settings and weights; the other variants stay.

    tiny: settings and weights by variant. checked: the config names the weights' SHA-256.
    folder: as in `install`.
    """
    path = data_folder("configs") / f"{config}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, (settings, weights) in tiny.items():
        stated = content["variants"][name]
        stated["settings"] = settings
        kept = {k: v for k, v in stated["weights"].items() if k not in ("urls", "sha256")}
        kept["file"] = f"tiny-{kept['file']}"  # a shipped file would be preferred
        file = folder / kept["file"]
        save_file(dict(weights), file)
        stated["weights"] = {**kept, "sha256": sha256_of_file(file)} if checked else kept
    (folder / path.name).write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("OLDFILM_CONFIGS", str(folder))
    monkeypatch.setenv("OLDFILM_WEIGHTS", str(folder))


def formula_weights(
    config: str, variant: str, settings: dict[str, Any], gain: float = 1.0
) -> dict[str, np.ndarray]:
    """Return weights of `tests.parity.formula` for a variant with other settings."""
    network = build_network(model(config).variant(variant).network, settings)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    return formula.weights(shapes, gain)


def install(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    config: str,
    settings: dict[str, Any],
    variant: str = "full",
    factors: dict[str, float] | None = None,
    gain: float = 1.0,
) -> None:
    """Make a variant with other settings the only one of its model, and install weights for it.

    folder: receives the config and the weights; `$OLDFILM_CONFIGS` and `$OLDFILM_WEIGHTS` are set
    to it.
    """
    path = data_folder("configs") / f"{config}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    stated = {**content["variants"][variant], "settings": settings}
    stated["weights"] = {k: v for k, v in stated["weights"].items() if k not in ("urls", "sha256")}
    content.update(
        variants={variant: stated}, aliases={} if variant == "full" else {"full": variant}
    )
    (folder / path.name).write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("OLDFILM_CONFIGS", str(folder))
    monkeypatch.setenv("OLDFILM_WEIGHTS", str(folder))
    save_weights(folder, config, variant, factors, gain)
