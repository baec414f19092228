"""AOT-GAN: fills what a mask marks."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np

from oldfilm.apps.base import Predictor, as_input, as_output, as_planes
from oldfilm.errors import OptionError
from oldfilm.imaging.color import luma
from oldfilm.imaging.resample import pad_to_multiple, resize
from oldfilm.pipeline import RestoredFilm, RestoredPhotograph
from oldfilm.pipeline.pictures import Picture, as_array, as_frames
from oldfilm.stage import FilmInfo, FingerprintValue, Option, picture

MASK = Option(
    "mask",
    picture,
    help="picture of what AOTGAN fills in every frame: white there, black elsewhere",
    metavar="PICTURE",
)

CONTEXT = 128
"""Pixels around a hole that the network gets with it."""

SMALLEST, MULTIPLE = 64, 4
"""The smallest side that the network accepts, and the number that divides all sides."""


class AOTGANPredictor(Predictor):
    """Fills the places that a mask marks, frame by frame (Zeng et al., TVCG 2022).

    All other pixels keep their values. The published code resizes pictures to 512x512; here they
    keep their size, and the network gets each hole with its surroundings.
    """

    name = "AOTGAN"
    config = "aotgan"
    options = (*Predictor.options, MASK)
    keeps_flat_frames = False  # It fills the hole that the user marks, whatever surrounds it.

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        gen_cfg: Any = None,
        *,
        mask: Picture | None = None,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """As `Predictor`. mask: a picture with the size of the frames, or with their aspect ratio.

        gen_cfg: accepted as in PaddleGAN; the variant decides the network.
        """
        self.mask = mask
        super().__init__(
            output, weight_path, variant=variant, device=device, network_engine=network_engine
        )

    @functools.cached_property
    def _holes(self) -> np.ndarray:
        """The share of every pixel that is filled: float32 [h, w, 1] in [0, 1].

        Raises:
            OptionError: the mask is missing, or black.
            MediaError: the mask cannot be read.
        """
        if self.mask is None:
            raise OptionError("`mask`: AOTGAN needs a picture that is white where it fills.")
        holes = luma(as_frames(as_array(self.mask))[0])
        if not holes.any():
            raise OptionError("`mask`: this picture is black, so nothing is filled.")
        return np.ascontiguousarray(holes.reshape(*holes.shape[:2], 1), np.float32)

    def describe(self, info: FilmInfo) -> FilmInfo:
        """Return the same properties.

        Raises:
            OptionError, MediaError: the mask is missing, or has another shape than the frames.
        """
        height, width = self._holes.shape[:2]
        if abs(height * info.width - width * info.height) > max(height, width):
            raise OptionError(
                f"`mask`: its size is {width}x{height}, which is another shape than "
                f"{info.width}x{info.height}, the size of the frames."
            )
        return info

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Predictor.fingerprint`."""
        digest = hashlib.sha256(repr(self._holes.shape).encode() + self._holes.tobytes())
        return {**super().fingerprint(), "mask": digest.hexdigest()}

    def run(  # type: ignore[override]
        self,
        input_image_path: Picture,
        input_mask_path: Picture | None = None,
        **options: Any,
    ) -> RestoredFilm | RestoredPhotograph:
        """As `RunnableStage.run`. input_mask_path: replaces the constructor's mask."""
        if input_mask_path is None:
            return super().run(input_image_path, **options)
        arguments, keywords = self._arguments
        other = self._copy()
        assert isinstance(other, AOTGANPredictor)
        other._arguments = arguments, {**keywords, "mask": input_mask_path}
        other.mask = input_mask_path
        vars(other).pop("_holes", None)
        return other.run(input_image_path, **options)

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """Fill the holes of the core."""
        height, width, channels = frames.shape[1:]
        holes = resize(self._holes, (width, height), cv2.INTER_NEAREST)
        places = regions(holes[..., 0] > 0)
        for frame in frames[core]:
            filled = frame.copy()
            for place in places:
                filled[place] = self._filled(frame[place], holes[place], channels)
            yield filled

    def _filled(self, image: np.ndarray, holes: np.ndarray, channels: int) -> np.ndarray:
        height, width = image.shape[:2]
        shown, mask = (pad_to_multiple(each, MULTIPLE, SMALLEST) for each in (image, holes))
        planes = as_planes(mask)
        masked = (as_input(shown) * 2 - 1) * (1 - planes) + planes
        network = self.graph(frame=(1, 3, None, None), mask=(1, 1, None, None))
        (painted,) = network(masked, planes)
        painted = as_output((painted + 1) / 2, channels)[:height, :width]
        return image * (1 - holes) + painted * holes


def regions(holes: np.ndarray) -> list[tuple[slice, slice]]:
    """Return the rows and columns of each hole with its context; holes that are close share them.

    holes: bool [h, w].
    """
    kernel = np.ones((2 * CONTEXT + 1, 2 * CONTEXT + 1), np.uint8)
    near = cv2.dilate(holes.astype(np.uint8), kernel)
    count, _, boxes, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    return [
        (slice(top, top + height), slice(left, left + width))
        for left, top, width, height, _ in boxes[1:count].tolist()
    ]
