"""Read the weights of convolution networks that were exported to ncnn.

The `.bin` file holds only numbers, layer after layer; the text file `.param` next to it lists the
layers. Exports keep the order of the original network's convolutions, so the numbers are assigned
to our keys by their order. See https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from oldfilm.errors import WeightsError

if TYPE_CHECKING:
    import paddle

HALF = struct.pack("<I", 0x01306B47)
"""The mark of weights in half precision; it also recognizes a `.bin` file."""
FULL = struct.pack("<I", 0)

_MAGIC = "7767517"
_WITHOUT_WEIGHTS = {
    *("Input", "Split", "Concat", "BinaryOp", "Eltwise", "Interp", "PixelShuffle", "ReLU"),
    *("Noop", "Crop", "Padding", "Reshape", "Permute", "Clip", "Sigmoid", "TanH", "UnaryOp"),
    *("Pooling", "Slice", "Dropout"),
}
_MOST_NUMBERS = 1 << 28


@dataclass(frozen=True)
class _Layer:
    """The numbers of one layer: weights, and biases of a convolution. Counts of numbers."""

    weights: int
    biases: int = 0
    marked: bool = True


class NcnnWeights:
    """The content of a `.bin` file."""

    def __init__(self, path: Path) -> None:
        """path: the `.bin` file. Its `.param` file is used if it is next to it."""
        self.path = path
        self._layers = _listed(path.with_suffix(".param"))

    def named(self, network: paddle.nn.Layer) -> dict[str, np.ndarray]:
        """Return the arrays by the keys of `network`, in its shapes.

        If the file belongs to another network, arrays are missing or have other shapes.

        Raises:
            WeightsError: the file is damaged, or has layers other than convolutions and PReLU.
        """
        wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        layers = self._layers or _expected(network)
        try:
            with self.path.open("rb") as file:
                arrays = list(_arrays(file, layers))
                rest = file.read(1)
        except (ValueError, struct.error) as error:
            if self._layers is None:  # The file may be of another network.
                return {}
            raise WeightsError(
                f"{self.path} is damaged or incomplete, or does not belong to "
                f"{self.path.with_suffix('.param').name} ({error})."
            ) from error
        if rest or len(arrays) != len(wanted):
            return {}
        return {
            key: array.reshape(shape) if array.size == np.prod(shape) else array
            for (key, shape), array in zip(wanted.items(), arrays)
        }


def _arrays(file: IO[bytes], layers: Sequence[_Layer]) -> Iterator[np.ndarray]:
    for layer in layers:
        mark = file.read(4) if layer.marked else FULL
        if mark not in (HALF, FULL):
            raise ValueError("weights neither in full nor in half precision")
        yield _numbers(file, layer.weights, "<f2" if mark == HALF else "<f4")
        if mark == HALF:
            file.read(-2 * layer.weights % 4)
        if layer.biases:
            yield _numbers(file, layer.biases, "<f4")


def _numbers(file: IO[bytes], count: int, kind: str) -> np.ndarray:
    content = file.read(count * np.dtype(kind).itemsize)
    numbers = np.frombuffer(content, kind)
    if numbers.size != count:
        raise ValueError("the file ends early")
    return numbers.astype(np.float32)


def _expected(network: paddle.nn.Layer) -> list[_Layer]:
    """Return the convolutions and PReLUs of `network`, in the order of an export."""
    from paddle.nn import Conv2D, PReLU

    layers = []
    for layer in network.sublayers():
        if isinstance(layer, Conv2D):
            biases = 0 if layer.bias is None else layer.bias.size
            layers.append(_Layer(layer.weight.size, biases))
        elif isinstance(layer, PReLU):
            layers.append(_Layer(layer.parameters()[0].size, marked=False))
    return layers


def _listed(path: Path) -> list[_Layer] | None:
    """Return the layers of a `.param` file that have weights; None if the file is missing."""
    if not path.is_file():
        return None
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        if lines[0].strip() != _MAGIC:
            raise ValueError(f"its first line is not {_MAGIC}")
        found = [_layer(line.split()) for line in lines[2:] if line.strip()]
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise WeightsError(f"{path} is not a description of an ncnn network ({error}).") from error
    return [layer for layer in found if layer is not None]


def _layer(words: list[str]) -> _Layer | None:
    """Parse `type name inputs outputs blob... key=value...`."""
    kind, blobs = words[0], int(words[2]) + int(words[3])
    facts: Mapping[str, Any] = dict(word.split("=", 1) for word in words[4 + blobs :])
    if kind in _WITHOUT_WEIGHTS:
        return None
    if kind == "Convolution" and facts.get("8", "0") == "0":  # 8: quantized to int8
        return _Layer(_count(facts["6"]), _count(facts["0"]) if facts.get("5") == "1" else 0)
    if kind == "PReLU":
        return _Layer(_count(facts["0"]), marked=False)
    raise ValueError(f"{kind} layers are not supported")


def _count(stated: str) -> int:
    count = int(stated)
    if not 0 < count < _MOST_NUMBERS:
        raise ValueError(f"a layer of {count} numbers")
    return count
