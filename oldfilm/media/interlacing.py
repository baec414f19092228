"""Detect interlaced and telecined films by their frames, and less so by their flags."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from oldfilm.errors import OptionError
from oldfilm.media.color_conversion import is_usual
from oldfilm.media.deinterlacer import CYCLE, Deinterlacer
from oldfilm.media.ffmpeg import FFmpeg
from oldfilm.media.film import Film
from oldfilm.media.restamp import PictureInput

DEINTERLACING = ("auto", "on", "off", "double")
"""Choices for a film: if it is interlaced, always, never, or always with a frame of every field."""


@dataclass(frozen=True)
class _Thresholds:
    """How a film is sampled, and from when on it counts as interlaced.

    places, frames: how many places of a film are examined, and how many frames at each.
    columns: how many columns in the middle of a frame are examined.
    moved: a pixel moves if it changes by more than this many code values.
    moved_part: a frame moves if more than this part of its pixels does.
    combed: where a combed frame moves, neighboring lines differ this many times as much as the
    lines within each field do.
    visible: by how many code values more they differ, on average; less is compression noise.
    enough: how many moving frames it takes to judge a film.
    combed_part, combed_part_if_flagged: the least part of an interlaced film's moving frames that
    are combed.
    cadence: number of frames in which telecine is expected to keep its cycle.
    """

    places: int = 8
    frames: int = 40
    columns: int = 512
    moved: int = 12
    moved_part: float = 0.002
    combed: float = 1.1
    visible: float = 1.0
    enough: int = 10
    combed_part: float = 0.3
    combed_part_if_flagged: float = 0.1
    cadence: int = 4 * CYCLE


_THRESHOLDS = _Thresholds()

_TELECINE_RATES = (Fraction(30000, 1001), Fraction(30))
_TELECINE_PIXELS = re.compile(r"yuv4(20|22|44)p\d*(le)?")
"""The pixel formats that fieldmatch accepts. It does not support full range."""

_FLAG = re.compile(r"showinfo\S* .* i:([TBP])")
_ORDER = re.compile(r"idet\.single\.current_frame=(\w)")


@dataclass(frozen=True)
class _Observation:
    """The properties of one frame.

    flag: "T" or "B" for interlaced with the top or bottom field first, "P" for progressive.
    order: the same as idet measures it: "t", "b", "p", or "u" for undetermined.
    combed: whether the frame is combed; None if nothing moves.
    """

    flag: str
    order: str
    combed: bool | None


def deinterlaced(film: Film, choice: str = "auto") -> tuple[Film, list[str]]:
    """Return the film as the decoder deinterlaces it, and sentences for the user.

    choice: one of `DEINTERLACING`. Telecine is undone too, except with "double".

    Raises:
        OptionError: the choice is unknown, or not possible for this film.
    """
    if choice not in DEINTERLACING:
        raise OptionError(f"`deinterlace={choice}`: choose from {', '.join(DEINTERLACING)}")
    if choice == "off":
        return film, []
    if not film.in_container or film.rotation:
        if choice == "auto":
            return film, []
        raise OptionError(
            f"`deinterlace={choice}`: {film.path} has no fields; "
            "numbered frames and rotated films never do"
        )
    if choice == "double" and film.variable_rate:
        raise OptionError(f"`deinterlace=double`: {film.path} has a variable frame rate")
    deinterlacer, note = _decide(film, choice)
    if deinterlacer is None:
        return film, [note] if note else []
    progressive = replace(
        film,
        deinterlacer=deinterlacer,
        rate=film.rate * deinterlacer.rate_factor,
        frames=deinterlacer.output_frames(film.frames),
        declared_frames=deinterlacer.output_frames(film.declared_frames),
        alpha=film.alpha and not deinterlacer.telecine,  # Its filters drop the alpha channel.
    )
    return progressive, [note]


def _decide(film: Film, choice: str) -> tuple[Deinterlacer | None, str]:
    """Choose a deinterlacer, or None, and explain the choice in a sentence, or ""."""
    limits = _THRESHOLDS
    places = [_observe(film, begin, frames) for begin, frames in _places(film)]
    frames = [frame for place in places for frame in place]
    moving = [frame for frame in frames if frame.combed is not None]
    combed = [frame for frame in moving if frame.combed]
    flagged = sum(frame.flag != "P" for frame in frames) > len(frames) / 2
    top_first = _top_first(frames, combed)
    measured = f"{len(combed)} of {len(moving)} moving frames examined are combed"
    if choice == "double":
        found = Deinterlacer(top_first, doubled=True)
        return found, f"every field was made a frame ({found}; {measured})"
    undo = "`deinterlace=off` turns this off"
    if film.rate in _TELECINE_RATES and _is_telecined(film, places):
        found = Deinterlacer(top_first, telecine=True)
        return found, f"telecine was undone ({found}; {measured}); {undo}"
    least = limits.combed_part_if_flagged if flagged else limits.combed_part
    enough = len(moving) >= limits.enough
    if (len(combed) >= least * len(moving) if enough else flagged) or choice == "on":
        found = Deinterlacer(top_first)
        return found, f"the film was deinterlaced ({found}; {measured}); {undo}"
    if flagged:
        return None, f"the film is flagged as interlaced, but {measured}: it was left as it is"
    if combed and len(combed) >= limits.combed_part_if_flagged * len(frames):
        return None, f"{measured}: `deinterlace=on` deinterlaces the film"
    return None, ""


def _places(film: Film) -> list[tuple[Fraction | None, int]]:
    """Return times to examine, on the file's clock (None: the beginning), and frames at each."""
    places, frames = _THRESHOLDS.places, _THRESHOLDS.frames
    if film.times is None or film.frames <= places * frames:
        return [(None, places * frames)]
    stamps = film.times.stamps
    middles = [len(stamps) * (2 * i + 1) // (2 * places) for i in range(places)]
    return [(int(stamps[middle]) * film.times.tick, frames) for middle in middles]


def _observe(film: Film, begin: Fraction | None, frames: int) -> list[_Observation]:
    """Examine a number of frames from a time on."""
    flags: list[str] = []
    orders: list[str] = []

    def listener(line: str) -> bool:
        for pattern, found in ((_FLAG, flags), (_ORDER, orders)):
            if match := pattern.search(line):
                found.append(match.group(1))
        return "[info]" in line or "[warning]" in line

    picture = PictureInput(film, begin)
    width, height = min(film.width, _THRESHOLDS.columns), film.height
    # swscale refuses unusual matrices, such as YCgCo, which do not matter for luma.
    known = film.color.matrix in (None, "gbr") or is_usual(film.color.matrix)
    matrix = "null" if known else "setparams=colorspace=bt709"
    shown = f"{matrix},format=gray,crop={width}:{height},showinfo=checksum=0"
    measured = "idet,metadata=print:key=lavfi.idet.single.current_frame"
    arguments = ["-nostdin", "-loglevel", "level+info", *picture.arguments]
    arguments += ["-fps_mode", "passthrough"]
    arguments += ["-vf", f"{shown},{measured}", "-frames:v", str(frames), "-f", "rawvideo", "-"]
    combed: list[bool | None] = []
    before = None
    pipes = {"stdin": picture.stdin, "stdout": subprocess.PIPE}
    with picture, FFmpeg(arguments, **pipes, listener=listener) as child:
        picture.feed(child)
        while len(raw := child.stdout.read(width * height)) == width * height:
            luma = np.frombuffer(raw, np.uint8).reshape(height, width).astype(np.int16)
            combed.append(None if before is None else _is_combed(before, luma))
            before = luma
        child.finish()
    return [_Observation(*facts) for facts in zip(flags, orders, combed)]


def _is_combed(before: np.ndarray, luma: np.ndarray) -> bool | None:
    """Return whether a frame is combed where it moves; None if nothing moves. int16 [h, w]."""
    moves = np.abs(luma - before)[2:-2] > _THRESHOLDS.moved
    if not moves.any() or moves.mean() < _THRESHOLDS.moved_part:
        return None
    twice = 2 * luma[2:-2]
    in_frame = np.abs(luma[1:-3] + luma[3:-1] - twice)[moves].sum()
    in_field = np.abs(luma[:-4] + luma[4:] - twice)[moves].sum()
    limits = _THRESHOLDS
    return bool(in_frame > limits.combed * in_field + limits.visible * moves.sum())


def _top_first(frames: Sequence[_Observation], combed: Sequence[_Observation]) -> bool:
    """Return the field order of combed frames, or that of the flags if it is undetermined."""
    orders = Counter(frame.order for frame in combed)
    if orders["t"] != orders["b"]:
        return orders["t"] > orders["b"]
    flags = Counter(frame.flag for frame in frames)
    return flags["T"] >= flags["B"]


def _is_telecined(film: Film, places: Sequence[Sequence[_Observation]]) -> bool:
    """Return whether two consecutive frames of every five are combed, and the others are not."""
    if film.gray or film.rgb or not _TELECINE_PIXELS.fullmatch(film.pixel_format):
        return False
    combed, progressive = [], []
    for place in places:
        for start in range(0, len(place), _THRESHOLDS.cadence):
            frames = place[start : start + _THRESHOLDS.cadence]
            counts = [_of_cycle(frames, (n, n + 1)).count(True) for n in range(CYCLE)]
            first = counts.index(max(counts))
            combed += _of_cycle(frames, (first, first + 1))
            progressive += _of_cycle(frames, (first + 2, first + 3, first + 4))
    return (
        len(combed) >= _THRESHOLDS.enough
        and combed.count(True) >= len(combed) / 2
        and progressive.count(True) <= len(progressive) / 8
    )


def _of_cycle(frames: Sequence[_Observation], numbers: Sequence[int]) -> list[bool]:
    """Return which of the moving frames with these numbers in a cycle are combed."""
    wanted = {number % CYCLE for number in numbers}
    chosen = [frame.combed for i, frame in enumerate(frames) if i % CYCLE in wanted]
    return [combed for combed in chosen if combed is not None]
