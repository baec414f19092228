"""The formats of still images: which are read, which are named but not read, and how."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oldfilm.errors import MediaError
from oldfilm.imaging.color import srgb_from_linear

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".jif"})
JPEG_2000_SUFFIXES = frozenset({".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc", ".jpm"})
SCAN_SUFFIXES = frozenset({".dpx", ".exr"})
"""What film scanners write."""

# fmt: off
RAW_SUFFIXES = frozenset([
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".gpr", ".iiq", ".kdc", ".mef",
    ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw",
    ".x3f",
])
# fmt: on
HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
UNREAD_SUFFIXES = RAW_SUFFIXES | {".jxl", ".cin"}
"""Photographs that are refused by name."""

PHOTOGRAPH_SUFFIXES = (
    JPEG_SUFFIXES
    | JPEG_2000_SUFFIXES
    | SCAN_SUFFIXES
    | HEIF_SUFFIXES
    | UNREAD_SUFFIXES
    | {".png", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".avif", ".tga"}
    | {".pnm", ".pbm", ".pgm", ".ppm", ".pam"}
)

WRITTEN_SUFFIXES = JPEG_SUFFIXES | {".png", ".tif", ".tiff", ".bmp", ".webp"}
"""Formats in which a restored photograph is written if its source has them."""

_CINEON_SIGNATURES = (b"\x80\x2a\x5f\xd7", b"\xd7\x5f\x2a\x80")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_RAW_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_SAMPLES = re.compile(r"(gbrp|gbrap|rgb|rgba|bgra|argb|abgr|gray|ya)(f?)(\d*)(le|be)?")


def refuse_unread(data: bytes, path: Path) -> None:
    """Raise MediaError for a format that is known but not read, and say what to do."""
    suffix, brand = path.suffix.lower(), data[8:12] if data[4:8] == b"ftyp" else b""
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        raise MediaError(f"{path}: JPEG XL is not read: convert it to PNG first, with djxl.")
    if data[:4] in _CINEON_SIGNATURES:
        raise MediaError(f"{path}: Cineon is not read: convert it to DPX first.")
    is_raw = brand == b"crx " or data.startswith(_RAW_SIGNATURES) or data[8:10] == b"CR"
    if data and (is_raw or suffix in RAW_SUFFIXES):
        raise MediaError(
            f"{path}: this is a raw file of a camera: develop it to a TIFF of 16 bits first."
        )
    if brand in _HEIF_BRANDS and b"avif" not in data[8:64] and not _has_heif_plugin():
        raise MediaError(
            f"{path}: HEIC is not read: convert it to PNG or TIFF first, or install pillow-heif."
        )


def is_heif(data: bytes) -> bool:
    """Whether a file is HEIC, which only a plug-in of Pillow reads."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and b"avif" not in data[8:64]


def _has_heif_plugin() -> bool:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def bit_depth(data: bytes) -> int | None:
    """The bits of a JPEG 2000 or AVIF file above 8, which decoders return unscaled; else None."""
    is_jpeg_2000 = data[4:8] == b"jP  " or data.startswith(b"\xff\x4f\xff\x51")
    size = data.find(b"\xff\x4f\xff\x51", 0, 65536) if is_jpeg_2000 else -1
    if size >= 0 and len(data) > size + 42:  # ISO 15444-1, A.5.1: Ssiz of the first component
        bits = (data[size + 42] & 127) + 1
    elif data[4:8] == b"ftyp" and b"avif" in data[8:64]:
        at = data.find(b"av1C")
        flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
        bits = (12 if flags & 0x20 else 10) if flags & 0x40 else 8
    else:
        return None
    return bits if 8 < bits < 16 else None


def is_scan(data: bytes) -> bool:
    """Whether a file is DPX or OpenEXR."""
    return data.startswith((b"SDPX", b"XPDS", b"\x76\x2f\x31\x01"))


def read_scan(data: bytes) -> tuple[np.ndarray, int, list[str]]:
    """Decode DPX or OpenEXR.

    Returns float32 [h, w, c] in [0, 1], where c is 1 (luma), 2, 3 (RGB) or 4 (with transparency);
    the bit depth; and notes. The scene-linear samples of EXR get the sRGB curve.

    Raises:
        MediaError: the file is damaged or of a kind that is not read. The message does not name it.
    """
    codec = "exr" if data.startswith(b"\x76\x2f\x31\x01") else "dpx"
    samples, bits = _decoded(data, codec)
    if codec == "dpx":
        notes = []
        if data[801:802] in (b"\1", b"\3"):
            notes = ["its code values are logarithmic (printing density) and stay so"]
        return samples, bits, notes
    colors = samples[..., : samples.shape[2] - (samples.shape[2] in (2, 4))]
    notes = ["its scene-linear samples were converted with the sRGB curve"]
    if colors.max(initial=0) > 1 or colors.min(initial=0) < 0:
        notes.append("its samples below 0 and above 1 were clipped")
    colors[...] = srgb_from_linear(np.clip(np.nan_to_num(colors), 0, 1))
    return samples, 16, notes


def _decoded(data: bytes, codec: str) -> tuple[np.ndarray, int]:
    """Decode with libav: float32 [h, w, c], integers scaled to [0, 1], and the bit depth."""
    import av

    try:
        decoder: Any = av.CodecContext.create(codec, "r")
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    except av.error.FFmpegError as error:
        raise MediaError(f"this kind of {codec.upper()} is not read, or it is damaged") from error
    if not frames:
        raise MediaError(f"this {codec.upper()} file is damaged")
    frame = frames[0]
    known = _SAMPLES.fullmatch(frame.format.name)
    if not known:
        raise MediaError(f"its samples ({frame.format.name}) are not read: save it in RGB.")
    bits = frame.format.components[0].bits
    planes = [_plane(frame, index, known) for index in range(len(frame.planes))]
    samples = planes[0] if len(planes) == 1 else np.stack([p[..., 0] for p in planes], axis=2)
    samples = samples[..., _order(known.group(1))].astype(np.float32)
    return (samples if known.group(2) else samples / np.float32((1 << bits) - 1)), bits


def _plane(frame: VideoFrame, index: int, known: re.Match[str]) -> np.ndarray:
    """Return a plane of a frame: [h, w, samples]."""
    plane = frame.planes[index]
    name, is_float, bits, end = known.groups()
    order = ">" if end == "be" else "<"
    wide = int(bits or 8) // {"rgb": 3, "rgba": 4, "bgra": 4}.get(name, 1) if bits else 8
    kind = f"f{wide // 8}" if is_float else ("u1" if wide <= 8 else "u2")
    count = 1 if len(frame.planes) > 1 else len(frame.format.components)
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height]
    used = plane.width * count * np.dtype(kind).itemsize
    values = np.ascontiguousarray(lines[:, :used]).view(f"{order}{kind}")
    return values.reshape(plane.height, plane.width, count)


def _order(name: str) -> list[int]:
    """The positions of red, green, blue and alpha among the samples of a pixel format."""
    return {
        **{"gbrp": [2, 0, 1], "gbrap": [2, 0, 1, 3], "bgra": [2, 1, 0, 3]},
        **{"argb": [1, 2, 3, 0], "abgr": [3, 2, 1, 0]},
        **{"gray": [0], "ya": [0, 1], "rgb": [0, 1, 2], "rgba": [0, 1, 2, 3]},
    }[name]
