"""Models with small networks and pseudo-random weights, in place of published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.numpy import save_file

from oldfilm.apps.base import build_network
from oldfilm.weights import data_folder, model
from tests.parity import formula


def save_weights(
    folder: Path, config: str, variant: str, factors: dict[str, float] | None = None, gain=1.0
) -> str:
    """Write weights of `tests.parity.formula` for a variant, and return the path.

    factors: factors of single weights, by key.
    """
    chosen = model(config).variant(variant)
    network = build_network(chosen.network, chosen.settings)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    weights = formula.weights(shapes, gain)
    for key, factor in (factors or {}).items():
        weights[key] = weights[key] * factor
    path = folder / chosen.file
    save_file(weights, path)
    return str(path)


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
