"""What ffmpeg says about encoding options that do not work together, in our own words."""

from __future__ import annotations

import re

from oldfilm.errors import written
from oldfilm.media.codecs import coded_as, offered_formats
from oldfilm.media.containers import CONTAINERS, declared_codecs
from oldfilm.stage import FilmInfo

COMPLAINT = "these encoding options do not work together"
"""How an error begins that ends with ffmpeg's own words."""

_UNKNOWN = re.compile(r"Unknown encoder|Encoder not found")
_HARDWARE = re.compile(
    r"libcuda|capable device|No device|device (?:creation|type)|hwaccel|VAAPI|QSV"
)
_CONTAINER = re.compile(
    r"find tag for codec|supported (?:for WebM|in container|in MP4)|muxing is currently not"
    r"|supported Natively|cannot be read|not a film, or damaged"
)
_SIZE = re.compile(
    r"picture size|size is too small|DV profile|[Ff]rame size|[Dd]imensions?\b|[Rr]esolution"
    r"|multiple of"
)
_RATE = re.compile(r"does not support [\d./]+ fps|timebase .* not supported|[Ff]rame ?rate")
_PIXELS = re.compile(r"pixel format|common format|Pixel formats|pix_fmt")


def in_own_words(said: str, codec: str, pixels: str, suffix: str, info: FilmInfo) -> str:
    """Return a message for the user on what ffmpeg refused.

    said: its own words. codec: the encoder. pixels: the pixel format. suffix: of the result.
    """
    chosen = f"`codec={codec}`"
    if _UNKNOWN.search(said):
        return f"{chosen}: ffmpeg has no such encoder"
    if _HARDWARE.search(said):
        return f"{chosen}: this encoder needs hardware or a driver that is not here"
    if _CONTAINER.search(said):
        return f"{chosen}: {suffix} files cannot hold it{_others(codec, suffix)}"
    if _SIZE.search(said):
        size = f"{info.width}x{info.height} at {written(info.rate)} frames per second"
        return f"{chosen}: it does not take frames of {size}: ({_words(said)})"
    if _RATE.search(said):
        return f"{chosen}: it does not take {written(info.rate)} frames per second ({_words(said)})"
    if pixels == "pal8":
        return f"{chosen}: it stores a palette of 256 colors, which are too few for a film"
    if _PIXELS.search(said) and (offered := offered_formats(codec)) and pixels not in offered:
        return f"`pix_fmt={pixels}`: {codec} takes {', '.join(offered)} only"
    return said


def _words(said: str) -> str:
    """Return what ffmpeg says, without how the error begins, and what follows from it."""
    parts = said.removeprefix(f"{COMPLAINT}: ").split("; ")
    return "; ".join(
        part for part in parts if "Error while" not in part and "Error send" not in part
    )


def _others(codec: str, suffix: str) -> str:
    """Return which other containers hold a codec, as advice."""
    name = coded_as(codec)
    held = [other for other, its in CONTAINERS.items() if name in declared_codecs(its.format)]
    advice = [other for other in held if other not in (suffix, ".m4v")]
    return f"; {' or '.join(advice)} may" if advice else ""
