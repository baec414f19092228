"""Run a network: as an exported graph where that is faster, with Paddle everywhere else."""

from oldfilm.engine.device import Device, choose_device
from oldfilm.engine.engines import NETWORK_ENGINES, Engine, choose_engine
from oldfilm.engine.paddle import DynamicGraph
from oldfilm.engine.session import Graph, InputShape, open_graph

__all__ = [
    "NETWORK_ENGINES",
    "Device",
    "DynamicGraph",
    "Engine",
    "Graph",
    "InputShape",
    "choose_device",
    "choose_engine",
    "open_graph",
]
