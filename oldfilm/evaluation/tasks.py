"""What is asked of a chain (size, rate or color), what stands beside it, and how it is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from oldfilm.errors import OptionError
from oldfilm.evaluation.degrade import degraded, eight_bits
from oldfilm.imaging import metrics
from oldfilm.imaging.color import studio_luma
from oldfilm.imaging.flow import flow, warp
from oldfilm.imaging.resample import matlab_bicubic
from oldfilm.stage import FilmInfo, Stage

Method = Callable[[np.ndarray], Sequence[np.ndarray]]
"""float32 [t, h, w, c] in [0, 1], the frames of one shot, to the restored images."""

Scores = dict[str, float]
"""By the names of `MEASURES`; what cannot be measured is left out."""

MEASURES = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "interpolation_error": "IE",
    "chroma_error": "a*b* error",
    "colorfulness": "colorfulness",
    "luma_flicker": "flicker, luma",
    "chroma_flicker": "flicker, a*b*",
}
"""What is measured, and how a table calls it."""

TRUTH = "ground truth"


@dataclass(frozen=True)
class Protocol:
    """How a benchmark's papers compare.

    luma: by the Y of BT.601, else by RGB. crop: pixels left out along every border. center: only
    the middle frame of a clip is compared.
    """

    luma: bool = False
    crop: int = 0
    center: bool = False

    def __str__(self) -> str:
        told = ["Y" if self.luma else "RGB", f"{self.crop} pixels of the border left out"]
        return ", ".join([*told, "middle frame only"] if self.center else told)


PROTOCOLS = {
    "rgb": Protocol(),
    "reds": Protocol(),
    "vid4": Protocol(luma=True),
    "udm10": Protocol(luma=True),
    "vimeo90k": Protocol(luma=True, center=True),
    "set5": Protocol(luma=True, crop=4),
    "div2k": Protocol(crop=4),
    "realsr": Protocol(crop=4),
}
"""REDS4, Vid4, UDM10 and Vimeo-90K-T as BasicVSR and PP-MSVSR have them; set5 as ESRGAN's paper;
div2k and realsr as PaddleGAN's tables of single images; rgb for all else."""


@dataclass(frozen=True)
class Task:
    """prepare: what the ground truth becomes, and what of it the chain is given, both uint8 [t, h,
    w, c]. baselines: by name. judged: which frames are compared. held: how many frames come out
    after the last one of the truth.
    """

    name: str
    prepare: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    baselines: Mapping[str, Method]
    judged: slice
    held: int = 0


def task_for(stages: Sequence[Stage], name: str | None, degradation: str = "bi") -> Task:
    """The task that a chain is for.

    name: "size", "rate" or "color"; None: what the chain changes. degradation: how "size" makes
    the truth small, one of `degrade.DEGRADATIONS`.

    Raises:
        OptionError: the chain does not do that, or, without a name, not one thing alone.
    """
    before = after = FilmInfo(640, 480, Fraction(25), 10, channels=1)
    for stage in stages:
        after = stage.describe(after)
    changed = {
        "size": after.width > before.width,
        "rate": after.frames > before.frames,
        "color": after.channels > before.channels,
    }
    found = [task for task, does in changed.items() if does]
    if name is None and len(found) != 1:
        does = " and ".join(found) or "none of size, rate and color"
        raise OptionError(f"the chain changes {does}: say with --task what to judge.")
    name = name or found[0]
    if not changed[name]:
        raise OptionError(f"--task {name}: the chain {_chain(stages)} does not change the {name}.")
    if name == "size":
        return _size(Fraction(after.width, before.width), degradation)
    return _rate() if name == "rate" else _color()


def _chain(stages: Sequence[Stage]) -> str:
    return " ".join(stage.name for stage in stages)


