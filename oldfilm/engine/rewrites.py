"""Rewrites of exported graphs that make ONNX Runtime faster and leave their results as they are.

ONNX Runtime keeps the features between convolutions in blocks of 8 channels, but shuffles pixels
plane by plane, on one thread. A convolution of channels that do not fill their last block takes
another way, and so do all residuals after it. Transposed convolutions and PReLU leave blocks too.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

BLOCK = 8
"""Channels in a block."""

PICTURE_CHANNELS = 4
"""Most output channels of a convolution that is cheaper before a two-fold shuffle, on four times
the channels, than after it."""

_ELEMENTWISE = ("LeakyRelu", "Relu")


_TAPS = ([3, 1], [2, 0])
"""Along one axis: the taps of a transposed 4x4 convolution that make an even and an odd pixel."""


def rewrite(model: onnx.ModelProto) -> None:
    """Rewrite the operations of a graph that leave blocks, and fill blocks."""
    graph = _Graph(model)
    for node in list(graph.nodes):
        if node.op_type == "ConvTranspose":
            _convolve_parities(graph, node)
    for node in list(graph.nodes):
        if node.op_type == "PRelu":
            _activate_in_blocks(graph, node)
    for node in list(graph.nodes):
        if node.op_type == "DepthToSpace" and graph.attribute(node, "mode") == b"CRD":
            _activate_first(graph, node)
            if not _convolve_first(graph, node):
                _shuffle_pixels_as_rows(graph, node)
    for node in list(graph.nodes):
        weight = graph.weight(node)
        if weight is not None and graph.attribute(node, "group", 1) == 1:
            _fill_block(graph, node, weight)
    graph.write(model)


def _fill_block(graph: _Graph, conv: onnx.NodeProto, weight: np.ndarray) -> None:
    """Let a convolution read channels of 0 so that its last block is full."""
    from onnx import helper

    outputs, inputs, *kernel = weight.shape
    missing = -inputs % BLOCK
    if inputs < BLOCK or not missing:
        return
    name = conv.output[0]
    nothing = np.zeros((outputs, missing, *kernel), weight.dtype)
    filled = graph.constant(f"{name}/filled", np.concatenate([weight, nothing], 1))
    end = graph.numbers(f"{name}/missing", [0] * 5 + [missing] + [0] * 2)
    pad = helper.make_node("Pad", [conv.input[0], end.output[0]], [f"{name}/blocks"])
    graph.insert(conv, [filled, end, pad])
    conv.input[0], conv.input[1] = pad.output[0], filled.output[0]


def _convolve_parities(graph: _Graph, conv: onnx.NodeProto) -> None:
    """Replace a transposed 4x4 convolution of stride 2 by four 2x2 convolutions.

    Each makes the pixels of one parity of rows and columns. A shuffle puts them together, after
    the bias and PReLU.
    """
    from onnx import helper

    weight = graph.value(conv.input[1])
    if weight is None or not graph.is_doubling(conv, weight):
        return
    name, channels = conv.output[0], weight.shape[1]
    replaced, bias, slope = graph.bias_and_slope(conv, channels)
    nodes = [graph.constant(f"{name}/bias", bias)]
    parts = []
    for row, column in np.ndindex(2, 2):
        part = f"{name}/{row}{column}"
        pads = [1 - row, 1 - column, row, column]
        taps = weight[:, :, _TAPS[row]][:, :, :, _TAPS[column]].swapaxes(0, 1)
        read = [conv.input[0], f"{part}/weight", f"{name}/bias"]
        nodes.append(graph.constant(f"{part}/weight", taps))
        nodes.append(helper.make_node("Conv", read, [part], kernel_shape=[2, 2], pads=pads))
        parts.append(part)
    last = f"{name}/parities"
    nodes.append(helper.make_node("Concat", parts, [last], axis=1))
    if slope is not None:
        nodes.append(graph.constant(f"{name}/slopes", np.tile(slope.reshape(-1, 1, 1), (4, 1, 1))))
        nodes.append(helper.make_node("PRelu", [last, f"{name}/slopes"], [f"{last}/active"]))
        last = f"{last}/active"
    result = replaced[-1].output[0]
    shuffle = helper.make_node("DepthToSpace", [last], [result], blocksize=2, mode="DCR")
    graph.insert(replaced[-1], [*nodes, shuffle])
    for node in replaced:
        graph.remove(node)
    _move_rows(graph, shuffle, channels)


def _activate_in_blocks(graph: _Graph, activation: onnx.NodeProto) -> None:
    """Write PReLU with operations that ONNX Runtime has for blocks: x + (1 - slope) relu(-x).

    Convolutions of one channel each multiply by constants; one takes in the sum.
    """
    from onnx import helper

    slope = graph.value(activation.input[1])
    if slope is None or slope.size % BLOCK:
        return
    x, name, ones = activation.input[0], activation.output[0], np.ones((slope.size, 1, 1, 1))
    minus, rest, turned, positive, change = (
        f"{name}/{part}" for part in ("minus", "rest", "turned", "positive", "change")
    )
    each: dict[str, Any] = {"group": slope.size, "kernel_shape": [1, 1]}
    nodes = [
        graph.constant(minus, (-ones).astype(slope.dtype)),
        graph.constant(rest, (ones - slope.reshape(ones.shape)).astype(slope.dtype)),
        helper.make_node("Conv", [x, minus], [turned], **each),
        helper.make_node("Relu", [turned], [positive]),
        helper.make_node("Conv", [positive, rest], [change], **each),
        helper.make_node("Add", [change, x], [name]),
    ]
    graph.insert(activation, nodes)
    graph.remove(activation)


def _activate_first(graph: _Graph, shuffle: onnx.NodeProto) -> None:
    """Move an activation that follows a shuffle before it, where it becomes part of a convolution.

    Shuffled values are the same values, so the results are too.
    """
    users = graph.users(shuffle.output[0])
    activation = users[0] if len(users) == 1 else None
    if activation is None or activation.op_type not in _ELEMENTWISE:
        return
    before, after = shuffle.input[0], activation.output[0]
    activation.input[0], activation.output[0] = before, f"{after}/before"
    shuffle.input[0], shuffle.output[0] = f"{after}/before", after
    graph.remove(activation)
    graph.insert(shuffle, [activation])


def _convolve_first(graph: _Graph, shuffle: onnx.NodeProto) -> bool:
    """Replace 3x3 convolutions to few channels after a two-fold shuffle by ones before it.

    A few channels are then shuffled in place of many. Returns whether that was possible.
    """
    users = graph.users(shuffle.output[0])
    if graph.attribute(shuffle, "blocksize") != 2 or not users:
        return False
    found: list[tuple[onnx.NodeProto, np.ndarray]] = []
    for user in users:
        weight = None if user is None else graph.weight(user)
        if user is None or weight is None:
            return False
        if weight.shape[0] > PICTURE_CHANNELS or not graph.is_plain(user, weight):
            return False
        found.append((user, weight))
    for user, weight in found:
        _swap(graph, shuffle.input[0], user, weight)
    graph.remove(shuffle)
    return True


def _swap(graph: _Graph, source: str, conv: onnx.NodeProto, weight: np.ndarray) -> None:
    """Let a convolution read what is not shuffled yet, and shuffle its result."""
    from onnx import helper

    name = conv.output[0]
    inner = f"{name}/shuffled"
    constants = [graph.constant(f"{name}/weight", before_shuffle(weight))]
    inputs = [source, constants[0].output[0]]
    if len(conv.input) > 2:
        bias: Any = graph.value(conv.input[2])
        constants.append(graph.constant(f"{name}/bias", np.repeat(bias, 4)))
        inputs.append(constants[1].output[0])
    made = helper.make_node("Conv", inputs, [inner], pads=[1] * 4, kernel_shape=[3, 3])
    last = helper.make_node("DepthToSpace", [inner], [name], blocksize=2, mode="CRD")
    graph.insert(conv, [*constants, made, last])
    graph.remove(conv)


def before_shuffle(weight: np.ndarray) -> np.ndarray:
    """Return the weights of a 3x3 convolution that does before a two-fold shuffle what this does.

    weight: [o, c, 3, 3], of a convolution that follows the shuffle. Returns [4 o, 4 c, 3, 3].
    """
    outputs, inputs = weight.shape[:2]
    made = np.zeros((outputs, 2, 2, inputs, 2, 2, 3, 3), weight.dtype)
    for row, column, down, across in np.ndindex(2, 2, 3, 3):
        y, x = row + down - 1, column + across - 1
        place = (y % 2, x % 2, y // 2 + 1, x // 2 + 1)
        made[:, row, column, :, place[0], place[1], place[2], place[3]] = weight[:, :, down, across]
    return made.reshape(4 * outputs, 4 * inputs, 3, 3)


def _shuffle_pixels_as_rows(graph: _Graph, shuffle: onnx.NodeProto) -> None:
    """Shuffle whole pixels, with all their channels, in place of single values.

    For that, the convolution before the shuffle returns its channels in another order.
    """
    factor = graph.attribute(shuffle, "blocksize")
    layers = graph.back_to_conv(shuffle.input[0])
    weight = graph.weight(layers[-1]) if layers else None
    if weight is None or len(weight) % (BLOCK * factor**2):
        return
    channels = len(weight) // factor**2
    order = np.arange(len(weight)).reshape(channels, factor, factor).transpose(1, 2, 0).ravel()
    graph.reorder(layers, order)
    _move_rows(graph, shuffle, channels)


def _move_rows(graph: _Graph, shuffle: onnx.NodeProto, channels: int) -> None:
    """Write a shuffle of whole pixels as moves of parts of rows.

    The channels of a pixel follow each other in the shuffle's input. channels: of a pixel.
    """
    from onnx import helper

    factor = graph.attribute(shuffle, "blocksize")
    name = shuffle.output[0]
    parts = [f"{name}/{part}" for part in ("pixels", "split", "rows", "wide", "shape")]
    pixels, split, rows, wide, shape = parts
    node, numbers = helper.make_node, graph.numbers
    split_shape = numbers(f"{name}/a", [0, 0, 0, factor, factor * channels])
    wide_shape = numbers(f"{name}/b", [0, 0, 0, -1, channels])
    first, width = numbers(f"{name}/c", [0]), numbers(f"{name}/d", [3])
    rest, last = numbers(f"{name}/e", [-1]), numbers(f"{name}/f", [channels])
    ends = [f"{name}/batch", f"{name}/width"]
    nodes = [
        node("Transpose", [shuffle.input[0]], [pixels], perm=[0, 2, 3, 1]),
        node("Reshape", [pixels, f"{name}/a"], [split]),
        node("Transpose", [split], [rows], perm=[0, 1, 3, 2, 4]),
        node("Reshape", [rows, f"{name}/b"], [wide]),
        node("Shape", [wide], [shape]),
        node("Gather", [shape, f"{name}/c"], [ends[0]]),
        node("Gather", [shape, f"{name}/d"], [ends[1]]),
        node("Concat", [ends[0], f"{name}/e", ends[1], f"{name}/f"], [f"{name}/to"], axis=0),
        node("Reshape", [wide, f"{name}/to"], [f"{name}/large"]),
        node("Transpose", [f"{name}/large"], [name], perm=[0, 3, 1, 2]),
    ]
    graph.insert(shuffle, [split_shape, wide_shape, first, width, rest, last, *nodes])
    graph.remove(shuffle)


class _Graph:
    """The nodes of a graph, by what they produce and use."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._outputs = {output.name for output in model.graph.output}
        self.nodes = self._without_copies(model.graph.node)
        self._initializers = {each.name: each for each in model.graph.initializer}

    def _without_copies(self, nodes: Iterable[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """Return the nodes, without those that copy a value, except to an output."""
        originals: dict[str, str] = {}
        kept = []
        for node in map(copy.deepcopy, nodes):
            for i, name in enumerate(node.input):
                node.input[i] = originals.get(name, name)
            if node.op_type == "Identity" and node.output[0] not in self._outputs:
                originals[node.output[0]] = node.input[0]
            else:
                kept.append(node)
        return kept

    def producer(self, name: str) -> onnx.NodeProto | None:
        """Return the node that makes a value, without copies of it."""
        for node in self.nodes:
            if name in node.output:
                return self.producer(node.input[0]) if node.op_type == "Identity" else node
        return None

    def users(self, name: str) -> list[onnx.NodeProto | None]:
        """Return the nodes that use a value, or a copy of it, and None if it is an output."""
        found: list[onnx.NodeProto | None] = [None] if name in self._outputs else []
        for node in self.nodes:
            if name in node.input:
                found += self.users(node.output[0]) if node.op_type == "Identity" else [node]
        return found

    def value(self, name: str) -> np.ndarray | None:
        """Return a value that does not depend on the graph's inputs; None if it does."""
        from onnx import numpy_helper

        if name in self._initializers:
            return numpy_helper.to_array(self._initializers[name])
        node = self.producer(name)
        if node is None:
            return None
        if node.op_type == "Constant":
            return numpy_helper.to_array(self.attribute(node, "value"))
        if node.op_type == "Reshape":
            known, shape = map(self.value, node.input)
            return None if known is None or shape is None else known.reshape(shape)
        return None

    def weight(self, node: onnx.NodeProto) -> np.ndarray | None:
        """Return the constant weight of a convolution; None if the node is something else."""
        return self.value(node.input[1]) if node.op_type == "Conv" else None

    def is_plain(self, conv: onnx.NodeProto, weight: np.ndarray) -> bool:
        """Whether a convolution is 3x3, of all channels, and keeps the size."""
        return (
            weight.shape[2:] == (3, 3)
            and self.attribute(conv, "group", 1) == 1
            and list(self.attribute(conv, "pads", [])) == [1] * 4
            and set(self.attribute(conv, "strides", [1])) == {1}
            and set(self.attribute(conv, "dilations", [1])) == {1}
            and (len(conv.input) < 3 or self.value(conv.input[2]) is not None)
        )

    def is_doubling(self, conv: onnx.NodeProto, weight: np.ndarray) -> bool:
        """Whether a transposed convolution is 4x4, of whole blocks, and doubles the size."""
        return (
            weight.shape[2:] == (4, 4)
            and not weight.shape[0] % BLOCK
            and not weight.shape[1] % BLOCK
            and self.attribute(conv, "group", 1) == 1
            and list(self.attribute(conv, "pads", [])) == [1] * 4
            and set(self.attribute(conv, "strides", [])) == {2}
            and set(self.attribute(conv, "dilations", [1])) == {1}
            and set(self.attribute(conv, "output_padding", [0])) == {0}
            and len(conv.input) == 2
        )

    def bias_and_slope(
        self, conv: onnx.NodeProto, channels: int
    ) -> tuple[list[onnx.NodeProto], np.ndarray, np.ndarray | None]:
        """Return a convolution with the bias and the PReLU that follow it, and their constants."""
        nodes, bias, slope = [conv], np.zeros(channels, np.float32), None
        for kind in ("Add", "PRelu"):
            users = self.users(nodes[-1].output[0])
            node = users[0] if len(users) == 1 else None
            if node is None or node.op_type != kind:
                continue
            value = self.value(node.input[1])
            if value is None or value.shape[-3:] != (channels, 1, 1):
                break
            nodes.append(node)
            if kind == "Add":
                bias = value.ravel()
            else:
                slope = value
        return nodes, bias, slope

    def attribute(self, node: onnx.NodeProto, name: str, default: Any = None) -> Any:
        """Return an attribute of a node."""
        from onnx import helper

        values = [helper.get_attribute_value(each) for each in node.attribute if each.name == name]
        return values[0] if values else default

    def back_to_conv(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes from this value's producer back to a convolution; empty if none.

        In between are only activations and biases, and nothing else uses their results.
        """
        layers: list[onnx.NodeProto] = []
        while (node := self.producer(name)) is not None and len(self.users(node.output[0])) == 1:
            layers.append(node)
            if node.op_type == "Conv":
                known = all(self.value(each) is not None for each in node.input[1:])
                return layers if known and self.attribute(node, "group", 1) == 1 else []
            if node.op_type == "Add" and self._bias(node) is None:
                return []
            if node.op_type not in (*_ELEMENTWISE, "Add"):
                return []
            name = node.input[0]
        return []

    def _bias(self, node: onnx.NodeProto) -> np.ndarray | None:
        """Return the second summand of an `Add`, if it is a constant [1, c, 1, 1]."""
        value = self.value(node.input[1])
        return value if value is not None and value.shape[1:] == (value.size, 1, 1) else None

    def reorder(self, layers: Iterable[onnx.NodeProto], order: np.ndarray) -> None:
        """Reorder the output channels of a convolution and its biases."""
        for node in layers:
            places = {"Conv": (1, 2), "Add": (1,)}.get(node.op_type, ())
            for place in places[: len(node.input) - 1]:
                value: Any = self.value(node.input[place])
                axis = 1 if node.op_type == "Add" else 0
                constant = self.constant(
                    f"{node.output[0]}/{place}/ordered", np.take(value, order, axis)
                )
                self.insert(node, [constant])
                node.input[place] = constant.output[0]

    def constant(self, name: str, value: np.ndarray) -> onnx.NodeProto:
        """Return a node that makes a constant."""
        from onnx import helper, numpy_helper

        tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return helper.make_node("Constant", [], [name], value=tensor)

    def numbers(self, name: str, values: list[int]) -> onnx.NodeProto:
        """Return a node that makes a constant of whole numbers."""
        return self.constant(name, np.array(values, np.int64))

    def insert(self, before: onnx.NodeProto, nodes: Iterable[onnx.NodeProto]) -> None:
        """Insert nodes before another one."""
        place = self._place(before)
        self.nodes[place:place] = nodes

    def remove(self, node: onnx.NodeProto) -> None:
        del self.nodes[self._place(node)]

    def _place(self, node: onnx.NodeProto) -> int:
        return next(i for i, each in enumerate(self.nodes) if each is node)

    def write(self, model: onnx.ModelProto) -> None:
        """Replace the nodes of a model with these, without constants that nothing uses."""
        used = {name for node in self.nodes for name in node.input} | self._outputs
        del model.graph.node[:]
        model.graph.node.extend(
            node for node in self.nodes if node.op_type != "Constant" or node.output[0] in used
        )
