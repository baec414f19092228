"""Read and write TIFF files of all kinds.

tifffile reads the tags. The samples are unpacked here, because image libraries ignore some of the
tags that say what samples mean (TIFF 6.0): photometric interpretation, planes, extra samples.
Pillow's libtiff decompresses; it also decodes pages that are JPEG files in themselves.
"""

from __future__ import annotations

import io
import logging
import lzma
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oldfilm.errors import MediaError
from oldfilm.imaging.color import srgb_from_lab
from oldfilm.media.pillow import from_cmyk, opened

if TYPE_CHECKING:
    from tifffile import TiffPage

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # its warnings are not for users

TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The first bytes of TIFF and BigTIFF."""

_NONE, _LZW, _JPEG, _PACKBITS, _ZSTD, _LZMA = 1, 5, (6, 7), 32773, 50000, 34925
_FAX, _DEFLATE = (2, 3, 4), (8, 32946)
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _INKS, _YCBCR = 0, 1, 2, 3, 5, 6
_LAB, _ICC_LAB, _ITU_LAB = 8, 9, 10
_COLORS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _INKS: 4, _YCBCR: 3}
_COLORS |= {_LAB: 3, _ICC_LAB: 3, _ITU_LAB: 3}
"""Photometric interpretations that are read, and the number of their samples."""
_RAW_PHOTOMETRICS = (32803, 34892)
"""Color filter array, linear raw: not developed."""
_DNG_VERSION = 50706
CONVERTED_INKS = "CMYK was converted to sRGB"
"""A note."""
_ASSOCIATED, _UNASSOCIATED = 1, 2
_MOST_PIXELS = 1 << 30
"""OpenCV's limit for other formats."""
_MOST_SAMPLES, _LARGE_TILE, _DENSEST = 32, 1 << 24, 20_000
"""Samples of a pixel, pixels of a tile, and bytes of the image for each byte of the file."""
_INFLATE_BYTES = 4096
"""Bytes to decompress at a time, so that those before damage are kept."""


@dataclass(frozen=True)
class TiffImage:
    """One page of a TIFF file, as it is stored: not rotated.

    codes: uint8 or uint16 [h, w, 3] RGB, or [h, w, 1] luma. alpha: [h, w] of the same type.
    extra: [h, w, n], samples of unspecified meaning, such as infrared. icc: the color profile.
    pages: the number of pages in the file. position: that of this page among all images in the
    file, previews included. damage: a description of the damage, if any. notes: what reading
    could not keep.
    """

    codes: np.ndarray
    alpha: np.ndarray | None = None
    extra: np.ndarray | None = None
    icc: bytes | None = None
    pages: int = 1
    position: int = 0
    damage: str | None = None
    notes: tuple[str, ...] = ()


def read_tiff(data: bytes, number: int = 0) -> TiffImage:
    """Decode a page. number: counted from 0, without previews.

    Raises:
        MediaError: the file is damaged, or of a kind that is not read. The message does not name
            the file.
    """
    from tifffile import TiffFile

    try:
        file = TiffFile(io.BytesIO(data))
    except Exception as error:  # A damaged file may raise anything.
        raise MediaError("this is not a photograph, or it is damaged") from error
    with file:
        try:
            numbers = _numbers_of_pages(file)
            page: Any = file.pages[numbers[number]]
            tags = _Tags(page, data)
        except Exception as error:
            raise MediaError("this is not a photograph, or it is damaged") from error
        return _read_page(tags, len(numbers), numbers[number])


def is_gray_tiff(path: Path) -> bool | None:
    """Return whether the first page of a file holds luma only; None if it does not say so."""
    from tifffile import TiffFile

    try:
        with TiffFile(path) as file:
            page: Any = file.pages[_numbers_of_pages(file)[0]]
            return int(page.photometric) in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
    except Exception:  # A damaged file may raise anything.
        return None


def _numbers_of_pages(file: Any) -> list[int]:
    """The positions of the pages in a file; previews and masks are not pages."""
    kinds = [int(getattr(page, "subfiletype", 0) or 0) for page in file.pages]
    return [i for i, kind in enumerate(kinds) if not kind & 5] or [0]


