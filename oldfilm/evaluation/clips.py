"""Read ground truth: the shots of films, and the clips and images of a benchmark's folders."""

from __future__ import annotations

import bisect
import glob
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oldfilm import media
from oldfilm.errors import MediaError
from oldfilm.imaging.color import as_rgb


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


TRIPLETS = (
    ("frame10", "frame10i11", "frame11"),  # Middlebury, DAVIS in AdaCoF
    ("frame_00", "frame_01_gt", "frame_02"),  # UCF101
    ("frame0", "frame1", "frame2"),  # UCF101 in AdaCoF
    ("im1", "im2", "im3"),  # Vimeo-90K
)
"""How benchmarks name a frame, the true frame half-way, and the next frame, without the suffix."""


def triplets(path: Path) -> Iterator[Clip]:
    """Read two frames and the true one between them from every folder that has them.

    path: a folder, searched with all its subfolders. The true frame is in the same folder, or in
    one of the same name elsewhere, as in Middlebury's `other-data` and `other-gt-interp`. Folders
    without a true frame are left out.

    Raises:
        MediaError: there are no triplets, or the frames of one differ in size.
    """
    found = [frames for frames in map(_triplet, _with_subfolders(path)) if frames]
    if not found:
        names = "; ".join(", ".join(frames) for frames in TRIPLETS)
        raise MediaError(f"{path}: there are no triplets in this folder. Known names: {names}.")
    for frames in found:
        images = [_photograph(frame).frames for frame in frames]
        if len({image.shape[1:3] for image in images}) > 1:
            raise MediaError(f"{frames[0].parent}: the frames of this triplet differ in size.")
        name = frames[0].parent.relative_to(path).as_posix()
        yield Clip(name, np.concatenate([as_rgb(image) for image in images]))


def _with_subfolders(path: Path) -> list[Path]:
    return [path, *(inner for folder in _folders(path) for inner in _with_subfolders(folder))]


def _triplet(folder: Path) -> tuple[Path, Path, Path] | None:
    for before, between, after in TRIPLETS:
        first, second = _picture(folder, before), _picture(folder, after)
        if first and second:
            others = sorted(folder.parent.parent.glob(f"*/{glob.escape(folder.name)}"))
            truths = [_picture(place, between) for place in (folder, *others)]
            return next(((first, truth, second) for truth in truths if truth), None)
    return None


def _picture(folder: Path, name: str) -> Path | None:
    """Return the photograph of this name, whatever its format."""
    pictures = sorted(folder.glob(f"{name}.*"))
    return next((picture for picture in pictures if media.is_photograph(picture)), None)


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
