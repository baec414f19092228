"""Folders of numbered frames."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from oldfilm.errors import MediaError
from oldfilm.imaging.color import luma
from oldfilm.media.film import FOLDER_RATE, Film
from oldfilm.media.frame_rate import nearest_usual_rate
from oldfilm.media.photo import Photograph, is_gray, may_be_transparent, read_photograph
from oldfilm.media.picture import TRANSPARENCY
from oldfilm.media.picture_formats import JPEG_SUFFIXES, PHOTOGRAPH_SUFFIXES, SCAN_SUFFIXES
from oldfilm.media.untimed import assumed

_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)
_MOST_GAPS = 5
"""How many gaps a note lists."""
_EXAMINED = 30
"""How many frames to look at for transparency, or for color that headers do not state."""
DPX_HEADER = 2048
"""Bytes of a complete header of a DPX file; some lack the part on film and television."""
DPX_RATES = (1724, 1940)
"""Where a DPX file states its rate: in the headers of film and of television (SMPTE 268M)."""
_PIXEL_FORMATS = {(True, 8): "gray", (True, 16): "gray16", (False, 16): "rgb48"}
"""By whether a film is gray, and its bits."""


COLOR, BITS = "color", "the bits beyond 8"
"""What a film lacks whose frames seem to be gray, or whose first one has 8 bits."""
_SRGB = (b"sRGB", b"s\0R\0G\0B")
"""How a color profile names the colors that frames are taken to have."""


class RepeatedNumber(MediaError):
    """Two frames of a folder have the same number."""


def numbered_frames(folder: str | Path, files: Iterable[Path] | None = None) -> tuple[Path, ...]:
    """Return the images of a folder in numerical order. Numbers may start anywhere and have gaps.

    In a folder of film scans (DPX, EXR), images of other formats are not frames.

    files: those of the folder to look at; by default all.

    Raises:
        MediaError: the folder has no images, an image has no number, names differ in more than
            their number, or two images have the same one.
    """
    folder = Path(folder)
    try:
        images = [p for p in (folder.iterdir() if files is None else files) if _is_image(p)]
    except OSError as error:
        raise MediaError(f"{folder}: cannot be read: {error.strerror}") from error
    images = [p for p in images if p.suffix.lower() in SCAN_SUFFIXES] or images
    if not images:
        raise MediaError(f"{folder}: there are no images in this folder")
    numbers: dict[int, Path] = {}
    names, repeated = set(), None
    for image in sorted(images):
        parts = _NUMBERED.fullmatch(image.stem)
        if not parts:
            raise MediaError(
                f"{folder}: {image.name} has no number; the frames of a film are numbered"
            )
        names.add((parts.group(1), parts.group(3), image.suffix.lower()))
        other = numbers.setdefault(int(parts.group(2)), image)
        if other is not image:
            repeated = repeated or (other.name, image.name)
    if len(names) > 1:
        raise MediaError(f"{folder}: the images are not the numbered frames of one film")
    if repeated:
        raise RepeatedNumber(
            f"{folder}: {repeated[0]} and {repeated[1]} have the same number: leave one of them in "
            "the folder."
        )
    return tuple(numbers[number] for number in sorted(numbers))


def _is_image(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() in PHOTOGRAPH_SUFFIXES and not hidden and path.is_file()


def sequence_notes(frames: Sequence[Path]) -> list[str]:
    """Return sentences on missing numbers, and on what reading the first frame could not keep.

    frames: as `numbered_frames` returns them.
    """
    first = read_photograph(frames[0])
    notes = list(first.notes)
    numbers = [int(match.group(2)) for p in frames if (match := _NUMBERED.fullmatch(p.stem))]
    gaps = [(a + 1, b - 1) for a, b in zip(numbers, numbers[1:]) if b - a > 1]
    if gaps:
        notes.append(_gaps_note(gaps))
    return [f"{frames[0].parent}: {note}" for note in notes]


def _gaps_note(gaps: Sequence[tuple[int, int]]) -> str:
    missing = sum(last - first + 1 for first, last in gaps)
    spans = [str(first) if first == last else f"{first} to {last}" for first, last in gaps]
    more = f" and {len(spans) - _MOST_GAPS} more gaps" if len(spans) > _MOST_GAPS else ""
    return (
        f"{missing} numbers are missing ({', '.join(spans[:_MOST_GAPS])}{more}): the film "
        "continues with the next frame, and is shorter by as many"
    )


def open_folder(folder: Path, rate: Fraction | None = None) -> Film:
    """Probe a folder of numbered frames; the first frame sets size and bit depth.

    rate: by default the one that the first frame states, if it is a DPX file, else 25.

    Raises:
        MediaError: as `numbered_frames`, or a frame cannot be read.
    """
    frames = numbered_frames(folder)
    rate = rate or _stated_rate(frames[0])
    first = read_photograph(frames[0])
    height, width, channels = first.image.shape
    gray = channels == 1 and _are_gray(frames)
    return Film(
        path=folder,
        alpha=first.alpha is not None or _has_alpha(frames),
        width=width,
        height=height,
        rate=rate or FOLDER_RATE,
        frames=len(frames),
        pixel_format=_PIXEL_FORMATS.get((gray, first.bits), "rgb24"),
        bits=first.bits,
        gray=gray,
        rgb=not gray,
        declared_frames=len(frames),
        numbered=frames,
        notes=() if rate else (f"{folder}: {assumed(FOLDER_RATE)}",),
    )


def _are_gray(frames: Sequence[Path]) -> bool:
    """Return whether all frames are gray, as their headers say.

    Of frames whose headers do not say so, some are read, evenly spaced.
    """
    unknown = []
    for frame in frames:
        gray = is_gray(frame)
        if gray is None:
            unknown.append(frame)
        elif not gray:
            return False
    some = [*unknown[:: max(1, len(unknown) // _EXAMINED)], *unknown[-1:]]
    return all(read_photograph(frame).image.shape[2] == 1 for frame in some)


def _has_alpha(frames: Sequence[Path]) -> bool:
    """Return whether any of some frames, evenly spaced, is transparent."""
    some = frames[:: max(1, len(frames) // _EXAMINED)]
    return any(_is_transparent(frame) for frame in [*some, frames[-1]])


def _is_transparent(frame: Path) -> bool:
    if frame.suffix.lower() in JPEG_SUFFIXES or not may_be_transparent(frame):
        return False
    return read_photograph(frame).alpha is not None


def _stated_rate(frame: Path) -> Fraction | None:
    """Return the rate in the header of a DPX file; None if there is none."""
    with frame.open("rb") as stream:
        header = stream.read(DPX_HEADER)
    order = {b"SDPX": ">", b"XPDS": "<"}.get(header[:4])
    if order is None or len(header) < DPX_HEADER:
        return None
    (start,) = struct.unpack_from(f"{order}I", header, 4)
    for at in DPX_RATES if start >= DPX_HEADER else ():
        (rate,) = struct.unpack_from(f"{order}f", header, at)
        if 1 <= rate <= 1000:  # Unused fields are 0 or not a number.
            return nearest_usual_rate(Fraction(rate))
    return None


def read_alpha(film: Film, index: int) -> np.ndarray:
    """Read the alpha channel of one frame of a folder: float32 [h, w] in [0, 1].

    Raises:
        MediaError: the frame cannot be read.
    """
    alpha = read_photograph(film.numbered[index]).alpha
    return np.ones((film.height, film.width), np.float32) if alpha is None else alpha


def read_frame(
    film: Film,
    index: int,
    on_damage: Callable[[str], None] | None = None,
    on_loss: Callable[[str, str], None] | None = None,
) -> np.ndarray:
    """Read one frame of a folder: float32 [h, w, 3] RGB, or [h, w, 1] luma if `film.gray`.

    on_damage: called with a description of the damage if the file is damaged but readable.
    on_loss: called with the name of the file, and with what it has and the film lacks.

    Raises:
        MediaError: the frame cannot be read, or differs in size from the film.
    """
    path = film.numbered[index]
    photograph = read_photograph(path)
    if on_damage and photograph.damage:
        on_damage(photograph.damage)
    if on_loss:
        for lost in _lost(film, photograph):
            on_loss(path.name, lost)
    image = photograph.image
    height, width, channels = image.shape
    if (width, height) != (film.width, film.height):
        raise MediaError(
            f"{path}: this frame is {width}x{height}; the first is {film.width}x{film.height}"
        )
    if film.gray and channels == 3:
        return luma(image)[..., None]
    if not film.gray and channels == 1:
        return np.repeat(image, 3, axis=2)
    return image


def _lost(film: Film, photograph: Photograph) -> Iterator[str]:
    """Yield what a frame of a folder has, and the film lacks."""
    if photograph.alpha is not None and not film.alpha:
        yield TRANSPARENCY
    if film.gray and photograph.image.shape[2] == 3:
        yield COLOR
    if photograph.bits > film.bits:
        yield BITS
    if photograph.extra is not None:
        yield "further channels, such as infrared"
    if photograph.pages > 1:
        yield "further pages"
    if photograph.icc and not any(name in photograph.icc for name in _SRGB):
        yield "color profile (ICC)"
    kept = {"EXIF data": photograph.exif, "XMP data": photograph.xmp, "IPTC data": photograph.iptc}
    yield from (name for name, data in kept.items() if data)
