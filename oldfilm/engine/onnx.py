"""A network as an ONNX graph: exported, repaired, compared with Paddle, cached, and run."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import io
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from oldfilm.engine.device import import_paddle
from oldfilm.system.memory import is_out_of_memory
from oldfilm.system.paths import cache_folder
from oldfilm.system.threads import threads

if TYPE_CHECKING:
    import onnx
    import paddle

OPSET = 16
CHECK_SIZES = ((64, 96), (96, 64))
TOLERANCE = 1e-3
"""Largest difference to the dynamic graph that is accepted, relative to its largest value."""


class ExportError(Exception):
    """A network cannot be exported here, or its exported graph gives other numbers."""


class ExportedGraph:
    """Runs an exported graph with ONNX Runtime on all cores."""

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ExportError(
                "onnxruntime is not installed (`pip install 'oldfilm[cpu]'`)"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = 3
        # The arena never gives memory back, and frames come in few sizes: plain allocation it is.
        options.enable_cpu_mem_arena = False
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own errors share no narrower parent
            raise ExportError(f"ONNX Runtime does not load {path.name} ({error})") from error
        self._names = [value.name for value in self._session.get_inputs()]

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run the graph on float32 arrays."""
        given = {name: np.ascontiguousarray(array) for name, array in zip(self._names, arrays)}
        try:
            return tuple(self._session.run(None, given))
        except Exception as error:  # onnxruntime's own errors share no narrower parent
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise


def cached_path(key: str, inputs: Mapping[str, Sequence[int | None]]) -> Path:
    """Where the exported graph of `key` is, or will be, kept.

    The name depends on the key, the inputs
    and the versions of what exports.
    """
    versions = [_version(name) for name in ("paddlepaddle", "paddle2onnx")]
    stated = json.dumps([key, {k: list(v) for k, v in inputs.items()}, OPSET, versions])
    return cache_folder() / "engine" / f"{hashlib.sha256(stated.encode()).hexdigest()[:24]}.onnx"


def export(
    network: paddle.nn.Layer, inputs: Mapping[str, Sequence[int | None]], path: Path
) -> None:
    """Export `network` to `path`, after its numbers have been compared on two sizes.

    Raises:
        ExportError: paddle2onnx is missing or fails, or the numbers differ.
    """
    network.eval()
    with _scratch(path) as folder:
        candidate = folder / "candidate.onnx"
        _convert(network, inputs, folder, candidate)
        graph = ExportedGraph(candidate)
        for size in CHECK_SIZES:
            _compare(network, graph, inputs, size)
        candidate.replace(path)


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A folder beside `path`, so that the finished file can be renamed into place.

    It always has the same name, so that the next export clears what a killed one has left.
    """
    folder = path.with_suffix(".unfinished")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise ExportError(f"the cache {path.parent} cannot be written ({error})") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _convert(
    network: paddle.nn.Layer,
    inputs: Mapping[str, Sequence[int | None]],
    folder: Path,
    destination: Path,
) -> None:
    paddle = import_paddle()
    try:
        import onnx
        import paddle2onnx
    except ImportError as error:
        raise ExportError(f"{error.name} is not installed") from error
    except ValueError as error:  # paddle2onnx 2 refuses Paddle 2 so; 1.3.1 takes it
        raise ExportError(
            f"paddle2onnx {_version('paddle2onnx')} does not go with Paddle {paddle.__version__}"
        ) from error
    specs = [
        paddle.static.InputSpec([*shape], "float32", name=name) for name, shape in inputs.items()
    ]
    prefix = folder / "network"
    try:
        with _quiet():
            paddle.jit.save(network, str(prefix), input_spec=specs)
            program = next(p for p in (f"{prefix}.json", f"{prefix}.pdmodel") if Path(p).is_file())
            # Any optimize_tool but its default: the default runs pip by itself.
            known = inspect.signature(paddle2onnx.export).parameters
            unoptimized = {"optimize_tool": "none"} if "optimize_tool" in known else {}
            paddle2onnx.export(
                program,
                f"{prefix}.pdiparams",
                str(destination),
                opset_version=OPSET,
                verbose=False,
                **unoptimized,
            )
        model = onnx.load(str(destination))
    except Exception as error:  # Paddle and paddle2onnx raise whatever their C++ says
        raise ExportError(f"{type(network).__name__} cannot be exported ({error})") from error
    _repair_leaky_relu(model, network)
    onnx.save(model, str(destination))


def _repair_leaky_relu(model: onnx.ModelProto, network: paddle.nn.Layer) -> None:
    """Write LeakyReLU's slope again: paddle2onnx 2.1.0 writes it as garbage or 0.

    Only networks with one slope throughout can be repaired; the comparison refuses the others.
    """
    slopes = {
        layer._negative_slope
        for layer in network.sublayers(include_self=True)
        if type(layer).__name__ == "LeakyReLU"
    }
    if len(slopes) != 1:
        return
    (slope,) = slopes
    for node in model.graph.node:
        if node.op_type == "LeakyRelu":
            del node.attribute[:]
            node.attribute.add(name="alpha", type=1, f=slope)


def _compare(
    network: paddle.nn.Layer,
    graph: ExportedGraph,
    inputs: Mapping[str, Sequence[int | None]],
    size: tuple[int, int],
) -> None:
    """Run both on random input of `size` (height, width) and refuse the export if they differ."""
    paddle = import_paddle()
    rng = np.random.default_rng(0)
    arrays = [rng.random(_filled(shape, size), dtype=np.float32) for shape in inputs.values()]
    with paddle.no_grad():
        expected = network(*[paddle.to_tensor(array) for array in arrays])
    if not isinstance(expected, (tuple, list)):
        expected = (expected,)
    for ours, exported in zip(expected, graph(*arrays)):
        ours = ours.numpy()
        error = float(np.abs(ours - exported).max() / (np.abs(ours).max() + 1e-12))
        if not error <= TOLERANCE:
            raise ExportError(
                f"{type(network).__name__}'s exported graph differs from Paddle's by {error:.1e}"
            )


def _filled(shape: Sequence[int | None], size: tuple[int, int]) -> list[int]:
    """The shape with its unknown sides set: height, then width, as the last two are."""
    unknown = iter(size)
    return [side if side is not None else next(unknown) for side in shape]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' progress lines off the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
