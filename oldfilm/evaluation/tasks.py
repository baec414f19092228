"""Tasks: how ground truth becomes a chain's input, and the baselines to compare the chain with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from oldfilm.errors import OptionError
from oldfilm.evaluation.degrade import degraded
from oldfilm.imaging.color import luma
from oldfilm.imaging.flow import flow, warp
from oldfilm.imaging.resample import matlab_bicubic
from oldfilm.stage import FilmInfo, Stage

Method = Callable[[np.ndarray], Sequence[np.ndarray]]
"""Restores the frames of one shot: float32 [t, h, w, c] in [0, 1] to a sequence of images."""

TASKS = ("size", "rate", "color")
"""Enlarge frames, interpolate new frames, colorize."""

_SPELLINGS = {"colour": "color"}


@dataclass(frozen=True)
class Task:
    """One task.

    prepare: makes two clips of the ground truth, the one to compare with and the chain's input, all
    uint8 [t, h, w, c]. baselines: methods by name. compared: the frames to compare. extra: how many
    frames a method returns after the last one of the ground truth.
    """

    name: str
    prepare: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    baselines: Mapping[str, Method]
    compared: slice
    extra: int = 0


def task_name(text: str) -> str:
    """Return the name of a task as `TASKS` spells it; the British spelling is also accepted."""
    return _SPELLINGS.get(text, text)


def task_for(stages: Sequence[Stage], name: str | None, degradation: str = "bi") -> Task:
    """Choose the task for a chain.

    name: one of `TASKS`; None if it follows from what the chain changes. degradation: how the task
    "size" shrinks the ground truth, one of `degrade.DEGRADATIONS`.

    Raises:
        OptionError: the chain does not do this task, or it does several and `name` is None.
    """
    before = after = FilmInfo(640, 480, Fraction(25), 10, channels=1)
    for stage in stages:
        after = stage.describe(after)
    changed = {
        "size": after.width > before.width,
        "rate": after.frames > before.frames,
        "color": after.channels > before.channels,
    }
    found = [task for task in TASKS if changed[task]]
    if name is None and not found:
        raise OptionError(f"the chain {_chain(stages)} changes none of size, rate and color")
    if name is None and len(found) > 1:
        choices = " or ".join(f"`task={task}`" for task in found)
        raise OptionError(f"the chain changes {' and '.join(found)}: choose {choices}")
    name = task_name(name or found[0])
    if name not in TASKS:
        raise OptionError(f"`task={name}`: choose from {', '.join(TASKS)}")
    if not changed[name]:
        raise OptionError(f"`task={name}`: the chain {_chain(stages)} does not change the {name}")
    if name == "size":
        return _size(Fraction(after.width, before.width), degradation)
    return _rate() if name == "rate" else _color()


def _chain(stages: Sequence[Stage]) -> str:
    return " ".join(stage.name for stage in stages)


def _size(scale: Fraction, degradation: str) -> Task:
    """Shrink the ground truth, and enlarge it again."""
    if scale.denominator != 1:
        raise OptionError(
            f"the chain enlarges by {float(scale):g}: only integer factors can be evaluated"
        )
    times = int(scale)

    def prepare(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = (side // times * times for side in truth.shape[1:3])
        truth = truth[:, :height, :width]
        if not truth.size:
            return truth, truth
        return truth, np.stack([degraded(image, degradation, times) for image in truth])

    def enlarged(frames: np.ndarray) -> list[np.ndarray]:
        return [matlab_bicubic(frame, times) for frame in frames]

    return Task("size", prepare, {"bicubic": enlarged}, slice(None))


def _rate() -> Task:
    """Drop every second frame, and interpolate it again."""

    def prepare(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        truth = truth[: (len(truth) - 1) // 2 * 2 + 1]
        return truth, truth[::2]

    baselines = {
        "average": lambda frames: _doubled(frames, lambda a, b: (a + b) / 2),
        "DIS flow": lambda frames: _doubled(frames, _interpolated),
    }
    return Task("rate", prepare, baselines, slice(1, None, 2), extra=1)


def _doubled(
    frames: np.ndarray, interpolate: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> list[np.ndarray]:
    """Insert a frame after every frame; the last one is repeated."""
    pairs = zip(frames, frames[1:])
    doubled = [image for a, b in pairs for image in (a, interpolate(a, b))]
    return [*doubled, frames[-1], frames[-1]]


def _interpolated(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The mean of both frames, each warped half-way along its flow."""
    size = max(first.shape)
    forward, backward = flow(first, second, longest=size), flow(second, first, longest=size)
    return (warp(first, backward / 2) + warp(second, forward / 2)) / 2


def _color() -> Task:
    """Remove the color, and colorize again."""

    def prepare(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return truth, np.stack([luma(image)[..., None] for image in truth])

    return Task("color", prepare, {"gray": list}, slice(None))
