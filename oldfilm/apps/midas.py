"""MiDaS: depth from a single picture, for programs that use PaddleGAN's predictor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from oldfilm.apps.base import Predictor, as_planes
from oldfilm.imaging.color import as_rgb
from oldfilm.media import read_photograph
from oldfilm.pipeline.pictures import Picture, as_array, as_image_frames
from oldfilm.system.files import write_file

SIDE, MULTIPLE = 384, 32
"""The longer side of the network's input, and the number that divides both sides."""

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
"""Of ImageNet, in RGB."""


class MiDaSPredictor(Predictor):
    """Estimates depth with MiDaS 2.1 (Ranftl et al., TPAMI 2020). It is not a stage."""

    name = "MiDaS"
    config = "midas"

    def __init__(
        self,
        output: str | None = None,
        weight_path: str | None = None,
        *,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """As `Predictor`. output: the depth is also written to its folder `MiDaS`."""
        super().__init__(
            output or "output",
            weight_path,
            variant=variant,
            device=device,
            network_engine=network_engine,
        )
        self.output_path = str(Path(output) / "MiDaS") if output else None

    def run(  # type: ignore[override]
        self, img: Picture, **options: Any
    ) -> np.ndarray | tuple[np.ndarray, str, str]:
        """Estimate depth, as PaddleGAN does.

        img: the path of a photograph, a Pillow image, or an array as OpenCV reads it: [h, w, 3] in
        the order blue, green, red, or [h, w] gray, in [0, 255].
        Returns float32 [h, w], inverse depth up to a scale and a shift; with `output`, also the
        paths of `depth.pfm`, which holds the same numbers, and of `depth.png`, 16 bits from the
        farthest to the nearest point.

        Raises:
            OldfilmError: the picture cannot be read, or the files cannot be written.
        """
        found = self.depth(_picture(img))
        if self.output_path is None:
            return found
        numbers, picture = (Path(self.output_path) / f"depth.{kind}" for kind in ("pfm", "png"))
        above = found.astype(np.float64) - found.min()
        codes = (65535 * above / max(above.max(), np.finfo(np.float32).eps)).astype(np.uint16)
        write_file(numbers, pfm(found))
        write_file(picture, cv2.imencode(".png", codes)[1].tobytes())
        return found, str(numbers), str(picture)

    def depth(self, image: np.ndarray) -> np.ndarray:
        """Estimate depth.

        image: float32 [h, w, 3], RGB in [0, 1].
        Returns float32 [h, w], inverse depth up to a scale and a shift.
        """
        height, width = image.shape[:2]
        image = np.ascontiguousarray(image)
        small = cv2.resize(image, seen_size(width, height), interpolation=cv2.INTER_CUBIC)
        network = self.graph(frame=(1, 3, None, None))
        (found,) = network(as_planes((small - MEAN) / DEVIATION))
        return cv2.resize(found[0, 0], (width, height), interpolation=cv2.INTER_CUBIC)


def seen_size(width: int, height: int) -> tuple[int, int]:
    """Return the size, (width, height), to which a picture is resized for the network."""
    scale = min(SIDE / width, SIDE / height)
    rounded = [round(side * scale / MULTIPLE) * MULTIPLE for side in (width, height)]
    return max(rounded[0], MULTIPLE), max(rounded[1], MULTIPLE)


def pfm(image: np.ndarray) -> bytes:
    """Return [h, w] as a PFM file: float32, the lowest row first."""
    height, width = image.shape
    scale = -1.0 if sys.byteorder == "little" else 1.0
    rows = np.ascontiguousarray(np.flipud(image), np.float32)
    return f"Pf\n{width} {height}\n{scale:f}\n".encode() + rows.tobytes()


def _picture(source: Picture) -> np.ndarray:
    """Return RGB float32 [h, w, 3] in [0, 1]."""
    if isinstance(source, (str, Path)):
        return as_rgb(read_photograph(source).image)
    image = as_rgb(as_image_frames(as_array(source))[0])
    return image if isinstance(source, Image.Image) else np.ascontiguousarray(image[..., ::-1])
