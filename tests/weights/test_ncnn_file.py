"""ncnn's files: half and full precision, with and without the list of layers, damaged."""

import struct

import numpy as np
import pytest

from oldfilm.engine.device import import_paddle
from oldfilm.errors import WeightsError
from oldfilm.networks.rrdbnet import RRDBNet
from oldfilm.networks.srvgg import SRVGGNetCompact
from oldfilm.weights import Model, Variant, read_weights
from oldfilm.weights.convert import convert
from oldfilm.weights.ncnn_file import FULL, HALF
from tests.parity import formula

import_paddle()
NETWORKS = {
    "RRDBNet, 2 blocks": lambda: RRDBNet(nf=8, nb=2, gc=4),
    "RRDBNet, 1 block": lambda: RRDBNet(nf=8, nb=1, gc=4),
    "SRVGG": lambda: SRVGGNetCompact(num_feat=6, num_conv=2),
}


def model_of(*names):
    facts = {"licence": "MIT", "source": "a paper"}
    variants = {n: Variant(n, n, file=f"small-{n[-1]}.safetensors", **facts) for n in names}
    return Model("Small", variants, config="small")


def build(name, settings):
    return NETWORKS[name]()


def written(network, path, half=True, param=True):
    """Write a network as ncnn's converter does; return its arrays as they are stored."""
    arrays = {
        name: formula.weight(name, tuple(value.shape))
        for name, value in network.state_dict().items()
    }
    kept, content, lines = {}, b"", ["Input data 0 1 data"]
    for name, value in arrays.items():
        if value.ndim == 4:
            kept[name] = value.astype(np.float16 if half else np.float32)
            content += (HALF if half else FULL) + kept[name].tobytes()
            content += b"\0" * (-len(content) % 4)
            outputs, _, height, width = value.shape
            lines.append(
                f"Convolution Conv_{len(lines)} 1 1 a b 0={outputs} 1={width} 11={height} 4=1 5=1 "
                f"6={value.size}"
            )
            continue
        kept[name] = value
        content += value.tobytes()
        if not name.endswith("bias"):
            lines.append(f"PReLU PRelu_{len(lines)} 1 1 a b 0={value.size}")
    path.write_bytes(content)
    if param:
        text = "\r\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines, ""])
        path.with_suffix(".param").write_text(text, encoding="utf-8")
    return {name: value.astype(np.float32) for name, value in kept.items()}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("param", [True, False])
def test_a_network_survives_its_export(tmp_path, name, half, param):
    path = tmp_path / "x4.bin"
    arrays = written(NETWORKS[name](), path, half, param)
    converted = convert(path, model_of(*NETWORKS), build)
    assert converted.variant.name == name
    read = read_weights(converted.path)
    assert read.keys() == arrays.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(read[key], array)


@pytest.mark.parametrize("param", [True, False])
def test_a_file_of_another_network_is_refused(tmp_path, param):
    path = tmp_path / "x4.bin"
    written(NETWORKS["SRVGG"](), path, param=param)
    with pytest.raises(WeightsError, match="the weights of another network") as raised:
        convert(path, model_of("RRDBNet, 1 block"), build)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("param", [True, False])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path, param, share):
    path = tmp_path / "x4.bin"
    written(NETWORKS["SRVGG"](), path, param=param)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(WeightsError, match="damaged or incomplete"):
        convert(path, model_of("SRVGG"), build)


def test_a_longer_file_is_refused(tmp_path):
    path = tmp_path / "x4.bin"
    written(NETWORKS["SRVGG"](), path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match="another network"):
        convert(path, model_of("SRVGG"), build)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("7767517", "7767518"), "first line is not 7767517"),
        (lambda text: text.replace("PReLU", "Deconvolution"), "Deconvolution layers are not"),
        (lambda text: text.replace(" 5=1", " 5=1 8=2"), "Convolution layers are not supported"),
        (lambda text: text.replace("6=", "6=-"), "a layer of -"),
        (lambda text: text.replace("6=", "6=99999999"), "a layer of 99999999"),
        (lambda text: text.replace("6=", "7="), "not a description of an ncnn network"),
        (lambda text: "", "first line"),
    ],
)
def test_a_list_of_layers_that_cannot_be_read_is_refused(tmp_path, change, message):
    path = tmp_path / "x4.bin"
    written(NETWORKS["SRVGG"](), path)
    listed = path.with_suffix(".param")
    listed.write_text(change(listed.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(WeightsError, match=message) as raised:
        convert(path, model_of("SRVGG"), build)
    assert "\n" not in str(raised.value)


def test_quantized_weights_are_refused(tmp_path):
    path = tmp_path / "x4.bin"
    written(NETWORKS["SRVGG"](), path)
    content = path.read_bytes()
    last = content.rindex(HALF)
    path.write_bytes(content[:last] + struct.pack("<I", 0x000D4B38) + content[last + 4 :])
    with pytest.raises(WeightsError, match="neither in full nor in half precision"):
        convert(path, model_of("SRVGG"), build)
