"""Pictures as programs hold them: paths, Pillow images and arrays."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from PIL import Image

from oldfilm import media
from oldfilm.errors import OptionError
from oldfilm.imaging.color import as_rgb

logger = logging.getLogger(__name__)

Picture = str | Path | Image.Image | np.ndarray
"""A path, a Pillow image, or an array [h, w, c]."""

ROUNDING = 1e-3
"""How far floats may leave [0, 1]: the errors of arithmetic, not another range."""


def is_picture(source: object) -> bool:
    """Whether `source` is a picture in memory, or the path of a photograph."""
    if isinstance(source, (Image.Image, np.ndarray)):
        return True
    return isinstance(source, (str, Path)) and media.is_photograph(Path(source))


def as_array(picture: Picture) -> np.ndarray:
    """Return a picture as an array; an array is returned as it is.

    Returns [h, w, 3] RGB or [h, w, 1] luma, uint8 or uint16, or float32 for an image of mode F.

    Raises:
        MediaError: the file cannot be read.
        OptionError: it is not a picture.
    """
    if isinstance(picture, np.ndarray):
        return picture
    if isinstance(picture, Image.Image):
        return _array_of_image(picture)
    if not isinstance(picture, (str, Path)):
        kind = type(picture).__name__
        raise OptionError(f"a path, a Pillow image or an array is needed, not {kind}.")
    photograph = media.read_photograph(picture)
    if photograph.alpha is not None:
        logger.warning("%s: its transparency is left out.", picture)
    return quantized(photograph.image, np.dtype(np.uint16 if photograph.bits > 8 else np.uint8))


def _array_of_image(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits; PNG files have mode I in older versions of Pillow
        return np.asarray(image).clip(0, 65535).astype(np.uint16)[..., None]
    if image.mode in ("L", "F"):
        return np.array(image)[..., None]
    may_be_transparent = image.mode.lower().endswith("a") or "transparency" in image.info
    if may_be_transparent and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        logger.warning("the transparency of the image is left out.")
    return np.array(image.convert("RGB"))


def as_frames(array: np.ndarray) -> np.ndarray:
    """Return float32 [t, h, w, c] in [0, 1].

    array: [h, w, c] or [t, h, w, c], RGB or luma, uint8, uint16, or float in [0, 1].

    Raises:
        OptionError: the array has another shape, type or range.
    """
    if array.ndim not in (3, 4) or array.shape[-1] not in (1, 3) or not array.size:
        raise OptionError(
            f"predict() takes [h, w, 3] or [t, h, w, 3] (or 1 for luma), not {list(array.shape)}."
        )
    frames = array if array.ndim == 4 else array[None]
    if array.dtype in (np.uint8, np.uint16):
        return np.divide(frames, np.iinfo(array.dtype).max, dtype=np.float32)
    if not np.issubdtype(array.dtype, np.floating):
        raise OptionError(f"predict() takes uint8 or floats in [0, 1], not {array.dtype}.")
    low, high = float(array.min()), float(array.max())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # also refuses what is not a number
        raise OptionError(
            f"predict() takes floats in [0, 1], not {low:g} to {high:g}: divide 8 bits by 255."
        )
    return np.ascontiguousarray(np.clip(frames, 0, 1), np.float32)


def as_image_frames(array: np.ndarray) -> np.ndarray:
    """Return float32 [1, h, w, c] in [0, 1] of an array that PaddleGAN's `run_image` takes.

    array: [h, w] or [h, w, c], RGB, luma or RGBA, whose transparency is left out. uint16 is in
    [0, 65535], all else in [0, 255]; floats within [0, 1] that are not whole numbers are in [0, 1].

    Raises:
        OptionError: the array has another shape, type or range.
    """
    if array.ndim == 2:
        array = array[..., None]
    elif array.ndim == 3 and array.shape[2] == 4:
        array = array[..., :3]
    if array.ndim != 3:
        raise OptionError(f"run_image() takes one picture, not an array {list(array.shape)}.")
    if array.dtype not in (np.uint8, np.uint16) and np.issubdtype(array.dtype, np.number):
        array = array.astype(np.float32)
        if array.size and (array.max() > 1 + ROUNDING or np.array_equal(array, np.rint(array))):
            if not (array.min() >= -ROUNDING and array.max() <= 255 + ROUNDING):
                raise OptionError(
                    f"run_image() takes values in [0, 255], not {array.min():g} to {array.max():g}."
                )
            array = array / 255
    return as_frames(array)


def quantized(image: np.ndarray, depth: np.dtype) -> np.ndarray:
    """Convert floats in [0, 1] to unsigned integers of a type."""
    return np.rint(np.clip(image, 0, 1) * np.float32(np.iinfo(depth).max)).astype(depth)


def as_image(image: np.ndarray) -> Image.Image:
    """Return float32 [h, w, c] in [0, 1] as a Pillow image in RGB, 8 bits."""
    return Image.fromarray(np.ascontiguousarray(quantized(as_rgb(image), np.dtype(np.uint8))))
