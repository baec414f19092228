"""Weights: the models in `configs/`, where their files are, and how they are loaded."""

from oldfilm.errors import TransferError
from oldfilm.system.paths import cache_folder
from oldfilm.weights.formats import read_weights
from oldfilm.weights.load import load_strictly
from oldfilm.weights.registry import Model, Variant, configs, data_folder, model, named_model
from oldfilm.weights.resolve import resolve
from oldfilm.weights.search import ResolvedWeights
from oldfilm.weights.structure import fitting, owner, structure_of

__all__ = [
    "Model",
    "ResolvedWeights",
    "TransferError",
    "Variant",
    "cache_folder",
    "configs",
    "data_folder",
    "fitting",
    "load_strictly",
    "model",
    "named_model",
    "owner",
    "read_weights",
    "resolve",
    "structure_of",
]
