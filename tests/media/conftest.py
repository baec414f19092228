"""Make and inspect films for the tests, with the ffmpeg that oldfilm runs."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from oldfilm.media import (
    Encoder,
    EncodeSettings,
    Film,
    decode,
    decode_alpha,
    join,
    mux,
    segment_suffix,
)
from oldfilm.media.ffmpeg import executable, url

COUNTS_CHAPTERS = hasattr(av.container.InputContainer, "chapters")
"""Whether this PyAV lists chapters; oldfilm keeps them either way."""


def ffmpeg(*arguments: object) -> None:
    command = [executable(), "-y", "-v", "error", *(str(a) for a in arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def moving(rate: Fraction | str = "16", seconds: float = 3, size: str = "64x48") -> list[str]:
    """Return ffmpeg's arguments for a test film whose frames all differ."""
    source = f"testsrc2=size={size}:rate={rate}:duration={float(seconds)}"
    return ["-f", "lavfi", "-i", f"{source},hue=h=7*n:b=0.7*sin(n)"]


def write_raw(path: Path, frames: np.ndarray, *options: object, rate: object = 16) -> Path:
    """Encode uint8 [t, h, w, 3] RGB frames with the given output options."""
    height, width = frames.shape[1:3]
    command = [executable(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += [
        "-s",
        f"{width}x{height}",
        "-r",
        str(rate),
        "-i",
        "-",
        *map(str, options),
        url(path),
    ]
    subprocess.run(command, check=True, input=np.ascontiguousarray(frames).tobytes())
    return path


def images(film: Film, *bounds: int) -> list[np.ndarray]:
    return [frame.image for frame in decode(film, *bounds)]


def packets(path: Path, kind: str = "audio", number: int = 0) -> list[bytes]:
    """Return the encoded packets of a track."""
    with av.open(url(path)) as container:
        stream = [s for s in container.streams if s.type == kind][number]
        return [bytes(p) for p in container.demux(stream) if p.size]


def restore(
    film: Film, destination: Path, first: int = 0, stop: int | None = None, **options: object
) -> list[str]:
    """Process a film as the pipeline does, without any stage. options: also `codec`."""
    settings = EncodeSettings(codec=options.pop("codec", None))
    segment = film.path.with_name(f"segment{segment_suffix(destination, settings, film.alpha)}")
    kept = {"bits": film.bits, "hdr10": film.hdr10, "alpha": film.alpha}
    encoder = Encoder(segment, film.info, settings, **kept, destination=destination)
    with encoder:
        alpha = decode_alpha(film, first, stop) if encoder.alpha else None
        for image in images(film, first, *([stop] if stop else [])):
            encoder.write(image, next(alpha).image if alpha else None)
    joined = segment.with_name(f"joined{segment.suffix}")
    join([segment], joined, film.rate)
    return mux(joined, film, destination, film.rate, **options)


def loudness(path: Path, rate: int = 8000) -> np.ndarray:
    """Return the absolute samples of the first sound track from time 0 on: float [n]."""
    command = [executable(), "-v", "error", "-i", url(path), "-map", "0:a:0", "-ac", "1"]
    command += ["-af", f"aresample={rate}:async=1:first_pts=0", "-f", "f32le", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.abs(np.frombuffer(raw, np.float32))


def plane(path: Path, pixel_format: str) -> np.ndarray:
    """Return the stored code values of all frames, plane by plane."""
    command = [executable(), "-v", "error", "-i", url(path), "-map", "0:v"]
    command += ["-pix_fmt", pixel_format, "-f", "rawvideo", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    deep = "10" in pixel_format or "16" in pixel_format
    return np.frombuffer(raw, "<u2" if deep else np.uint8).astype(int)


@pytest.fixture
def film_file(tmp_path: Path) -> Path:
    """A film of 3 s at 16 fps in H.264 with B frames, several key frames and one sound track."""
    path = tmp_path / "film.mkv"
    sound = ["-f", "lavfi", "-i", "sine=frequency=440:duration=3"]
    ffmpeg(*moving(), *sound, "-c:v", "libx264", "-g", 12, "-bf", 3, "-c:a", "aac", path)
    return path
