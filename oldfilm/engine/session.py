"""Open a network for inference: exported to ONNX on a CPU, with Paddle everywhere else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from oldfilm.engine.device import Device
from oldfilm.engine.engines import AUTO, Engine, choose_engine
from oldfilm.engine.graphs import ExportedGraph, ExportError, OpenVINOGraph
from oldfilm.engine.onnx import InputShape, cached_path, export
from oldfilm.engine.paddle import DynamicGraph
from oldfilm.errors import NetworkError
from oldfilm.system.locks import locked

if TYPE_CHECKING:
    import paddle

logger = logging.getLogger(__name__)

Graph = Callable[..., tuple[np.ndarray, ...]]
"""Takes float32 arrays, and returns one float32 array per output of the network."""


def open_graph(
    build: Callable[[], paddle.nn.Layer],
    inputs: Mapping[str, InputShape],
    key: str,
    device: Device,
    wanted: str = AUTO,
    half: bool = False,
) -> Graph:
    """Make a network callable on numpy arrays.

    With most engines, the network is exported to ONNX, compared with Paddle's dynamic graph on a
    CPU, and cached. Where the export fails, and with Paddle, the dynamic graph runs.

    build: builds the network with its weights; not called if the exported graph is in the cache.
    inputs: name and shape of each argument of the network's `forward`, in order.
    key: identifies the network, its settings and its weights in the cache.
    wanted: the engine, see `choose_engine`. half: whether half precision is precise enough.

    Raises:
        NetworkError: the export failed, and `wanted` is an engine for exported graphs.
    """
    engine = choose_engine(wanted, device)
    if not engine.exports:
        return DynamicGraph(build(), device)
    path = cached_path(key, inputs)
    try:
        if not path.is_file():
            _export_once(build, inputs, path)
        return _loaded(path, engine, device, half)
    except ExportError as error:
        if wanted != AUTO:
            raise NetworkError(f"`network_engine={wanted}`: {error}") from error
        _warn(str(error))
        return DynamicGraph(build(), device)


def _loaded(path: Path, engine: Engine, device: Device, half: bool) -> Graph:
    """Load an exported graph; ONNX Runtime runs what OpenVINO lacks, such as deformable layers."""
    if engine.name == "openvino":
        try:
            return OpenVINOGraph(path)
        except ExportError as error:
            logger.info("ONNX Runtime runs a part of the network: %s", error)
            return ExportedGraph(path)
    return ExportedGraph(path, engine, device, half)


@cache
def _warn(reason: str) -> None:
    """Say why Paddle runs; once, since a network may have many parts."""
    logger.warning("Paddle runs in place of the faster CPU engine: %s", reason)


def _export_once(
    build: Callable[[], paddle.nn.Layer], inputs: Mapping[str, InputShape], path: Path
) -> None:
    """Export a network unless another process has just done so; exports take much memory."""
    try:
        with locked(path):
            if not path.is_file():
                export(build(), inputs, path)
    except OSError as error:
        raise ExportError(f"the cache {path.parent} cannot be written ({error})") from error
