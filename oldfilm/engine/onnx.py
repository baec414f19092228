"""Networks as ONNX graphs: exported, repaired, compared with Paddle, and cached."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from oldfilm.engine.device import import_paddle
from oldfilm.engine.graphs import ExportedGraph, ExportError
from oldfilm.engine.paddle import DynamicGraph
from oldfilm.engine.rewrites import rewrite
from oldfilm.system.files import replacing
from oldfilm.system.paths import cache_folder

if TYPE_CHECKING:
    import onnx
    import paddle

InputShape = Sequence["int | Fraction | None"]
"""Batch, channels, height, width; PPMSVSR lite has channels last. None stands for a batch or a side
of any size, and a fraction for a side in proportion to such a side: 1/2 is half of it.
"""

OPSET = 16
DEFORMABLE_OPSET = 19
"""The first opset with deformable convolutions."""
CHECK_SIZES = ((64, 96), (96, 64))
"""Heights and widths of the random inputs on which an export is compared with Paddle."""
CHECK_BATCH = 3
TOLERANCE = 1e-3
"""Largest accepted difference from the dynamic graph, relative to its largest output."""

_exporting = threading.Lock()


def cached_path(key: str, inputs: Mapping[str, InputShape]) -> Path:
    """Return the path of the exported graph of `key` in the cache.

    It depends on the key, the inputs, the code of this part, and the versions of Paddle and
    paddle2onnx.
    """
    versions = [_version(name) for name in ("paddlepaddle", "paddle2onnx")]
    shapes = {name: list(shape) for name, shape in inputs.items()}
    stated = json.dumps([key, shapes, _code(), versions], default=str)
    return cache_folder() / "engine" / f"{hashlib.sha256(stated.encode()).hexdigest()[:24]}.onnx"


@functools.cache
def _code() -> str:
    """Return the hash of the modules that decide how an exported graph looks."""
    found = hashlib.sha256()
    for name in ("onnx.py", "rewrites.py"):
        found.update(Path(__file__).with_name(name).read_bytes())
    return found.hexdigest()


def export(network: paddle.nn.Layer, inputs: Mapping[str, InputShape], path: Path) -> None:
    """Export `network` to `path`, after comparing its outputs with Paddle's on two sizes.

    Raises:
        ExportError: paddle2onnx is missing or fails, or the outputs differ.
    """
    network.eval()
    with _scratch_folder(path) as folder:
        candidate = folder / "candidate.onnx"
        _convert(network, inputs, candidate)
        graph = ExportedGraph(candidate)
        for size in CHECK_SIZES:
            _compare(network, graph, inputs, size)
        with replacing(path) as unfinished:
            candidate.replace(unfinished)


@contextlib.contextmanager
def _scratch_folder(path: Path) -> Iterator[Path]:
    """Make a folder next to `path`, from which the finished file can be renamed into place.

    Its name is always the same, so that the next export removes what a killed one left behind.
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


def _convert(network: paddle.nn.Layer, inputs: Mapping[str, InputShape], destination: Path) -> None:
    """Convert the network to ONNX with paddle2onnx, and repair the result."""
    _check_exporter()
    if _is_deformable(network):
        _check_deformable()
    import onnx

    try:
        with _exporting, _quiet():
            operations = _run_exporter(network, inputs, destination)
        model = onnx.load(str(destination))
    except Exception as error:  # Paddle and paddle2onnx raise many types from their C++ code.
        raise ExportError(f"{type(network).__name__} cannot be exported ({error})") from error
    for repair in _REPAIRS:
        _repair(model, operations, repair)
    rewrite(model)
    onnx.save(model, str(destination))


def _check_exporter() -> None:
    paddle = import_paddle()
    try:
        import onnx  # noqa: F401
        import paddle2onnx  # noqa: F401
    except ImportError as error:
        raise ExportError(
            f"{error.name} is not installed; on Python 3.12 and older, "
            "`pip install onnx paddle2onnx` installs it"
        ) from error
    except ValueError as error:  # paddle2onnx 2 refuses Paddle 2 this way; 1.3.1 accepts it.
        raise ExportError(
            f"paddle2onnx {_version('paddle2onnx')} does not support Paddle {paddle.__version__}"
        ) from error


def _is_deformable(network: paddle.nn.Layer) -> bool:
    from paddle.vision.ops import DeformConv2D

    return any(isinstance(layer, DeformConv2D) for layer in network.sublayers(include_self=True))


