"""ffmpeg filters between YUV and full-range RGB, with explicit range and matrix.

zimg (ffmpeg's `zscale`) is exact to a hundredth of a code value. swscale replaces it where ffmpeg
lacks zimg, or zimg lacks the matrix; it darkens images by half an 8-bit code value at any bit
depth.
"""

from __future__ import annotations

from oldfilm.media.ffmpeg import has_filter

_ZIMG_MATRICES = {
    "bt709": "709",
    "bt470bg": "470bg",
    "smpte170m": "170m",
    "bt2020nc": "2020_ncl",
}
_SWSCALE_MATRICES = {
    "bt470bg": "bt601",
    "smpte170m": "bt601",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
_SWSCALE_FLAGS = "accurate_rnd+full_chroma_inp+full_chroma_int"


def default_matrix(width: int, height: int) -> str:
    """Return the matrix of an untagged film of this size: BT.709 for HD, BT.601 below."""
    lines, columns = sorted((width, height))
    return "bt709" if lines > 576 or columns > 1024 else "smpte170m"


def to_rgb(matrix: str, full_range: bool, size: tuple[int, int]) -> str:
    """Return the filters from YUV of this matrix and range to 16-bit RGB.

    size: (width, height) to scale to.
    """
    span, size_options = _span(full_range), f"w={size[0]}:h={size[1]}"
    if matrix in _ZIMG_MATRICES and has_filter("zscale"):
        return (
            f"zscale={size_options}:filter=spline16:matrixin={_ZIMG_MATRICES[matrix]}"
            f":rangein={span}:matrix=gbr:range=full,format=gbrp16le,scale,format=rgb48le"
        )
    name = _SWSCALE_MATRICES.get(matrix, matrix)
    return (
        f"scale={size_options}:in_color_matrix={name}:in_range={span}:out_range=full"
        f":flags={_SWSCALE_FLAGS},format=rgb48le"
    )


def from_rgb(matrix: str, full_range: bool, pixel_format: str) -> str:
    """Return the filters from 16-bit RGB or luma to YUV of this matrix, range and format.

    Fewer bits are dithered with an ordered pattern, which preserves exact code values.
    """
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


def _span(full_range: bool) -> str:
    return "full" if full_range else "limited"
