"""Open images with Pillow, without the limit of pixels that it sets for the whole process."""

from __future__ import annotations

import contextlib
import io
import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "AVIF", "JPEG2000", "GIF", "PPM")
"""Formats that are recognized by their first bytes."""


def opened(data: bytes, formats: tuple[str, ...] = FORMATS) -> Image.Image | None:
    """Open a file; None if it is not of these formats, or its header is damaged.

    `Image.open` refuses large images by a limit that holds for the whole process, so the formats
    are tried here as `Image.open` tries them. Callers limit the size themselves.
    """
    from PIL import Image

    Image.preinit()
    for name in formats:
        if name not in Image.OPEN:
            Image.init()
        factory, accept = Image.OPEN.get(name, (None, None))
        accepted = factory and (not accept or accept(data[:16]))
        if factory and accepted and not isinstance(accepted, str):  # a string says why not
            with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
                return factory(io.BytesIO(data), "")
    return None


def from_cmyk(picture: Image.Image, icc: bytes | None) -> np.ndarray:
    """Convert CMYK to sRGB by its profile, if there is one: uint8 [h, w, 3]."""
    from PIL import ImageCms

    if icc is None:
        return np.array(picture.convert("RGB"))
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, profile, srgb, outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):  # The profile is damaged, or for other colors.
        converted = picture.convert("RGB")
    return np.array(converted)
