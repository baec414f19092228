"""The codec, pixel format and color tags of a result, by its name and the user's settings."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from oldfilm.errors import MediaError
from oldfilm.media.color_conversion import default_matrix, is_usual
from oldfilm.media.ffmpeg import encoder_formats
from oldfilm.media.film import ColorTags
from oldfilm.media.picture import HDR10
from oldfilm.media.picture_formats import PHOTOGRAPH_SUFFIXES
from oldfilm.stage import FilmInfo

FRAMES_PATTERN = "%08d.png"
"""The usual file name of a result that is a folder of numbered images: `folder/%08d.png`."""

IMAGE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".dpx", ".exr"})
"""The formats of numbered images."""
ANIMATION_SUFFIXES = frozenset({".gif", ".apng", ".png", ".webp"})
"""The formats of animations that can be written."""
_DEEP_SUFFIXES = IMAGE_SUFFIXES - {".png"}
"""Formats that are always written with 16 bits, whatever the source has."""
_PATTERN = re.compile(r"((?:[^%]|%%)*)%(?:0(\d+))?d((?:[^%]|%%)*)", re.DOTALL)

_CODECS = {
    "h264": "libx264",
    "avc": "libx264",
    "x264": "libx264",
    "h265": "libx265",
    "hevc": "libx265",
    "x265": "libx265",
    "vp8": "libvpx",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "prores": "prores_ks",
}
_DEFAULT_CODECS = {
    ".mp4": "libx264",
    ".m4v": "libx264",
    ".mkv": "libx264",
    ".mov": "prores_ks",
    ".webm": "libvpx-vp9",
}
_DEFAULT_SUFFIXES = {"ffv1": ".mkv", "prores_ks": ".mov", "libvpx-vp9": ".webm"}

_THREADS = 6
"""Threads of an encoder. Constant, because x264, x265 and VP9 divide frames among them, which
changes the result."""

_OPTIONS = {
    "libx264": ("-preset", "veryfast"),
    "libx265": (
        *("-preset", "medium", "-tag:v", "hvc1"),
        *("-x265-params", f"log-level=error:pools={_THREADS}"),
    ),
    "libvpx-vp9": ("-b:v", "0", "-row-mt", "1", "-cpu-used", "2"),
    "libsvtav1": ("-preset", "6"),
    "prores_ks": ("-vendor", "apl0"),
    "ffv1": ("-level", "3", "-slicecrc", "1", "-g", "1"),
}
_CRF = {"libx264": (16, 51), "libx265": (19, 51), "libvpx-vp9": (22, 63), "libsvtav1": (22, 63)}
"""The default `crf` of each encoder, and the maximum, which is the lowest quality.

