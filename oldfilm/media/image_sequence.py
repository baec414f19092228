"""Folders of numbered frames."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from oldfilm.errors import MediaError
from oldfilm.imaging.color import luma
from oldfilm.media.film import Film
from oldfilm.media.photo import PHOTOGRAPH_SUFFIXES, read_photograph

_PIXEL_FORMATS = {(True, 8): "gray", (True, 16): "gray16", (False, 16): "rgb48"}
"""By whether a film is gray, and its bits."""


def numbered_frames(folder: str | Path) -> tuple[Path, ...]:
    """Return the images of a folder in numerical order. Numbers may start anywhere and have gaps.

    Raises:
        MediaError: the folder has no images, an image has no number, or names differ in more than
            their number.
    """
    folder = Path(folder)
    try:
        images = [path for path in folder.iterdir() if _is_image(path)]
    except OSError as error:
        raise MediaError(f"{folder}: cannot be read: {error.strerror}") from error
    if not images:
        raise MediaError(f"{folder}: there are no images in this folder")
    numbers, names = {}, set()
    for image in sorted(images):
        parts = re.fullmatch(r"(.*?)(\d+)(\D*)", image.stem)
        if not parts:
            raise MediaError(
                f"{folder}: {image.name} has no number; the frames of a film are numbered"
            )
        numbers[image] = int(parts.group(2))
        names.add((parts.group(1), parts.group(3), image.suffix.lower()))
    if len(names) > 1:
        raise MediaError(f"{folder}: the images are not the numbered frames of one film")
    return tuple(sorted(numbers, key=lambda image: numbers[image]))


def _is_image(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() in PHOTOGRAPH_SUFFIXES and not hidden and path.is_file()


def open_folder(folder: Path, rate: Fraction) -> Film:
    """Probe a folder of numbered frames; the first frame sets size and bit depth.

    Raises:
        MediaError: as `numbered_frames`, or a frame cannot be read, or the rate is not positive.
    """
    if rate <= 0:
        raise MediaError(f"{folder}: a rate of {rate} frames per second is not possible")
    frames = numbered_frames(folder)
    first = read_photograph(frames[0])
    height, width, channels = first.image.shape
    gray = channels == 1 and read_photograph(frames[-1]).image.shape[2] == 1
    return Film(
        path=folder,
        width=width,
        height=height,
        rate=rate,
        frames=len(frames),
        pixel_format=_PIXEL_FORMATS.get((gray, first.bits), "rgb24"),
        bits=first.bits,
        gray=gray,
        rgb=not gray,
        declared_frames=len(frames),
        numbered=frames,
    )


def read_frame(
    film: Film, index: int, on_damage: Callable[[str], None] | None = None
) -> np.ndarray:
    """Read one frame of a folder: float32 [h, w, 3] RGB, or [h, w, 1] luma if `film.gray`.

    on_damage: called with a description of the damage if the file is damaged but readable.

    Raises:
        MediaError: the frame cannot be read, or differs in size from the film.
    """
    path = film.numbered[index]
    photograph = read_photograph(path)
    if on_damage and photograph.damage:
        on_damage(photograph.damage)
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
