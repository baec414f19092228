"""Divides a film into the stretches that are restored, kept and resumed as units."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

SEGMENT_FRAMES = 250
"""Source frames in a segment, at most."""


@dataclass(frozen=True)
class Segment:
    """Source frames `start` to `stop` are restored; `first` to `last` are decoded for it.

    The frames outside start..stop are neighbors that the stages must see; they never lie beyond
    a cut.
    """

    start: int
    stop: int
    first: int
    last: int


def segments(
    frames: int, cuts: Sequence[int], before: int, after: int, length: int = SEGMENT_FRAMES
) -> list[Segment]:
    """Whole shots up to `length` frames together; longer shots in equal parts.

    frames: of the film. cuts: index of the first frame of every shot but the first, ascending.
    before, after: neighbors that the chain must see. It depends on nothing else, so a film is
    always divided the same way.
    """
    edges = [0, *cuts, frames]
    bounds = [0]
    for start, stop in zip(edges, edges[1:]):
        if stop - bounds[-1] <= length:
            continue
        if bounds[-1] < start:
            bounds.append(start)
        parts = -(-(stop - start) // length)
        bounds += [start + (stop - start) * part // parts for part in range(1, parts)]
    bounds.append(frames)
    return [_with_neighbors(a, b, edges, before, after) for a, b in zip(bounds, bounds[1:])]


def _with_neighbors(
    start: int, stop: int, edges: Sequence[int], before: int, after: int
) -> Segment:
    shot_starts = edges[bisect.bisect_right(edges, start) - 1]
    shot_stops = edges[bisect.bisect_left(edges, stop)]
    return Segment(start, stop, max(shot_starts, start - before), min(shot_stops, stop + after))