x264 at `veryfast` and 16 keeps as much as at `medium` and 17 (PSNR within 0.02 dB or better, SSIM
better, on two restored films and two with their grain), in 40 % of the time. Files are 15 % larger.
"""

_PRORES_422, _PRORES_4444 = ("-profile:v", "3"), ("-profile:v", "4", "-alpha_bits", "16")

_HDR10 = {
    "libx264": ("-x264-params", "mastering-display", "cll"),
    "libx265": ("-x265-params", "master-display", "max-cll"),
}
"""Encoders that store HDR10 metadata: their option, and the names of the two parameters in it."""

_PIXELS = {
    "libx264": ("yuv420p", "yuv420p10le"),
    "libx265": ("yuv420p", "yuv420p10le"),
    "libvpx-vp9": ("yuv420p", "yuv420p10le"),
    "libsvtav1": ("yuv420p", "yuv420p10le"),
    "prores_ks": ("yuv422p10le", "yuv422p10le"),
    "ffv1": ("yuv444p10le", "yuv444p16le"),
    "rawvideo": ("rgb24", "rgb48be"),
}
"""Pixel formats for sources of 8 bits, and of more."""

_ALPHA_PIXELS = {
    "libvpx-vp9": ("yuva420p", "yuva420p"),
    "prores_ks": ("yuva444p10le", "yuva444p10le"),
    "ffv1": ("yuva444p10le", "yuva444p16le"),
}
"""Pixel formats with an alpha channel, for the same sources."""

_IMAGE_PIXELS, _ALPHA_IMAGE_PIXELS = ("bgr0", "rgb48le"), ("bgra", "rgba64le")
"""Pixel formats without and with alpha, for the segments of an animation or folder of images."""

_MATROSKA_ALPHA = {"libvpx-vp9": (".webm", ".mkv"), "libvpx": (".webm", ".mkv")}
"""Codecs whose alpha channel only Matroska and WebM hold, and the suffixes to use."""

_SEGMENTS = {"vp8": ".mkv", "vp9": ".mp4", "av1": ".mp4"}
"""Codecs that MOV does not hold, and the suffixes of their segments."""

_JPEG = ("mjpeg", "ljpeg")
"""Codecs that are always of full range and BT.601, as decoders take them."""
_FULL_RANGE = ("libx264", "libx265", "libvpx-vp9", "libsvtav1")
"""Codecs that can be tagged as full range. YUV in any other codec has limited range."""


@dataclass(frozen=True)
class EncodeSettings:
    """The user's choices; None lets the result decide.

    codec: a common name (h264, h265, vp9, av1, prores, ffv1), or ffmpeg's name of an encoder.
    crf: quality; lower is better.
    pix_fmt: ffmpeg's name of a pixel format.
    """

    codec: str | None = None
    crf: int | None = None
    pix_fmt: str | None = None


def default_suffix(settings: EncodeSettings) -> str:
    """Return the suffix of a result that the user did not name."""
    return _DEFAULT_SUFFIXES.get(_encoder_name(settings.codec or "h264"), ".mp4")


def segment_suffix(destination: Path, settings: EncodeSettings, alpha: bool = False) -> str:
    """Return the suffix of a result's segments: a container that joins with exact time stamps.

    alpha: whether they have an alpha channel.
    """
    codec = codec_for(destination, settings)
    if alpha and destination.suffix.lower() in _MATROSKA_ALPHA.get(codec, ()):
        return ".mkv"
    # MOV does not store the range of code values.
    return ".mp4" if codec in _FULL_RANGE else _SEGMENTS.get(coded_as(codec), ".mov")


def coded_as(encoder: str) -> str:
    """Return ffmpeg's name of the codec of an encoder: "av1" for libaom-av1."""
    import av

    try:
        return av.Codec(encoder, "w").canonical_name
    except ValueError:  # PyAV does not know it, but ffmpeg may.
        return next((name for name in _SEGMENTS if name in encoder), encoder)


def is_pattern(destination: Path) -> bool:
    """Return whether a path numbers the images of a folder: `%08d.png`, `reel_%06d.dpx`."""
    numbers = _PATTERN.fullmatch(destination.name) is not None
    return numbers and destination.suffix.lower() in IMAGE_SUFFIXES


def numbered_by(pattern: str) -> re.Pattern[str]:
    """Return a regular expression that matches the names a pattern gives."""
    match = _PATTERN.fullmatch(pattern)
    if match is None:
        raise ValueError(f"{pattern} numbers nothing")
    before, digits, after = (part or "" for part in match.groups())
    number = rf"\d{{{digits or 1},}}"
    start, end = (re.escape(part.replace("%%", "%")) for part in (before, after))
    return re.compile(f"{start}{number}{end}")


def holds_film(destination: Path, source: Path) -> bool:
    """Return whether a result with this suffix can hold a film; .png does for an animated PNG."""
    suffix = destination.suffix.lower()
    if suffix == ".png":
        return source.suffix.lower() == ".png" and source.is_file()
    return suffix in ANIMATION_SUFFIXES or suffix not in PHOTOGRAPH_SUFFIXES


def consists_of_images(destination: Path) -> bool:
    """Return whether a result is an animation or a folder of images, converted once complete."""
    return destination.suffix.lower() in ANIMATION_SUFFIXES or is_pattern(destination)


