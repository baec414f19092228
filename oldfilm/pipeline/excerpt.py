"""A few seconds of a result, to share: `excerpt` and `excerpt_time` of `RestoreOptions`."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

from oldfilm import media
from oldfilm.errors import OptionError
from oldfilm.pipeline.options import RestoreOptions
from oldfilm.pipeline.report import Summary
from oldfilm.stage import FilmInfo, parse_time_span

SECONDS = 5
"""The length of an excerpt whose end is not given."""


def check_excerpt(source: Path, options: RestoreOptions) -> None:
    """Refuse an excerpt that cannot be made, before the work.

    Raises:
        OptionError: the format is not one for excerpts, no excerpt is asked for, or the source is a
            photograph.
    """
    path = options.excerpt
    if path is None:
        if options.excerpt_time is not None:
            raise OptionError(
                f"`excerpt_time={options.excerpt_time}`: name the file too: `excerpt=clip.gif`."
            )
        return
    if media.is_photograph(source):
        raise OptionError(f"`excerpt={path}`: {source} is a photograph, which has no excerpts.")
    if path.suffix.lower() not in media.EXCERPT_SUFFIXES:
        listed = ", ".join(media.EXCERPT_SUFFIXES)
        raise OptionError(f"`excerpt={path}`: an excerpt ends in {listed}.")


def write_excerpt(summary: Summary, options: RestoreOptions) -> None:
    """Write the excerpt of a finished job that the options ask for.

    Raises:
        OptionError: its time is not in the part that was restored.
        MediaError: the result cannot be read, or the excerpt cannot be written.
    """
    path, result = options.excerpt, summary.after
    assert path is not None
    frames = excerpt_frames(result, summary.start, options.excerpt_time)
    # Only numbered frames have no rate of their own.
    film = media.Film.open(summary.path, result.rate if summary.path.is_dir() else None)
    media.write_excerpt(film, frames, path)


def excerpt_frames(result: FilmInfo, start: Fraction, time: str | None) -> range:
    """Return the frames of a result that an excerpt shows.

    start: of the restored part in the source, in seconds. time: "START" or "START-END" in the
    source; by default the middle.

    Raises:
        OptionError: the time is not in the restored part.
    """
    pace = result.rate * result.slowdown
    if time is None:
        count = min(result.frames, math.ceil(SECONDS * result.rate))
        first = (result.frames - count) // 2
        return range(first, first + count)
    begin, end = parse_time_span(time)
    end = begin + SECONDS / result.slowdown if end is None else end
    frames = range(
        max(0, math.ceil((begin - start) * pace)),
        min(result.frames, math.ceil((end - start) * pace)),
    )
    if not frames:
        last = start + result.frames / pace
        raise OptionError(
            f"`excerpt_time={time}`: the restored part of the film is from {float(start):g} to "
            f"{float(last):g} seconds."
        )
    return frames
