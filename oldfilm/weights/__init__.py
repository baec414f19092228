"""Where weights come from: what `configs/` lists, where a file is, and loading it strictly."""

from oldfilm.errors import TransferError
from oldfilm.weights.folders import cache_folder
from oldfilm.weights.load import load_strictly, misfit, read_weights
from oldfilm.weights.registry import Model, Variant, configs, data_folder, model, named_model
from oldfilm.weights.resolve import ResolvedWeights, resolve

__all__ = [
    "Model",
    "ResolvedWeights",
    "TransferError",
    "Variant",
    "cache_folder",
    "configs",
    "data_folder",
    "load_strictly",
    "misfit",
    "model",
    "named_model",
    "read_weights",
    "resolve",
]