class _Tags:
    """The tags of a page that describe its samples."""

    def __init__(self, page: TiffPage, data: bytes) -> None:
        self.data = data
        self._tags = page.tags
        self.order = page.parent.byteorder
        self.width, self.height = int(page.imagewidth), int(page.imagelength)
        self.count = self._number(277, 1)
        depths = self.numbers(258) or (1,)
        self.bits = depths[0] if len(set(depths)) == 1 else 0
        self.formats = set(self.numbers(339) or (1,))
        self.compression = self._number(259, _NONE)
        self.photometric = self._number(262, _BLACK_IS_ZERO)
        self.planes = self.count if self._number(284, 1) == 2 else 1
        self.predictor = self._number(317, 1)
        self.fill_order = self._number(266, 1)
        self.tile = (self._number(322, 0), self._number(323, 0))
        self.rows = min(self._number(278, self.height), self.height) or self.height
        tiled = bool(self.tile[0] and self.tile[1])
        self.offsets = self.numbers(324 if tiled else 273)
        self.lengths = self.numbers(325 if tiled else 279)
        self.fax_options = {tag: self._number(tag, 0) for tag in (292, 293)}
        self.palette = self.numbers(320)
        self.extra_kinds = self.numbers(338)
        self.inks = self._number(332, 1)
        self.subsampling = self.numbers(530) or (2, 2)
        self.is_raw = _DNG_VERSION in page.tags or self.photometric in _RAW_PHOTOMETRICS
        self.icc = self._bytes(34675)
        self.depth = self._number(32997, 1)

    @property
    def segment(self) -> tuple[int, int]:
        """Width and height of a tile, or of a strip."""
        return self.tile if all(self.tile) else (self.width, self.rows)

    def numbers(self, tag: int) -> tuple[int, ...]:
        value = self._tags[tag].value if tag in self._tags else ()
        return tuple(int(v) for v in np.ravel(value))

    def _number(self, tag: int, default: int) -> int:
        found = self.numbers(tag)
        return found[0] if found else default

    def _bytes(self, tag: int) -> bytes | None:
        return bytes(self._tags[tag].value) if tag in self._tags else None


def _read_page(tags: _Tags, pages: int, position: int) -> TiffImage:
    _refuse_unreadable(tags)
    base = _COLORS[tags.photometric]
    if _is_decoded_whole(tags):
        samples, damaged = _decoded_by_pillow(tags.data, position), 0
        photometric = {1: _BLACK_IS_ZERO, 2: _BLACK_IS_ZERO, 4: _INKS if base == 4 else _RGB}
        tags.photometric = photometric.get(samples.shape[2], _RGB)
        base = _COLORS[tags.photometric]
    else:
        samples, damaged = _unpacked(tags)
        if tags.photometric == _YCBCR:
            samples[..., :base] = _rgb_from_ycbcr(samples[..., :base])
            tags.photometric = _RGB
        if tags.photometric != _PALETTE:
            samples = full_scale(samples, tags.bits)
    colors, notes = _in_rgb(tags, samples[..., :base])
    alpha, extra = _extra_samples(tags, samples[..., base:])
    if alpha is not None and _ASSOCIATED in tags.extra_kinds:
        colors = _unassociated(colors, alpha)
    damage = f"{damaged} parts of the image cannot be decoded" if damaged else None
    keeps_profile = tags.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR)
    icc = tags.icc if keeps_profile else None
    return TiffImage(colors, alpha, extra, icc, pages, position, damage, tuple(notes))


def _refuse_unreadable(tags: _Tags) -> None:
    """Raise MediaError for a kind of TIFF that would come out wrong."""
    if tags.width * tags.height > _MOST_PIXELS:
        raise MediaError("this photograph cannot be read (it has too many pixels)")
    if tags.is_raw:
        raise MediaError("this is a raw file of a camera: develop it to a TIFF of 16 bits first.")
    if min(tags.width, tags.height, tags.count) < 1 or tags.depth != 1 or _is_absurd(tags):
        raise MediaError("this is not a photograph, or it is damaged")
    kind = {2: "int", 3: "float"}.get(max(tags.formats), "uint")
    if tags.formats - {1, 4} or not 1 <= tags.bits <= 16:
        samples = f"{kind}{tags.bits}" if tags.bits else "of several bit depths"
        raise MediaError(f"its samples are {samples}: save it with 8 or 16 bits.")
    base = _COLORS.get(tags.photometric)
    if base is None or tags.count < base or (base == 4 and tags.inks != 1):
        raise MediaError(
            f"its colors ({_photometric_name(tags.photometric)}) are not read: "
            "save it in RGB or in gray."
        )
    is_lab = tags.photometric in (_LAB, _ICC_LAB, _ITU_LAB)
    if is_lab and tags.bits not in (8, 16):
        raise MediaError("its Lab colors are not read: save it in RGB.")


