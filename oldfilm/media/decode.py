"""Decode films with ffmpeg, at full precision, with every frame at its exact time."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BufferedReader
from typing import TYPE_CHECKING

import cv2
import numpy as np

from oldfilm.errors import MediaError
from oldfilm.imaging.resample import resize
from oldfilm.media.animation import AnimationFrames
from oldfilm.media.color_conversion import default_matrix, exact_codes, to_rgb
from oldfilm.media.deinterlacer import CYCLE, KEPT
from oldfilm.media.ffmpeg import NUT, FFmpeg, open_nut, seconds
from oldfilm.media.film import Film, FrameTimes
from oldfilm.media.image_sequence import read_alpha, read_frame
from oldfilm.media.picture import ALPHA_DECODERS, alpha_format
from oldfilm.media.restamp import PictureInput
from oldfilm.stage import Frame

if TYPE_CHECKING:
    from av.packet import Packet

_START = 2**40
"""Tick of the first frame's time stamp on the pipe; a smaller number counts frames."""

_RECONFIGURED = re.compile(r"Reconfiguring filter graph because video parameters .*\b(\d+x\d+)\b")
_COMPLAINTS = ("[error]", "[fatal]", "corrupt decoded frame")
_Images = Generator[tuple[int, np.ndarray], None, None]
"""Frame numbers and images."""
_Decoded = Generator[tuple[Fraction | None, np.ndarray], None, None]
"""Time stamps, in ticks of the film, and images."""

SKIPPED_PIXELS = 4 << 20
"""Skipping this many pixels takes about as long as starting another decoder."""

_REORDERED = 16
"""How many frames a codec may hold back to reorder them (H.264 and H.265: at most 16)."""


def decode(
    film: Film,
    start: int = 0,
    stop: int | None = None,
    *,
    width: int | None = None,
    height: int | None = None,
    dtype: type = np.float32,
    on_damage: Callable[[str], None] | None = None,
    on_resize: Callable[[str], None] | None = None,
    on_loss: Callable[[str, str], None] | None = None,
) -> Generator[Frame, None, None]:
    """Yield the frames from `start` up to, but not including, `stop` (None: to the end).

    Frame i is the one on screen at the time i / film.rate. Frames that are missing from a damaged
    film, or held at a variable rate, are repeated. A truncated film ends early, without an error.

    width, height: size to scale the frames to; the film's own by default.
    dtype: np.float32 for images in [0, 1], np.uint8 for [0, 255]. Images are [h, w, 3] RGB, or
    [h, w, 1] luma if `film.gray`.
    on_damage: called with a description of each kind of damage that the decoder reports.
    on_resize: called at the end with each size, such as "640x480", that the video changes to.
    on_loss: called with the name of a frame of a folder, and with what it has and the film lacks.

    Raises:
        MediaError: not a single frame can be decoded.
    """
    size = (width or film.width, height or film.height)
    if stop is not None and start >= stop:
        return
    if film.numbered:
        images = _folder_images(film, start, stop, size, dtype, on_damage, on_loss)
    elif film.animation:
        images = _placed(_Animation(film, size, dtype), start, stop)
    else:
        depth = np.dtype(np.uint8 if dtype == np.uint8 else "<u2")
        images = _placed(_Decoder(film, size, depth, on_damage, on_resize), start, stop)
    with contextlib.closing(images):
        for index, image in images:
            yield Frame(image, index / film.rate)


def frames_at(film: Film, numbers: Sequence[int]) -> Generator[Frame, None, None]:
    """Yield single frames, as `decode` does.

    numbers: of the frames, in ascending order; a number may occur twice. Frames that do not exist
    are left out. Those that are close to each other are decoded in one run.

    Raises:
        MediaError: not a single frame can be decoded.
    """
    reach = SKIPPED_PIXELS // (film.width * film.height)
    later = [b - a > max(1, reach) for a, b in zip(numbers, numbers[1:])]
    starts = [0, *(i for i, far in enumerate(later, 1) if far), len(numbers)]
    for run in (numbers[a:b] for a, b in zip(starts, starts[1:]) if a < b):
        with contextlib.closing(decode(film, run[0], run[-1] + 1)) as decoded:
            for number, frame in enumerate(decoded, run[0]):
                yield from itertools.repeat(frame, run.count(number))


def decode_alpha(
    film: Film, start: int = 0, stop: int | None = None
) -> Generator[Frame, None, None]:
    """Yield the alpha channel of the frames that `decode` yields, as images [h, w] in [0, 1].

    Raises:
        MediaError: not a single frame can be decoded.
    """
    with contextlib.closing(_alpha_images(film, start, stop)) as images:
        for index, image in images:
            yield Frame(image, index / film.rate)


