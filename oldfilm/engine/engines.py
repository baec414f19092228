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

    devices: kinds of devices that it runs on. module: its Python module. exports: whether it runs
    graphs that were exported from Paddle. A part of a network that cannot be exported still runs
    on Paddle.
    """

    name: str
    devices: tuple[str, ...]
    module: str
    exports: bool


NETWORK_ENGINES = {
    engine.name: engine
    for engine in (
        Engine("onnx", ("cpu",), "onnxruntime", exports=True),
        Engine("paddle", ("cpu", "gpu"), "paddle", exports=False),
    )
}


def choose_engine(wanted: str, device: Device) -> Engine:
    """Return the engine to use on a device.

    wanted: its name, or "auto": the faster one, which is ONNX Runtime on a CPU.

    Raises:
        OptionError: the engine does not exist, or it does not run on this device.
        NetworkError: `wanted` is not installed.
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
            f"`network_engine={wanted}` does not run on `device={device}`: use `device=cpu`."
        )
    if importlib.util.find_spec(engine.module) is None:
        raise NetworkError(
            f"`network_engine={wanted}`: {engine.module} is not installed "
            "(`pip install 'oldfilm[cpu]'`)"
        )
    return engine
