"""Networks on both engines: the exported graph, and Paddle where that fails."""

import logging
import subprocess
import sys
from fractions import Fraction
from importlib.util import find_spec

import numpy as np
import pytest

from oldfilm.engine import NETWORK_ENGINES, choose_engine, device, graphs, open_graph
from oldfilm.engine.device import choose_device, import_paddle
from oldfilm.engine.graphs import ExportedGraph, OpenVINOGraph, provider_options
from oldfilm.engine.onnx import cached_path
from oldfilm.engine.paddle import DynamicGraph
from oldfilm.errors import NetworkError, OptionError
from tests.apps.tiny import needs_deformable_export

paddle = import_paddle()
INPUTS = {"frame": (1, 3, None, None)}
needs_exporter = pytest.mark.skipif(
    not (find_spec("onnx") and find_spec("paddle2onnx")),
    reason="paddle2onnx has no release for Python 3.13",
)


def providers():
    import onnxruntime

    return onnxruntime.get_available_providers()


def network(slope=0.1):
    paddle.seed(3)
    return paddle.nn.Sequential(
        paddle.nn.Conv2D(3, 8, 3, padding=1),
        paddle.nn.LeakyReLU(slope),
        paddle.nn.Conv2D(8, 12, 3, padding=1),
        paddle.nn.PixelShuffle(2),
    )


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OLDFILM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def frame():
    return np.random.default_rng(0).random((1, 3, 21, 34), dtype=np.float32)


def dynamic(layer, *arrays):
    layer.eval()
    with paddle.no_grad():
        return layer(*map(paddle.to_tensor, arrays)).numpy()


@needs_exporter
def test_the_exported_graph_computes_what_paddle_does(frame):
    layer = network()
    graph = open_graph(lambda: layer, INPUTS, "a", "cpu")
    assert isinstance(graph, ExportedGraph)
    np.testing.assert_allclose(graph(frame)[0], dynamic(layer, frame), atol=1e-5)


@needs_exporter
def test_a_cached_graph_needs_no_network(frame):
    first = open_graph(network, INPUTS, "a", "cpu")
    again = open_graph(lambda: pytest.fail("built again"), INPUTS, "a", "cpu")
    np.testing.assert_array_equal(first(frame)[0], again(frame)[0])
    left = {path.suffix for path in cached_path("a", INPUTS).parent.iterdir()}
    assert left == {".onnx", ".lock"}


class Deformable(paddle.nn.Layer):
    """Two deformable convolutions with different groups, and two slopes."""

    def __init__(self):
        super().__init__()
        paddle.seed(3)
        self.offsets = paddle.nn.LayerList(
            [paddle.nn.Conv2D(8, 27 * n, 3, padding=1) for n in (2, 4)]
        )
        self.convs = paddle.nn.LayerList(
            [
                paddle.vision.ops.DeformConv2D(8, 8, 3, padding=1, deformable_groups=n)
                for n in (2, 4)
            ]
        )

    def forward(self, *features):
        x = paddle.concat(features, 1)
        for offset, conv, slope in zip(self.offsets, self.convs, (0.1, 0.5)):
            made = offset(x)
            across, down, mask = paddle.chunk(made, 3, 1)
            x = conv(x, 3 * paddle.concat([across, down], 1), paddle.nn.functional.sigmoid(mask))
            x = paddle.nn.functional.leaky_relu(x, slope)
        return x


@needs_deformable_export
def test_deformable_convolutions_with_groups_and_several_slopes_are_exported(caplog):
    layer, inputs = Deformable(), {"first": (1, 5, None, None), "second": (1, 3, None, None)}
    arrays = [np.random.default_rng(0).random((1, c, 21, 34), dtype=np.float32) for c in (5, 3)]
    graph = open_graph(lambda: layer, inputs, "a", "cpu")
    assert isinstance(graph, ExportedGraph), caplog.text
    np.testing.assert_allclose(graph(*arrays)[0], dynamic(layer, *arrays), atol=1e-5)


def test_another_key_opens_another_graph(frame):
    a = open_graph(lambda: network(0.1), INPUTS, "a", "cpu")
    b = open_graph(lambda: network(0.5), INPUTS, "b", "cpu")
    assert np.abs(a(frame)[0] - b(frame)[0]).max() > 1e-3


class ChangesOnExport(paddle.nn.Layer):
    """Computes something else once it is exported."""

    def __init__(self):
        super().__init__()
        self.one = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(1))

    def forward(self, frame):
        return self.one * frame * (1 if paddle.in_dynamic_mode() else 2)


@needs_exporter
def test_an_export_that_computes_something_else_is_refused(frame, caplog):
    with caplog.at_level(logging.WARNING):
        graph = open_graph(ChangesOnExport, INPUTS, "a", "cpu")
    np.testing.assert_array_equal(graph(frame)[0], frame)
    assert "differs from Paddle's" in caplog.text
    assert caplog.text.count("\n") == 1
    assert not cached_path("a", INPUTS).exists()


class Unexportable(paddle.nn.Layer):
    def forward(self, frame):
        return paddle.to_tensor(frame.numpy()[:, ::-1].copy())


