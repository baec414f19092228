"""`.pdparams` files: as Paddle writes them, damaged, and malicious."""

import collections
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from oldfilm.engine.device import import_paddle
from oldfilm.errors import WeightsError
from oldfilm.weights import read_weights

paddle = import_paddle()


@pytest.fixture
def network():
    return paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3), paddle.nn.BatchNorm2D(4))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.pdparams"


def same(read, layer):
    expected = {name: value.numpy() for name, value in layer.state_dict().items()}
    assert read.keys() == expected.keys()
    return all(np.array_equal(read[name], value) for name, value in expected.items())


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_state_dict_that_paddle_saved_is_read(network, path, protocol):
    paddle.save(network.state_dict(), str(path), protocol=protocol)
    assert same(read_weights(path), network)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_layout_selects_the_entry_of_a_training_checkpoint(network, path, protocol):
    other = paddle.nn.Linear(2, 2)
    adam = paddle.optimizer.Adam(parameters=network.parameters())
    network(paddle.ones([1, 3, 8, 8])).sum().backward()
    adam.step()
    stored = {
        "epoch": 3,
        "generator": network.state_dict(),
        "discriminator": other.state_dict(),
        "optimizer": adam.state_dict(),
    }
    paddle.save(stored, str(path), protocol=protocol)
    assert same(read_weights(path, "generator"), network)
    everything = read_weights(path)
    assert {"generator.0.weight", "discriminator.weight"} < everything.keys()
    assert "epoch" not in everything


def test_a_layout_that_the_file_lacks_is_ignored(network, path):
    paddle.save(network.state_dict(), str(path))
    assert same(read_weights(path, "generator"), network)


def test_a_tensor_of_a_static_graph_is_read_without_eval(path):
    class Static:
        def __reduce__(self):
            return eval, ("data", {"data": np.float32([1, 2])})

    path.write_bytes(pickle.dumps({"a": Static()}, protocol=4))
    np.testing.assert_array_equal(read_weights(path)["a"], np.float32([1, 2]))


def test_slices_of_a_large_array_are_joined(path):
    whole = np.arange(10, dtype=np.float32).reshape(2, 5)
    flat = whole.ravel()
    stored = {
        "b": np.zeros(1, np.float32),
        "a@@.0": flat[:4],
        "a@@.1": flat[4:8],
        "a@@.2": flat[8:],
        "UnpackBigParamInfor@@": {
            "a": {"OriginShape": (2, 5), "slices": ["a@@.0", "a@@.1", "a@@.2"]}
        },
        "StructuredToParameterName@@": {"a": "conv2d_0.w_0"},
    }
    path.write_bytes(pickle.dumps(stored, protocol=2))
    read = read_weights(path)
    assert read.keys() == {"a", "b"}
    np.testing.assert_array_equal(read["a"], whole)


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_files_of_numpy_1_and_2_are_read(path, core):
    arrays = collections.OrderedDict(a=np.asfortranarray(np.float64([[1, 2], [3, 4]])))
    written = pickle.dumps(arrays, protocol=2)
    for known in (b"numpy._core.", b"numpy.core."):
        written = written.replace(known, f"{core}.".encode())
    path.write_bytes(written)
    read = read_weights(path)["a"]
    assert read.dtype == np.float32
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, [[1, 2], [3, 4]])


class Calls:
    """An object whose pickle calls `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def a_program(target):
    return f"__import__('pathlib').Path({str(target)!r}).touch()"


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize(
    "call",
    [
        lambda target: Calls(os.system, f"touch {target}"),
        lambda target: Calls(eval, a_program(target)),
        lambda target: Calls(eval, a_program(target), {"data": 1}),
        lambda target: Calls(exec, a_program(target)),
        lambda target: Calls(Path.touch, target),
        lambda target: Calls(getattr, Path, "touch"),
        lambda target: np.array([Calls(os.system, f"touch {target}")], object),
        lambda target: Calls(np.fromfile, str(target)),
        lambda target: Calls(pickle.loads, pickle.dumps(Calls(os.system, f"touch {target}"))),
    ],
)
def test_code_in_a_pickle_is_not_run(path, tmp_path, protocol, call):
    target = tmp_path / "written"
    harmful = {"weight": np.zeros(2, np.float32), "bias": call(target)}
    path.write_bytes(pickle.dumps(harmful, protocol=protocol))
    with pytest.raises(WeightsError, match="in place of weights and was not opened"):
        read_weights(path)
    assert not target.exists()


def test_the_same_pickle_does_run_in_a_plain_unpickler(tmp_path):
    target = tmp_path / "written"
    pickle.loads(pickle.dumps(Calls(eval, a_program(target)), protocol=2))
    assert target.exists()


def test_a_file_cannot_change_the_allowed_objects(path):
    # c__builtin__ eval, then BUILD with (None, {"__call__": "x"}): attributes for the substitute.
    path.write_bytes(b"\x80\x02c__builtin__\neval\nN}U\x08__call__U\x01xs\x86b.")
    with pytest.raises(WeightsError, match="damaged"):
        read_weights(path)


def test_arrays_of_objects_are_refused(path):
    path.write_bytes(pickle.dumps({"a": np.array([None, "text"], object)}, protocol=4))
    with pytest.raises(WeightsError, match="'a' holds object"):
        read_weights(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(network, path, share):
    paddle.save(network.state_dict(), str(path))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(WeightsError, match="a.pdparams cannot be read as weights"):
        read_weights(path)


def test_a_web_page_is_recognized(path):
    path.write_bytes(b"\n <!DOCTYPE html><html></html>")
    with pytest.raises(WeightsError, match="it is a web page"):
        read_weights(path)
