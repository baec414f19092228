"""Predictors with small networks of the formula's weights, in place of published ones."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from oldfilm.apps import base
from oldfilm.apps.base import Predictor, build_network
from oldfilm.weights import Model, model
from tests.parity import formula


def install(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    predictor: type[Predictor],
    settings: dict[str, Any],
    variant: str = "full",
    scaled: dict[str, float] | None = None,
    gain: float = 1.0,
) -> None:
    """Let a predictor find this variant with other settings, and as its only one.

    folder: where its weights are written. scaled: factors of single weights, by key.
    """
    published = model(predictor.config).variant(variant)
    network = build_network(published.network, settings)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    weights = formula.weights(shapes, gain)
    for key, factor in (scaled or {}).items():
        weights[key] = weights[key] * factor
    path = folder / published.file
    save_file(weights, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    small = replace(published, settings=settings, sha256=sha256, urls=())
    monkeypatch.setattr(base, "model", lambda config: Model(config, {"full": small}))
    monkeypatch.setenv("OLDFILM_WEIGHTS", str(folder))
