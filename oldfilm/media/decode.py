"""Frames of a film, decoded by ffmpeg at full precision and placed exactly in time."""

from __future__ import annotations

import contextlib
import itertools
import queue
import re
import subprocess
import sys
from collections.abc import Generator
from fractions import Fraction

import numpy as np

from oldfilm.errors import MediaError
from oldfilm.media.color_conversion import to_rgb
from oldfilm.media.ffmpeg import Child, reading, seconds
from oldfilm.media.fields import CYCLE, KEPT
from oldfilm.media.film import Film, FrameTimes, default_matrix
from oldfilm.stage import Frame

_SHOWN = re.compile(r"\bn: *(\d+) pts: *(-?\d+|NOPTS)\b")  # its name may stand in another line
_SHOWINFO = "showinfo=checksum=0,"
_PATIENCE = 10
"""Seconds between a frame and the line that tells of it, at most."""
_COMPLAINTS = ("[error]", "[fatal]", "corrupt decoded frame")
_Images = Generator[tuple[int, np.ndarray], None, None]
"""Index and image."""
_Decoded = Generator[tuple[int | None, np.ndarray], None, None]
"""Time stamp and image."""

_REORDERED = 16
"""How many frames a codec may hold back to put them in order (H.264, H.265: at most 16)."""


def decode(
    film: Film,
    start: int = 0,
    stop: int | None = None,
    *,
    width: int | None = None,
    height: int | None = None,
    dtype: type = np.float32,
) -> Generator[Frame, None, None]:
    """Yield the frames `start` to `stop` (not included; None: to the end) of a film.

    Frame i is the one that is shown at the time i / film.rate: where a damaged film lacks
    frames, or one of variable rate holds a frame for longer, it is repeated: sound stays in sync. A
    film that ends too early ends here too, without an error.
    width, height: size to bring the frames to; the film's own where None.
    Images are float32 in [0, 1] (dtype np.uint8: [0, 255]), [h, w, 3] RGB, or [h, w, 1] luma where
    film.gray.

    Raises:
        MediaError: not one frame can be decoded though the film should have some.
    """
    size = (width or film.width, height or film.height)
    if stop is not None and start >= stop:
        return
    source = _pictures if film.numbered else _placed
    with contextlib.closing(source(film, start, stop, size, dtype)) as images:
        for index, image in images:
            yield Frame(image, index / film.rate)


def _pictures(
    film: Film, start: int, stop: int | None, size: tuple[int, int], dtype: type
) -> _Images:
    """Images of a folder with their index."""
    for index in range(start, film.frames if stop is None else min(stop, film.frames)):
        yield index, _picture(film, index, size, dtype)


def _picture(film: Film, index: int, size: tuple[int, int], dtype: type) -> np.ndarray:
    import cv2

    from oldfilm.media.photo import read_photograph

    path = film.numbered[index]
    photograph = read_photograph(path)
    if film.hears_damage and photograph.damage:
        film.hears_damage(photograph.damage)
    image = photograph.image
    height, width, channels = image.shape
    if (width, height) != (film.width, film.height):
        raise MediaError(
            f"{path}: this frame is {width}x{height}, not {film.width}x{film.height} as the first"
        )
    if film.gray and channels == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    elif not film.gray and channels == 1:
        image = np.repeat(image, 3, axis=2)
    if size != (width, height):
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], -1)
    return image if dtype == np.float32 else np.rint(image * 255).astype(dtype)


def _placed(
    film: Film, start: int, stop: int | None, size: tuple[int, int], dtype: type
) -> _Images:
    """Images of a file with their index, each index from `start` on exactly once.

    At an index is shown the last frame that is due by then.
    """
    known_end = sys.maxsize if film.times is None else film.frames
    stop = known_end if stop is None else min(stop, known_end)
    due, index, held = start, start, None
    with contextlib.closing(_from(film, start, size, dtype)) as decoded:
        for index, image in decoded:
            # Where damage took the first frames, the first that can be had stands for them.
            shown = image if held is None else held
            while due < min(index, stop):
                yield due, shown
                due += 1
            if due >= stop:
                return
            held = image
    # The last frame of a film of variable rate may last for more than one step.
    while held is not None and due < (stop if film.variable_rate else min(index + 1, stop)):
        yield due, held
        due += 1


