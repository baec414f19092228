"""Propagation of features along a clip, without a framework: of tensors or of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Features = TypeVar("Features")
"""Tensors, or arrays if the parts of the network are exported."""


def propagate(
    step: Callable[[Features, Features, Features], Features],
    frames: Sequence[Features],
    hidden: Features,
) -> Iterator[Features]:
    """Yield the features of each frame and those before it, as `basicvsr.Propagation` makes them.

    frames: in the direction of propagation. hidden: the features before the first, all 0.
    """
    neighbor = frames[0]
    for frame in frames:
        hidden = step(frame, neighbor, hidden)
        neighbor = frame
        yield hidden
