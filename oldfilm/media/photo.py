"""Read and write photographs of 8 and 16 bits, with transparency and metadata."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from oldfilm.errors import MediaError
from oldfilm.media.exif import (
    Metadata,
    kept_exif,
    tiff_metadata,
    upright_xmp,
    with_metadata,
    with_resolution,
)
from oldfilm.media.output import whole_output
from oldfilm.media.picture_formats import (
    JPEG_SUFFIXES,
    bit_depth,
    is_heif,
    is_scan,
    read_scan,
    refuse_unread,
)
from oldfilm.media.pillow import from_cmyk, opened
from oldfilm.media.tiff import (
    CONVERTED_INKS,
    TIFF_SIGNATURES,
    TiffPlane,
    encode_tiff,
    full_scale,
    is_gray_tiff,
    read_tiff,
)

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

_TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
_KEEPS_ALPHA = _TIFF_SUFFIXES | {".png", ".webp", ".avif"}
_KEEPS_16_BITS = _TIFF_SUFFIXES | {".png", ".jp2", ".ppm", ".pgm", ".pnm"}
_JPEG_QUALITY = 95
_HEADER = 2**16
"""Bytes that hold the header of most files."""
_ROWS = 256
"""Rows to quantize at a time, so that a large scan is not in memory twice."""


@dataclass(frozen=True)
class Photograph:
    """A photograph, or one page of it, upright.

    image: float32 [h, w, 3] RGB, or [h, w, 1] luma, in [0, 1].
    alpha: float32 [h, w] in [0, 1]; None if the photograph is opaque.
    bits: bit depth of the file, 8 or 16.
    exif, icc, xmp, iptc: as in `Metadata`.
    damage: a description of the damage to the file, if any.
    extra: float32 [h, w, n] in [0, 1], samples of unspecified meaning, such as infrared.
    pages: the number of pages in the file.
    notes: sentences on what reading could not keep.
    """

    image: np.ndarray
    alpha: np.ndarray | None = None
    bits: int = 8
    exif: bytes | None = None
    icc: bytes | None = None
    damage: str | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    extra: np.ndarray | None = None
    pages: int = 1
    notes: tuple[str, ...] = ()

    @property
    def metadata(self) -> Metadata:
        """What describes the photograph besides its pixels."""
        return Metadata(self.exif, self.icc, self.xmp, self.iptc)


def read_photograph(path: str | Path, page: int = 0) -> Photograph:
    """Read a photograph, apply its EXIF orientation, and convert CMYK and Lab to sRGB.

    page: counted from 0; only TIFF files have several.

    Raises:
        MediaError: the file is missing, not a photograph, too large, or of a kind that is not read.
    """
    path = Path(path)
    try:
        data = path.read_bytes()  # On Windows, imread fails on many paths.
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    refuse_unread(data, path)
    if data[:4] in TIFF_SIGNATURES:
        return _read_tiff(data, path, page)
    if is_scan(data):
        return _read_scan(data, path)
    return _read_picture(data, path)


_DPX_ELEMENT, _DPX_WITH_ALPHA = 800, (b"\x33", b"\x34")
"""Where a DPX file says what its pixels are: RGBA (51) or ABGR (52), among others."""
_DPX_GRAY = b"\6"
_PNG_COLOR, _PNG_GRAY = 25, (0, 4)
"""Where a PNG file states the type of its colors, and those without color."""


def may_be_transparent(path: Path) -> bool:
    """Return whether a photograph may have an alpha channel, as its header says."""
    with path.open("rb") as stream:
        start = stream.read(_HEADER)
    if start[:4] in (b"SDPX", b"XPDS"):
        return start[_DPX_ELEMENT : _DPX_ELEMENT + 1] in _DPX_WITH_ALPHA
    if start[:4] == b"\x76\x2f\x31\x01":  # OpenEXR, whose header names the channels
        return b"A\0" in start
    try:
        picture = opened(start)
    except Exception:  # It may raise anything.
        return True
    if picture is None:
        return True
    return "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "RGBa")


def is_gray(path: Path) -> bool | None:
    """Return whether a photograph holds luma only; None if its header does not say so."""
    with path.open("rb") as stream:
        start = stream.read(_HEADER)
    if start[:4] in TIFF_SIGNATURES:
        return is_gray_tiff(path)
    if start.startswith(b"\x89PNG") and len(start) > _PNG_COLOR:
        return start[_PNG_COLOR] in _PNG_GRAY
    if start[:4] in (b"SDPX", b"XPDS"):
        return start[_DPX_ELEMENT : _DPX_ELEMENT + 1] == _DPX_GRAY
    if start[:2] in (b"P1", b"P2", b"P4", b"P5"):
        return True
    try:
        picture = opened(start, ("JPEG",))
    except Exception:  # It may raise anything.
        return None
    return None if picture is None else picture.mode == "L"


def _read_tiff(data: bytes, path: Path, page: int) -> Photograph:
    try:
        found = read_tiff(data, page)
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error
    exif, orientation = _exif(data, path)
    xmp, iptc = _tiff_metadata(data)
    upright = [
        None if part is None else _scaled(_upright(part, orientation))
        for part in (found.codes, found.alpha, found.extra)
    ]
    image, alpha, extra = upright
    assert image is not None
    if alpha is not None and alpha.min() == 1:
        alpha = None
    return Photograph(
        image,
        alpha,
        8 * found.codes.itemsize,
        exif,
        found.icc,
        None if found.damage is None else _damage(path, found.damage),
        upright_xmp(xmp),
        iptc,
        extra,
        found.pages,
        notes=found.notes,
    )


def _tiff_metadata(data: bytes) -> tuple[bytes | None, bytes | None]:
    try:
        return tiff_metadata(data)
    except ValueError:  # Damaged: the notes on EXIF data say so.
        return None, None


def _read_scan(data: bytes, path: Path) -> Photograph:
    try:
        samples, bits, notes = read_scan(data)
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error
    alpha = None
    if samples.shape[2] in (2, 4):
        alpha = np.clip(samples[..., -1], 0, 1)
        alpha = None if alpha.min() == 1 else alpha
        samples = np.ascontiguousarray(samples[..., :-1])
    return Photograph(samples, alpha, 8 if bits <= 8 else 16, notes=tuple(notes))


def _read_picture(data: bytes, path: Path) -> Photograph:
    """Read any other format: pixels with OpenCV where it can, metadata with Pillow."""
    if is_heif(data) or path.suffix.lower() in (".tga", ".gif"):
        codes, metadata = _codes_of_pillow(data, path), _Details()
    else:
        codes, metadata = _codes(data, path), _details(data, path)
    codes = _upright(codes if metadata.rgb is None else metadata.rgb, metadata.orientation)
    alpha = None
    if codes.shape[2] in (2, 4):
        if codes[..., -1].min() < np.iinfo(codes.dtype).max:
            alpha = _scaled(codes[..., -1])
        codes = codes[..., :-1]
    kept = metadata.kept
    return Photograph(
        _scaled(codes),
        alpha,
        8 * codes.itemsize,
        kept.exif,
        kept.icc,
        metadata.damage,
        kept.xmp,
        kept.iptc,
        notes=metadata.notes,
    )


def _codes(data: bytes, path: Path) -> np.ndarray:
    """Decode uint8 or uint16 [h, w, c]: RGB or luma, possibly with alpha."""
    import cv2

    before = cv2.utils.logging.setLogLevel(0)  # The error that we raise says enough.
    try:
        codes = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error as error:  # The size exceeds its limit, or memory.
        raise MediaError(f"{path}: this photograph cannot be read ({error.err})") from error
    finally:
        cv2.utils.logging.setLogLevel(before)
    if codes is None:
        raise MediaError(f"{path}: this is not a photograph, or it is damaged")
    if codes.dtype not in (np.uint8, np.uint16):
        raise MediaError(f"{path}: its samples are {codes.dtype}: save it with 8 or 16 bits.")
    codes = codes.reshape(*codes.shape[:2], -1)
    if codes.shape[2] >= 3:
        codes[..., :3] = codes[..., 2::-1].copy()  # OpenCV's order is blue, green, red
    bits = bit_depth(data)
    return codes if bits is None or codes.dtype == np.uint8 else full_scale(codes, bits)


def _codes_of_pillow(data: bytes, path: Path) -> np.ndarray:
    """Decode uint8 [h, w, c] of formats that OpenCV does not read."""
    from PIL import Image

    try:
        if is_heif(data):
            picture: Image.Image | None = Image.open(io.BytesIO(data))
        else:
            picture = opened(data, ("GIF", "TGA"))
        if picture is None:
            raise ValueError("unknown")
        with picture:
            has_alpha = "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA")
            gray = picture.mode in ("1", "L", "LA", "I;16")
            mode = ("LA" if gray else "RGBA") if has_alpha else ("L" if gray else "RGB")
            codes = np.array(picture.convert(mode))
    except Exception as error:  # A damaged file may raise anything.
        raise MediaError(f"{path}: this is not a photograph, or it is damaged") from error
    return codes.reshape(*codes.shape[:2], -1)


def _scaled(codes: np.ndarray) -> np.ndarray:
    most = np.float32(np.iinfo(codes.dtype).max)
    return np.divide(np.ascontiguousarray(codes), most, dtype=np.float32)


@dataclass(frozen=True)
class _Details:
    """What Pillow reads from a file.

    rgb: uint8 [h, w, 3] of a CMYK file, whose colors OpenCV misreads; else None.
    """

    orientation: int = 1
    kept: Metadata = Metadata()
    rgb: np.ndarray | None = None
    damage: str | None = None
    notes: tuple[str, ...] = ()


def _details(data: bytes, path: Path) -> _Details:
    """Read metadata and look for damage, both of which OpenCV ignores."""
    details = _Details()
    try:
        picture = opened(data)
        if picture is None:
            return replace(details, damage=_damage(path, "its header"))
        with picture:
            details, known = _described(picture, path), set(picture.info)
            picture.load()
            if set(picture.info) != known:  # PNG may store metadata after the pixels.
                details = _described(picture, path)
            if picture.mode == "CMYK":
                icc = details.kept.icc
                rgb, kept = from_cmyk(picture, icc), replace(details.kept, icc=None)
                details = replace(
                    details, kept=kept, rgb=rgb, notes=(*details.notes, CONVERTED_INKS)
                )
    except Exception as error:  # A damaged file may raise anything.
        return replace(details, damage=_damage(path, " ".join(str(error).split())))
    return details


def _described(picture: Image.Image, path: Path) -> _Details:
    exif, orientation = _exif(picture.info.get("exif"), path)
    return _Details(orientation, _kept(picture, exif), notes=_frames_note(picture))


def _frames_note(picture: Image.Image) -> tuple[str, ...]:
    frames = int(getattr(picture, "n_frames", 1))
    return (f"only the first of its {frames} frames was restored",) if frames > 1 else ()


def _kept(picture: Image.Image, exif: bytes | None) -> Metadata:
    """Collect the metadata that Pillow found in a file."""
    info = picture.info
    dpi = info.get("dpi") if picture.format != "JPEG" or info.get("jfif_unit") else None
    per_inch = (float(dpi[0]), float(dpi[1])) if dpi else None
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    blocks = info.get("photoshop")
    iptc = blocks.get(0x0404) if isinstance(blocks, dict) else None
    icc = info.get("icc_profile") or None
    return Metadata(with_resolution(exif, per_inch), icc, upright_xmp(xmp), iptc)


def _damage(path: Path, reason: str) -> str:
    return f"{path}: the file is damaged ({reason}), and the image may be"


def _exif(data: bytes | None, path: Path) -> tuple[bytes | None, int]:
    try:
        return (None, 1) if data is None else kept_exif(data)
    except ValueError as error:
        logger.warning("%s: its EXIF data are damaged and were left out: %s", path, error)
        return None, 1


def _upright(codes: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and mirror an image as EXIF orientation 1 to 8 requires."""
    if orientation in (5, 6, 7, 8):
        codes = codes.swapaxes(0, 1)
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
    return write_pages(path, [Photograph(image, alpha, bits, exif, icc)])


