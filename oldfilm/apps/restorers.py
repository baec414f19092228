"""Restorers of single pictures: one frame in, one frame of the same size out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oldfilm import media
from oldfilm.apps.base import Predictor, as_input, as_output
from oldfilm.apps.upscaler import Upscaler
from oldfilm.errors import MediaError, OptionError
from oldfilm.pipeline import PredictorNames, RestoredFilm, RestoredPhotograph
from oldfilm.pipeline.completed_jobs import is_result
from oldfilm.pipeline.pictures import Picture
from oldfilm.stage import FingerprintValue, Option
from oldfilm.weights import model

if TYPE_CHECKING:
    import paddle

TASK = Option(
    "task",
    str,
    help="what MPR removes",
    choices=("Deblurring", "Denoising", "Deraining"),
)
SEED = Option("seed", int, help="seed of InvDN's noise; 0 if left out", minimum=0, metavar="N")
DISABLE_MC = Option(
    "disable_mc",
    bool,
    False,
    "denoise every frame once, not as the mean of eight turned and mirrored copies: faster",
)


class PictureRestorer(Upscaler):
    """Restores every frame by itself, at its own size.

    Results are named as by PaddleGAN's predictors for photographs, in a folder named after the
    task.
    """

    task = "Denoising"
    scale = 1

    def __init__(
        self,
        output: str = "output_dir",
        weight_path: str | None = None,
        seed: int | None = None,
        *,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """As `Predictor`. seed: accepted as in PaddleGAN; nothing here is random."""
        super().__init__(
            output, weight_path, variant=variant, device=device, network_engine=network_engine
        )

    @property
    def generator(self) -> paddle.nn.Layer:
        """PaddleGAN's name for `model`."""
        return self.model

    @property
    def _names(self) -> PredictorNames:
        name = "{base}_restoration"
        return PredictorNames(self.task, name, photograph="{name}_restoration{suffix}")

    def run(  # type: ignore[override]
        self, path: Picture, **options: Any
    ) -> RestoredFilm | RestoredPhotograph | None:
        """As `RunnableStage.run`; also restores every photograph in a folder, as PaddleGAN does.

        Returns None for a folder. `run_video` takes a folder of numbered frames as a film.

        Raises:
            MediaError: the folder holds no photograph.
        """
        if not isinstance(path, (str, Path)) or not Path(path).is_dir():
            return super().run(path, **options)
        found = [p for p in sorted(Path(path).iterdir()) if media.is_photograph(p)]
        found = [photograph for photograph in found if not is_result(photograph)]
        if not found:
            raise MediaError(f"{path}: this folder holds no photograph.")
        for photograph in found:
            super().run(photograph, **options)
        return None


class MPRPredictor(PictureRestorer):
    """MPRNet (Zamir et al., CVPR 2021): removes motion blur, noise or rain."""

    name = "MPR"
    config = "mpr"
    options = (*Predictor.options, TASK)

    def __init__(
        self,
        output: str = "output_dir",
        weight_path: str | None = None,
        seed: int | None = None,
        task: str | None = None,
        *,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """As `PictureRestorer`. task: "Deblurring", "Denoising" or "Deraining"; or give a variant.

        Raises:
            OptionError: the task does not exist, or the variant is that of another one.
        """
        if variant == "auto":
            variant = self.published_variant({"task": task})
        self.task = model(self.config).variant(variant).name.capitalize()
        if TASK.check(task) not in (None, self.task):
            raise OptionError(f"`task={task}`: `variant={variant}` is for {self.task}")
        super().__init__(
            output, weight_path, variant=variant, device=device, network_engine=network_engine
        )

    @classmethod
    def published_variant(cls, options: Mapping[str, Any]) -> str:
        """As `Predictor.published_variant`: the variant of the task.

        Raises:
            OptionError: the task is missing or does not exist.
        """
        task = TASK.check(options.get("task"))
        if task is None:
            raise OptionError(f"`task`: choose from {', '.join(TASK.choices)}")
        return str(task).lower()


class _WindowSizeRestorer(PictureRestorer):
    """A restorer whose constructor takes a `window_size` in PaddleGAN."""

    def __init__(
        self,
        output: str = "output_dir",
        weight_path: str | None = None,
        seed: int | None = None,
        window_size: int = 8,
        *,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """As `PictureRestorer`. window_size: has no effect; the weights decide it."""
        super().__init__(
            output, weight_path, variant=variant, device=device, network_engine=network_engine
        )


class NAFNetPredictor(_WindowSizeRestorer):
    """NAFNet (Chen et al., ECCV 2022): removes the noise of a camera, or motion blur."""

    name = "NAFNet"
    config = "nafnet"


class SwinIRPredictor(_WindowSizeRestorer):
    """SwinIR (Liang et al., ICCVW 2021): removes white noise."""

    name = "SwinIR"
    config = "swinir"


class InvDNPredictor(PictureRestorer):
    """InvDN (Liu et al., CVPR 2021): removes the noise of a camera with a small network.

    It draws the high frequencies of the result at random. Here they are the same for all frames, so
    that a film does not flicker, and a resumed or shared job returns the same frames.
    """

    name = "InvDN"
    config = "invdn"
    options = (*Predictor.options, SEED, DISABLE_MC)

    def __init__(
        self,
        output: str = "output_dir",
        weight_path: str | None = None,
        seed: int | None = None,
        *,
        disable_mc: bool = False,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """As `PictureRestorer`.

        seed: of the noise. disable_mc: restore every frame once, not as the mean of eight turned
        and mirrored copies, each with noise of its own.
        """
        self.seed = SEED.check(seed)
        self.disable_mc = disable_mc
        super().__init__(
            output, weight_path, variant=variant, device=device, network_engine=network_engine
        )

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Predictor.fingerprint`."""
        own = {"seed": self.seed or 0, "disable_mc": self.disable_mc}
        return {**super().fingerprint(), **own}

    def run(  # type: ignore[override]
        self, path: Picture, disable_mc: bool | None = None, **options: Any
    ) -> RestoredFilm | RestoredPhotograph | None:
        """As `PictureRestorer.run`. disable_mc: replaces the constructor's for this call."""
        if disable_mc is None or disable_mc == self.disable_mc:
            return super().run(path, **options)
        arguments, keywords = self._arguments
        other = self._copy()
        assert isinstance(other, InvDNPredictor)
        other._arguments = arguments, {**keywords, "disable_mc": disable_mc}
        other.disable_mc = disable_mc
        return other.run(path, **options)

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """Denoise the core frame by frame."""
        for frame in frames[core]:
            yield as_output(self._denoised(as_input(frame)), frames.shape[3])

    def _denoised(self, frame: np.ndarray) -> np.ndarray:
        network = self.graph(frame=(1, 3, None, None), noise=(1, 3, None, None))
        made = []
        for number in range(1 if self.disable_mc else 8):
            turned = _turned(frame, number)
            random = np.random.default_rng([self.seed or 0, number])
            (denoised,) = network(turned, random.standard_normal(turned.shape, np.float32))
            made.append(_turned_back(denoised, number))
        return np.mean(made, axis=0)


def _turned(image: np.ndarray, number: int) -> np.ndarray:
    """Mirror [1, c, h, w] (bits 0 and 1 of the number) and transpose it (bit 2)."""
    image = image[..., ::-1] if number & 1 else image
    image = image[..., ::-1, :] if number & 2 else image
    return np.ascontiguousarray(image.swapaxes(2, 3) if number & 4 else image)


def _turned_back(image: np.ndarray, number: int) -> np.ndarray:
    return _turned(image.swapaxes(2, 3) if number & 4 else image, number & 3)
