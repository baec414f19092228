"""Divides a film into segments, the units that are restored, kept and resumed."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import NamedTuple

SEGMENT_FRAMES = 250
"""Default for the maximum number of source frames in a segment."""


class Segment(NamedTuple):
    """A range of source frames. All ranges exclude their end.

    start, stop: frames to restore. first, last: frames to decode, which include the neighbors that
    the stages need. Neighbors never extend across a cut.
    """

    start: int
    stop: int
    first: int
    last: int


def segments(
    frames: int, cuts: Sequence[int], before: int, after: int, length: int = SEGMENT_FRAMES
) -> list[Segment]:
    """Divide a film: short shots are grouped, long shots are divided into equal parts.

    The result depends on these arguments only, so a film is always divided the same way.

    frames: length of the film. cuts: index of the first frame of every shot but the first,
    ascending. before, after: neighbors that the chain needs. length: maximum frames per segment.
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
    return [with_neighbors(a, b, edges, before, after) for a, b in zip(bounds, bounds[1:])]


def with_neighbors(start: int, stop: int, edges: Sequence[int], before: int, after: int) -> Segment:
    """Return a segment with its neighbors.

    edges: 0, the first frame of every further shot, and the film's length, ascending.
    """
    shot_start = edges[bisect.bisect_right(edges, start) - 1]
    shot_stop = edges[bisect.bisect_left(edges, stop)]
    return Segment(start, stop, max(shot_start, start - before), min(shot_stop, stop + after))
