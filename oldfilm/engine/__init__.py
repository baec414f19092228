"""Runs one network: Paddle's dynamic graph anywhere, an exported graph where that is faster."""

from oldfilm.engine.device import Device, choose_device
from oldfilm.engine.session import DynamicGraph, Graph, InputShape, open_graph

__all__ = ["Device", "DynamicGraph", "Graph", "InputShape", "choose_device", "open_graph"]
