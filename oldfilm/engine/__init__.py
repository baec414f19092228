"""Run a network: as an exported graph where that is faster, with Paddle everywhere else."""

from oldfilm.engine.device import Device, choose_device
from oldfilm.engine.paddle import DynamicGraph
from oldfilm.engine.session import Graph, InputShape, open_graph

__all__ = ["Device", "DynamicGraph", "Graph", "InputShape", "choose_device", "open_graph"]
