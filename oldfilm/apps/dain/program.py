"""PaddleGAN's exported DAIN program, which makes the frame half-way between two others."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from oldfilm.apps.base import as_planes
from oldfilm.apps.dain.padding import inner, pad
from oldfilm.engine.device import import_paddle
from oldfilm.errors import WeightsError
from oldfilm.imaging.color import as_rgb


class ExportedProgram:
    """Interpolates with the program in a folder."""

    def __init__(self, folder: Path, device: str) -> None:
        """Load the program.

        Raises:
            WeightsError: the folder does not hold PaddleGAN's program.
        """
        inference = import_paddle().inference
        config = inference.Config(*_program_files(folder))
        if device != "cpu":
            config.enable_use_gpu(256, int(device.partition(":")[2] or 0))
        # The optimized program has returned wrong numbers on a CPU.
        config.switch_ir_optim(False)
        self._predictor = inference.create_predictor(config)
        self._running = threading.Lock()

    def prepare(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Make the frame half-way, float32 [h, w, c] in [0, 1]."""
        padded = [as_planes(pad(as_rgb(image))) for image in (first, second)]
        made = np.clip(self(np.stack(padded))[inner(first.shape)], 0, 1)
        return made if first.shape[2] == 3 else made.mean(axis=2, keepdims=True)

    def between(self, prepared: np.ndarray, time: float) -> np.ndarray:
        """Return the frame half-way, whatever the time."""
        return prepared

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Run the program on float32 [2, 1, 3, h, w]. Returns [h, w, 3], not clipped."""
        output = self.outputs(frames)[0]
        return output.reshape(-1, *frames.shape[2:])[0].transpose(1, 2, 0)

    def outputs(self, array: np.ndarray) -> list[np.ndarray]:
        """Run the program on its only input; return all its outputs."""
        (name,) = self._predictor.get_input_names()
        with self._running:
            self._predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(array))
            self._predictor.run()
            names = self._predictor.get_output_names()
            return [self._predictor.get_output_handle(name).copy_to_cpu() for name in names]


def _program_files(folder: Path) -> tuple[str, str]:
    """Find the program and its parameters by name, as PaddleGAN does."""
    names = sorted(path.name for path in folder.iterdir() if path.suffix != ".info")
    params = [name for name in names if "param" in name]
    programs = [name for name in names if "model" in name and name not in params]
    if len(params) != 1 or len(programs) != 1:
        raise WeightsError(
            f"{folder} is not the folder of PaddleGAN's exported DAIN. Unpack DAIN_weight.tar: it "
            "has one file *model* and one file *param*."
        )
    return str(folder / programs[0]), str(folder / params[0])
