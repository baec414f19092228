"""The engines that run networks, and the choice between them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from oldfilm.engine.device import Device
from oldfilm.errors import NetworkError, OptionError

AUTO = "auto"


@dataclass(frozen=True)
class Engine:
    """A library that runs networks, and what it can do.

    devices: kinds of devices that it runs on. module: its Python module. install: how to get it,
    by kind of device. exports: whether it runs graphs that were exported from Paddle. A part of a
    network that cannot be exported still runs on Paddle. providers: ONNX Runtime's execution
    providers, by kind of device, in order; empty for another library. half: whether it computes in
    half precision where a network allows it.
    """

    name: str
    devices: tuple[str, ...]
    module: str
    install: dict[str, str]
    exports: bool = True
    providers: dict[str, tuple[str, ...]] | None = None
    half: bool = False


CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
_GPU_RUNTIME = "`pip uninstall onnxruntime`, then `pip install 'onnxruntime-gpu[cuda,cudnn]'`"

NETWORK_ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            "onnx",
            ("cpu", "gpu"),
            "onnxruntime",
            {"cpu": "`pip install 'oldfilm[cpu]'`", "gpu": _GPU_RUNTIME},
            providers={"cpu": (CPU,), "gpu": (CUDA, CPU)},
        ),
        Engine(
            "tensorrt",
            ("gpu",),
            "onnxruntime",
            {"gpu": f"{_GPU_RUNTIME} and `pip install tensorrt`"},
            providers={"gpu": (TENSORRT, CUDA, CPU)},
            half=True,
        ),
        Engine("openvino", ("cpu",), "openvino", {"cpu": "`pip install 'oldfilm[cpu,openvino]'`"}),
        Engine(
            "paddle",
            ("cpu", "gpu"),
            "paddle",
            {"cpu": "`pip install 'oldfilm[cpu]'`", "gpu": "`pip install 'oldfilm[gpu]'`"},
            exports=False,
        ),
    )
}


def choose_engine(wanted: str, device: Device) -> Engine:
    """Return the engine to use on a device.

    wanted: its name, or "auto": ONNX Runtime on a CPU, Paddle on a GPU.

    Raises:
        OptionError: the engine does not exist, or it does not run on this device.
        NetworkError: `wanted`, or its support of the device, is not installed.
    """
    kind = device.partition(":")[0]
    if wanted == AUTO:
        return NETWORK_ENGINES["onnx" if kind == "cpu" else "paddle"]
    if wanted not in NETWORK_ENGINES:
        names = ", ".join([AUTO, *NETWORK_ENGINES])
        raise OptionError(f"`network_engine={wanted}`: choose from {names}")
    engine = NETWORK_ENGINES[wanted]
    if kind not in engine.devices:
        raise OptionError(
            f"`network_engine={wanted}` does not run on `device={device}`: "
            f"use `device={engine.devices[0]}`."
        )
    if missing := _missing(engine, kind):
        raise NetworkError(
            f"`network_engine={wanted}` on `device={device}`: {missing}. "
            f"To install it: {engine.install[kind]}."
        )
    return engine


def _missing(engine: Engine, kind: str) -> str:
    """Return what is not installed, as the start of a sentence; empty if nothing is missing."""
    if importlib.util.find_spec(engine.module) is None:
        return f"{engine.module} is not installed"
    first = engine.providers[kind][0] if engine.providers else CPU
    if first == CPU:
        return ""
    import onnxruntime

    if first in onnxruntime.get_available_providers():
        return ""
    return f"the installed onnxruntime has no {first}"