def test_a_network_that_cannot_be_exported_runs_on_paddle(frame, caplog, capfd):
    with caplog.at_level(logging.WARNING):
        graph = open_graph(Unexportable, INPUTS, "a", "cpu")
    np.testing.assert_array_equal(graph(frame)[0], frame[:, ::-1])
    assert "Paddle runs in place of the faster CPU engine" in caplog.text


def test_an_engine_that_was_asked_for_is_not_replaced():
    with pytest.raises(
        NetworkError, match="`network_engine=onnx`: Unexportable cannot be exported"
    ):
        open_graph(Unexportable, INPUTS, "a", "cpu", "onnx")


def test_paddle_can_be_asked_for_on_a_cpu(frame):
    layer = network()
    graph = open_graph(lambda: layer, INPUTS, "a", "cpu", "paddle")
    assert isinstance(graph, DynamicGraph)
    np.testing.assert_array_equal(graph(frame)[0], dynamic(layer, frame))


@pytest.mark.parametrize(("device", "engine"), [("cpu", "onnx"), ("gpu:1", "paddle")])
def test_every_device_has_an_engine(device, engine):
    assert choose_engine("auto", device) is NETWORK_ENGINES[engine]


@pytest.mark.parametrize(
    ("engine", "device", "message"),
    [
        ("tensorrt", "cpu", "use `device=gpu`"),
        ("openvino", "gpu:1", "use `device=cpu`"),
        ("tensorflow", "cpu", "auto, onnx, tensorrt, openvino, paddle"),
    ],
)
def test_an_engine_that_does_not_run_is_refused(engine, device, message):
    with pytest.raises(OptionError, match=message):
        choose_engine(engine, device)


@pytest.mark.skipif(
    find_spec("onnxruntime") is None or "CUDAExecutionProvider" in providers(),
    reason="needs ONNX Runtime for CPUs",
)
@pytest.mark.parametrize("engine", ["onnx", "tensorrt"])
def test_a_gpu_without_its_part_of_onnx_runtime_is_a_line_that_says_what_to_install(engine):
    with pytest.raises(NetworkError, match="onnxruntime-gpu") as error:
        choose_engine(engine, "gpu:1")
    assert f"`network_engine={engine}` on `device=gpu:1`" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("half", [True, False])
def test_only_tensorrt_computes_in_half_precision_and_only_where_a_network_allows_it(
    half, tmp_path
):
    cuda = provider_options(NETWORK_ENGINES["onnx"], "gpu:1", tmp_path, half)
    assert list(cuda) == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert cuda["CUDAExecutionProvider"] == {"device_id": "1", "use_tf32": "0"}
    compiled = provider_options(NETWORK_ENGINES["tensorrt"], "gpu", tmp_path, half)
    assert next(iter(compiled)) == "TensorrtExecutionProvider"
    assert compiled["TensorrtExecutionProvider"]["trt_fp16_enable"] == str(half)
    assert compiled["TensorrtExecutionProvider"]["device_id"] == "0"


@pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino")
@needs_exporter
def test_openvino_computes_what_paddle_does(frame):
    layer = network()
    graph = open_graph(lambda: layer, INPUTS, "a", "cpu", "openvino")
    assert isinstance(graph, OpenVINOGraph)
    np.testing.assert_allclose(graph(frame)[0], dynamic(layer, frame), atol=1e-5)


@pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino")
@needs_deformable_export
def test_onnx_runtime_runs_what_openvino_lacks():
    inputs = {"first": (1, 5, None, None), "second": (1, 3, None, None)}
    graph = open_graph(Deformable, inputs, "a", "cpu", "openvino")
    assert isinstance(graph, ExportedGraph)


@pytest.mark.skipif(find_spec("openvino") is not None, reason="it is installed")
def test_without_openvino_a_line_says_how_to_install_it():
    with pytest.raises(NetworkError, match=r"pip install 'oldfilm\[cpu,openvino\]'"):
        choose_engine("openvino", "cpu")


class Sum(paddle.nn.Layer):
    """The sum of a picture and an enlarged one."""

    def forward(self, small, large):
        size = large.shape[2:]
        return large + paddle.nn.functional.interpolate(small, size, mode="bilinear")


@needs_exporter
def test_graphs_take_any_batch_and_inputs_of_half_the_size():
    inputs = {
        "small": (None, 3, Fraction(1, 2), Fraction(1, 2)),
        "large": (None, 3, None, None),
    }
    layer = Sum()
    graph = open_graph(lambda: layer, inputs, "a", "cpu", "onnx")
    rng = np.random.default_rng(0)
    for batch in (1, 4):
        small = rng.random((batch, 3, 11, 14), dtype=np.float32)
        large = rng.random((batch, 3, 22, 28), dtype=np.float32)
        np.testing.assert_allclose(
            graph(small, large)[0], dynamic(layer, small, large), rtol=0, atol=1e-5
        )


def test_a_damaged_graph_in_the_cache_is_not_used(frame, caplog):
    path = cached_path("a", INPUTS)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a graph")
    layer = network()
    with caplog.at_level(logging.WARNING):
        graph = open_graph(lambda: layer, INPUTS, "a", "cpu")
    np.testing.assert_allclose(graph(frame)[0], dynamic(layer, frame), atol=1e-5)


