"""What the frames of a film carry besides their pixels: HDR metadata, captions, transparency."""

from __future__ import annotations

import contextlib
import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oldfilm.media.contents import Contents, description
from oldfilm.media.iso_boxes import movie_index
from oldfilm.media.opening import opened
from oldfilm.media.packets import demuxed

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

CAPTIONS, TRANSPARENCY = "closed captions", "transparency (alpha channel)"

_DOLBY_VISION = "Dolby Vision metadata"
_DOLBY_CODECS, _DOLBY_RECORD = frozenset({"hevc", "av1"}), "DOVI configuration record"
"""The codecs that Dolby Vision uses, and ffmpeg's words for what a container states of it."""

_LAYERS, _SECOND_VIEW = b"lhvC", "second view of a spatial video (MV-HEVC)"
"""The box that describes further layers of H.265 (ISO 14496-15), and what they hold."""

_SIDE_DATA = {
    "AFD": "active format description (AFD)",
    "AMBIENT_VIEWING_ENVIRONMENT": "ambient viewing environment",
    "CONTENT_LIGHT_LEVEL": "content light level (HDR10)",
    "DOVI_METADATA": _DOLBY_VISION,
    "DOVI_RPU_BUFFER": _DOLBY_VISION,
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid metadata",
    "ICC_PROFILE": "color profile (ICC)",
    "MASTERING_DISPLAY_METADATA": "mastering display metadata (HDR10)",
    "SPHERICAL": "spherical projection",
    "STEREO3D": "stereoscopic 3D layout",
}
"""By PyAV's names. Other side data describe the coding, or are applied by the decoder."""

_STEREO = {
    (1, 0): "left_right",
    (1, 1): "right_left",
    (2, 0): "top_bottom",
    (2, 1): "bottom_top",
}
"""Layouts of two views, by type and flags of AVStereo3D, as the muxer of Matroska names them."""

_A53, _DVD_CAPTIONS = b"GA94\x03", b"CC\x01\xf8"
"""How caption data begin: ATSC A/53 Part 4, and those of DVDs."""

_SAME_ANGLE = 1.0
"""Degrees by which a rotation may differ from a quarter turn, and count as one, as in ffmpeg."""

_CAPTIONED = frozenset({"mpeg2video", "h264", "hevc"})
_SMALL = frozenset({"gif", "apng", "png", "webp", "webp_anim"})
"""Codecs whose frames decode to an alpha channel or a palette even if all are opaque."""

ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Codecs whose alpha channel ffmpeg's own decoders ignore, and the decoders that do not."""
_EXTRACTABLE = re.compile(r"(yuva4\d\dp|gbrap|ya|rgba|argb|bgra|abgr)(\d*(le|be))?|ya8")
"""Pixel formats whose alpha channel ffmpeg extracts as it is."""


@dataclass(frozen=True)
class HDR10:
    """Static HDR metadata, in the units of H.265's SEI messages (SMPTE ST 2086, CTA-861.3).

    primaries: x and y of red, green, blue and white, in steps of 0.00002. luminance: maximum and
    minimum of the mastering display, in steps of 0.0001 candelas per square meter. light: maximum
    content light level and maximum frame-average light level, in candelas per square meter.
    """

    primaries: tuple[int, ...] = ()
    luminance: tuple[int, int] | None = None
    light: tuple[int, int] | None = None

    @classmethod
    def of(cls, frame: VideoFrame, stream: VideoStream) -> HDR10 | None:
        """Read the metadata of a decoded frame of an open stream; None if it has none."""
        data = _side_data(frame, stream)
        primaries: tuple[int, ...] = ()
        luminance = light = None
        display = data.get("MASTERING_DISPLAY_METADATA", b"")
        if len(display) >= 88:  # AVMasteringDisplayMetadata: ten fractions and two flags.
            values = struct.unpack("22i", display[:88])
            fractions = [n / d if d else 0.0 for n, d in zip(values[:20:2], values[1:20:2])]
            if values[20]:
                primaries = tuple(round(50_000 * value) for value in fractions[:8])
            if values[21]:
                luminance = round(10_000 * fractions[9]), round(10_000 * fractions[8])
        if len(data.get("CONTENT_LIGHT_LEVEL", b"")) >= 8:
            light = struct.unpack("2I", data["CONTENT_LIGHT_LEVEL"][:8])
        found = cls(primaries, luminance, light)
        return None if found == cls() else found

    @property
    def mastering_display(self) -> str | None:
        """The mastering display as x264 and x265 take it, None if not all of it is known."""
        if not self.primaries or not self.luminance:
            return None
        red, green, blue, white = zip(self.primaries[::2], self.primaries[1::2])
        named = {"G": green, "B": blue, "R": red, "WP": white, "L": self.luminance}
        return "".join(f"{name}({a},{b})" for name, (a, b) in named.items())


def turned(frame: VideoFrame, stream: VideoStream) -> tuple[str, ...]:
    """Return a note if the display matrix turns frames by other than quarters of a turn.

    frame: a decoded frame of an open stream.
    """
    data = _side_data(frame, stream).get("DISPLAYMATRIX", b"")
    if len(data) < 36:
        return ()
    a, b, _, c, d, *_ = struct.unpack("9i", data[:36])
    # The scales and the sign are those of ffmpeg's av_display_rotation_get.
    angle = -math.degrees(math.atan2(b * math.hypot(a, c), a * math.hypot(b, d)))
    if abs(angle - 90 * round(angle / 90)) <= _SAME_ANGLE:
        return ()
    return (
        f"the display matrix of the file turns frames by {angle:.0f} degrees: they are turned so "
        "within their size, which cuts off the corners",
    )