def _from(film: Film, start: int, size: tuple[int, int], dtype: type) -> _Images:
    """Decode from the frame that is shown at `start`, or some frame before it.

    A seek is trusted only if the first frame that comes is due by `start`; else the film is decoded
    from its beginning.
    """
    if film.times is None:
        yield from _counted(film, start, size, dtype)
    elif film.fields and film.fields.telecine:
        yield from _in_cycles(film, film.times, start, size, dtype)
    else:
        yield from _timed(film, film.times, start, size, dtype)


def _counted(film: Film, start: int, size: tuple[int, int], dtype: type) -> _Images:
    """Images of a film without times, which can only be read from its beginning."""
    cut = f"trim=start_frame={start}," if start else ""
    filters = f"{_whole_frames(film)}{cut}{_SHOWINFO}"
    with contextlib.closing(_run(film, [], filters, size, dtype, not cut)) as decoded:
        for index, (_, image) in enumerate(decoded, start):
            yield index, image


def _timed(
    film: Film, times: FrameTimes, start: int, size: tuple[int, int], dtype: type
) -> _Images:
    """Images of a film with times, read from a key frame before `start`."""
    filters = f"{_whole_frames(film)}{_SHOWINFO}"
    # bwdif looks at the frame before: the first that it gives does not count. Two, as a packet may
    # hold one field only.
    entry = _entry(times, film.rate, start, lead=2 if film.fields else 0)
    if entry:
        options, cut = entry
        run = _run(film, options, f"{cut},{filters}", size, dtype, False)
        with contextlib.closing(_placed_in_time(film, times, run)) as decoded:
            uncounted = int(film.fields.speed) if film.fields else 0
            first = next(itertools.islice(decoded, uncounted, None), None)
            if first and first[0] <= start:
                yield first
                yield from decoded
                return
    yield from _placed_in_time(film, times, _run(film, [], filters, size, dtype))


def _placed_in_time(film: Film, times: FrameTimes, decoded: _Decoded) -> _Images:
    """Images with the index that their time stamps tell."""
    index, ticks = -1, 2 if film.fields else 1  # bwdif halves them
    with contextlib.closing(decoded):
        for stamp, image in decoded:
            index = index + 1 if stamp is None else times.slot(Fraction(stamp, ticks), film.rate)
            yield index, image


