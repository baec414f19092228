"""Write a few seconds of a film as a small file to share."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from oldfilm.media.codecs import EncodeSettings, consists_of_images, segment_suffix
from oldfilm.media.decode import decode
from oldfilm.media.encode import Encoder
from oldfilm.media.film import Film
from oldfilm.media.mux import mux
from oldfilm.media.output import scratch_folder

EXCERPT_SUFFIXES = (".gif", ".mp4", ".webp", ".apng", ".webm")
"""What excerpts may be; most places on the net show the first two."""

_FILM_SIZE, _ANIMATION_SIZE = (1280, 720), (480, 480)
"""Larger frames are scaled down to fit into this."""

_ANIMATION_RATE = 16
"""Frames per second of an animation, about; those of other films are kept."""

_QUALITY = 23


def write_excerpt(film: Film, frames: range, destination: Path) -> None:
    """Write frames of a film, scaled down, with square pixels and with their sound.

    destination: its suffix, one of `EXCERPT_SUFFIXES`, selects the format. An existing file is
    replaced.

    Raises:
        MediaError: the film cannot be read, or the file cannot be written.
    """
    is_animation = consists_of_images(destination)
    width, height = _fitted(film, _ANIMATION_SIZE if is_animation else _FILM_SIZE)
    step = max(1, math.floor(film.rate / _ANIMATION_RATE)) if is_animation else 1
    info = replace(
        film.info,
        width=width,
        height=height,
        rate=film.rate / step,
        frames=math.ceil(len(frames) / step),
        sample_aspect=Fraction(1),
    )
    settings = EncodeSettings() if is_animation else EncodeSettings(crf=_QUALITY)
    with scratch_folder(destination) as folder:
        video = folder / f"video{segment_suffix(destination, settings)}"
        with Encoder(video, info, settings, color=film.color, destination=destination) as encoder:
            for number, frame in enumerate(
                decode(film, frames.start, frames.stop, width=width, height=height)
            ):
                if number % step == 0:
                    encoder.write(frame.image)
        mux(
            video,
            None if film.numbered else film,
            destination,
            info.rate,
            start=frames.start / film.rate,
            duration=len(frames) / film.rate,
        )


def _fitted(film: Film, largest: tuple[int, int]) -> tuple[int, int]:
    """Return the size of a film with square pixels, scaled down to fit, in even numbers."""
    wide = film.width * film.info.sample_aspect
    scale = min(Fraction(1), largest[0] / wide, Fraction(largest[1], film.height))
    return max(2, round(wide * scale / 2) * 2), max(2, round(film.height * scale / 2) * 2)
