"""Read and write photographs of 8 and 16 bits, with transparency, EXIF data and profile."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from oldfilm.errors import MediaError
from oldfilm.media.exif import kept_exif, with_metadata
from oldfilm.media.output import whole_output

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

PHOTOGRAPH_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
_KEEPS_ALPHA = frozenset({".png", ".tif", ".tiff", ".webp"})
_KEEPS_16_BITS = frozenset({".png", ".tif", ".tiff"})
_JPEG_QUALITY = 95
_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")
_ROWS = 256
"""Rows to quantize at a time, so that a large scan is not in memory twice."""


@dataclass(frozen=True)
class Photograph:
    """A photograph, upright.

    image: float32 [h, w, 3] RGB, or [h, w, 1] luma, in [0, 1].
    alpha: float32 [h, w] in [0, 1]; None if the photograph is opaque.
    bits: bit depth of the file, 8 or 16.
    exif: EXIF data without the tags that describe the layout of pixels in the file.
    icc: color profile.
    damage: a description of the damage to the file, if any.
    """

    image: np.ndarray
    alpha: np.ndarray | None = None
    bits: int = 8
    exif: bytes | None = None
    icc: bytes | None = None
    damage: str | None = None


def read_photograph(path: str | Path) -> Photograph:
    """Read a photograph, apply its EXIF orientation, and convert CMYK to sRGB.

    Raises:
        MediaError: the file is missing, not a photograph, or too large.
    """
    path = Path(path)
    try:
        data = path.read_bytes()  # On Windows, imread fails on many paths.
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    codes, metadata = _codes(data, path), _metadata(data, path)
    codes = _upright(codes if metadata.rgb is None else metadata.rgb, metadata.orientation)
    alpha = None
    if codes.shape[2] in (2, 4):
        if codes[..., -1].min() < np.iinfo(codes.dtype).max:
            alpha = _scaled(codes[..., -1])
        codes = codes[..., :-1]
    bits = 8 * codes.itemsize
    return Photograph(_scaled(codes), alpha, bits, metadata.exif, metadata.icc, metadata.damage)


def _codes(data: bytes, path: Path) -> np.ndarray:
    """Decode uint8 or uint16 [h, w, c]: RGB or luma, possibly with alpha."""
    import cv2

    try:
        codes = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error as error:  # The size exceeds its limit, or memory.
        raise MediaError(f"{path}: this photograph cannot be read ({error.err})") from error
    if codes is None:
        raise MediaError(f"{path}: this is not a photograph, or it is damaged")
    if codes.dtype not in (np.uint8, np.uint16):
        raise MediaError(f"{path}: its samples are {codes.dtype}: save it with 8 or 16 bits.")
    codes = codes.reshape(*codes.shape[:2], -1)
    if codes.shape[2] >= 3:
        codes[..., :3] = codes[..., 2::-1].copy()  # OpenCV's order is blue, green, red
    return codes


def _scaled(codes: np.ndarray) -> np.ndarray:
    most = np.float32(np.iinfo(codes.dtype).max)
    return np.divide(np.ascontiguousarray(codes), most, dtype=np.float32)


@dataclass(frozen=True)
class _Metadata:
    """The metadata that Pillow reads from a file.

    rgb: uint8 [h, w, 3] of a CMYK file, whose colors OpenCV misreads; else None.
    """

    orientation: int = 1
    exif: bytes | None = None
    icc: bytes | None = None
    rgb: np.ndarray | None = None
    damage: str | None = None


def _metadata(data: bytes, path: Path) -> _Metadata:
    """Read metadata and look for damage, both of which OpenCV ignores."""
    metadata = _Metadata()
    try:
        picture = _opened(data)
        if picture is None:
            if data[:4] in (b"II*\0", b"MM\0*"):  # a TIFF that only OpenCV can read
                return replace(metadata, exif=_exif(data, path)[0])
            return replace(metadata, damage=_damage(path, "its header"))
        with picture:
            icc = picture.info.get("icc_profile") or None
            # Both OpenCV and Pillow apply the orientation of a TIFF.
            tiff = picture.format == "TIFF"
            exif, orientation = _exif(data if tiff else picture.info.get("exif"), path)
            metadata = _Metadata(1 if tiff else orientation, exif, icc)
            picture.load()
            if picture.mode == "CMYK":
                metadata = replace(metadata, icc=None, rgb=_from_cmyk(picture, icc))
    except Exception as error:  # A damaged file may raise anything.
        return replace(metadata, damage=_damage(path, " ".join(str(error).split())))
    return metadata


def _opened(data: bytes) -> Image.Image | None:
    """Open a file with Pillow; None if Pillow recognizes none of our formats.

    `Image.open` refuses large images by a limit that holds for the whole process. OpenCV has
    applied its own limit already, so the formats are tried here as `Image.open` tries them.
    """
    from PIL import Image

    Image.preinit()
    for name in _FORMATS:
        if name not in Image.OPEN:
            Image.init()
        factory, accept = Image.OPEN[name]
        accepted = not accept or accept(data[:16])
        if accepted and not isinstance(accepted, str):  # a string says why not
            with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
                return factory(io.BytesIO(data), "")
    return None


def _damage(path: Path, reason: str) -> str:
    return f"{path}: the file is damaged ({reason}), and the image may be"


def _exif(data: bytes | None, path: Path) -> tuple[bytes | None, int]:
    try:
        return (None, 1) if data is None else kept_exif(data)
    except ValueError as error:
        logger.warning("%s: its EXIF data are damaged and were left out: %s", path, error)
        return None, 1


def _from_cmyk(picture: Image.Image, icc: bytes | None) -> np.ndarray:
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


def _upright(codes: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and mirror an image as EXIF orientation 1 to 8 requires."""
    if orientation in (5, 6, 7, 8):
        codes = codes.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        codes = codes[::-1]
    if orientation in (2, 3, 6, 7):
        codes = codes[:, ::-1]
    return codes