def _is_absurd(tags: _Tags) -> bool:
    """Whether sizes cannot be right: damaged files would fill the memory."""
    most = tags.width * tags.height * tags.count * max(tags.bits, 1) // 8
    width, height = tags.segment
    too_wide = width * height > max(4 * tags.width * tags.height, _LARGE_TILE)
    return tags.count > _MOST_SAMPLES or too_wide or most > _DENSEST * len(tags.data)


def _photometric_name(value: int) -> str:
    known = {4: "a mask", 5: "inks other than CMYK", 32844: "LogL", 32845: "LogLuv"}
    return known.get(value, f"photometric interpretation {value}")


def _is_decoded_whole(tags: _Tags) -> bool:
    """Whether Pillow decodes the page: JPEG and the like, and subsampled chroma."""
    known = (_NONE, _LZW, _PACKBITS, _ZSTD, _LZMA, *_FAX, *_DEFLATE)
    is_full = tags.bits == 8 and tags.subsampling == (1, 1)  # Pillow before 13 cannot read these.
    return tags.compression not in known or (tags.photometric == _YCBCR and not is_full)


def _rgb_from_ycbcr(samples: np.ndarray) -> np.ndarray:
    """Convert uint8 [h, w, 3] as JPEG files do."""
    from PIL import Image

    packed = np.ascontiguousarray(samples)
    size = packed.shape[1::-1]
    return np.array(Image.frombytes("YCbCr", size, packed.tobytes()).convert("RGB"))


def _decoded_by_pillow(data: bytes, position: int) -> np.ndarray:
    """Decode a page to uint8 [h, w, c]."""
    try:
        picture = opened(data, ("TIFF",))
        if picture is None:
            raise ValueError("unknown")
        with picture:
            picture.seek(position)
            if picture.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
                if picture.mode != "YCbCr":
                    raise ValueError(f"mode {picture.mode}")
                picture = picture.convert("RGB")
            samples = np.array(picture)
    except Exception as error:  # A damaged file may raise anything.
        raise MediaError(
            "this kind of TIFF is not read, or it is damaged: save it with LZW compression."
        ) from error
    return samples.reshape(*samples.shape[:2], -1)