def has_alpha(path: Path, stream: VideoStream, first: VideoFrame) -> bool:
    """Return whether a stream has an alpha channel; `first` is its first frame.

    Raises:
        MediaError: the file cannot be read.
    """
    codec = stream.codec_context.codec.canonical_name
    if codec in ALPHA_DECODERS:
        tags = {key.lower(): value for key, value in stream.metadata.items()}
        return tags.get("alpha_mode") == "1"
    form = first.format
    if not (any(component.is_alpha for component in form.components) or form.has_palette):
        return False
    if codec not in _SMALL:
        return not form.has_palette
    with _stream(path, stream.index) as (container, again):
        frames = _decoded(container, again)
        return any(bool((f.to_ndarray(format="rgba")[..., 3] < 255).any()) for f in frames)


def alpha_format(pixel_format: str) -> tuple[str, int]:
    """Return the pixel format to extract the alpha channel from, and its bits.

    pixel_format: as PyAV decodes a film that has an alpha channel.
    """
    import av

    form = av.VideoFormat(pixel_format)
    bits = next((c.bits for c in form.components if c.is_alpha), 0)
    if not bits:
        return ("rgba" if form.has_palette else "yuva420p"), 8
    if _EXTRACTABLE.fullmatch(pixel_format) and bits in (8, 10, 12, 14, 16):
        return pixel_format, bits
    return "rgba64le", 16


def with_picture(path: Path, contents: Contents) -> Contents:
    """Add to the contents of a file what the frames of its main video track carry.

    Reads the whole file if its codec can hold captions and it has none.

    Raises:
        MediaError: the file cannot be read.
    """
    if contents.video is None or contents.main is None:
        return contents
    names, tags = set(), dict(contents.tags)
    with _stream(path, contents.main) as (container, stream):
        frame = next(_decoded(container, stream), None)
        data = {} if frame is None else _side_data(frame, stream)
    if frame is not None:
        names = {_SIDE_DATA[name] for name in data if name in _SIDE_DATA}
        if _has_text(data.get("A53_CC", b"")):
            names.add(CAPTIONS)
        layout = _STEREO.get(struct.unpack("2i", data.get("STEREO3D", bytes(8))[:8]))
        if layout:
            tags["stereo_mode"] = layout
        # PyAV 12 to 13 do not give a frame's metadata.
        timecode = getattr(frame, "metadata", {}).get("timecode", "")
        if not contents.timecode and timecode.strip("0:;."):
            tags["timecode"] = timecode
        with _stream(path, contents.main) as (_, stream):
            if has_alpha(path, stream, frame):
                names.add(TRANSPARENCY)
        if contents.video.codec in _DOLBY_CODECS and frame.format.components[0].bits > 8:
            # Streams may state a profile without metadata in their frames.
            names |= {_DOLBY_VISION for line in description(path) if _DOLBY_RECORD in line}
    if contents.video.codec == "hevc" and _LAYERS in movie_index(path):
        names.add(_SECOND_VIEW)
    if contents.video.codec in _CAPTIONED and CAPTIONS not in names:
        with _stream(path, contents.main) as (container, stream):
            if _has_captions(container, stream):
                names.add(CAPTIONS)
    return replace(contents, picture=frozenset(names), tags=tags)


@contextmanager
def _stream(path: Path, index: int) -> Iterator[tuple[InputContainer, VideoStream]]:
    with opened(path) as container:
        yield container, next(s for s in container.streams.video if s.index == index)


def _side_data(frame: VideoFrame, stream: VideoStream) -> dict[str, bytes]:
    """Return the side data of a frame and of its stream, by PyAV's names of their types."""
    # Since PyAV 19, iterating yields types, and the first frame may lack what its stream has.
    try:
        of_frame: Any = frame.side_data
    except ValueError:  # It holds a type that PyAV does not know, such as EXIF data.
        of_frame = ()
    of_stream = getattr(stream.codec_context, "decoded_side_data", {})
    every = [of_frame[i] for i in range(len(of_frame))]
    found = {kind.name: bytes(data) for kind, data in of_stream.items()}
    return {**found, **{data.type.name: bytes(data) for data in every}}


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield the frames of a stream up to the first damage."""
    import av

    with contextlib.suppress(av.error.FFmpegError):
        yield from container.decode(stream)


def _has_captions(container: InputContainer, stream: VideoStream) -> bool:
    import av

    try:
        return any(_captions_in(bytes(packet)) for packet in demuxed(container, [stream]))
    except av.error.FFmpegError:
        return False  # The file is damaged from here on.


def _captions_in(data: bytes) -> bool:
    """Return whether a packet holds captions, and not only their padding."""
    if _DVD_CAPTIONS in data:
        return True
    start = data.find(_A53)
    if start < 0:
        return False
    start += len(_A53)
    count = data[start] & 0x1F if start < len(data) else 0
    return _has_text(data[start + 2 : start + 2 + 3 * count])


def _has_text(triplets: bytes) -> bool:
    """Return whether captions are more than padding: three bytes each, flags and two characters."""
    return any(
        flags & 4 and (a & 0x7F or b & 0x7F)
        for flags, a, b in zip(triplets[::3], triplets[1::3], triplets[2::3])
    )
