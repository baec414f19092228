"""Recognize whose weights a file holds, by the names and shapes of its arrays.

A config may state a hash of them for each variant, so that no network must be built.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from oldfilm.weights.formats import read_weights
from oldfilm.weights.registry import Model, Variant, configs, model


def structure_of(shapes: Mapping[str, Sequence[int]]) -> str:
    """Return a hash of the names and shapes of arrays, as a config states it: 16 hex digits."""
    lines = sorted(f"{name} {[int(side) for side in shape]}" for name, shape in shapes.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def fitting(path: Path, variants: Iterable[Variant]) -> Variant | None:
    """Return the first variant whose stated structure a file has; None if none is stated or fits.

    Raises:
        WeightsError: the file cannot be read as weights.
    """
    structures: dict[str | None, str] = {}
    for variant in variants:
        if variant.layout not in structures:
            weights = read_weights(path, variant.layout)
            structures[variant.layout] = structure_of({k: v.shape for k, v in weights.items()})
        if variant.structure == structures[variant.layout]:
            return variant
    return None


def owner(path: Path) -> tuple[Model, Variant] | None:
    """Return the model and the variant whose weights a file holds; None if unknown.

    Raises:
        WeightsError: the file cannot be read as weights.
    """
    known = [
        (each, variant) for each in map(model, configs()) for variant in each.variants.values()
    ]
    found = fitting(path, [variant for _, variant in known])
    return next((pair for pair in known if pair[1] is found), None)
