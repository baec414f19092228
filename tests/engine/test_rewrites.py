"""Rewritten graphs: the same results, without shuffles of single values."""

from collections import Counter

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from oldfilm.engine.rewrites import before_shuffle, rewrite  # noqa: E402

PLAIN = {"pads": [1] * 4, "kernel_shape": [3, 3]}


def constant(name, *shape):
    values = np.random.default_rng(len(name)).normal(0, 0.2, shape).astype(np.float32)
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(values))


def shuffled(last_channels, channels=16, factor=2):
    """Build a convolution, its bias, a shuffle, an activation and another convolution."""
    many = channels * factor**2
    nodes = [
        constant("w1", many, 8, 3, 3),
        constant("bias", 1, many, 1, 1),
        constant("w2", last_channels, channels, 3, 3),
        helper.make_node("Conv", ["x", "w1"], ["a"], **PLAIN),
        helper.make_node("Add", ["a", "bias"], ["b"]),
        helper.make_node("Identity", ["b"], ["c"]),
        helper.make_node("DepthToSpace", ["c"], ["s"], blocksize=factor, mode="CRD"),
        helper.make_node("LeakyRelu", ["s"], ["z"], alpha=0.1),
        helper.make_node("Conv", ["z", "w2"], ["y"], **PLAIN),
    ]
    return one_input(nodes, 8)


def one_input(nodes, channels):
    """Build a model from "x" to "y"."""
    shape = ["n", channels, "h", "w"]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)])
    model.ir_version = 8
    return model


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("last", [3, 16])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_rewritten_graph_has_the_same_results(last, factor, batch):
    x = np.random.default_rng(0).random((batch, 8, 7, 10), dtype=np.float32)
    model = shuffled(last, factor=factor)
    expected = run(model, x)
    rewrite(model)
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-5, atol=1e-5)


def operations(model):
    return Counter(node.op_type for node in model.graph.node)


def test_many_channels_are_shuffled_as_whole_pixels():
    model = shuffled(16)
    rewrite(model)
    assert operations(model)["DepthToSpace"] == 0


def test_a_convolution_to_a_picture_comes_before_the_shuffle():
    model = shuffled(3)
    rewrite(model)
    shapes = [tuple(node.attribute[0].t.dims) for node in model.graph.node if not node.input]
    assert (12, 64, 3, 3) in shapes
    assert operations(model)["DepthToSpace"] == 1


def test_a_picture_that_is_shuffled_itself_stays_as_it_is():
    model = shuffled(16, channels=3, factor=4)
    rewrite(model)
    assert operations(model)["DepthToSpace"] == 1


def test_a_shuffle_whose_result_is_an_output_is_kept_complete():
    model = shuffled(3)
    model.graph.output.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, None))
    x = np.random.default_rng(0).random((1, 8, 7, 10), dtype=np.float32)
    before = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    rewrite(model)
    after = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    for expected, found in zip(before, after):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_weights_before_a_shuffle_keep_all_of_the_weights_after_it():
    weight = np.random.default_rng(0).normal(size=(3, 5, 3, 3))
    made = before_shuffle(weight)
    assert made.shape == (12, 20, 3, 3)
    np.testing.assert_allclose(made.sum(), 4 * weight.sum())


@pytest.mark.parametrize(("channels", "read"), [(5, 5), (8, 8), (11, 16), (38, 40)])
def test_a_convolution_reads_whole_blocks(channels, read):
    nodes = [
        constant("w", 16, channels, 3, 3),
        helper.make_node("Conv", ["x", "w"], ["y"], **PLAIN),
    ]
    model = one_input(nodes, channels)
    x = np.random.default_rng(0).random((2, channels, 7, 10), dtype=np.float32)
    expected = run(model, x)
    rewrite(model)
    weights = [node for node in model.graph.node if node.op_type == "Constant"]
    assert (16, read, 3, 3) in [tuple(node.attribute[0].t.dims) for node in weights]
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-5, atol=1e-5)


def test_a_convolution_of_groups_stays():
    nodes = [
        constant("w", 22, 11, 3, 3),
        helper.make_node("Conv", ["x", "w"], ["y"], group=2, **PLAIN),
    ]
    model = one_input(nodes, 22)
    rewrite(model)
    assert operations(model) == Counter(Constant=1, Conv=1)


def transposed(channels, slope):
    """Build a transposed convolution, a copy, its bias and an activation."""
    wide = {"pads": [1] * 4, "kernel_shape": [4, 4], "strides": [2, 2]}
    nodes = [
        constant("w", 16, channels, 4, 4),
        constant("bias", 1, channels, 1, 1),
        constant("slope", *slope),
        helper.make_node("ConvTranspose", ["x", "w"], ["a"], **wide),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Add", ["b", "bias"], ["c"]),
        helper.make_node("PRelu", ["c", "slope"], ["y"]),
    ]
    return one_input(nodes, 16)


@pytest.mark.parametrize(
    ("channels", "slope", "left"),
    [
        (8, (8, 1, 1), set()),
        (24, (1, 24, 1, 1), set()),
        (8, (1,), {"PRelu"}),
        (5, (5, 1, 1), {"ConvTranspose", "PRelu"}),
    ],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_transposed_convolutions_and_slopes_stay_in_blocks(channels, slope, left, batch):
    x = np.random.default_rng(0).random((batch, 16, 7, 10), dtype=np.float32) - 0.5
    model = transposed(channels, slope)
    expected = run(model, x)
    rewrite(model)
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-5, atol=1e-5)
    assert set(operations(model)) & {"ConvTranspose", "DepthToSpace", "PRelu"} == left


def test_a_transposed_convolution_whose_result_is_an_output_keeps_it():
    model = transposed(8, (8, 1, 1))
    for name in "bc":
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    x = np.random.default_rng(0).random((1, 16, 7, 10), dtype=np.float32) - 0.5
    before = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    rewrite(model)
    after = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    for expected, found in zip(before, after):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