def _alpha_images(film: Film, start: int, stop: int | None) -> _Images:
    size = (film.width, film.height)
    if film.numbered:
        for index in range(start, film.frames if stop is None else min(stop, film.frames)):
            yield index, read_alpha(film, index)
    elif film.animation:
        yield from _placed(_Animation(film, size, np.float32, alpha=True), start, stop)
    else:
        _, bits = alpha_format(film.pixel_format)
        depth, top = (np.uint8, 1) if bits <= 8 else ("<u2", 65535)
        plane = _AlphaDecoder(replace(film, gray=True), size, np.dtype(depth))
        with contextlib.closing(_placed(plane, start, stop)) as images:
            for index, image in images:
                yield index, image[..., 0] * np.float32(top / (2**bits - 1))


def _folder_images(
    film: Film,
    start: int,
    stop: int | None,
    size: tuple[int, int],
    dtype: type,
    on_damage: Callable[[str], None] | None,
    on_loss: Callable[[str, str], None] | None,
) -> _Images:
    """Yield the images of a folder."""
    for index in range(start, film.frames if stop is None else min(stop, film.frames)):
        image = read_frame(film, index, on_damage, on_loss)
        image = resize(image, size, cv2.INTER_AREA)
        yield index, image if dtype == np.float32 else np.rint(image * 255).astype(dtype)


@dataclass(frozen=True)
class _Animation:
    """Decodes an animation that ffmpeg does not read, from its beginning.

    alpha: whether images are its alpha channel, [h, w].
    """

    film: Film
    size: tuple[int, int]
    dtype: type
    alpha: bool = False

    def images(self, start: int) -> _Images:
        """Yield all images with their frame numbers."""
        times, rate = self.film.times, self.film.rate
        if times is None:
            return
        for time, _, codes in AnimationFrames(self.film.path):
            image = codes[..., 3] if self.alpha else codes[..., :3]
            if self.dtype == np.float32:
                image = image / np.float32(255)
            yield times.slot(time, rate), resize(np.ascontiguousarray(image), self.size)


def _placed(decoder: _Decoder | _Animation, start: int, stop: int | None) -> _Images:
    """Yield exactly one image per frame number: the last that is due by then."""
    film = decoder.film
    known_end = sys.maxsize if film.times is None else film.frames
    stop = known_end if stop is None else min(stop, known_end)
    due, index, held = start, start, None
    with contextlib.closing(decoder.images(start)) as decoded:
        for index, image in decoded:
            # The first decodable frame replaces any damaged ones before it.
            shown = image if held is None else held
            while due < min(index, stop):
                yield due, shown
                due += 1
            if due >= stop:
                return
            held = image
    # The last frame of a film of variable rate may stay on screen for several frame numbers.
    while held is not None and due < (stop if film.variable_rate else min(index + 1, stop)):
        yield due, held
        due += 1