def codec_for(destination: Path, settings: EncodeSettings) -> str:
    """Return ffmpeg's name of the encoder for a result.

    Raises:
        MediaError: the suffix is unknown, or a codec is set for an animation or images.
    """
    if consists_of_images(destination):
        if settings.codec:
            raise MediaError(f"{destination}: an animation or a folder of images takes no codec")
        return "ffv1"
    suffix = destination.suffix.lower()
    if suffix not in _DEFAULT_CODECS:
        known = ", ".join([*_DEFAULT_CODECS, ".gif", ".apng", ".webp"])
        raise MediaError(
            f"{destination}: films cannot be written as {suffix or 'this'}; use one of {known}"
        )
    return _encoder_name(settings.codec) if settings.codec else _DEFAULT_CODECS[suffix]


def _encoder_name(codec: str) -> str:
    return _CODECS.get(codec.lower(), codec)


def codec_options(
    codec: str, settings: EncodeSettings, hdr10: HDR10 | None = None, alpha: bool = False
) -> list[str]:
    """Return ffmpeg's arguments for an encoder.

    hdr10: static HDR metadata for the stream; codecs that cannot hold it ignore it.
    alpha: whether the frames have an alpha channel.

    Raises:
        MediaError: the codec has no quality setting, or it is out of range.
    """
    options = ["-c:v", codec, "-threads", str(_THREADS), *_OPTIONS.get(codec, ())]
    if codec == "prores_ks":
        options += _PRORES_4444 if alpha else _PRORES_422
    if codec == "libvpx" and alpha:  # It refuses both at once.
        options += ["-auto-alt-ref", "0"]
    if hdr10 and codec in _HDR10:
        options = _with_hdr10(options, _HDR10[codec], hdr10)
    default, maximum = _CRF.get(codec, (None, 0 if codec in _OPTIONS else 63))
    crf = default if settings.crf is None else settings.crf
    if crf is None:
        return options
    if maximum == 0:
        raise MediaError(f"`crf={crf}`: {codec} has no quality setting; leave `crf` out")
    if not 0 <= crf <= maximum:
        raise MediaError(f"`crf={crf}`: must be between 0 and {maximum} for {codec}")
    return [*options, "-crf", str(crf)]


def _with_hdr10(options: list[str], names: tuple[str, str, str], hdr10: HDR10) -> list[str]:
    """Add HDR metadata to the parameters of an encoder. names: as in `_HDR10`."""
    option, display_name, light_name = names
    values = []
    if hdr10.mastering_display:
        values.append(f"{display_name}={hdr10.mastering_display}")
    if hdr10.light:
        values.append("{}={},{}".format(light_name, *hdr10.light))
    if not values:
        return options
    if option in options:
        at = options.index(option) + 1
        return [*options[:at], ":".join([options[at], *values]), *options[at + 1 :]]
    return [*options, option, ":".join(values)]


@dataclass(frozen=True)
class PixelLayout:
    """The properties of a pixel format.

    bits: the largest depth of a component. alpha: that of the alpha channel, 0 without one.
    columns, rows: width and height must be multiples of these.
    """

    name: str
    rgb: bool
    gray: bool
    bits: int
    columns: int
    rows: int
    alpha: int = 0

    @classmethod
    def of(cls, name: str) -> PixelLayout:
        """Look up a pixel format by ffmpeg's name.

        Raises:
            MediaError: ffmpeg does not know the name.
        """
        import av

        try:
            form = av.VideoFormat(name, 64, 64)
        except ValueError as error:
            raise MediaError(f"`pix_fmt={name}`: unknown pixel format") from error
        gray = name.startswith(("gray", "ya"))
        subsampled = not form.is_rgb and not gray
        return cls(
            name=name,
            rgb=form.is_rgb,
            gray=gray,
            bits=max(c.bits for c in form.components),
            columns=64 // form.chroma_width(64) if subsampled else 1,
            rows=64 // form.chroma_height(64) if subsampled else 1,
            alpha=next((c.bits for c in form.components if c.is_alpha), 0),
        )