def write_photograph(
    path: str | Path,
    image: np.ndarray,
    *,
    alpha: np.ndarray | None = None,
    bits: int = 8,
    exif: bytes | None = None,
    icc: bytes | None = None,
) -> list[str]:
    """Write a photograph in the format of the path's suffix.

    image: float32 [h, w, 3] RGB, or [h, w, 1] luma, in [0, 1]. alpha: float32 [h, w] in [0, 1].
    bits: 8 or 16. exif, icc: as in `Photograph`.

    Returns a sentence for each property that the format cannot hold.

    Raises:
        MediaError: the format is unknown, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    notes = []
    if alpha is not None and suffix not in _KEEPS_ALPHA:
        notes.append(f"{path.name}: transparency was left out: {suffix[1:]} cannot hold it")
        alpha = None
    if bits > 8 and suffix not in _KEEPS_16_BITS:
        notes.append(f"{path.name}: 16 bits became 8: {suffix[1:]} cannot hold more")
        bits = 8
    channels = 3 if alpha is not None else image.shape[2]
    if icc is not None and icc[16:20] != (b"GRAY" if channels == 1 else b"RGB "):
        notes.append(f"{path.name}: the color profile was left out: it is for other colors")
        icc = None
    data = _encoded(path, _quantized(image, alpha, bits))
    data, lost = with_metadata(data, suffix, exif, icc)
    notes += [f"{path.name}: {what} was left out: {suffix[1:]} cannot hold it" for what in lost]
    with whole_output(path) as unfinished:
        unfinished.write_bytes(data)
    return notes


def _quantized(image: np.ndarray, alpha: np.ndarray | None, bits: int) -> np.ndarray:
    """Convert to integers in OpenCV's order: blue, green, red, alpha; or luma."""
    depth = np.uint16 if bits > 8 else np.uint8
    height, width, channels = image.shape
    if alpha is not None:
        channels = 4
    codes = np.empty((height, width, channels), depth)
    for top in range(0, height, _ROWS):
        rows = slice(top, top + _ROWS)
        codes[rows, :, :3] = _rounded(image[rows, :, ::-1], depth)
        if alpha is not None:
            codes[rows, :, 3] = _rounded(alpha[rows], depth)
    return codes


def _rounded(samples: np.ndarray, depth: type[np.unsignedinteger]) -> np.ndarray:
    return np.rint(np.clip(samples, 0, 1) * np.float32(np.iinfo(depth).max))


def _encoded(path: Path, codes: np.ndarray) -> bytes:
    import cv2

    suffix = path.suffix.lower()
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix in (".jpg", ".jpeg") else []
    try:
        _, data = cv2.imencode(suffix, codes, quality)
    except cv2.error as error:
        raise MediaError(f"{path}: a photograph cannot be written as {suffix or 'this'}") from error
    return data.tobytes()
