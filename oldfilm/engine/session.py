"""Opens a network for running: exported for the CPU where that works, else Paddle itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from oldfilm.engine.device import Device, dynamic_here, import_paddle
from oldfilm.engine.onnx import ExportedGraph, ExportError, cached_path, export
from oldfilm.system.locks import locked

if TYPE_CHECKING:
    import paddle

logger = logging.getLogger(__name__)

InputShape = Sequence[int | None]
"""Batch, channels, height, width; None where any size may come."""

Graph = Callable[..., "tuple[np.ndarray, ...]"]
"""Takes and returns float32 arrays; one tuple item for every output of the network."""


def open_graph(
    build: Callable[[], paddle.nn.Layer],
    inputs: Mapping[str, InputShape],
    key: str,
    device: Device,
) -> Graph:
    """Make a network callable on numpy arrays.

    build: makes the network, with its weights; not called where an exported graph is in the cache.
    inputs: name and shape of each argument of its `forward`, in order.
    key: names the network, its settings and its weights; the same key means the same numbers.
    device: on a CPU the network is exported to ONNX, compared with the dynamic graph, and cached;
        where that is not possible, and on other devices, it runs on Paddle's dynamic graph.
    """
    if device != "cpu":
        return DynamicGraph(build(), device)
    path = cached_path(key, inputs)
    try:
        if not path.is_file():
            _export_once(build, inputs, path)
        return ExportedGraph(path)
    except ExportError as error:
        logger.warning("the fast CPU engine is not used, Paddle's own is: %s", error)
        return DynamicGraph(build(), device)


def _export_once(
    build: Callable[[], paddle.nn.Layer], inputs: Mapping[str, InputShape], path: Path
) -> None:
    """Export a network, unless another process has just done it: each takes time and memory."""
    try:
        with locked(path):
            if not path.is_file():
                export(build(), inputs, path)
    except OSError as error:
        raise ExportError(f"the cache {path.parent} cannot be written ({error})") from error


class DynamicGraph:
    """Runs a network on Paddle's dynamic graph, without gradients."""

    def __init__(self, network: paddle.nn.Layer, device: Device) -> None:
        self._paddle = import_paddle()
        self._paddle.set_device(device)
        self._network = network
        network.eval()

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run the network on float32 arrays."""
        dynamic_here(self._paddle)
        with self._paddle.no_grad():
            outputs = self._network(*[self._paddle.to_tensor(array) for array in arrays])
        if not isinstance(outputs, (tuple, list)):
            outputs = (outputs,)
        return tuple(output.numpy() for output in outputs)