def _check_deformable() -> None:
    """Check that deformable convolutions can be exported and run; old exporters abort on them."""
    import onnxruntime
    from onnx import TensorProto, helper

    exporter = _version("paddle2onnx")
    if exporter.startswith("1."):
        raise ExportError(f"paddle2onnx {exporter} does not export deformable convolutions")
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 3, 3])
        for name, channels in (("x", 1), ("weight", 1), ("offset", 18), ("y", 1))
    }
    *inputs, output = values.values()
    node = helper.make_node("DeformConv", ["x", "weight", "offset"], ["y"], pads=[1, 1, 1, 1])
    graph = helper.make_graph([node], "deformable", inputs, [output])
    opset = helper.make_opsetid("", DEFORMABLE_OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no narrower common parent.
        raise ExportError(
            f"onnxruntime {onnxruntime.__version__} does not run deformable convolutions"
        ) from error


def _run_exporter(
    network: paddle.nn.Layer, inputs: Mapping[str, InputShape], destination: Path
) -> Sequence[_Operation]:
    """Write the network as an ONNX graph; return the operations of the program in between."""
    import paddle
    import paddle2onnx

    specs = [
        paddle.static.InputSpec(_unknown(shape), "float32", name=name)
        for name, shape in inputs.items()
    ]
    prefix = destination.with_name("network")
    with _each_method_once():
        paddle.jit.save(_with_list(network), str(prefix), input_spec=[specs])
    operations = _operations(prefix)
    program = next(p for p in (f"{prefix}.json", f"{prefix}.pdmodel") if Path(p).is_file())
    opset = DEFORMABLE_OPSET if _is_deformable(network) else OPSET
    arguments = (program, f"{prefix}.pdiparams", str(destination), opset)
    if "optimize_tool" in inspect.signature(paddle2onnx.export).parameters:
        # The default optimize_tool runs pip by itself.
        paddle2onnx.export(*arguments, verbose=False, optimize_tool="none")
    else:
        _export_in_child(*arguments)
    return operations


@contextlib.contextmanager
def _each_method_once() -> Iterator[None]:
    """Let Paddle convert each method once; exports took up to twice the time.

    Its cache is keyed by bound methods. These are deleted at once, and their entries with them, so
    the method of every layer is converted at every call.
    """
    from paddle.jit.dy2static import program_translator

    cache: Any = getattr(program_translator, "_FUNCTION_CACHE", None)
    if not hasattr(cache, "convert_with_cache"):  # another version of Paddle
        yield
        return
    convert = cache.convert_with_cache
    cache.convert_with_cache = lambda function: convert(getattr(function, "__func__", function))
    try:
        yield
    finally:
        cache.convert_with_cache = convert


def _export_in_child(*arguments: str | int) -> None:
    """Run paddle2onnx 1, which ends the whole process where it lacks an operation."""
    code = f"import paddle2onnx; paddle2onnx.export(*{arguments!r}, verbose=False)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        reasons = [line for line in done.stdout.splitlines() if "not supported" in line]
        raise ExportError(" ".join(reasons) or f"paddle2onnx exited with {done.returncode}")


def _with_list(network: paddle.nn.Layer) -> paddle.nn.Layer:
    """Return a layer that takes the arguments of `network` as a list.

    Paddle does not export layers with a variable number of arguments.
    """
    import paddle

    class WithList(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, arguments: list[paddle.Tensor]) -> Any:
            return self.network(*arguments)

    layer = WithList()
    layer.eval()
    return layer


class _Operation(NamedTuple):
    """An operation of a Paddle program, and its attributes."""

    name: str
    attributes: Mapping[str, Any]


def _operations(prefix: Path) -> list[_Operation]:
    """Return the operations of a saved program that `_REPAIRS` names, in order."""
    import paddle

    repaired = {repair.operation for repair in _REPAIRS}
    found = []
    program = paddle.jit.load(str(prefix)).program()  # Its operations do not outlive it.
    for operation in program.global_block().ops:
        if hasattr(operation, "all_attrs"):  # Paddle 2
            name, attributes = operation.type, operation.all_attrs
        else:
            name, attributes = operation.name().removeprefix("pd_op."), operation.attrs
        if name in repaired:
            found.append(_Operation(name, attributes()))
    return found


class _Repair(NamedTuple):
    """An attribute that paddle2onnx 2.1.0 drops or writes wrongly.

    node: type of the ONNX node. operation: Paddle's name of it. attribute: of the ONNX node.
    sources: names of the same attribute in Paddle 3 and Paddle 2.
    """

    node: str
    operation: str
    attribute: str
    sources: tuple[str, ...]


_REPAIRS = (
    _Repair("LeakyRelu", "leaky_relu", "alpha", ("negative_slope", "alpha")),
    _Repair("DeformConv", "deformable_conv", "offset_group", ("deformable_groups",)),
)


def _repair(model: onnx.ModelProto, operations: Sequence[_Operation], repair: _Repair) -> None:
    """Restore an attribute. Nodes are in the order of the program's operations.

    If their numbers differ, nothing is changed, and the comparison with Paddle decides.
    """
    import onnx

    nodes = [node for node in model.graph.node if node.op_type == repair.node]
    sources = [each.attributes for each in operations if each.name == repair.operation]
    if len(nodes) != len(sources):
        return
    for node, source in zip(nodes, sources):
        value = next(source[name] for name in repair.sources if name in source)
        kept = [each for each in node.attribute if each.name != repair.attribute]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(repair.attribute, value)])


def _compare(
    network: paddle.nn.Layer,
    graph: ExportedGraph,
    inputs: Mapping[str, InputShape],
    size: tuple[int, int],
) -> None:
    """Run both graphs on random input of `size` (height, width); refuse outputs that differ."""
    rng = np.random.default_rng(0)
    arrays = [rng.random(_filled(shape, size), dtype=np.float32) for shape in inputs.values()]
    for expected, exported in zip(DynamicGraph(network, "cpu")(*arrays), graph(*arrays)):
        error = float(np.abs(expected - exported).max() / (np.abs(expected).max() + 1e-12))
        if not error <= TOLERANCE:
            raise ExportError(
                f"{type(network).__name__}'s exported graph differs from Paddle's by {error:.1e}"
            )


def _unknown(shape: InputShape) -> list[int | None]:
    """Return a shape with None for every side that varies."""
    return [side if isinstance(side, int) else None for side in shape]


def _filled(shape: InputShape, size: tuple[int, int]) -> list[int]:
    """Replace what varies: batch, height and width, in this order."""
    sides = iter(size if shape[0] is not None else (CHECK_BATCH, *size))
    return [side if isinstance(side, int) else int(next(sides) * (side or 1)) for side in shape]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporters' output: log records, Python's streams, and C++'s standard output."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            _muted_standard_output(),
        ):
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def _muted_standard_output() -> Iterator[None]:
    try:
        standard_output = os.dup(1)
    except OSError:  # The process has none.
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(standard_output, 1)
        os.close(standard_output)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
