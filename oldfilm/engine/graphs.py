"""Run exported graphs, on ONNX Runtime or OpenVINO."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

import numpy as np

from oldfilm.engine.device import Device
from oldfilm.engine.engines import CPU, CUDA, NETWORK_ENGINES, TENSORRT, Engine
from oldfilm.system.memory import is_out_of_memory
from oldfilm.system.stopping import next_step
from oldfilm.system.threads import threads

logger = logging.getLogger(__name__)

ON_CPU = NETWORK_ENGINES["onnx"]


class ExportError(Exception):
    """A network cannot be exported here, or its exported graph computes something else."""


class ExportedGraph:
    """An exported graph on ONNX Runtime, callable on numpy arrays."""

    def __init__(
        self, path: Path, engine: Engine = ON_CPU, device: Device = "cpu", half: bool = False
    ) -> None:
        """Load a graph; on a CPU it uses all cores.

        half: whether the network may be computed in half precision, if the engine can.

        Raises:
            ExportError: ONNX Runtime is missing, or does not load the graph on this device.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ExportError(
                "onnxruntime is not installed (`pip install 'oldfilm[cpu]'`)"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        # Each graph has its own threads. Without this, they wait busily after a run, and keep the
        # processors from the threads of the next graph.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 4  # Errors are raised; only fatal ones are also printed.
        if _has_arena():
            options.add_session_config_entry("session.use_env_allocators", "1")
        else:
            options.enable_cpu_mem_arena = False
        providers = provider_options(engine, device, path.parent, half)
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=list(providers.items())
            )
        except Exception as error:  # ONNX Runtime's errors have no narrower common parent.
            raise ExportError(f"ONNX Runtime does not load {path.name} ({error})") from error
        first = next(iter(providers))
        if first not in self._session.get_providers():
            raise ExportError(
                f"ONNX Runtime cannot use its {first}: a library that it needs is missing"
            )
        self._names = [value.name for value in self._session.get_inputs()]

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run the graph on float32 arrays; return one array per output.

        Raises:
            MemoryError: ONNX Runtime cannot allocate memory.
        """
        next_step()
        named = {name: np.ascontiguousarray(array) for name, array in zip(self._names, arrays)}
        try:
            return tuple(self._session.run(None, named))
        except Exception as error:  # ONNX Runtime's errors have no narrower common parent.
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise


@functools.cache
def _has_arena() -> bool:
    """Give all graphs of this process one arena; return whether that worked.

    Without an arena, every result inside a graph is mapped into memory and unmapped again, which
    takes up to 40 % of the time. With one arena a graph, all of them keep the memory of their
    largest frames.
    """
    import onnxruntime

    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    # Extend it by what is requested (1), not by powers of two.
    settings = onnxruntime.OrtArenaCfg({"arena_extend_strategy": 1})
    try:
        onnxruntime.create_and_register_allocator(memory, settings)
    except Exception as error:  # Another library of this process may have registered one.
        logger.debug("ONNX Runtime has no arena of ours: %s", error)
        return False
    return True


def provider_options(
    engine: Engine, device: Device, cache: Path, half: bool
) -> dict[str, dict[str, Any]]:
    """Return the execution providers of ONNX Runtime for an engine, in order, with their options.

    cache: the folder where TensorRT keeps what it has compiled, which takes it minutes.
    """
    kind, _, index = device.partition(":")
    number = {"device_id": index or "0"}
    half = half and engine.half
    options: dict[str, dict[str, Any]] = {
        CPU: {},
        # TF32 has 10 bits of precision, as half precision does.
        CUDA: {**number, "use_tf32": "1" if half else "0"},
        TENSORRT: {
            **number,
            "trt_fp16_enable": "True" if half else "False",
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(cache / "tensorrt"),
        },
    }
    return {name: options[name] for name in (engine.providers or {})[kind]}


class OpenVINOGraph:
    """An exported graph on OpenVINO, on all cores, callable on numpy arrays."""

    def __init__(self, path: Path) -> None:
        """Load a graph.

        Raises:
            ExportError: OpenVINO does not have all of its operations.
        """
        import openvino

        settings = {"INFERENCE_NUM_THREADS": threads(), "INFERENCE_PRECISION_HINT": "f32"}
        try:
            self._model = openvino.Core().compile_model(str(path), "CPU", settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ExportError(f"OpenVINO does not load {path.name} ({reason})") from error

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run the graph on float32 arrays; return one array per output.

        Raises:
            MemoryError: OpenVINO cannot allocate memory.
        """
        next_step()
        try:
            results = self._model([np.ascontiguousarray(array) for array in arrays])
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise
        return tuple(results[output].copy() for output in self._model.outputs)
