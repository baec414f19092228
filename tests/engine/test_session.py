import logging
import subprocess
import sys

import numpy as np
import pytest

from oldfilm.engine import device, open_graph
from oldfilm.engine.device import choose_device, import_paddle
from oldfilm.engine.onnx import ExportedGraph, cached_path
from oldfilm.engine.session import DynamicGraph
from oldfilm.errors import NetworkError, OptionError

paddle = import_paddle()
INPUTS = {"frame": (1, 3, None, None)}


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


def dynamic(layer, frame):
    layer.eval()
    with paddle.no_grad():
        return layer(paddle.to_tensor(frame)).numpy()


def test_a_cpu_runs_the_exported_graph_with_paddles_numbers(frame):
    layer = network()
    graph = open_graph(lambda: layer, INPUTS, "a", "cpu")
    assert isinstance(graph, ExportedGraph)
    np.testing.assert_allclose(graph(frame)[0], dynamic(layer, frame), atol=1e-5)


def test_the_second_time_the_network_is_not_built(frame):
    first = open_graph(network, INPUTS, "a", "cpu")
    again = open_graph(lambda: pytest.fail("built again"), INPUTS, "a", "cpu")
    np.testing.assert_array_equal(first(frame)[0], again(frame)[0])
    left = {path.suffix for path in cached_path("a", INPUTS).parent.iterdir()}
    assert left == {".onnx", ".lock"}


def test_another_key_is_another_graph(frame):
    a = open_graph(lambda: network(0.1), INPUTS, "a", "cpu")
    b = open_graph(lambda: network(0.5), INPUTS, "b", "cpu")
    assert np.abs(a(frame)[0] - b(frame)[0]).max() > 1e-3


class Unlike(paddle.nn.Layer):
    """Gives other numbers when it is exported than when it runs."""

    def __init__(self):
        super().__init__()
        self.one = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(1))

    def forward(self, frame):
        return self.one * frame * (1 if paddle.in_dynamic_mode() else 2)


def test_an_export_with_other_numbers_is_not_used(frame, caplog):
    with caplog.at_level(logging.WARNING):
        graph = open_graph(Unlike, INPUTS, "a", "cpu")
    np.testing.assert_array_equal(graph(frame)[0], frame)
    assert "differs from Paddle's" in caplog.text
    assert caplog.text.count("\n") == 1
    assert not cached_path("a", INPUTS).exists()


class Unexportable(paddle.nn.Layer):
    def forward(self, frame):
        return paddle.to_tensor(frame.numpy()[:, ::-1].copy())


def test_what_cannot_be_exported_runs_on_paddle(frame, caplog, capfd):
    with caplog.at_level(logging.WARNING):
        graph = open_graph(Unexportable, INPUTS, "a", "cpu")
    np.testing.assert_array_equal(graph(frame)[0], frame[:, ::-1])
    assert "Paddle's own is" in caplog.text


def test_a_damaged_cache_is_not_used(frame, caplog):
    path = cached_path("a", INPUTS)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a graph")
    layer = network()
    with caplog.at_level(logging.WARNING):
        graph = open_graph(lambda: layer, INPUTS, "a", "cpu")
    np.testing.assert_allclose(graph(frame)[0], dynamic(layer, frame), atol=1e-5)


def test_devices_that_are_not_here_are_told():
    assert choose_device("cpu") == choose_device(None) == "cpu"
    with pytest.raises(NetworkError, match="--device cpu"):
        choose_device("gpu:7")
    with pytest.raises(OptionError, match="gpu:0"):
        choose_device("tpu")


def test_without_paddle_the_extras_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "paddle", None)
    monkeypatch.setattr(device, "_has_distribution", lambda name: False)
    with pytest.raises(NetworkError, match=r"oldfilm\[cpu\].*oldfilm\[gpu\]"):
        import_paddle()


def test_without_the_cpu_engine_paddle_runs(frame, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    layer = network()
    with caplog.at_level(logging.WARNING):
        graph = open_graph(lambda: layer, INPUTS, "a", "cpu")
    assert isinstance(graph, DynamicGraph)
    assert "onnxruntime is not installed" in caplog.text
    np.testing.assert_array_equal(graph(frame)[0], dynamic(layer, frame))


def test_every_thread_may_run_a_network_whichever_imported_paddle():
    code = """
import threading
import numpy as np
made = []

def build():
    from oldfilm.engine.device import import_paddle
    from oldfilm.engine.session import DynamicGraph
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
