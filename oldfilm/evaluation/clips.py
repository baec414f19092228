"""Read ground truth: the shots of films, and the clips and images of a benchmark's folders."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oldfilm import media


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of one shot, or one photograph.

    frames: uint8 [t, h, w, c], RGB or luma.
    """

    name: str
    frames: np.ndarray


def clips(path: Path, longest: int, *, photographs: bool = False) -> Iterator[Clip]:
    """Read the clips of a path.

    path: a film (every shot is a clip), a folder of numbered frames (one clip, even if there are
    cuts), a photograph, a folder of films or photographs, or a folder of such folders. longest:
    frames per clip; the rest of a shot is skipped. photographs: make every image a clip of its own,
    even in a folder of numbered ones.

    Raises:
        MediaError: there is nothing to read at the path, or it is unreadable.
    """
    folders = _folders(path)
    if folders:
        for folder in folders:
            for clip in clips(folder, longest, photographs=photographs):
                yield Clip(f"{path.name}/{clip.name}", clip.frames)
        return
    for source in media.sources(path):
        if photographs and source.is_dir():
            yield from (_photograph(picture) for picture in media.numbered_frames(source))
        elif media.is_photograph(source):
            yield _photograph(source)
        else:
            yield from _shots(source, longest)


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _photograph(path: Path) -> Clip:
    image = media.read_photograph(path).image
    return Clip(path.stem, np.rint(image * 255).astype(np.uint8)[None])


def _shots(path: Path, longest: int) -> Iterator[Clip]:
    film = media.Film.open(path)
    name = path.name if film.numbered else path.stem
    cuts = () if film.numbered else media.analyze(film).facts.cuts
    decoded = media.decode(film, dtype=np.uint8)
    shots = itertools.groupby(decoded, lambda frame: bisect.bisect_right(cuts, frame.time))
    for number, shot in shots:
        frames = [frame.image for frame in itertools.islice(shot, longest)]
        yield Clip(f"{name}:{number}" if cuts else name, np.stack(frames))
