"""Closed captions inside the frames of a film (CEA-608), which become a subtitle track."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

from oldfilm.errors import MachineError, MediaError
from oldfilm.media.ffmpeg import FORMATS, run, seconds, url
from oldfilm.media.film import Film
from oldfilm.media.opening import opened

CAPTIONS_TITLE = "Closed captions"
"""The title of the subtitle track."""

_TIME = re.compile(r"(\d+):(\d\d):(\d\d),(\d{3})")
_STYLE = re.compile(r"</?font[^>]*>|\{\\an?\d\}")


def extract_captions(film: Film, folder: Path, begin: Fraction) -> Path | None:
    """Write the captions of a film to a subtitle file (SubRip).

    begin: the time of the film's file, in seconds, at which the subtitles begin.

    Returns None if ffmpeg finds none: it reads captions of digital television (CEA-708) only where
    they include the older form (CEA-608).
    """
    captions = folder / "captions.srt"
    with opened(film.path) as container:
        name = container.format.name.split(",")[0]
    graph = f"movie={_escaped(url(film.path))}:format_name={name}:si={film.stream}"
    if film.times is None:
        graph += f",setpts=({seconds(film.start)}+N/({film.stored_rate}))/TB"
    options = ["-copyts", "-format_whitelist", f"lavfi,{FORMATS}", "-f", "lavfi"]
    try:
        run(
            [*options, "-i", f"{graph}[out0+subcc]", "-map", "0:s", "-f", "srt", url(captions)],
            "",
        )
    except MachineError:
        raise
    except MediaError:
        return None
    text = _STYLE.sub("", captions.read_text(encoding="utf-8", errors="replace"))
    entries = [entry for entry in text.split("\n\n") if "-->" in entry]
    shifted = [entry for entry in (_shifted(entry, begin) for entry in entries) if entry]
    captions.write_text("\n\n".join(shifted) + "\n", encoding="utf-8")
    return captions if shifted else None


def _shifted(entry: str, begin: Fraction) -> str | None:
    """Return a subtitle with its times counted from `begin`; None if it ends before."""
    ends: list[Fraction] = []

    def later(match: re.Match[str]) -> str:
        hours, minutes, whole, thousandths = map(int, match.groups())
        time = hours * 3600 + minutes * 60 + whole + Fraction(thousandths, 1000) - begin
        ends.append(time)
        count = max(0, round(time * 1000))
        clock = f"{count // 3600000:02d}:{count // 60000 % 60:02d}:{count // 1000 % 60:02d}"
        return f"{clock},{count % 1000:03d}"

    shifted = _TIME.sub(later, entry, count=2)
    return shifted if ends[-1] > 0 else None


def _escaped(text: str) -> str:
    """Escape an option's value for a filter, and the filter for the graph."""
    value = re.sub(r"([\\':])", r"\\\1", text)
    return re.sub(r"([\\'\[\],;])", r"\\\1", value)
