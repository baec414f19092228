"""Restore a part of a clip as a job restores a segment."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.windows import Span
from oldfilm.stage import FilmFacts, FilmInfo, Frame, Stage, Window


def restore_segment(stage: Stage, clip: np.ndarray, first: int, end: int) -> np.ndarray:
    """Restore the frames from `first` to `end` in windows of three frames.

    clip: float32 [t, h, w, c] in [0, 1], one shot. The stage sees its window's neighbors only.
    """
    before, after = stage.window.before, stage.window.after
    stage.window = Window(core=3, before=before, after=after)
    frames, height, width, _ = clip.shape
    info = FilmInfo(width, height, Fraction(16), frames)
    chain = Chain([stage], info)
    chain.analyze(FilmFacts())
    given = [Frame(image, i / info.rate) for i, image in enumerate(clip)]
    span = Span(first / info.rate, end / info.rate)
    restored = chain.run(given[first - before : end + after], span)
    return np.stack([frame.image for frame in restored])
