"""A page about a finished job, for the option `report`."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from oldfilm import __version__, media
from oldfilm.errors import OldfilmError
from oldfilm.media import html
from oldfilm.pipeline.report import Summary
from oldfilm.stage import FilmInfo, Stage
from oldfilm.system.files import write_file

logger = logging.getLogger(__name__)

FRAMES = 10
"""How many frames are shown before and after."""

QUANTITIES = {
    "brightness": "Brightness (mean luma, 0 to 1)",
    "flicker": "Flicker (how far brightness is outside that of the two neighbors)",
    "sharpness": "Sharpness (standard deviation of the Laplacian)",
}


def write_page(path: Path, summary: Summary, stages: Sequence[Stage]) -> None:
    """Write a page that needs no other file: source, result, and how the job was done.

    stages: those of the job. The page has frames before and after, and curves of both films.

    Raises:
        MediaError, MachineError: the page cannot be written.
    """
    parts = [
        "<h2>In and out</h2>",
        html.table(_in_and_out(summary)),
        "<h2>Notes</h2>" + html.listed(summary.notes) if summary.notes else "",
        "<h2>Before and after</h2>",
        html.in_rows(html.slider(old, new, text) for text, old, new in pairs(summary, FRAMES)),
        *_curves(summary),
        "<h2>Stages</h2>",
        *(f"<h3>{stage.name}</h3>{html.table(_facts(summary, stage))}" for stage in stages),
        "<h2>Job</h2>",
        html.table(_job(summary, stages)),
    ]
    text = html.page(f"{summary.source.name}, restored", *parts)
    write_file(path, text.encode("utf-8", "backslashreplace"))


def _in_and_out(summary: Summary) -> dict[str, object]:
    how = summary.restoration or summary
    frames = summary.before.frames
    rate = f", {how.seconds / frames:.2f} s per source frame" if frames > 1 else ""
    return {
        "source": summary.source.absolute(),
        "": describe(summary.before),
        "result": summary.path.absolute(),
        " ": f"{describe(summary.after)}, {_bytes(summary.path)}",
        "stages": ", ".join(summary.stage_seconds),
        "time": f"{how.seconds:.1f} s{rate}",
    }


def describe(info: FilmInfo) -> str:
    """Return the size of a photograph, or size, rate and length of a film."""
    size = f"{info.width}x{info.height}"
    if info.frames == 1:
        return size
    rate = str(info.rate) if info.rate.denominator == 1 else f"{float(info.rate):.3f}"
    return f"{size}, {rate} fps, {info.frames} frames, {float(info.duration):.2f} s"


def _bytes(path: Path) -> str:
    files = [path] if path.is_file() else [file for file in path.glob("*") if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"


def _facts(summary: Summary, stage: Stage) -> Mapping[str, object]:
    """The options, weights and versions of a stage, and the terms of its weights."""
    start = f"{stage.name} "
    own = {k[len(start) :]: v for k, v in summary.job.items() if k.startswith(start)}
    seconds = (summary.restoration or summary).stage_seconds.get(stage.name)
    worked = {"time": f"{seconds:.1f} s"} if seconds is not None else {}
    given = {name: value for name, value in own.items() if value is not None}
    return {**given, **stage.terms(), **worked}


def _job(summary: Summary, stages: Sequence[Stage]) -> Mapping[str, object]:
    starts = tuple(f"{stage.name} " for stage in stages)
    rest = {k: v for k, v in summary.job.items() if v is not None and not k.startswith(starts)}
    return {**rest, "written by": f"oldfilm {__version__}"}


def pairs(summary: Summary, count: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield captions, and frames before and after, spread over a job's film; one of a photograph.

    Frames are float32 [h, w, c] in [0, 1]. Those that cannot be read are left out.
    """
    try:
        if media.is_photograph(summary.source):
            before = media.read_photograph(summary.source).image
            yield "", before, media.read_photograph(summary.path).image
            return
        source, result = opened(summary)
        numbers = sorted({(2 * i + 1) * result.frames // (2 * count) for i in range(count)})
        times = [n / result.rate / summary.after.slowdown + summary.start for n in numbers]
        originals = media.frames_at(source, [math.floor(time * source.rate) for time in times])
        restored = media.frames_at(result, numbers)
        with contextlib.closing(originals), contextlib.closing(restored):
            for time, old, new in zip(times, originals, restored):
                yield html.moment(float(time)), old.image, new.image
    except OldfilmError as error:
        logger.warning("%s: frames cannot be shown: %s", summary.path, error)


def opened(summary: Summary) -> tuple[media.Film, media.Film]:
    """Open the source and the result of a job.

    Raises:
        MediaError: one of them cannot be read.
    """
    films = ((summary.source, summary.before), (summary.path, summary.after))
    # Only numbered frames have no rate of their own.
    source, result = (
        media.Film.open(path, info.rate if path.is_dir() else None) for path, info in films
    )
    return source, result


def _curves(summary: Summary) -> Iterator[str]:
    if media.is_photograph(summary.source):
        return
    try:
        source, result = opened(summary)
        first = math.ceil(summary.start * source.rate)
        last = first + math.ceil(summary.before.duration * source.rate)
        before = media.measure(source, range(first, min(last, source.frames)))
        after = media.measure(result)
    except OldfilmError as error:
        logger.warning("%s: cannot be measured: %s", summary.path, error)
        return
    slow = float(summary.after.slowdown)
    times = [time / slow + float(summary.start) for time in after.times]
    cuts = _cuts(summary)
    known = "" if summary.restoration is None else f"; cuts (vertical lines): {len(cuts)}"
    yield f"<h2>Over time</h2><p>At the times of the source{known}</p>"
    for name, title in QUANTITIES.items():
        lines = {
            "before": (before.times, getattr(before, name)),
            "after": (times, getattr(after, name)),
        }
        yield html.plot(title, lines, cuts)
    shown = (before.times[0], before.times[-1])
    yield _damage(summary, cuts, shown)


def _cuts(summary: Summary) -> list[float]:
    found = summary.restoration.cuts if summary.restoration else ()
    return [float(cut + summary.start) for cut in found]


def _damage(summary: Summary, cuts: Sequence[float], span: tuple[float, float]) -> str:
    """Return a plot of the damage that stages have repaired, if any counts it.

    span: the seconds to show.
    """
    repairs = summary.restoration.repairs if summary.restoration else {}
    start = float(summary.start)
    lines = {
        name: ([start + at for at, _ in points], [100 * share for _, share in points])
        for name, points in repairs.items()
    }
    return html.plot("Damage repaired (percent of the picture)", lines, cuts, span)


def shown(summary: Summary) -> str:
    """Return a result as a notebook shows it: a player, and a frame before and after."""
    is_photograph = media.is_photograph(summary.source)
    seen = list(pairs(summary, 1))
    film = "" if is_photograph else html.player(summary.path, seen[0][2] if seen else None)
    both = [html.slider(before, after, text) for text, before, after in seen]
    facts = {"result": summary.path, "": describe(summary.after)}
    return html.fragment(film, *both, html.table(facts), html.listed(summary.notes))