@dataclass(frozen=True)
class _Decoder:
    """Decodes a video file with ffmpeg.

    size: (width, height) of the images. depth: uint8, or uint16 for float32 images.
    """

    film: Film
    size: tuple[int, int]
    depth: np.dtype
    on_damage: Callable[[str], None] | None = None
    on_resize: Callable[[str], None] | None = None

    def images(self, start: int) -> _Images:
        """Yield images with their frame numbers, beginning at or before frame `start`.

        A seek counts only if the first decoded frame is due by `start`; otherwise the film is
        decoded from its beginning.
        """
        if self.film.times is None:
            yield from self._counted(start)
        elif self.film.deinterlacer and self.film.deinterlacer.telecine:
            yield from self._in_cycles(self.film.times, start)
        else:
            yield from self._timed(self.film.times, start)

    def _counted(self, start: int) -> _Images:
        """Yield the images of a film without time stamps, decoded from its beginning."""
        cut = f"trim=start_frame={start}," if start else ""
        filters = f"{self._deinterlacing()}{cut}"
        with contextlib.closing(self._run(None, filters, whole=not cut)) as decoded:
            for index, (_, image) in enumerate(decoded, start):
                yield index, image

    def _timed(self, times: FrameTimes, start: int) -> _Images:
        """Yield the images of a film with time stamps, decoded from a key frame before `start`."""
        film = self.film
        filters = self._deinterlacing()
        # bwdif needs the frame before, so its first output is discarded. Two frames lead, since a
        # packet may hold a single field.
        entry = _entry(times, film.rate, start, lead=2 if film.deinterlacer else 0)
        if entry:
            key, cut = entry
            run = self._run(key, f"{cut},{filters}", whole=False)
            with contextlib.closing(self._numbered(times, run)) as decoded:
                discarded = int(film.deinterlacer.rate_factor) if film.deinterlacer else 0
                first = next(itertools.islice(decoded, discarded, None), None)
                if first and first[0] <= start:
                    yield first
                    yield from decoded
                    return
        yield from self._numbered(times, self._run(None, filters))

    def _numbered(self, times: FrameTimes, decoded: _Decoded) -> _Images:
        """Yield images with the frame numbers that follow from their time stamps."""
        index, rate = -1, self.film.rate
        with contextlib.closing(decoded):
            for stamp, image in decoded:
                index = index + 1 if stamp is None else times.slot(stamp, rate)
                yield index, image

    def _in_cycles(self, times: FrameTimes, start: int) -> _Images:
        """Yield the images of a telecined film, decoded from the cycle before that of `start`.

        Which frame of a cycle is dropped depends on the cycle and on the last frame before it.
        """
        cycle, rate = max(0, start // KEPT - 1), self.film.stored_rate
        entry = _entry(times, rate, cycle * CYCLE)
        if entry and self._begins_by(times, cycle * CYCLE, entry[0]):
            key, first = entry[0], (cycle + 1) * KEPT
        else:
            key, cycle, first = None, 0, 0
        run = self._run(key, self._cycles_from(times, cycle), whole=key is None)
        with contextlib.closing(run) as decoded:
            for index, (_, image) in enumerate(decoded, cycle * KEPT):
                if index >= first:
                    yield index, image

    def _begins_by(self, times: FrameTimes, frame: int, key: Fraction) -> bool:
        """Return whether decoding from a key frame begins with a stored frame or before it."""
        with contextlib.closing(self._run(key, "", whole=False)) as decoded:
            stamp = next(decoded, (None,))[0]
        return stamp is not None and times.slot(stamp, self.film.stored_rate) <= frame

    def _cycles_from(self, times: FrameTimes, cycle: int) -> str:
        """Return filters that begin with a cycle even if frames are missing from it."""
        rate = self.film.stored_rate
        begin = int(times.stamps[0]) * times.tick + times.lead + cycle * CYCLE / rate
        return f"fps={rate}:start_time={seconds(begin)},{self._deinterlacing()}"

    def _deinterlacing(self) -> str:
        deinterlacer = self.film.deinterlacer
        return f"{deinterlacer.filters(self.film.bits)}," if deinterlacer else ""

    def _run(self, begin: Fraction | None, filters: str, *, whole: bool = True) -> _Decoded:
        """Run ffmpeg and yield (time stamp, image) until the film ends or cannot be decoded.

        begin: the time of a key frame to begin with, None for the first. whole: whether nothing is
        skipped.

        Raises:
            MediaError: nothing is skipped, and not a single frame is decoded.
        """
        film, any_frame, listener = self.film, False, _Listener()
        picture, level = PictureInput(film, begin), "info" if self.on_resize else "warning"
        arguments = ["-nostdin", "-loglevel", f"level+{level}", "-copyts"]
        try:
            filters = f"{picture.filters}{filters}{self._conversion()}"
        except MediaError as error:
            raise MediaError(f"{film.path}: {error}") from error
        arguments += [
            *self._decoder(),
            *picture.arguments,
            "-fps_mode",
            "passthrough",
            "-vf",
            filters,
        ]
        arguments += [*self._stamped(), *NUT, "-"]
        pipes = {"stdin": picture.stdin, "stdout": subprocess.PIPE}
        with picture, FFmpeg(arguments, **pipes, listener=listener) as child:
            picture.feed(child)
            for stamp, image in self._received(child.stdout):
                any_frame = True
                yield stamp, image
            child.finish()
            if whole and not any_frame:
                raise MediaError(f"{film.path}: no frame can be decoded: {child.complaint()}")
            if self.on_damage and child.messages:
                self.on_damage(child.complaint())
            if self.on_resize:
                for size in listener.sizes:
                    self.on_resize(size)

    def _decoder(self) -> list[str]:
        """Return the option that chooses a decoder other than ffmpeg's usual one."""
        return []

    @property
    def _tick(self) -> Fraction:
        """Seconds in a tick on the pipe."""
        times, rate = self.film.times, self.film.stored_rate
        tick = times.tick if times else 1 / rate
        return tick / 2 if self.film.deinterlacer else tick  # bwdif halves the tick

    @property
    def _delay(self) -> int:
        """How many ticks time stamps on the pipe are late: those in NUT cannot be negative."""
        times = self.film.times
        return _START - int(times.stamps[0] * times.tick / self._tick) if times else _START

    def _stamped(self) -> list[str]:
        """Return options that keep all time stamps, even those that run backward.

        ffmpeg corrects decoding times that do not increase, and presentation times with them. So
        the decoding time just counts frames, and stands in for a missing time stamp.
        """
        exact = f"setts=pts=max(PTS+{self._delay}\\,N):dts=N"
        return ["-enc_time_base", str(self._tick), "-c:v", "rawvideo", "-bsf:v", exact]

    def _stamp(self, packet: Packet) -> Fraction | None:
        """Return a frame's time stamp in ticks of the film; None if it has none."""
        if self.film.times is None or packet.pts is None:
            return None
        ticks = packet.pts * packet.time_base / self._tick
        if ticks < _START / 2:
            return None
        return (ticks - self._delay) * self._tick / self.film.times.tick

    def _received(self, pipe: BufferedReader) -> _Decoded:
        """Yield (time stamp, image) from ffmpeg's output, which may end within a frame."""
        import av

        width, height = self.size
        shape, depth = (height, width, 1 if self.film.gray else 3), self.depth
        size = math.prod(shape) * depth.itemsize
        with (
            contextlib.suppress(av.error.EOFError, av.error.InvalidDataError),
            open_nut(pipe) as container,
        ):
            for packet in container.demux(video=0):
                if packet.size < size:
                    return
                raw = np.frombuffer(packet, depth).reshape(shape)
                deep = depth.itemsize == 2
                scaled = np.divide(raw, np.float32(65535), dtype=np.float32) if deep else raw.copy()
                yield self._stamp(packet), scaled

    def _conversion(self) -> str:
        """Return the filters from the film's pixels to full-range RGB or luma."""
        film, size, deep = self.film, self.size, self.depth.itemsize == 2
        if not film.rgb and not film.gray:
            matrix = film.color.matrix or default_matrix(film.width, film.height)
            tags = (film.color.primaries, film.color.transfer)
            rgb = to_rgb(matrix, film.full_range, size, *tags)
            rgb = f"{_without_alpha(film)}{_full_chroma(film)}{rgb}"
            return rgb if deep else f"{rgb},scale,format=rgb24"
        pixels = ("gray", "gray16le") if film.gray else ("rgb24", "rgb48le")
        flags = "accurate_rnd" if size == (film.width, film.height) else "accurate_rnd+area"
        exact = exact_codes(film.pixel_format)
        if not deep and film.bits >= 8:
            exact = ""  # Eight bits stay what they are.
        return f"{exact}scale=w={size[0]}:h={size[1]}:flags={flags},format={pixels[deep]}"


class _AlphaDecoder(_Decoder):
    """Decodes the alpha channel of a film, whose `gray` must be set, with the bits that it has."""

    def _decoder(self) -> list[str]:
        video = self.film.contents.video
        library = ALPHA_DECODERS.get(video.codec) if video else None
        return ["-c:v", library] if library else []

    def _conversion(self) -> str:
        source, bits = alpha_format(self.film.pixel_format)
        return f"format={source},extractplanes=a,format={'gray' if bits == 8 else f'gray{bits}le'}"


def _without_alpha(film: Film) -> str:
    """Return a filter that drops the alpha channel, by which zimg would multiply the colors."""
    if not film.pixel_format.startswith("yuva"):
        return ""
    return f"scale,format={film.pixel_format.replace('yuva', 'yuv')},"


def _full_chroma(film: Film) -> str:
    """Return a filter that upsamples the chroma of odd sizes, which zscale rejects subsampled."""
    even = film.width % 2 == 0 and film.height % 2 == 0
    if even or not film.pixel_format.startswith("yuv"):
        return ""
    full = re.sub(r"4[12]\d", "444", film.pixel_format.replace("yuva", "yuv"))
    return f"scale=flags=accurate_rnd+full_chroma_int+full_chroma_inp,format={full},"


def _entry(
    times: FrameTimes, rate: Fraction, start: int, lead: int = 0
) -> tuple[Fraction, str] | None:
    """Return a key frame's time and a filter that drops frames before `start`; None: do not seek.

    The key frame precedes every frame that a codec may still hold back for reordering, so that all
    frames from `start` on are complete. Time stamps stay as they are in the file.
    lead: number of frames before `start` to keep.
    """
    stamp = times.last_stamp(start, rate)
    position = int(np.searchsorted(times.stamps, stamp, side="right")) - 1 - lead
    keys = times.keys[times.keys <= times.stamps[max(0, position - _REORDERED)]]
    if position <= _REORDERED or len(keys) == 0 or keys[-1] == times.stamps[0]:
        return None
    return int(keys[-1]) * times.tick, f"trim=start_pts={times.stamps[position]}"


class _Listener:
    """Reads ffmpeg's messages.

    sizes: the sizes, such as "640x480", that the video changed to.
    """

    def __init__(self) -> None:
        self.sizes: dict[str, None] = {}

    def __call__(self, line: str) -> bool:
        """Return whether a line does not concern damage."""
        if changed := _RECONFIGURED.search(line):
            self.sizes[changed.group(1)] = None
        return not any(word in line for word in _COMPLAINTS)