def _in_cycles(
    film: Film, times: FrameTimes, start: int, size: tuple[int, int], dtype: type
) -> _Images:
    """Images of a telecined film, read from the cycle before that of `start`.

    Which frame of a cycle is left out follows from that cycle, and the last frame before it.
    """
    cycle = max(0, start // KEPT - 1)
    entry = _entry(times, film.woven_rate, cycle * CYCLE)
    if entry:
        run = _run(film, entry[0], _cycles_from(film, times, cycle), size, dtype, False)
        with contextlib.closing(run) as decoded:
            stamp = next(decoded, (None,))[0]
            if stamp is not None and times.slot(stamp, film.woven_rate) <= cycle * CYCLE:
                for index, (_, image) in enumerate(decoded, cycle * KEPT + 1):
                    if index >= (cycle + 1) * KEPT:
                        yield index, image
                return
    with contextlib.closing(_run(film, [], _cycles_from(film, times, 0), size, dtype)) as decoded:
        for index, (_, image) in enumerate(decoded):
            yield index, image


def _cycles_from(film: Film, times: FrameTimes, cycle: int) -> str:
    """Filters that begin with a cycle, also where damage took frames of it."""
    begin = int(times.stamps[0]) * times.tick + cycle * CYCLE / film.woven_rate
    even = f"fps={film.woven_rate}:start_time={seconds(begin)}"
    return f"{_SHOWINFO}{even},{_whole_frames(film)}"


def _whole_frames(film: Film) -> str:
    return f"{film.fields.filters(film.bits)}," if film.fields else ""


def _entry(
    times: FrameTimes, rate: Fraction, start: int, lead: int = 0
) -> tuple[list[str], str] | None:
    """Options that seek, and the filter that drops what comes before `start`; None: do not seek.

    The key frame sought lies before those that a codec may still hold back for reordering, so that
    all frames from there on are whole. Time stamps are kept as they are in the file. lead: frames
    before `start` that are to come as well.
    """
    stamp = _last_stamp(times, rate, start)
    position = int(np.searchsorted(times.stamps, stamp, side="right")) - 1 - lead
    keys = times.keys[times.keys <= times.stamps[max(0, position - _REORDERED)]]
    if position <= _REORDERED or len(keys) == 0 or keys[-1] == times.stamps[0]:
        return None
    time = int(keys[-1]) * times.tick
    options = ["-noaccurate_seek", "-seek_timestamp", "1", "-ss", seconds(time)]
    return options, f"trim=start_pts={times.stamps[position]}"


def _last_stamp(times: FrameTimes, rate: Fraction, index: int) -> int:
    """The last tick that is shown at an index."""
    tick = int(times.stamps[0]) + int((index + Fraction(1, 2)) / (rate * times.tick))
    return tick - 1 if times.slot(tick, rate) > index else tick


def _run(
    film: Film,
    options: list[str],
    filters: str,
    size: tuple[int, int],
    dtype: type,
    whole: bool = True,
) -> _Decoded:
    """Run ffmpeg and yield (time stamp, image), as far as the film can be decoded.

    The stamp is what ffmpeg's `showinfo`, which is one of the filters, tells; None: nothing. whole:
    nothing is skipped.

    Raises:
        MediaError: nothing was skipped, and not one frame came.
    """
    stamps = _Stamps()

    def listener(line: str) -> bool:
        stamps.hear(line)
        return not any(word in line for word in _COMPLAINTS)

    depth = np.dtype(np.uint8 if dtype == np.uint8 else "<u2")
    channels = 1 if film.gray else 3
    arguments = ["-nostdin", "-loglevel", "level+info", "-copyts", *reading(film.path, *options)]
    arguments += ["-map", f"0:{film.stream}", "-fps_mode", "passthrough"]
    arguments += ["-vf", f"{filters}{_conversion(film, size, depth)}"]
    arguments += ["-f", "rawvideo", "-"]
    with Child(arguments, stdout=subprocess.PIPE, listener=listener) as child:
        came = 0
        while True:
            raw = np.empty((size[1], size[0], channels), depth)
            if child.stdout.readinto(raw.reshape(-1).view(np.uint8)) < raw.nbytes:
                break
            image = raw if depth == np.uint8 else raw.astype(np.float32) / np.float32(65535)
            yield stamps.of(came), image
            came += 1
        child.wait()
        if whole and not came:
            raise MediaError(f"{film.path}: not one frame can be decoded: {child.complaint()}")
        if film.hears_damage and child.has_complained:
            film.hears_damage(child.complaint())


class _Stamps:
    """Time stamps as `showinfo` tells them, line by line, by the number of the frame.

    Its lines are told in parts: what a decoder complains of meanwhile stands between them, and a
    part may be lost.
    """

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[tuple[int, int | None]] = queue.SimpleQueue()
        self._last: tuple[int, int | None] = (-1, None)
        self._heard, self._before = -1, 0

    def hear(self, line: str) -> None:
        """Take what a line tells."""
        shown = _SHOWN.search(line)
        if shown:
            number, stamp = int(shown.group(1)), shown.group(2)
            if number <= self._heard:  # ffmpeg began to filter anew, as for another size
                self._before += self._heard + 1
            self._heard = number
            self._told.put((self._before + number, None if stamp == "NOPTS" else int(stamp)))

    def of(self, number: int) -> int | None:
        """The stamp of a frame that has come, those before it having been asked for."""
        with contextlib.suppress(queue.Empty):
            while self._last[0] < number:
                self._last = self._told.get(timeout=_PATIENCE)
        found, stamp = self._last
        return stamp if found == number else None


def _conversion(film: Film, size: tuple[int, int], depth: np.dtype) -> str:
    """The filters from the film's own pixels to full-range RGB or luma."""
    if not film.rgb and not film.gray:
        matrix = film.color.matrix or default_matrix(film.width, film.height)
        rgb = f"{_whole_chroma(film)}{to_rgb(matrix, film.full_range, size)}"
        return rgb if depth.itemsize == 2 else f"{rgb},scale,format=rgb24"
    pixels = ("gray", "gray16le") if film.gray else ("rgb24", "rgb48le")
    flags = "accurate_rnd" if size == (film.width, film.height) else "accurate_rnd+area"
    return f"scale=w={size[0]}:h={size[1]}:flags={flags},format={pixels[depth.itemsize - 1]}"


def _whole_chroma(film: Film) -> str:
    """zscale refuses odd sizes with half the chroma: those get all of it before."""
    even = film.width % 2 == 0 and film.height % 2 == 0
    if even or not film.pixel_format.startswith("yuv"):
        return ""
    whole = re.sub(r"4[12]\d", "444", film.pixel_format)
    return f"scale=flags=accurate_rnd+full_chroma_int+full_chroma_inp,format={whole},"