def pixels_for(
    destination: Path, codec: str, settings: EncodeSettings, bits: int, alpha: bool = False
) -> PixelLayout:
    """Return the pixel format of a result, or of its segments, for a source of this bit depth.

    alpha: whether the source has an alpha channel, which is kept if the result can hold it.
    """
    if settings.pix_fmt:
        return PixelLayout.of(settings.pix_fmt)
    deep = bits > 8 or (is_pattern(destination) and destination.suffix.lower() in _DEEP_SUFFIXES)
    if consists_of_images(destination):
        return PixelLayout.of((_ALPHA_IMAGE_PIXELS if alpha else _IMAGE_PIXELS)[deep])
    suffix, formats = destination.suffix.lower(), _PIXELS.get(codec)
    if alpha and suffix in _MATROSKA_ALPHA.get(codec, (suffix,)):
        formats = _ALPHA_PIXELS.get(codec, formats)
    return PixelLayout.of(formats[deep] if formats else _offered(codec, deep, alpha))


def with_full_chroma(codec: str, pixels: PixelLayout) -> str | None:
    """Return the pixel format of a codec that takes any size, like another one but for chroma."""
    full = re.sub(r"4[12]\d", "444", pixels.name)
    return full if full in offered_formats(codec) else None


def offered_formats(codec: str) -> tuple[str, ...]:
    """Return the pixel formats that an encoder takes; none if it does not say so."""
    import av

    try:
        return tuple(form.name for form in av.Codec(codec, "w").video_formats or ())
    except ValueError:  # PyAV does not know it, but ffmpeg may.
        return encoder_formats(codec)


def _offered(codec: str, deep: bool, alpha: bool) -> str:
    """Return a pixel format for a codec that is not in `_PIXELS`: yuv420p, or the nearest one."""
    offered = []
    for name in offered_formats(codec):
        with contextlib.suppress(MediaError):  # PyAV does not know the format.
            offered.append(PixelLayout.of(name))
    layouts = [layout for layout in offered if layout.alpha] if alpha else []
    layouts = layouts or [layout for layout in offered if not layout.alpha] or offered
    names = [layout.name for layout in layouts]
    if not names or "yuv420p" in names:
        return "yuv420p"
    wanted = 16 if deep else 8
    nearest = min(layouts, key=lambda layout: (layout.gray, abs(layout.bits - wanted)))
    return nearest.name


def keeps_alpha(destination: Path, settings: EncodeSettings, bits: int) -> bool:
    """Return whether a result can hold the alpha channel of a source of this bit depth.

    Raises:
        MediaError: as `codec_for`.
    """
    codec = codec_for(destination, settings)
    suffix = destination.suffix.lower()
    is_held = suffix in _MATROSKA_ALPHA.get(codec, (suffix,))
    return is_held and pixels_for(destination, codec, settings, bits, alpha=True).alpha > 0


def result_color(source: ColorTags, info: FilmInfo, codec: str, pixels: PixelLayout) -> ColorTags:
    """Return a result's color tags: its source's, or those usual for its size."""
    if pixels.rgb or pixels.gray:  # Always of full range, but FFV1 rejects a tag that says so.
        return replace(source, matrix=None, full_range=codec in _FULL_RANGE)
    if codec in _JPEG:
        return replace(source, matrix="bt470bg", full_range=True)
    full_range = bool(source.full_range) and codec in _FULL_RANGE
    if source.matrix and is_usual(source.matrix):
        return replace(source, full_range=full_range)
    usual = default_matrix(info.width, info.height)
    return ColorTags(
        matrix=usual,
        primaries=source.primaries or usual,
        transfer=source.transfer or usual,
        full_range=full_range,
    )


def timescale(rate: Fraction) -> int:
    """Return ticks per second, at least 10,000, of which every frame lasts a whole number."""
    return rate.numerator * -(-10_000 // rate.numerator)
