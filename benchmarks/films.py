"""Films for benchmarks: a film repeated to a number of frames, and frames filtered by ffmpeg."""

from __future__ import annotations

import subprocess
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from oldfilm import media
from oldfilm.media.ffmpeg import executable
from oldfilm.stage import FilmInfo


def repeat_film(
    source: Path,
    frames: int,
    destination: Path,
    size: tuple[int, int] | None = None,
    settings: media.EncodeSettings | None = None,
) -> None:
    """Repeat a film until it has `frames` frames.

    size: (width, height) of the result, that of the source by default.
    """
    film = media.Film.open(source)
    width, height = size or (film.width, film.height)
    images = [f.image for f in media.decode(film, 0, frames, width=width, height=height)]
    info = FilmInfo(width, height, film.rate, frames, images[0].shape[2])
    with media.Encoder(destination, info, settings or media.EncodeSettings()) as encoder:
        for image in islice(cycle(images), frames):
            encoder.write(image)


def ffmpeg_filtered(frames: np.ndarray, graph: str) -> np.ndarray:
    """Filter frames with ffmpeg, in 8 bits.

    frames: float32 [t, h, w, 3], RGB in [0, 1]; the result has the same format. graph: ffmpeg's
    filters, separated by commas.
    """
    height, width = frames.shape[1:3]
    raw = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{width}x{height}"]
    command = [executable(), "-v", "error", *raw, "-i", "-", "-vf", f"{graph},format=rgb24"]
    stored = np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8)
    done = subprocess.run(
        [*command, "-f", "rawvideo", "-"],
        input=stored.tobytes(),
        stdout=subprocess.PIPE,
        check=True,
    )
    filtered = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)
    return filtered.astype(np.float32) / 255
