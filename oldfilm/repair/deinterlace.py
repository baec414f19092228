"""Deinterlace: whole frames of films that were woven of two fields."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from oldfilm import media
from oldfilm.media.ffmpeg import run, url
from oldfilm.pipeline import RunnableStage
from oldfilm.pipeline.chain import ARRAY_RATE
from oldfilm.stage import FilmInfo, FingerprintValue, Frame, Option


class Deinterlace(RunnableStage):
    """Makes whole frames of an interlaced film, and undoes telecine.

    A film that is measured as interlaced is deinterlaced in any chain; this stage asks for it in
    any case. The decoder does it (ffmpeg's bwdif, fieldmatch and decimate), since its colors have
    to be told apart by fields as well: what comes to `process` is done already.
    """

    name = "Deinterlace"
    options = (
        Option("double_rate", bool, False, "make a frame of every field, at twice the rate"),
    )

    def __init__(self, output: str = "output", *, double_rate: bool = False) -> None:
        """As `RunnableStage`. double_rate: make a frame of every field."""
        super().__init__(output)
        self.double_rate = double_rate
        self.fields: str = "double" if double_rate else "on"

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Stage.fingerprint`."""
        return {"double_rate": self.double_rate}

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film: its rate is the decoder's."""
        return info

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """The frames as they are."""
        yield from frames[core]

    def restored(self, frames: np.ndarray) -> list[np.ndarray]:
        """Woven frames, which go through a lossless film of 16 bits.

        Which field is first is measured: top, where nothing tells. Telecine is not looked for:
        frames have no rate.
        """
        height, width, channels = frames.shape[1:]
        pixels, stored = {1: ("gray16le", "gray16le"), 3: ("rgb48le", "gbrp16le")}[channels]
        codes = np.rint(np.clip(frames, 0, 1) * 65535).astype("<u2")
        raw = ["-f", "rawvideo", "-pixel_format", pixels, "-video_size", f"{width}x{height}"]
        raw += ["-framerate", str(ARRAY_RATE), "-i", "pipe:0"]
        with tempfile.TemporaryDirectory(prefix="oldfilm-") as folder:
            path = Path(folder) / "woven.mkv"
            coded = ["-c:v", "ffv1", "-pix_fmt", stored, url(path)]
            run([*raw, *coded], "the frames cannot be deinterlaced", codes.tobytes())
            film, _ = media.deinterlaced(media.Film.open(path), self.fields)
            return [frame.image for frame in media.decode(film)]
