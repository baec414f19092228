"""Writes frames: which codec for which result, and an encoder that is known to work beforehand."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import numpy as np

from oldfilm.errors import MediaError, from_os
from oldfilm.media.color_conversion import default_matrix, from_rgb
from oldfilm.media.ffmpeg import Child, run, url
from oldfilm.media.film import ColorTags
from oldfilm.stage import FilmInfo

FRAMES_PATTERN = "%08d.png"
"""The name of a destination that is a folder of numbered pictures: `folder/%08d.png`."""

_CODECS = {
    "h264": "libx264",
    "avc": "libx264",
    "x264": "libx264",
    "h265": "libx265",
    "hevc": "libx265",
    "x265": "libx265",
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
_SUFFIXES = {"ffv1": ".mkv", "prores_ks": ".mov", "libvpx-vp9": ".webm"}
_THREADS = 6
"""A constant, because x264, x265 and VP9 divide their work by it, and that shows in the frames."""

_OPTIONS = {
    "libx264": ("-preset", "medium"),
    "libx265": (
        *("-preset", "medium", "-tag:v", "hvc1"),
        *("-x265-params", f"log-level=error:pools={_THREADS}"),
    ),
    "libvpx-vp9": ("-b:v", "0", "-row-mt", "1", "-cpu-used", "2"),
    "libsvtav1": ("-preset", "6"),
    "prores_ks": ("-profile:v", "3", "-vendor", "apl0"),
    "ffv1": ("-level", "3", "-slicecrc", "1", "-g", "1"),
}
_CRF = {"libx264": (17, 51), "libx265": (19, 51), "libvpx-vp9": (22, 63), "libsvtav1": (22, 63)}
"""Our choice of the quality, and the worst there is."""

# 8 bit, more bits
_PIXELS = {
    "libx264": ("yuv420p", "yuv420p10le"),
    "libx265": ("yuv420p", "yuv420p10le"),
    "libvpx-vp9": ("yuv420p", "yuv420p10le"),
    "libsvtav1": ("yuv420p", "yuv420p10le"),
    "prores_ks": ("yuv422p10le", "yuv422p10le"),
    "ffv1": ("yuv444p10le", "yuv444p16le"),
}
_FULL_RANGE = ("libx264", "libx265", "libvpx-vp9", "libsvtav1")
"""What can say that its code values are of full range; YUV of all others is of limited range."""

_PICTURE_PIXELS = ("bgr0", "rgb48le")
"""What a GIF or a folder of pictures is kept in until all frames are there."""


@dataclass(frozen=True)
class EncodeSettings:
    """What the user asked for; None: what suits the result.

    codec: a usual name (h264, h265, vp9, av1, prores, ffv1) or one of ffmpeg's. crf: quality, lower
    is better. pix_fmt: ffmpeg's name of a pixel format.
    """

    codec: str | None = None
    crf: int | None = None
    pix_fmt: str | None = None


def default_suffix(settings: EncodeSettings) -> str:
    """The suffix of a result whose name was left to us."""
    return _SUFFIXES.get(_codec_name(settings.codec or "h264"), ".mp4")


def segment_suffix(destination: Path, settings: EncodeSettings) -> str:
    """The suffix of the segments of a result: a container that joins with exact time stamps."""
    # mov holds most codecs, but not VP9 and AV1, and it forgets the range of the code values.
    return ".mp4" if _codec(destination, settings) in _FULL_RANGE else ".mov"


def is_pictures(destination: Path) -> bool:
    """Whether a result is made of pictures (GIF, folder of PNG): converted when all are there."""
    return destination.suffix.lower() == ".gif" or destination.name == FRAMES_PATTERN


def _codec_name(name: str) -> str:
    return _CODECS.get(name.lower(), name)


def _codec(destination: Path, settings: EncodeSettings) -> str:
    if is_pictures(destination):
        if settings.codec:
            raise MediaError(f"{destination}: a codec has no meaning for GIF and pictures")
        return "ffv1"
    suffix = destination.suffix.lower()
    if suffix not in _DEFAULT_CODECS:
        known = ", ".join([*_DEFAULT_CODECS, ".gif"])
        raise MediaError(f"{destination}: a film cannot be written as {suffix}; known are {known}")
    return _codec_name(settings.codec) if settings.codec else _DEFAULT_CODECS[suffix]


@dataclass(frozen=True)
class PixelLayout:
    """What a pixel format holds. columns, rows: what width and height must be multiples of."""

    name: str
    rgb: bool
    gray: bool
    bits: int
    columns: int
    rows: int

    @classmethod
    def of(cls, name: str) -> PixelLayout:
        """Raises MediaError where ffmpeg knows no such format."""
        import av

        try:
            form = av.VideoFormat(name, 64, 64)
        except ValueError as error:
            raise MediaError(f"there is no pixel format called {name}") from error
        gray = name.startswith("gray")
        subsampled = not form.is_rgb and not gray
        return cls(
            name=name,
            rgb=form.is_rgb,
            gray=gray,
            bits=max(c.bits for c in form.components),
            columns=64 // form.chroma_width(64) if subsampled else 1,
            rows=64 // form.chroma_height(64) if subsampled else 1,
        )


def result_color(source: ColorTags, info: FilmInfo, codec: str, pixels: PixelLayout) -> ColorTags:
    """How a result is tagged: as its source where that is tagged, else as its size suggests."""
    if pixels.rgb or pixels.gray:  # of full range by nature, but FFV1 refuses a tag that says so
        return replace(source, matrix=None, full_range=codec in _FULL_RANGE)
    full_range = bool(source.full_range) and codec in _FULL_RANGE
    if source.matrix:
        return replace(source, full_range=full_range)
    usual = default_matrix(info.width, info.height)
    return ColorTags(
        matrix=usual,
        primaries=source.primaries or usual,
        transfer=source.transfer or usual,
        full_range=full_range,
    )


class Encoder:
    """A context manager that writes frames of one size to one file, all or nothing.

    path: the file; it is there when the encoder has been closed without an error. info: size, rate
    and sample aspect of the result. color: the source's tags. bits: the source's, of each sample;
    more than 8 are kept where the codec can. destination: the result that the file is a segment of,
    whose suffix decides the codec; None where it is `path` itself.
    padded: (columns, rows) repeated at the right and the bottom, because the pixel format takes
    even sizes only.

    Entering it checks first that the options work: see `check`.
    """

    def __init__(
        self,
        path: Path,
        info: FilmInfo,
        settings: EncodeSettings = EncodeSettings(),  # noqa: B008 (frozen)
        *,
        color: ColorTags = ColorTags(),  # noqa: B008 (frozen)
        bits: int = 8,
        destination: Path | None = None,
    ) -> None:
        self.path = Path(path)
        self._info = info
        destination = Path(destination or path)
        codec = _codec(destination, settings)
        deep = bits > 8
        choice = _PICTURE_PIXELS if is_pictures(destination) else _PIXELS.get(codec)
        name = settings.pix_fmt or (choice[deep] if choice else "yuv420p")
        self._pixels = PixelLayout.of(name)
        self.color = result_color(color, info, codec, self._pixels)
        self.padded = (-info.width % self._pixels.columns, -info.height % self._pixels.rows)
        self._depth = np.dtype(np.uint8 if self._pixels.rgb and self._pixels.bits == 8 else "<u2")
        self._options = _codec_options(codec, settings)
        self._containers = {self.path.suffix}
        if not is_pictures(destination):
            self._containers.add(destination.suffix)
        self._unfinished = self.path.with_name(f".{self.path.stem}.part{self.path.suffix}")
        self._failed = f"{self.path}: cannot be written"
        self._child: Child | None = None  # while the encoder is open

    def check(self) -> None:
        """Encode one black frame into the kinds of file that are wanted, and throw it away.

        Raises:
            MediaError: the codec, pixel format, quality and container do not work together.
        """
        for suffix in self._containers:
            try:
                _try(tuple(self._arguments(frames=1)), suffix, self._frame_bytes, self.path.parent)
            except OSError as error:
                raise from_os(self._failed, error) from error

    def __enter__(self) -> Encoder:
        self.check()
        arguments = [*self._arguments(), *_exact_ticks(self._info.rate, self.path.suffix)]
        self._child = Child(
            ["-loglevel", "error", "-y", *arguments, url(self._unfinished)], stdin=subprocess.PIPE
        )
        return self

    @property
    def _size(self) -> tuple[int, int]:
        return self._info.width + self.padded[0], self._info.height + self.padded[1]

    @property
    def _frame_bytes(self) -> int:
        return self._size[0] * self._size[1] * self._info.channels * self._depth.itemsize

    def _arguments(self, frames: int | None = None) -> list[str]:
        """Everything but the file itself."""
        raw = {
            (1, 1): "gray",
            (1, 2): "gray16le",
            (3, 1): "rgb24",
            (3, 2): "rgb48le",
        }[self._info.channels, self._depth.itemsize]
        limit = [] if frames is None else ["-frames:v", str(frames)]
        return [
            *("-f", "rawvideo", "-pixel_format", raw),
            *("-video_size", "{}x{}".format(*self._size), "-framerate", str(self._info.rate)),
            *("-i", "pipe:0", *limit, "-vf", self._conversion()),
            # With the plus sign, a codec that cannot take this format fails: it would take another.
            *("-pix_fmt", f"+{self._pixels.name}", *self._options),
        ]

    def _conversion(self) -> str:
        color, aspect = self.color, self._info.sample_aspect
        tags = {
            "color_primaries": color.primaries,
            "color_trc": color.transfer,
            "colorspace": color.matrix,
            "range": "pc" if color.full_range else "tv",
            "field_mode": "prog",
        }
        known = ":".join(f"{key}={value}" for key, value in tags.items() if value)
        pixels = f"scale=flags=accurate_rnd,format={self._pixels.name}"
        if color.matrix:
            pixels = from_rgb(color.matrix, bool(color.full_range), self._pixels.name)
        return f"{pixels},setsar={aspect.numerator}/{aspect.denominator},setparams={known}"

    def write(self, image: np.ndarray) -> None:
        """Encode the next frame: float32 [h, w, 3] RGB, or [h, w, 1] luma, in [0, 1]."""
        info = self._info
        if image.shape != (info.height, info.width, info.channels):
            raise ValueError(
                f"the frame is {image.shape}, the film {(info.height, info.width, info.channels)}"
            )
        top = np.iinfo(self._depth).max
        codes = np.rint(np.clip(image, 0, 1) * np.float32(top)).astype(self._depth)
        columns, rows = self.padded
        if columns or rows:
            codes = np.pad(codes, ((0, rows), (0, columns), (0, 0)), mode="edge")
        if self._child is None:
            raise ValueError("the encoder is not open")
        try:
            self._child.stdin.write(np.ascontiguousarray(codes).data)
        except OSError as error:  # it has ended: its own words say why
            self._child.wait(self._failed)
            raise MediaError(f"{self._failed}: {self._child.complaint()}") from error

    def close(self) -> None:
        """Finish the file and give it its name."""
        child, self._child = self._child, None
        if child is None:
            return
        with child:
            with contextlib.suppress(OSError):  # its exit status and its words follow
                child.stdin.close()
            if child.wait(self._failed):
                raise MediaError(f"{self._failed}: {child.complaint()}")
        try:
            self._unfinished.replace(self.path)
        except OSError as error:
            raise from_os(self._failed, error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            if self._child:
                self._child.__exit__(kind, error, trace)
            self._unfinished.unlink(missing_ok=True)


def _codec_options(codec: str, settings: EncodeSettings) -> list[str]:
    options = ["-c:v", codec, "-threads", str(_THREADS), *_OPTIONS.get(codec, ())]
    usual, worst = _CRF.get(codec, (None, 0 if codec in _OPTIONS else 63))
    crf = usual if settings.crf is None else settings.crf
    if crf is None:
        return options
    if worst == 0:
        raise MediaError(f"{codec} has no quality setting: leave crf out")
    if not 0 <= crf <= worst:
        raise MediaError(f"a crf of {crf} is not possible with {codec}: it goes from 0 to {worst}")
    return [*options, "-crf", str(crf)]


def _exact_ticks(rate: Fraction, suffix: str) -> list[str]:
    """Time stamps in whole ticks, where a container lets us choose what a tick is."""
    if suffix.lower() not in (".mp4", ".m4v", ".mov"):
        return []
    return ["-video_track_timescale", str(timescale(rate))]


def timescale(rate: Fraction) -> int:
    """Ticks a second of which every frame of a film takes a whole number; at least 10 000."""
    return rate.numerator * -(-10_000 // rate.numerator)


@lru_cache(maxsize=8)
def _try(arguments: tuple[str, ...], suffix: str, frame_bytes: int, beside: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".oldfilm-", dir=beside) as folder:
        run(
            [*arguments, url(Path(folder) / f"trial{suffix}")],
            "these encoding options do not work together",
            bytes(frame_bytes),
        )
