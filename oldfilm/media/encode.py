"""Encode frames with ffmpeg, with options that are checked beforehand."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import numpy as np

from oldfilm.errors import MachineError, MediaError, from_os
from oldfilm.media.codecs import (
    EncodeSettings,
    codec_for,
    codec_options,
    consists_of_images,
    keeps_alpha,
    pixels_for,
    result_color,
    timescale,
    with_full_chroma,
)
from oldfilm.media.color_conversion import from_rgb
from oldfilm.media.encoder_refusals import COMPLAINT, in_own_words
from oldfilm.media.ffmpeg import FFmpeg, run, url
from oldfilm.media.film import ColorTags
from oldfilm.media.opening import opened
from oldfilm.media.picture import HDR10
from oldfilm.stage import FilmInfo
from oldfilm.system.files import replacing

_RAW_FORMATS = {
    **{(1, 1): "gray", (1, 2): "gray16le", (3, 1): "rgb24", (3, 2): "rgb48le"},
    **{(4, 1): "rgba", (4, 2): "rgba64le"},
}
"""The pixel formats of the frames piped to ffmpeg, by channels and bytes per sample."""


_WRONG = 24
"""By how many code values of 8 bits a ramp differs, on average, that does not come back right."""


class Encoder:
    """Writes frames of one size to a file; a context manager.

    The file appears when the context ends without an exception. Entering it runs `check` first.

    color: the tags of the result. alpha: whether it has an alpha channel. padded: (columns, rows)
    repeated at the right and bottom edges, for pixel formats that take even sizes only.
    """

    def __init__(
        self,
        path: Path,
        info: FilmInfo,
        settings: EncodeSettings = EncodeSettings(),  # noqa: B008 (frozen)
        *,
        color: ColorTags = ColorTags(),  # noqa: B008 (frozen)
        bits: int = 8,
        hdr10: HDR10 | None = None,
        alpha: bool = False,
        destination: Path | None = None,
    ) -> None:
        """Choose the format of a file.

        path: the file to write. info: size, rate and sample aspect of the frames. color: the
        source's tags. bits: the source's bit depth; more than 8 are kept if the codec can.
        hdr10: static HDR metadata to store, if the codec can. alpha: whether to store an alpha
        channel, if the codec can.
        destination: the result of which the file is a segment; its suffix selects the codec.

        Raises:
            MediaError: a setting is invalid, or the suffix unknown.
        """
        self.path = Path(path)
        self._info = info
        destination = Path(destination or path)
        self._codec = codec = codec_for(destination, settings)
        self.alpha = alpha and keeps_alpha(destination, settings, bits)
        self._pixels = pixels_for(destination, codec, settings, bits, self.alpha)
        self._channels = 4 if self.alpha else info.channels
        self.color = result_color(color, info, codec, self._pixels)
        self.padded = (-info.width % self._pixels.columns, -info.height % self._pixels.rows)
        self._depth = np.dtype(np.uint8 if self._pixels.rgb and self._pixels.bits == 8 else "<u2")
        self._options = codec_options(codec, settings, hdr10, self.alpha)
        self._containers, self._suffix = {self.path.suffix}, destination.suffix
        if not consists_of_images(destination):
            self._containers.add(destination.suffix)
        self._failed = f"{self.path}: cannot be written"
        self._context: AbstractContextManager[FFmpeg] | None = None
        self._child: FFmpeg | None = None

    def check(self) -> None:
        """Encode one frame into the required containers, read it back, and discard it.

        Raises:
            MediaError: codec, pixel format, size, rate, quality and container do not work together.
        """
        deep = self._depth.itemsize == 2
        for suffix in sorted(self._containers):
            try:
                _try(tuple(self._arguments(frames=1)), suffix, self._shape, deep, self.path.parent)
            except OSError as error:
                raise from_os(self._failed, error) from error
            except MachineError:
                raise
            except MediaError as error:
                chosen = self._codec, self._pixels.name, self._suffix
                raise MediaError(in_own_words(str(error), *chosen, self._info)) from error

    def __enter__(self) -> Encoder:
        self.check()
        self._context = self._encoding()
        try:
            self._child = self._context.__enter__()
        except OSError as error:
            raise from_os(self._failed, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        context, self._context, self._child = self._context, None, None
        if context:
            try:
                context.__exit__(kind, error, trace)  # Re-raises nothing that the body raised.
            except OSError as failure:
                raise from_os(self._failed, failure) from failure

    @contextlib.contextmanager
    def _encoding(self) -> Iterator[FFmpeg]:
        arguments = [*self._arguments(), *_exact_ticks(self._info.rate, self.path.suffix)]
        with replacing(self.path) as unfinished:
            command = ["-loglevel", "error", "-y", *arguments, url(unfinished)]
            with FFmpeg(command, stdin=subprocess.PIPE) as child:
                yield child
                with contextlib.suppress(OSError):  # Its exit status and messages follow.
                    child.stdin.close()
                if child.finish(self._failed):
                    raise MediaError(f"{self._failed}: {child.complaint()}")

    @property
    def padding(self) -> str | None:
        """A sentence for the user if the result is larger than the frames, else None."""
        if not any(self.padded):
            return None
        size = "{}x{}".format(*self._size)
        full = with_full_chroma(self._codec, self._pixels)
        advice = f"; `pix_fmt={full}` takes any size" if full else ""
        return (
            f"the result is {size}, not {self._info.width}x{self._info.height}, because "
            f"{self._pixels.name} takes multiples of {self._pixels.columns}x{self._pixels.rows} "
            f"only: the last pixels were repeated at the right and the bottom{advice}"
        )

    @property
    def _size(self) -> tuple[int, int]:
        return self._info.width + self.padded[0], self._info.height + self.padded[1]

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self._size[1], self._size[0], self._channels

    def _arguments(self, frames: int | None = None) -> list[str]:
        """Return all arguments but the file. frames: the number to encode."""
        raw = _RAW_FORMATS[self._channels, self._depth.itemsize]
        limit = [] if frames is None else ["-frames:v", str(frames)]
        return [
            *("-f", "rawvideo", "-pixel_format", raw),
            *("-video_size", "{}x{}".format(*self._size), "-framerate", str(self._info.rate)),
            *("-i", "pipe:0", *limit, "-vf", self._conversion()),
            # Without the plus sign, ffmpeg replaces a format that the codec does not support.
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
            pixels = from_rgb(color.matrix, bool(color.full_range), self._pixels.name, self.alpha)
        return f"{pixels},setsar={aspect.numerator}/{aspect.denominator},setparams={known}"

    def write(self, image: np.ndarray, alpha: np.ndarray | None = None) -> None:
        """Encode the next frame: float32 [h, w, 3] RGB, or [h, w, 1] luma, in [0, 1].

        alpha: float32 [h, w] in [0, 1], if `self.alpha`.

        Raises:
            MediaError: ffmpeg failed.
            ValueError: the image has the wrong shape, or the encoder is not open.
        """
        info = self._info
        if image.shape != (info.height, info.width, info.channels):
            raise ValueError(
                f"the frame is {image.shape}, the film {(info.height, info.width, info.channels)}"
            )
        top = np.iinfo(self._depth).max
        codes = np.rint(np.clip(image, 0, 1) * np.float32(top)).astype(self._depth)
        if self.alpha:
            codes = self._with_alpha(codes, alpha)
        columns, rows = self.padded
        if columns or rows:
            codes = np.pad(codes, ((0, rows), (0, columns), (0, 0)), mode="edge")
        if self._child is None:
            raise ValueError("the encoder is not open")
        try:
            self._child.stdin.write(np.ascontiguousarray(codes).data)
        except OSError as error:  # It has ended; its messages say why.
            self._child.finish(self._failed)
            raise MediaError(f"{self._failed}: {self._child.complaint()}") from error

    def _with_alpha(self, codes: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
        """Return RGB with alpha, whose codes ffmpeg reduces to the bits of the result exactly."""
        bits = self._pixels.alpha
        opacity = np.ones(codes.shape[:2], np.float32) if alpha is None else np.clip(alpha, 0, 1)
        steps = np.rint(opacity * np.float32(2**bits - 1)).astype(self._depth)
        steps <<= 8 * self._depth.itemsize - bits
        rgb = np.repeat(codes, 3, axis=2) if codes.shape[2] == 1 else codes
        return np.concatenate([rgb, steps[..., None]], axis=2)


def _exact_ticks(rate: Fraction, suffix: str) -> list[str]:
    """Return options for exact ticks and all color tags, if the container needs them.

    Without `write_colr`, MOV drops a matrix that comes without primaries and transfer.
    """
    if suffix.lower() not in (".mp4", ".m4v", ".mov"):
        return []
    return ["-video_track_timescale", str(timescale(rate)), "-movflags", "+write_colr"]


@lru_cache(maxsize=8)
def _try(
    arguments: tuple[str, ...], suffix: str, shape: tuple[int, int, int], deep: bool, parent: Path
) -> None:
    """Encode a gray ramp and read it back. shape: (height, width, channels)."""
    ramp = np.linspace(0, 1, shape[1])[None, :, None] * np.ones(shape)
    if shape[2] == 4:
        ramp[..., 3] = 1
    codes = np.rint(ramp * 65535).astype("<u2") if deep else np.rint(ramp * 255).astype(np.uint8)
    with tempfile.TemporaryDirectory(prefix=".oldfilm-", dir=parent) as folder:
        trial = Path(folder) / f"trial{suffix}"
        run([*arguments, url(trial)], COMPLAINT, codes.tobytes())
        with opened(trial) as container:  # Some containers store what nobody can read.
            frame = next(container.decode(video=0), None)
            found = None if frame is None else frame.to_ndarray(format="gray")
    shown = ramp[..., 0] * 255
    if found is None or found.shape != shown.shape or np.abs(found - shown).mean() > _WRONG:
        raise MediaError(f"{COMPLAINT}: the result cannot be read")
