"""Deinterlace: read an interlaced or telecined film as whole frames."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from oldfilm import media
from oldfilm.media.ffmpeg import run, url
from oldfilm.pipeline import RunnableStage
from oldfilm.pipeline.chain import ARRAY_RATE
from oldfilm.stage import Frame, Option

DOUBLE_RATE = Option("double_rate", bool, False, "make a frame of every field, at twice the rate")


class Deinterlace(RunnableStage):
    """Makes the decoder deinterlace the film or undo its telecine.

    The decoder does the work (ffmpeg's bwdif, fieldmatch and decimate), because chroma must be
    upsampled field by field too. This stage only asks for it, and passes whole frames through. It
    does the same as `deinterlace="on"`, or "double", in any chain; by default, a chain deinterlaces
    the films that are measured to be interlaced.
    """

    name = "Deinterlace"
    options = (DOUBLE_RATE,)

    def __init__(self, output: str = "output", *, double_rate: bool = False) -> None:
        """output: folder that `run` writes to. double_rate: make a frame of every field."""
        super().__init__(output)
        self.double_rate = DOUBLE_RATE.check(double_rate)
        self.fields: str = "double" if double_rate else "on"

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Pass the frames through."""
        yield from frames[core]

    def restored(self, frames: np.ndarray) -> list[np.ndarray]:
        """Deinterlace an array, which is written to a lossless film with 16 bits.

        The field order is measured; without motion, the top field is first. Telecine is not
        undone, because an array has no frame rate.
        """
        with tempfile.TemporaryDirectory(prefix="oldfilm-") as folder:
            path = Path(folder) / "interlaced.mkv"
            _write_lossless(frames, path)
            film, _ = media.deinterlaced(media.Film.open(path), self.fields)
            return [frame.image for frame in media.decode(film)]


def _write_lossless(frames: np.ndarray, path: Path) -> None:
    """Write frames, float32 [t, h, w, c] in [0, 1], as FFV1 with 16 bits."""
    height, width, channels = frames.shape[1:]
    pixels, stored = {1: ("gray16le", "gray16le"), 3: ("rgb48le", "gbrp16le")}[channels]
    codes = np.rint(np.clip(frames, 0, 1) * 65535).astype("<u2")
    raw = ["-f", "rawvideo", "-pixel_format", pixels, "-video_size", f"{width}x{height}"]
    raw += ["-framerate", str(ARRAY_RATE), "-i", "pipe:0"]
    coded = ["-c:v", "ffv1", "-pix_fmt", stored, url(path)]
    run([*raw, *coded], "the frames cannot be deinterlaced", codes.tobytes())