def test_an_unknown_or_missing_device_is_refused():
    assert choose_device("cpu") == choose_device(None) == "cpu"
    with pytest.raises(NetworkError, match="use `device=cpu`"):
        choose_device("gpu:7")
    with pytest.raises(OptionError, match="gpu:0"):
        choose_device("tpu")


def test_without_paddle_the_error_names_the_extras(monkeypatch):
    monkeypatch.setitem(sys.modules, "paddle", None)
    monkeypatch.setattr(device, "is_installed", lambda package: False)
    with pytest.raises(NetworkError, match=r"oldfilm\[cpu\].*oldfilm\[gpu\]"):
        import_paddle()


@needs_exporter
def test_without_the_cpu_engine_paddle_runs(frame, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    layer = network()
    with caplog.at_level(logging.WARNING):
        graph = open_graph(lambda: layer, INPUTS, "a", "cpu")
    assert isinstance(graph, DynamicGraph)
    assert "onnxruntime is not installed" in caplog.text
    np.testing.assert_array_equal(graph(frame)[0], dynamic(layer, frame))


def test_without_paddle2onnx_a_note_says_where_it_can_be_installed(frame, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with caplog.at_level(logging.WARNING):
        graph = open_graph(network, INPUTS, "a", "cpu")
    assert isinstance(graph, DynamicGraph)
    assert "onnx is not installed; on Python 3.12 and older, `pip install" in caplog.text


def test_any_thread_can_run_a_network():
    code = """
import threading
import numpy as np
made = []

def build():
    from oldfilm.engine.device import import_paddle
    from oldfilm.engine.paddle import DynamicGraph
    made.append(DynamicGraph(import_paddle().nn.Conv2D(1, 1, 3), "cpu"))

def run():
    made.append(made[0](np.ones((1, 1, 4, 4), np.float32)))

for work in (build, run, run):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
run()
assert len(made) == 4, made
"""
    subprocess.run([sys.executable, "-c", code], check=True)


OUT_OF_MEMORY = [
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv "
    "node. Name:'p2o.Conv.0' Status Message: std::bad_alloc",
    "[ONNXRuntimeError] : 1 : FAIL : bfc_arena.cc:376 AllocateRawInternal Failed to allocate "
    "memory for requested buffer of size 1024000000",
]
OTHER_FAILURES = [
    "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: alloc",
    "[ONNXRuntimeError] : 1 : FAIL : the allocation planner does not support this node",
]


def test_failed_allocations_are_recognized_by_their_message():
    assert all(graphs.is_out_of_memory(RuntimeError(message)) for message in OUT_OF_MEMORY)
    assert not any(graphs.is_out_of_memory(RuntimeError(message)) for message in OTHER_FAILURES)


@needs_exporter
@pytest.mark.parametrize("message", OUT_OF_MEMORY)
def test_a_failed_allocation_in_onnx_runtime_is_a_memory_error(frame, monkeypatch, message):
    graph = open_graph(network, INPUTS, "a", "cpu")
    monkeypatch.setattr("onnxruntime.InferenceSession.run", failing(message))
    with pytest.raises(MemoryError):
        graph(frame)


@needs_exporter
@pytest.mark.parametrize("message", OTHER_FAILURES)
def test_another_error_that_mentions_alloc_stays_what_it_is(frame, monkeypatch, message):
    graph = open_graph(network, INPUTS, "a", "cpu")
    monkeypatch.setattr("onnxruntime.InferenceSession.run", failing(message))
    with pytest.raises(RuntimeError, match="alloc"):
        graph(frame)


def failing(message):
    def run(*_):
        raise RuntimeError(message)

    return run


SHORT_OF_MEMORY = """
import pathlib, resource
import numpy as np
from oldfilm.engine import DynamicGraph, open_graph
from oldfilm.engine.device import import_paddle
paddle = import_paddle()
layer = paddle.nn.Conv2D(3, 64, 3)
exported = open_graph(lambda: layer, {"frame": (1, 3, None, None)}, "a", "cpu")
graphs = exported, DynamicGraph(layer, "cpu")
for graph in graphs:
    graph(np.zeros((1, 3, 64, 64), np.float32))
frame = np.zeros((1, 3, 2000, 2000), np.float32)
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (60 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for graph in graphs:
    try:
        graph(frame)
    except MemoryError:
        print(type(graph).__name__)
"""


@needs_exporter
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_both_engines_raise_memory_error_when_memory_is_short():
    done = subprocess.run([sys.executable, "-c", SHORT_OF_MEMORY], capture_output=True, text=True)
    assert done.stdout.split() == ["ExportedGraph", "DynamicGraph"], done.stderr


@needs_exporter
def test_import_and_export_print_nothing():
    code = """
import logging
from oldfilm.engine import open_graph
from oldfilm.engine.device import import_paddle
layer = import_paddle().nn.Conv2D(3, 4, 3)
open_graph(lambda: layer, {"frame": (1, 3, None, None)}, "a", "cpu")
assert not logging.getLogger().handlers
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
