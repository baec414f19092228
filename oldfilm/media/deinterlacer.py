"""Make progressive frames of interlaced ones, with ffmpeg's filters."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

CYCLE, KEPT = 5, 4
"""Telecine spreads four film frames over five video frames, counted from the first frame."""


@dataclass(frozen=True)
class Deinterlacer:
    """How the decoder deinterlaces a film.

    top_first: whether the top field of a frame is the earlier one.
    telecine: whether to undo 3:2 pulldown, which restores the original film frames.
    doubled: whether to make a frame of every field.
    """

    top_first: bool
    telecine: bool = False
    doubled: bool = False

    @property
    def rate_factor(self) -> Fraction:
        """Output frames per input frame."""
        return Fraction(KEPT, CYCLE) if self.telecine else Fraction(2 if self.doubled else 1)

    def output_frames(self, frames: int) -> int:
        """Return the number of output frames for a number of input frames."""
        if self.telecine:
            return frames // CYCLE * KEPT + frames % CYCLE
        return frames * 2 if self.doubled else frames

    def filters(self, bits: int) -> str:
        """Return the filters for frames of this bit depth, as an ffmpeg filter chain.

        bwdif halves the tick of its time stamps. The filters for telecine require frames at a
        constant rate, from the first frame of a cycle on.
        """
        parity = "tff" if self.top_first else "bff"
        if not self.telecine:
            mode = "send_field" if self.doubled else "send_frame"
            return f"bwdif=mode={mode}:parity={parity}:deint=all"
        match = f"fieldmatch=order={parity}"
        if bits > 8:
            # fieldmatch compares 8-bit samples only. With two inputs, it drops the last frame.
            copies = "tpad=stop=1:stop_mode=clone,split[full][copy];[copy]format=yuv420p[small]"
            match = f"{copies};[small][full]{match}:ppsrc=1"
        return f"{match},bwdif=mode=send_frame:parity={parity}:deint=interlaced,decimate"

    def __str__(self) -> str:
        order = f"{'top' if self.top_first else 'bottom'} field first"
        kind = "telecine" if self.telecine else "interlaced"
        return f"{kind}, {order}{', a frame of every field' if self.doubled else ''}"