def _unpacked(tags: _Tags) -> tuple[np.ndarray, int]:
    """Return the samples, uint8 or uint16 [h, w, n], and the number of damaged segments."""
    per_pixel = tags.count // tags.planes
    depth = np.uint8 if tags.bits <= 8 else np.uint16
    out = np.zeros((tags.planes, tags.height, tags.width, per_pixel), depth)
    width, height = tags.segment
    across, down = -(-tags.width // width), -(-tags.height // height)
    damaged, readable = max(0, across * down * tags.planes - len(tags.offsets)), 0
    for index, offset in enumerate(tags.offsets[: across * down * tags.planes]):
        plane, place = divmod(index, across * down)
        row, column = place // across * height, place % across * width
        rows = height if all(tags.tile) else min(height, tags.height - row)
        length = tags.lengths[index] if index < len(tags.lengths) else 0
        if not offset or not length:  # a sparse file: the segment is black
            readable += 1
            continue
        try:
            part, is_whole = _segment(tags, tags.data[offset : offset + length], rows, per_pixel)
        except Exception:  # A damaged file may raise anything.
            damaged += 1
            continue
        damaged += not is_whole
        readable += 1
        room = out[plane, row : row + rows, column : column + width]
        room[...] = part[: room.shape[0], : room.shape[1]]
    if not readable:
        raise MediaError("this is not a photograph, or it is damaged")
    return (out[0] if tags.planes == 1 else np.moveaxis(out[..., 0], 0, 2)), damaged


def _segment(tags: _Tags, packed: bytes, rows: int, per_pixel: int) -> tuple[np.ndarray, bool]:
    """Unpack a strip or tile: [rows, width, samples], and whether it is complete."""
    width = tags.segment[0]
    row_bytes = -(-width * per_pixel * tags.bits // 8)
    if tags.fill_order == 2 and tags.compression not in _FAX:
        packed = _reversed_bits(packed)
    raw = _decompressed(tags, packed, row_bytes, rows)
    is_whole = len(raw) >= rows * row_bytes
    if not raw:
        raise ValueError("no byte of it can be decoded")
    lines = np.frombuffer(raw[: rows * row_bytes].ljust(rows * row_bytes, b"\0"), np.uint8)
    lines = lines.reshape(rows, row_bytes)
    values: np.ndarray
    if tags.bits == 16:
        values = lines.view(f"{tags.order}u2").astype(np.uint16)
    elif tags.bits == 8:
        values = lines
    else:
        values = _small_integers(lines, width * per_pixel, tags.bits)
    values = values.reshape(rows, width, per_pixel)
    if tags.compression not in (_LZW, _ZSTD, _LZMA, *_DEFLATE):  # The others have no predictor.
        return values, is_whole
    if tags.predictor == 2 and tags.bits in (8, 16):
        values = np.cumsum(values, axis=1, dtype=values.dtype)
    elif tags.predictor != 1:
        raise ValueError("unknown predictor")
    return values, is_whole


def _reversed_bits(data: bytes) -> bytes:
    return np.packbits(np.unpackbits(np.frombuffer(data, np.uint8)), bitorder="little").tobytes()


def _small_integers(lines: np.ndarray, count: int, bits: int) -> np.ndarray:
    """Unpack `count` integers of a few bits from every line of bytes, uint8 [rows, n]."""
    flags = np.unpackbits(lines, axis=1)[:, : count * bits].reshape(len(lines), count, bits)
    weights = (1 << np.arange(bits - 1, -1, -1)).astype(np.uint16)
    values = flags.astype(np.uint16) @ weights
    return values.astype(np.uint8) if bits <= 8 else values


def _decompressed(tags: _Tags, packed: bytes, row_bytes: int, rows: int) -> bytes:
    kind = tags.compression
    if kind == _NONE:
        return packed
    if kind in _DEFLATE:
        return _inflated(packed, row_bytes * rows)
    if kind == _LZMA:
        return lzma.LZMADecompressor().decompress(packed, row_bytes * rows)
    if kind in _FAX:
        options = {266: tags.fill_order, **tags.fax_options}
        return _libtiff(packed, kind, tags.segment[0], rows, 1, options)
    return _libtiff(packed, kind, row_bytes, rows, 8, {})


def _inflated(packed: bytes, most: int) -> bytes:
    """Decompress up to where the data are damaged, and no more than `most` bytes."""
    inflate, out = zlib.decompressobj(), b""
    parts = []
    for at in range(0, len(packed), _INFLATE_BYTES):
        try:
            out = inflate.decompress(packed[at : at + _INFLATE_BYTES], most)
        except zlib.error:
            break
        parts.append(out)
        most -= len(out)
        if most <= 0:
            break
    return b"".join(parts)


def _libtiff(
    packed: bytes, compression: int, width: int, height: int, bits: int, more: dict[int, int]
) -> bytes:
    """Decompress with libtiff: as a small gray TIFF file whose samples are the bytes."""
    values = {256: width, 257: height, 258: bits, 259: compression, 262: 1, 277: 1, 278: height}
    values |= {tag: value for tag, value in more.items() if value}
    rows = len(values) + 2
    start = 8 + 2 + 12 * rows + 4
    values |= {273: start, 279: len(packed)}
    entries = b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in sorted(values.items()))
    head = b"II*\0" + struct.pack("<IH", 8, rows) + entries + bytes(4)
    picture = opened(head + packed, ("TIFF",))
    if picture is None:
        raise ValueError("unknown compression")
    with picture:
        return picture.tobytes()


def full_scale(samples: np.ndarray, bits: int) -> np.ndarray:
    """Scale integers of any bit depth to the full range of their type."""
    most = np.iinfo(samples.dtype).max
    if bits in (8, 16):
        return samples
    top = (1 << bits) - 1
    table = (np.arange(top + 1, dtype=np.uint32) * most + top // 2) // top
    return table.astype(samples.dtype)[samples]


def _in_rgb(tags: _Tags, samples: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Convert to RGB or luma with 0 as black; also return notes."""
    kind = tags.photometric
    if kind == _WHITE_IS_ZERO:
        return np.iinfo(samples.dtype).max - samples, []
    if kind == _PALETTE:
        return _from_palette(samples[..., 0], np.array(tags.palette)), []
    if kind in (_LAB, _ICC_LAB, _ITU_LAB):
        return _from_lab(samples, signed=kind == _LAB), []
    if kind == _INKS:
        return _from_inks(samples, tags.icc)
    return samples, []


def _from_palette(indices: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Look up colors: uint8 where the palette has 8 bits, else uint16."""
    if palette.size < 3 or palette.size % 3:
        raise MediaError("this is not a photograph, or it is damaged")
    colors = palette.reshape(3, -1).T
    if colors.max() < 256:  # Some programs write 8 bits, where the format has 16.
        colors = colors * 257
    indices = np.minimum(indices, len(colors) - 1)
    eight = not (colors % 257).any() or not (colors & 255).any()
    found = (colors >> 8).astype(np.uint8) if eight else colors.astype(np.uint16)
    return found[indices]


def _from_lab(samples: np.ndarray, signed: bool) -> np.ndarray:
    """Convert CIE Lab of 8 or 16 bits to sRGB. signed: a* and b* are two's complements."""
    depth = samples.dtype
    most, unit = np.iinfo(depth).max, float(1 << (8 * depth.itemsize - 8))
    chroma = np.ascontiguousarray(samples[..., 1:])
    if signed:
        values = chroma.view(np.int8 if depth == np.uint8 else np.int16) / np.float32(unit)
    else:
        values = chroma / np.float32(unit) - 128
    lightness = samples[..., :1] * np.float32(100 / most)
    rgb = srgb_from_lab(np.concatenate([lightness, values], axis=2, dtype=np.float32))
    return np.rint(rgb * most).astype(depth)


def _from_inks(samples: np.ndarray, icc: bytes | None) -> tuple[np.ndarray, list[str]]:
    """Convert CMYK to sRGB by the profile, else by subtraction."""
    from PIL import Image

    if samples.dtype == np.uint16 and icc is None:
        paper = (65535 - samples.astype(np.uint32)) / 65535
        rgb = np.rint(paper[..., :3] * paper[..., 3:] * 65535).astype(np.uint16)
        return rgb, [CONVERTED_INKS]
    eight = samples if samples.dtype == np.uint8 else (samples >> 8).astype(np.uint8)
    picture = Image.frombytes("CMYK", eight.shape[1::-1], np.ascontiguousarray(eight).tobytes())
    notes = [CONVERTED_INKS]
    if samples.dtype == np.uint16:
        notes.append("16 bits became 8: the color profile is applied in 8 bits")
    return from_cmyk(picture, icc), notes


def _extra_samples(tags: _Tags, samples: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Divide the samples after the colors into transparency and others."""
    if not samples.shape[2]:
        return None, None
    kinds = (*tags.extra_kinds, *([0] * samples.shape[2]))[: samples.shape[2]]
    transparent = [i for i, kind in enumerate(kinds) if kind in (_ASSOCIATED, _UNASSOCIATED)][:1]
    others = [i for i in range(samples.shape[2]) if i not in transparent]
    alpha = samples[..., transparent[0]] if transparent else None
    return alpha, samples[..., others] if others else None


def _unassociated(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Divide colors that were multiplied by their transparency."""
    most = np.iinfo(colors.dtype).max
    share = np.maximum(alpha, 1).astype(np.float32)[..., None] / most
    return np.rint(np.minimum(colors / share, most)).astype(colors.dtype)


@dataclass(frozen=True)
class TiffPlane:
    """A page to write. codes: uint8 or uint16 [h, w, n]: luma or RGB, then the extra samples.

    extra: 2 for transparency and 0 for others, for each extra sample.
    """

    codes: np.ndarray
    extra: Sequence[int] = ()


def encode_tiff(pages: Sequence[TiffPlane]) -> bytes:
    """Return a little-endian TIFF file, compressed without loss."""
    from tifffile import TiffWriter

    out = io.BytesIO()
    with TiffWriter(out, byteorder="<") as writer:
        for page in pages:
            colors = page.codes.shape[2] - len(page.extra)
            codes = page.codes if page.codes.shape[2] > 1 else page.codes[..., 0]
            writer.write(
                codes,
                photometric="rgb" if colors == 3 else "minisblack",
                planarconfig="contig" if codes.ndim == 3 else None,
                extrasamples=page.extra or None,
                compression="adobe_deflate",
                predictor=True,
                metadata=None,
                software=None,
            )
    return out.getvalue()