def _size(scale: Fraction, degradation: str) -> Task:
    """Make the truth smaller, enlarge it again."""
    if scale.denominator != 1:
        raise OptionError(f"a chain that enlarges {float(scale):g} times cannot be judged.")
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
    """Drop every second frame, make them again."""

    def prepare(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        truth = truth[: (len(truth) - 1) // 2 * 2 + 1]
        return truth, truth[::2]

    baselines = {
        "average": lambda frames: _doubled(frames, lambda a, b: (a + b) / 2),
        "DIS flow": lambda frames: _doubled(frames, _between),
    }
    return Task("rate", prepare, baselines, slice(1, None, 2), held=1)


def _doubled(
    frames: np.ndarray, between: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> list[np.ndarray]:
    """Twice as many frames; the last one is held."""
    made = [image for a, b in zip(frames, frames[1:]) for image in (a, between(a, b))]
    return [*made, frames[-1], frames[-1]]


def _between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The mean of both frames, each warped half-way along its flow."""
    size = max(first.shape)
    forward, backward = flow(first, second, longest=size), flow(second, first, longest=size)
    return (warp(first, backward / 2) + warp(second, forward / 2)) / 2


def _color() -> Task:
    """Take the color away, give color again."""

    def prepare(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if truth.shape[3] == 1:
            return truth, truth
        return truth, np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY)[..., None] for f in truth])

    return Task("color", prepare, {"gray": list}, slice(None))


def judge(
    truth: np.ndarray, methods: Mapping[str, Method], task: Task, protocol: Protocol
) -> dict[str, Scores]:
    """Scores of the task's baselines and of `methods` on one shot, by name; empty where the shot
    has no frame to compare.

    truth: uint8 [t, h, w, c]. Results are rounded to 8 bits, as a film would hold them. Where gray
    film is colored there is nothing to compare with: colorfulness and flicker remain.

    Raises:
        OptionError: a method gives frames of another number or size.
    """
    truth, seen = task.prepare(truth)
    judged = list(range(len(truth))[task.judged])
    if protocol.center:
        judged = [index for index in judged if index == len(truth) // 2]
    if not judged or not truth.size:
        return {}
    wanted = [_rgb(image) for image in truth]
    scores = {TRUTH: _looks(wanted, judged, truth)}
    for name, method in {**task.baselines, **methods}.items():
        images = method(seen.astype(np.float32) / 255)
        _check(images, truth, task, name)
        found = [_rgb(eight_bits(image)) for image in images[: len(truth)]]
        scores[name] = _looks(found, judged, truth)
        if task.name != "color" or truth.shape[3] == 3:
            scores[name].update(_closeness(found, wanted, judged, protocol))
    return scores


def _check(images: Sequence[np.ndarray], truth: np.ndarray, task: Task, name: str) -> None:
    count, (height, width) = len(truth) + task.held, truth.shape[1:3]
    made_height, made_width = images[0].shape[:2] if len(images) else (0, 0)
    if (len(images), made_height, made_width) != (count, height, width):
        raise OptionError(
            f"{name} gives {len(images)} frames of {made_width}x{made_height}, where "
            f"{count} of {width}x{height} can be compared with the ground truth."
        )


def _rgb(image: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] of RGB or luma."""
    return np.broadcast_to(image, (*image.shape[:2], 3))


def _unit(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / 255


def _closeness(
    found: Sequence[np.ndarray],
    wanted: Sequence[np.ndarray],
    judged: Sequence[int],
    protocol: Protocol,
) -> Scores:
    """Means over the judged frames of what is measured against the truth."""
    rows = []
    for index in judged:
        image, truth = _unit(found[index]), _unit(wanted[index])
        pair = (studio_luma(image), studio_luma(truth)) if protocol.luma else (image, truth)
        row = {
            "psnr": metrics.psnr(*pair, crop=protocol.crop),
            "ssim": metrics.ssim(*pair, crop=protocol.crop),
            "interpolation_error": metrics.interpolation_error(image, truth),
            "chroma_error": metrics.chroma_error(image, truth),
        }
        rows.append(row)
    return mean_scores(rows)


def _looks(frames: Sequence[np.ndarray], judged: Sequence[int], guides: np.ndarray) -> Scores:
    """What needs no truth: colorfulness of the judged frames, flicker of all of them.

    guides: what the motion is sought in, uint8 [t, h, w, c].
    """
    images = [_unit(frames[index]) for index in judged]
    looks = mean_scores([{"colorfulness": metrics.colorfulness(image)} for image in images])
    steps = [
        metrics.change_along_motion(_unit(a), _unit(b), (_unit(p), _unit(q)))
        for a, b, p, q in zip(frames, frames[1:], guides, guides[1:])
    ]
    if steps:
        luma, chroma = np.mean(steps, axis=0)
        looks.update(luma_flicker=float(luma), chroma_flicker=float(chroma))
    return looks


def mean_scores(rows: Sequence[Scores]) -> Scores:
    """The mean of every score over the rows that have it."""
    names = [name for name in MEASURES if any(name in row for row in rows)]
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
