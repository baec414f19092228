"""Films whose frames are woven of two fields: how whole frames are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

CYCLE, KEPT = 5, 4
"""Telecine shows four frames of film in five of video; counted from the film's first frame."""


@dataclass(frozen=True)
class Fields:
    """How the frames of a film are made of its fields.

    top_first: the upper line of a frame is of the earlier field. telecine: the fields are those of
    a film of four fifths of the rate (3:2 pulldown), whose frames are put together again. doubled:
    every field becomes a frame.
    """

    top_first: bool
    telecine: bool = False
    doubled: bool = False

    @property
    def speed(self) -> Fraction:
        """Frames that come out for one that goes in."""
        return Fraction(KEPT, CYCLE) if self.telecine else Fraction(2 if self.doubled else 1)

    def count(self, frames: int) -> int:
        """How many frames come out of a film of so many."""
        if self.telecine:
            return frames // CYCLE * KEPT + frames % CYCLE
        return frames * 2 if self.doubled else frames

    def filters(self, bits: int) -> str:
        """ffmpeg's filters that do it. bits: of each sample.

        They count time in half ticks, or not at all for telecine, which wants frames that come
        evenly, from the first of a cycle on.
        """
        parity = "tff" if self.top_first else "bff"
        if not self.telecine:
            mode = "send_field" if self.doubled else "send_frame"
            return f"bwdif=mode={mode}:parity={parity}:deint=all"
        match = f"fieldmatch=order={parity}"
        if bits > 8:
            # It compares samples of 8 bits only; and of two inputs, it loses the last frame.
            copies = "tpad=stop=1:stop_mode=clone,split[full][copy];[copy]format=yuv420p[small]"
            match = f"{copies};[small][full]{match}:ppsrc=1"
        return f"{match},bwdif=mode=send_frame:parity={parity}:deint=interlaced,decimate"

    def __str__(self) -> str:
        order = f"{'top' if self.top_first else 'bottom'} field first"
        kind = "telecine" if self.telecine else "interlaced"
        return f"{kind}, {order}{', a frame of every field' if self.doubled else ''}"
