"""ffmpeg filters between YUV and full-range RGB, with explicit range and matrix.

zimg (ffmpeg's `zscale`) is exact to a hundredth of a code value. swscale replaces it where ffmpeg
lacks zimg, or zimg lacks the matrix; it darkens images by half an 8-bit code value at any bit
depth.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from oldfilm.errors import MediaError
from oldfilm.media.ffmpeg import has_filter

_ZIMG_MATRICES = {
    "bt709": "709",
    "bt470bg": "470bg",
    "smpte170m": "170m",
    "bt2020nc": "2020_ncl",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "ycgco": "ycgco",
}
_ZIMG_BY_TAGS = {
    "bt2020c": ("2020_cl", "bt2020", "bt2020-10"),
    "chroma-derived-nc": ("chroma-derived-nc", None, "bt709"),
    "chroma-derived-c": ("chroma-derived-c", None, "bt709"),
    "ictcp": ("ictcp", "bt2020", None),
}
"""Matrices that depend on primaries and transfer: zimg's name, and the primaries and transfer to
assume in an untagged film; None where the film must be tagged.
"""
_SWSCALE_MATRICES = {
    "bt470bg": "bt601",
    "smpte170m": "bt601",
    "bt2020nc": "bt2020",
    "bt709": "bt709",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
}
_FULL_RANGE = "zscale=rangein=full:range=full"
_SWSCALE_FLAGS = "accurate_rnd+full_chroma_inp+full_chroma_int"


def default_matrix(width: int, height: int) -> str:
    """Return the matrix of an untagged film of this size: BT.709 for HD, BT.601 below."""
    lines, columns = sorted((width, height))
    return "bt709" if lines > 576 or columns > 1024 else "smpte170m"


def is_usual(matrix: str) -> bool:
    """Return whether films can be written with this matrix; others can only be read."""
    return matrix in ("bt709", "bt470bg", "smpte170m", "bt2020nc", "fcc", "smpte240m")


def to_rgb(
    matrix: str,
    full_range: bool,
    size: tuple[int, int],
    primaries: str | None = None,
    transfer: str | None = None,
) -> str:
    """Return the filters from YUV of this matrix and range to 16-bit RGB.

    size: (width, height) to scale to.

    Raises:
        MediaError: ffmpeg cannot convert this matrix, or not without the film's other tags.
    """
    span, size_options = _span(full_range), f"w={size[0]}:h={size[1]}"
    name, more = _ZIMG_MATRICES.get(matrix), ""
    if matrix in _ZIMG_BY_TAGS:
        name, usual_primaries, usual_transfer = _ZIMG_BY_TAGS[matrix]
        primaries, transfer = primaries or usual_primaries, transfer or usual_transfer
        if not primaries or not transfer:
            raise MediaError(
                f"the color matrix {matrix} needs tagged primaries and transfer, which are missing"
            )
        more = f":primariesin={primaries}:transferin={transfer}"
        more += f":primaries={primaries}:transfer={transfer}"
    if name and has_filter("zscale"):
        return (
            f"zscale={size_options}:filter=spline16:matrixin={name}"
            f":rangein={span}:matrix=gbr:range=full{more},format=gbrp16le,scale,format=rgb48le"
        )
    if matrix not in _SWSCALE_MATRICES:
        raise MediaError(
            f"the color matrix {matrix} cannot be converted: convert the film to BT.709 first"
        )
    name = _SWSCALE_MATRICES[matrix]
    return (
        f"scale={size_options}:in_color_matrix={name}:in_range={span}:out_range=full"
        f":flags={_SWSCALE_FLAGS},format=rgb48le"
    )


def from_rgb(matrix: str, full_range: bool, pixel_format: str, alpha: bool = False) -> str:
    """Return the filters from 16-bit RGB or luma to YUV of this matrix, range and format.

    Fewer bits are dithered with an ordered pattern, which preserves exact code values.
    alpha: whether the RGB has an alpha channel to keep.
    """
    if alpha:
        opaque = from_rgb(matrix, full_range, pixel_format.replace("yuva", "yuv"))
        return with_alpha(opaque, pixel_format)
    span = _span(full_range)
    if matrix in _ZIMG_MATRICES and has_filter("zscale"):
        return (
            "scale,format=gbrp16le|gray16le,"
            f"zscale=filter=spline16:rangein=full:matrix={_ZIMG_MATRICES[matrix]}:range={span}"
            f":dither=ordered,format={pixel_format}"
        )
    name = _SWSCALE_MATRICES.get(matrix, matrix)
    return (
        f"scale=in_range=full:out_color_matrix={name}:out_range={span}"
        f":flags={_SWSCALE_FLAGS},format={pixel_format}"
    )


def with_alpha(filters: str, pixel_format: str) -> str:
    """Return filters that convert colors as `filters` do, and keep the alpha channel as it is.

    zimg would multiply the colors by the alpha channel.
    """
    planes = "map1s=0:map1p=1:map2s=0:map2p=2:map3s=1:map3p=3"
    return (
        f"split[c][a];[a]scale=sws_dither=none,format={pixel_format}[a];"
        f"[c]{filters},scale,format={pixel_format}[c];"
        f"[c][a]mergeplanes={planes}:format={pixel_format}"
    )


def exact_codes(pixel_format: str) -> str:
    """Return the filters from RGB or gray to code values that swscale widens to 16 bits exactly.

    swscale multiplies 8-bit RGB by 256, so that white is 254/255; it is exact from 9 bits on.

    Raises:
        MediaError: ffmpeg cannot convert this pixel format exactly.
    """
    import av

    form = av.VideoFormat(pixel_format)
    colors = [component.bits for component in form.components if not component.is_alpha]
    floating = re.search(r"f(16|32)(le|be)$", pixel_format) is not None
    if "msb" in pixel_format or (floating and len(colors) == 1):
        raise MediaError(
            f"the pixel format {pixel_format} cannot be converted exactly: "
            "convert the film to a format of 16-bit integers first"
        )
    if pixel_format.startswith(("bayer", "xyz")) or not has_filter("zscale"):
        return ""
    if floating:
        return f"format=gbrpf32le,{_FULL_RANGE},format=gbrp16le,"
    if len(colors) == 1 and not form.has_palette:
        return "format=gray," if pixel_format == "ya8" else ""
    if max(colors) > 8:
        return ""
    return f"format=gbrp,{_FULL_RANGE},format=gbrp16le,scale,format=rgb48le,{_stretched(colors)}"


def _stretched(bits: Sequence[int]) -> str:
    """Return a filter that scales colors of a few bits, the upper ones of 16, to all of 16."""
    if min(bits) >= 8:
        return ""
    levels = (f"round(floor(val/{2 ** (16 - n)})*65535/{2**n - 1})" for n in bits)
    return "lutrgb=" + ":".join(f"{name}={level}" for name, level in zip("rgb", levels)) + ","


def _span(full_range: bool) -> str:
    return "full" if full_range else "limited"
