"""DAIN: depth-aware interpolation of frames at any time between two others."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from oldfilm.apps.base import LITE
from oldfilm.apps.dain.lite import LiteInterpolation
from oldfilm.apps.dain.program import ExportedProgram
from oldfilm.apps.dain.published import PublishedInterpolation
from oldfilm.apps.interpolator import Interpolator
from oldfilm.errors import OptionError
from oldfilm.pipeline import PredictorNames
from oldfilm.stage import FilmInfo


class Interpolation(Protocol):
    """Frames between two others, by one of DAIN's networks."""

    def prepare(self, first: np.ndarray, second: np.ndarray) -> Any:
        """As `Interpolator.prepare`."""

    def between(self, prepared: Any, time: float) -> np.ndarray:
        """As `Interpolator.between`."""


class DAINPredictor(Interpolator):
    """Changes the frame rate of a film, or slows it down (Bao et al., CVPR 2019).

    weight_path may also be the folder of PaddleGAN's exported program, `DAIN_weight.tar` unpacked,
    which only makes frames half-way between two others.
    """

    name = "DAIN"
    result_names = PredictorNames("DAIN", "videos-output/{base}", "frames-combined/{base}/%08d.png")
    config = "dain"

    @classmethod
    def current_arguments(
        cls, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """As `RunnableStage.current_arguments`; also drops `key_frame_thread`, which did nothing.

        It was the fifth argument, before `remove_duplicates`.
        """
        if len(arguments) > 5 or (len(arguments) == 5 and not isinstance(arguments[4], bool)):
            arguments = arguments[:4] + arguments[5:]
        keywords = {k: value for k, value in keywords.items() if k != "key_frame_thread"}
        return super().current_arguments(arguments, keywords)

    @cached_property
    def interpolation(self) -> Interpolation:
        """The implementation for the weights in use."""
        if self.weights.path.is_dir():
            return ExportedProgram(self.weights.path, self.device)
        if self.implementation == LITE:
            return LiteInterpolation(self.graph)
        return PublishedInterpolation(self.graph, self.settings["motion_pixels"])

    def describe(self, info: FilmInfo) -> FilmInfo:
        """As `Interpolator.describe`.

        Raises:
            OptionError: PaddleGAN's program cannot make the frames that the options ask for.
        """
        halves = self.fps is None and self.time_step == Fraction(1, 2)
        if isinstance(self.interpolation, ExportedProgram) and (
            not halves or self.remove_duplicates
        ):
            raise OptionError(
                "PaddleGAN's exported DAIN only makes frames half-way: it takes `time_step=0.5`, "
                "without `fps` or `remove_duplicates`. Use other weights for other frames."
            )
        return super().describe(info)

    def prepare(self, first: np.ndarray, second: np.ndarray) -> Any:
        """As `Interpolator.prepare`."""
        return self.interpolation.prepare(first, second)

    def between(self, prepared: Any, time: float) -> np.ndarray:
        """As `Interpolator.between`."""
        return self.interpolation.between(prepared, time)

    def _check_given(self, any_variant: bool) -> None:
        if self.weights.path.is_dir():
            self.interpolation  # noqa: B018  Report a wrong folder now.
        else:
            super()._check_given(any_variant)
