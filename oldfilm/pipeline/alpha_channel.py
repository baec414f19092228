"""The alpha channel of a film, which does not pass through the stages."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from fractions import Fraction

import numpy as np

from oldfilm.imaging.resample import resize_alpha
from oldfilm.stage import Frame


class AlphaChannel:
    """Gives each restored frame the alpha channel of its time.

    Between two source frames of a shot, the alpha channel is interpolated linearly.
    """

    def __init__(
        self,
        source: Generator[Frame, None, None],
        start: Fraction,
        cuts: Sequence[Fraction],
    ) -> None:
        """source: the alpha channel as `media.decode_alpha` yields it. start: the time there at
        which the time of the restored frames is 0. cuts: in the time of the restored frames.
        """
        self._source, self._start, self._cuts = source, start, cuts
        self._before = self._after = self._next()

    def of(self, frame: Frame) -> np.ndarray:
        """Return the alpha channel of a frame, in its size; frames come in the order of time.

        Returns float32 [h, w] in [0, 1].
        """
        while self._after and self._after.time <= frame.time:
            self._before, self._after = self._after, self._next()
        if self._before is None:  # The end of the file is damaged: show what can be seen.
            return np.ones(frame.image.shape[:2], np.float32)
        return resize_alpha(self._at(self._before, frame.time), frame.image.shape[1::-1])

    def _at(self, before: Frame, time: Fraction) -> np.ndarray:
        after = self._after
        if after is None or any(before.time < cut <= after.time for cut in self._cuts):
            return before.image
        if after.time == before.time or time <= before.time:
            return before.image
        share = np.float32((time - before.time) / (after.time - before.time))
        return before.image + share * (after.image - before.image)

    def _next(self) -> Frame | None:
        frame = next(self._source, None)
        return frame and Frame(frame.image, frame.time - self._start)

    def close(self) -> None:
        """Stop decoding."""
        self._source.close()
