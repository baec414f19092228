"""The base class of PaddleGAN's predictors, for programs that derive their own from it."""

from __future__ import annotations

from abc import ABC
from pathlib import Path
from typing import Any

from oldfilm.apps.dain.program import ExportedProgram
from oldfilm.engine import choose_device
from oldfilm.pipeline import RunnableStage
from oldfilm.pipeline.pictures import is_picture


class BasePredictor(ABC):  # noqa: B024 (abstract for `register` only)
    """What PaddleGAN's predictors share; oldfilm's count as subclasses of it.

    A program sets `model`, a `paddle.nn.Layer`, or `weight_path`, the folder of an exported program
    with one input, such as PaddleGAN's DAIN.
    """

    model: Any
    weight_path: str

    def build_inference_model(self) -> None:
        """Load the program in the folder `weight_path`.

        Raises:
            WeightsError: the folder does not hold a program.
        """
        self.model = ExportedProgram(Path(self.weight_path), choose_device())

    def base_forward(self, inputs: Any) -> Any:
        """Run the network; an exported program returns the list of its outputs."""
        if isinstance(self.model, ExportedProgram):
            return self.model.outputs(inputs[0] if isinstance(inputs, (list, tuple)) else inputs)
        return self.model(inputs)

    def is_image(self, source: Any) -> bool:
        """Whether `source` is a picture in memory, or the path of a photograph."""
        return is_picture(source)

    def run(self, source: Any) -> Any:
        """A program's own predictor implements this."""
        raise NotImplementedError(f"{type(self).__name__} does not implement run()")


BasePredictor.register(RunnableStage)  # type: ignore[type-abstract]
