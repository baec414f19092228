"""Train the lite DAIN: frames at times between two others.

A sample is a crop of two frames of a clip and of one between them. What the network sees (flow,
projection, warped neighbors) is computed once, before training, by the code that also restores
films. The network works at 3/5 of the size at which it is judged, as it does when it restores clips
of 854x480.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from oldfilm.imaging.color import LUMA_WEIGHTS
from oldfilm.imaging.flow import Motion
from oldfilm.training import data, loop
from oldfilm.training.ageing import Ageing, age
from oldfilm.training.torch_networks import DAINLite, warp

FULL, REDUCED = 5, 3
"""Sizes of a crop and of the reduced one that the network sees are as 5 to 3."""

GAPS_AND_STEPS = ((2, 1), (2, 1), (4, 1), (4, 2), (4, 3))
"""Frames between two neighbors, and from the first to the one between."""


@dataclass(frozen=True, kw_only=True)
class Recipe(loop.Recipe):
    """See configs/train/dain-lite.yaml."""

    samples: int
    crop: tuple[int, int]
    margin: int


def sample_type(crop: Sequence[int], margin: int) -> np.dtype:
    """The type of one sample.

    around: both neighbors, with a margin. target: the frame between, at full size.
    flows, trust, candidates: at reduced size, see `Motion.at`.
    """
    rows, columns = crop
    reduced = (rows * REDUCED // FULL, columns * REDUCED // FULL)
    return np.dtype(
        [
            ("around", np.uint8, (2, rows + 2 * margin, columns + 2 * margin, 3)),
            ("target", np.uint8, (rows, columns, 3)),
            ("flows", np.float16, (*reduced, 4)),
            ("trust", np.float16, (*reduced, 2)),
            ("candidates", np.uint8, (*reduced, 12)),
            ("time", np.float32),
        ]
    )


def cut_samples(recipe: Recipe, clips: Sequence[np.ndarray]) -> np.ndarray:
    """Cut samples out of clips, uint8 [t, h, w, 3]: four out of every pair of frames drawn.

    A run of a few steps gets no more samples than it can use.
    """
    rng = np.random.default_rng(recipe.seed)
    chances = np.array([len(clip) for clip in clips], float)
    chances /= chances.sum()
    count = recipe.samples
    if recipe.steps is not None:
        count = min(count, max(1, recipe.steps) * recipe.batch)
    samples = np.zeros(count, sample_type(recipe.crop, recipe.margin))
    for start in range(0, count, 4):
        clip = clips[rng.choice(len(clips), p=chances)]
        _cut(samples[start : start + 4], clip, recipe.margin, rng)
    return samples


def _cut(samples: np.ndarray, clip: np.ndarray, margin: int, rng: np.random.Generator) -> None:
    """Fill samples from one pair of frames."""
    first, target, second, seen, time = _draw_frames(clip, rng)
    flows, trust, candidates = Motion(*seen).at(time)
    border = ((0, 0), (margin,) * 2, (margin,) * 2, (0, 0))
    around = np.pad(_bytes(np.stack([first, second])), border, "edge")
    crop = np.array(samples.dtype["target"].shape[:2]) // FULL
    for one in samples:
        row, column = _busy_corner(np.abs(first - second).mean(axis=2), crop, rng)
        inner = _window(row, column, crop, REDUCED)
        one["target"] = _bytes(target[_window(row, column, crop, FULL)])
        wide = _window(row, column, crop + 2 * margin // FULL, FULL)
        one["around"] = around[(slice(None), *wide)]
        one["flows"], one["trust"], one["time"] = flows[inner], trust[inner], time
        one["candidates"] = _bytes(candidates[inner])


def _draw_frames(clip: np.ndarray, rng: np.random.Generator) -> tuple:
    """Draw two neighbors and a frame between them, float32 [h, w, 3], at a random size.

    Returns the first, the one between, the second; what the network sees of the neighbors, float32
    [2, h, w, 3]; and the time between, in (0, 1).
    """
    gap, step = GAPS_AND_STEPS[rng.integers(len(GAPS_AND_STEPS))]
    start = rng.integers(len(clip) - gap)
    chosen = clip[[start, start + step, start + gap]].astype(np.float32) / 255
    if rng.random() < 0.15:
        chosen = np.repeat(chosen @ LUMA_WEIGHTS[:, None], 3, 3)
    units = np.array(clip.shape[1:3]) * rng.uniform(0.6, 1.0) // FULL
    rows, columns = units.astype(int)
    first, target, second = (_resized(image, rows * FULL, columns * FULL) for image in chosen)
    seen = np.stack([_resized(i, rows * REDUCED, columns * REDUCED) for i in (first, second)])
    if rng.random() < 0.3:
        # The target stays clean: the network must not mistake grain and flicker for motion.
        seen = age(seen, Ageing(grain=rng.uniform(0, 0.06), flicker=rng.uniform(0, 0.05)), rng)
    return first, target, second, seen, step / gap


def _resized(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _busy_corner(
    difference: np.ndarray, crop: np.ndarray, rng: np.random.Generator
) -> tuple[int, int]:
    """The corner of the one of three random crops that changes most, in units of FULL pixels."""
    last = np.array(difference.shape) // FULL - crop
    corners = rng.integers(0, last + 1, (3, 2))
    change = [difference[_window(*corner, crop, FULL)].mean() for corner in corners]
    row, column = corners[int(np.argmax(change))]
    return int(row), int(column)


def _window(row: int, column: int, units: np.ndarray, scale: int) -> tuple[slice, slice]:
    return (
        slice(row * scale, (row + units[0]) * scale),
        slice(column * scale, (column + units[1]) * scale),
    )


class Interpolation(loop.Training):
    """Trains the lite DAIN."""

    recipe: Recipe
    network: DAINLite

    def __init__(self, recipe: Recipe, clips: Sequence[np.ndarray], device: str = "cpu") -> None:
        """clips: uint8 [t, h, w, 3] each, of at least 5 frames."""
        super().__init__(recipe, device)
        self.rng = np.random.default_rng(recipe.seed)
        self.samples = cut_samples(recipe, clips)
        self.network = DAINLite(**recipe.settings).to(self.device)

    @classmethod
    def from_folder(cls, recipe: Recipe, root: Path, device: str = "cpu") -> Interpolation:
        """root: see `oldfilm.training.data`."""
        return cls(recipe, [clip for _, clip in data.clips(root, data.TRAIN)], device)

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), betas=(0.9, 0.999))

    def losses(self) -> dict[str, Tensor]:
        drawn = draw_batch(self.samples, self.recipe.batch, self.rng)
        batch = {name: part.to(self.device) for name, part in drawn.items()}
        trust = batch["trust"]
        time_map = batch["time"].view(-1, 1, 1, 1) + 0 * trust[:, :1]
        made = self.network(batch["candidates"], batch["flows"], trust, time_map)
        frames = synthesize(batch["around"], made, self.recipe.margin)
        return {"loss": _charbonnier(frames - batch["target"])}


def draw_batch(samples: np.ndarray, count: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """Draw samples as float tensors, channels first; mirrored and played backwards at random."""
    drawn = samples[np.sort(rng.choice(len(samples), count, replace=False))]
    parts = {name: drawn[name].astype(np.float32) for name in drawn.dtype.names}
    for name in ("around", "target", "candidates"):
        parts[name] /= 255
    if rng.random() < 0.5:
        parts = _backwards(parts)
    for axis, sign in ((-2, (-1, 1, -1, 1)), (-3, (1, -1, 1, -1))):
        if rng.random() < 0.5:
            parts = {n: np.flip(p, axis) if p.ndim > 1 else p for n, p in parts.items()}
            parts["flows"] = parts["flows"] * np.float32(sign)
    return {
        name: torch.from_numpy(np.ascontiguousarray(np.moveaxis(p, -1, -3) if p.ndim > 1 else p))
        for name, p in parts.items()
    }


def _backwards(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        "around": parts["around"][:, ::-1],
        "target": parts["target"],
        "flows": parts["flows"][..., [2, 3, 0, 1]],
        "trust": parts["trust"][..., ::-1],
        "candidates": parts["candidates"][..., [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]],
        "time": 1 - parts["time"],
    }


def synthesize(around: Tensor, made: Tensor, margin: int) -> Tensor:
    """Blend the frame between as the predictor does, at full size.

    around: both neighbors, [n, 2, 3, h, w], with a margin of `margin` pixels on each side.
    made: the network's output, [n, 9, ...]. Returns [n, 3, h - 2 margin, w - 2 margin].
    """
    size = [side - 2 * margin for side in around.shape[3:]]
    large = functional.interpolate(made, size=size, mode="bilinear", align_corners=False)
    flows = large[:, :4] * (FULL / REDUCED)
    first, second = (
        warp(around[:, i], flows[:, 2 * i : 2 * i + 2], margin, "border") for i in range(2)
    )
    sharp = second + large[:, 4:5] * (first - second)
    return sharp + large[:, 5:6] * (large[:, 6:] - sharp)


def _charbonnier(difference: Tensor) -> Tensor:
    """Quadratic for small differences, which is closer to the interpolation error."""
    return torch.sqrt(difference.square() + 0.03**2).mean() - 0.03
