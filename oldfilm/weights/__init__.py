"""Where weights come from: what `configs/` lists, where a file is, and loading it strictly."""

from oldfilm.weights.load import load_strictly, read_weights
from oldfilm.weights.registry import Model, Variant, data_folder, model
from oldfilm.weights.resolve import ResolvedWeights, resolve

__all__ = [
    "Model",
    "ResolvedWeights",
    "Variant",
    "data_folder",
    "load_strictly",
    "model",
    "read_weights",
    "resolve",
]
