"""Photographs: read and write, 8 and 16 bit, on paths with any characters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oldfilm.errors import MediaError

_KEEPS_ALPHA = frozenset({".png", ".tif", ".tiff", ".webp"})
_KEEPS_16_BITS = frozenset({".png", ".tif", ".tiff"})
_JPEG_QUALITY = 95
_ORIENTATION = 274
"""The number of the EXIF tag that says how a camera was held."""


@dataclass(frozen=True)
class Photograph:
    """image: float32 [h, w, 3] RGB, or [h, w, 1] luma, in [0, 1], upright. alpha: float32 [h, w] in
    [0, 1], None where all is opaque. bits: of each sample in the file, 8 or 16.
    """

    image: np.ndarray
    alpha: np.ndarray | None = None
    bits: int = 8


def read_photograph(path: str | Path) -> Photograph:
    """Read one picture, turned as its EXIF data say.

    Raises:
        MediaError: it is missing, or not a picture.
    """
    import cv2

    path = Path(path)
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)  # imread fails on many paths on Windows
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    codes = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if codes is None or codes.dtype not in (np.uint8, np.uint16):
        raise MediaError(f"{path}: this is not a photograph, or it is damaged")
    codes = _upright(codes.reshape(*codes.shape[:2], -1), path)
    image = codes.astype(np.float32) / np.float32(2 ** (8 * codes.itemsize) - 1)
    alpha = None
    if image.shape[2] in (2, 4):
        image, alpha = image[..., :-1], image[..., -1]
        alpha = None if alpha.min() == 1 else np.ascontiguousarray(alpha)
    image = np.ascontiguousarray(image[..., ::-1])  # OpenCV's order is blue, green, red
    return Photograph(image, alpha, bits=8 * codes.itemsize)


def _upright(codes: np.ndarray, path: Path) -> np.ndarray:
    """Undo the turn and the mirroring that EXIF orientation 1 to 8 stands for."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            orientation = picture.getexif().get(_ORIENTATION, 1)
    except UnidentifiedImageError:
        return codes
    if orientation in (5, 6, 7, 8):
        codes = codes.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        codes = codes[::-1]
    if orientation in (2, 3, 6, 7):
        codes = codes[:, ::-1]
    return codes


def write_photograph(
    path: str | Path, image: np.ndarray, *, alpha: np.ndarray | None = None, bits: int = 8
) -> list[str]:
    """Write one picture, in the format of the path's suffix.

    image: float32 [h, w, 3] RGB, or [h, w, 1] luma, in [0, 1]. alpha: float32 [h, w] in [0, 1].
    bits: 8 or 16. Returns what the format cannot hold, each in one plain sentence.

    Raises:
        MediaError: the format is unknown, or the file cannot be written.
    """
    import cv2

    path = Path(path)
    suffix = path.suffix.lower()
    notes = []
    if alpha is not None and suffix not in _KEEPS_ALPHA:
        notes.append(f"{path.name}: transparency was left out: {suffix[1:]} cannot hold it")
        alpha = None
    if bits > 8 and suffix not in _KEEPS_16_BITS:
        notes.append(f"{path.name}: 16 bits became 8: {suffix[1:]} cannot hold more")
        bits = 8
    planes = image[..., ::-1]
    if alpha is not None:
        if planes.shape[2] == 1:
            planes = np.repeat(planes, 3, axis=2)
        planes = np.concatenate([planes, alpha[..., None]], axis=2)
    depth = np.uint16 if bits > 8 else np.uint8
    codes = np.rint(np.clip(planes, 0, 1) * np.float32(np.iinfo(depth).max)).astype(depth)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix in (".jpg", ".jpeg") else []
    try:
        _, data = cv2.imencode(suffix, np.ascontiguousarray(codes), quality)
    except cv2.error as error:
        raise MediaError(f"{path}: a photograph cannot be written as {suffix or 'this'}") from error
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_bytes(data.tobytes())
        unfinished.replace(path)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return notes