def keeps_pages(path: str | Path) -> bool:
    """Whether a result with this suffix can hold several pages."""
    return Path(path).suffix.lower() in _TIFF_SUFFIXES


def write_pages(path: str | Path, pages: Sequence[Photograph]) -> list[str]:
    """Write a photograph with all its pages; formats other than TIFF hold one.

    The metadata are those of the first page.

    Returns and raises as `write_photograph`.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    fitting = [_fitting(page, path) for page in pages]
    notes = list(dict.fromkeys(note for _, lost in fitting for note in lost))
    first = fitting[0][0]
    if suffix in _TIFF_SUFFIXES:
        data = encode_tiff([_plane(page) for page, _ in fitting])
    else:
        data = _encoded(path, _quantized(first.image, first.alpha, first.bits))
    data, lost = with_metadata(data, suffix, first.metadata)
    notes += [f"{path.name}: {what} was left out: {suffix[1:]} cannot hold it" for what in lost]
    with whole_output(path) as unfinished:
        unfinished.write_bytes(data)
    return notes


def _fitting(page: Photograph, path: Path) -> tuple[Photograph, list[str]]:
    """Return what the format of a path can hold of a page, and notes on the rest."""
    suffix, notes = path.suffix.lower(), []
    if page.alpha is not None and suffix not in _KEEPS_ALPHA:
        notes.append(f"{path.name}: transparency was left out: {suffix[1:]} cannot hold it")
        page = replace(page, alpha=None)
    if page.extra is not None and suffix not in _TIFF_SUFFIXES:
        notes.append(
            f"{path.name}: a channel besides the colors (infrared, for example) was left out: "
            f"{suffix[1:]} cannot hold it"
        )
        page = replace(page, extra=None)
    if page.bits > 8 and suffix not in _KEEPS_16_BITS:
        notes.append(f"{path.name}: 16 bits became 8: {suffix[1:]} cannot hold more")
        page = replace(page, bits=8)
    expands_gray = page.alpha is not None and suffix not in _TIFF_SUFFIXES
    channels = 3 if expands_gray else page.image.shape[2]
    if page.icc is not None and page.icc[16:20] != (b"GRAY" if channels == 1 else b"RGB "):
        notes.append(f"{path.name}: the color profile was left out: it is for other colors")
        page = replace(page, icc=None)
    return page, notes


def _plane(page: Photograph) -> TiffPlane:
    """Convert a page to integers, its extra samples after its colors."""
    alpha = [] if page.alpha is None else [page.alpha[..., None]]
    extra = [] if page.extra is None else [page.extra]
    parts = [page.image, *alpha, *extra]
    depth = np.uint16 if page.bits > 8 else np.uint8
    height, width = page.image.shape[:2]
    codes = np.empty((height, width, sum(part.shape[2] for part in parts)), depth)
    for top in range(0, height, _ROWS):
        rows, at = slice(top, top + _ROWS), 0
        for part in parts:
            codes[rows, :, at : at + part.shape[2]] = _rounded(part[rows], depth)
            at += part.shape[2]
    kinds = [2] * len(alpha) + [0] * sum(part.shape[2] for part in extra)
    return TiffPlane(codes, kinds)


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
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix in JPEG_SUFFIXES else []
    try:
        _, data = cv2.imencode(".jpg" if quality else suffix, codes, quality)
    except cv2.error as error:
        raise MediaError(f"{path}: a photograph cannot be written as {suffix or 'this'}") from error
    return data.tobytes()
