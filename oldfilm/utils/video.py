"""`ppgan.utils.video`: films to numbered pictures and back."""

from __future__ import annotations

import logging
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

from oldfilm import media
from oldfilm.errors import MediaError
from oldfilm.stage import FilmInfo

logger = logging.getLogger(__name__)

QUALITY = 16
"""The crf of PaddleGAN's films."""


def video2frames(video_path: str, outpath: str, **kargs: Any) -> str:
    """Write the frames of a film as `<outpath>/<name>/00000000.png`, 00000001.png, ...

    name: of the film's file, up to its first dot. kargs: for ffmpeg after its output, where it
    ignores them. Returns the folder.

    Raises:
        MediaError: the film cannot be read, or a picture cannot be written.
    """
    if kargs:
        logger.warning("video2frames() ignores %s, as ffmpeg does.", ", ".join(kargs))
    film = media.Film.open(video_path)
    folder = Path(outpath) / Path(video_path).name.partition(".")[0]
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(media.decode(film)):
        media.write_photograph(folder / f"{number:08d}.png", frame.image)
    return str(folder)


def frames2video(frame_path: str, video_path: str, r: str | float | Fraction) -> None:
    """Encode numbered pictures as a film.

    frame_path: the pattern of their paths, such as `frames/%08d.png`. video_path: the film, which
    is replaced if it exists; its suffix selects the codec, H.264 for .mp4. r: frames per second.

    Raises:
        MediaError: there are no such pictures, they differ in size, or the film cannot be written.
    """
    pattern, path = Path(frame_path), Path(video_path)
    if not re.search(r"%0?\d*d", pattern.name):
        raise MediaError(f"{pattern}: not a pattern of numbered pictures, such as %08d.png")
    film = media.Film.open(pattern.parent, Fraction(str(r)))
    path.parent.mkdir(parents=True, exist_ok=True)
    info = FilmInfo(film.width, film.height, film.rate, film.frames, 1 if film.gray else 3)
    settings = media.EncodeSettings(None, QUALITY if path.suffix == ".mp4" else None, None)
    with media.Encoder(path, info, settings, bits=film.bits) as encoder:
        for frame in media.decode(film):
            encoder.write(frame.image)
