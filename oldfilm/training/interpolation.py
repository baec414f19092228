"""Trains the lite DAIN: frames at times between two others.

A sample is a piece of two frames of a clip and of one that lies between them. What the network is
given (flow, projection, neighbors warped) is made once beforehand, by the code that runs when a
film is restored. The network works at 3/5 of the size at which it is judged, as it does when clips
of 854x480 are restored.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from oldfilm.imaging.flow import Motion
from oldfilm.training import data
from oldfilm.training.ageing import Ageing, age
from oldfilm.training.recipe import run_recipe
from oldfilm.training.snapshot import write_weights
from oldfilm.training.torch_networks import DAINLite

FULL, REDUCED = 5, 3
"""A full-size crop and the reduced one that the network sees are as 5 to 3."""


def sample_type(recipe: dict) -> np.dtype:
    """One sample. around: both neighbors, with a margin. target: the frame between, full size.

    flows, trust, candidates: at reduced size, see `Motion.at`.
    """
    rows, columns = recipe["crop"]
    margin = 2 * recipe["margin"]
    reduced = (rows * REDUCED // FULL, columns * REDUCED // FULL)
    return np.dtype(
        [
            ("around", np.uint8, (2, rows + margin, columns + margin, 3)),
            ("target", np.uint8, (rows, columns, 3)),
            ("flows", np.float16, (*reduced, 4)),
            ("trust", np.float16, (*reduced, 2)),
            ("candidates", np.uint8, (*reduced, 12)),
            ("time", np.float32),
        ]
    )


def cut_samples(recipe: dict, root: Path) -> np.ndarray:
    """Cut recipe["samples"] samples out of the clips, four out of every pair of frames drawn."""
    rng = np.random.default_rng(recipe["seed"])
    clips = [clip for _, clip in data.clips(root, data.TRAIN)]
    chances = np.array([len(clip) for clip in clips], float)
    chances /= chances.sum()
    samples = np.zeros(recipe["samples"], sample_type(recipe))
    for start in range(0, len(samples), 4):
        clip = clips[rng.choice(len(clips), p=chances)]
        _cut(samples[start : start + 4], clip, recipe["margin"], rng)
    return samples


def _cut(samples: np.ndarray, clip: np.ndarray, margin: int, rng: np.random.Generator) -> None:
    """Fill samples from one pair of frames: neighbors but one, or further apart for any time."""
    gap, step = ((2, 1), (2, 1), (4, 1), (4, 2), (4, 3))[rng.integers(5)]
    start = rng.integers(len(clip) - gap)
    chosen = clip[[start, start + step, start + gap]].astype(np.float32) / 255
    if rng.random() < 0.15:
        chosen = np.repeat(chosen @ np.float32([[0.299], [0.587], [0.114]]), 3, 3)
    units = np.array(clip.shape[1:3]) * rng.uniform(0.6, 1.0) // FULL
    rows, columns = units.astype(int)
    first, target, second = (_resize(image, rows * FULL, columns * FULL) for image in chosen)
    seen = np.stack([_resize(i, rows * REDUCED, columns * REDUCED) for i in (first, second)])
    if rng.random() < 0.3:
        # What is judged stays clean: the network shall not mistake grain and flicker for motion.
        seen = age(seen, Ageing(grain=rng.uniform(0, 0.06), flicker=rng.uniform(0, 0.05)), rng)
    way = step / gap
    flows, trust, candidates = Motion(*seen).at(way)
    around = np.pad(
        _bytes(np.stack([first, second])), ((0, 0), (margin,) * 2, (margin,) * 2, (0, 0)), "edge"
    )
    crop = np.array(samples.dtype["target"].shape[:2]) // FULL
    for sample in samples:
        row, column = _busy_corner(np.abs(first - second).mean(axis=2), crop, rng)
        inner = _window(row, column, crop, REDUCED)
        sample["target"] = _bytes(target[_window(row, column, crop, FULL)])
        wide = _window(row, column, crop + 2 * margin // FULL, FULL)
        sample["around"] = around[(slice(None), *wide)]
        sample["flows"], sample["trust"], sample["time"] = flows[inner], trust[inner], way
        sample["candidates"] = _bytes(candidates[inner])


def _resize(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _busy_corner(
    difference: np.ndarray, crop: np.ndarray, rng: np.random.Generator
) -> tuple[int, int]:
    """The corner, in units of FULL pixels, of the one in three random crops that changes most."""
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


def train(recipe: dict, root: Path, output: Path, start: Path | None = None) -> None:
    """Train until recipe["minutes"] have passed; the running average is saved as it goes.

    recipe: the content of configs/train/dain-lite.yaml. root: see `oldfilm.training.data`.
    output: where the weights go (.safetensors), every recipe["save_minutes"] and at the end.
    start: weights to go on from.
    """
    cv2.setNumThreads(recipe["threads"])
    torch.set_num_threads(recipe["threads"])
    torch.manual_seed(recipe["seed"])
    rng = np.random.default_rng(recipe["seed"])
    samples = cut_samples(recipe, root)
    network = DAINLite(**recipe["settings"])
    if start:
        network.load_state_dict(load_file(start))
    average = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), betas=(0.9, 0.999))
    began = saved = time.monotonic()
    step, shown = 0, 0.0
    while (spent := (time.monotonic() - began) / 60) < recipe["minutes"]:
        for group in optimizer.param_groups:
            group["lr"] = _rate(recipe, step, spent / recipe["minutes"])
        loss = _step(network, optimizer, _batch(samples, recipe, rng), recipe["margin"])
        step += 1
        keep = min(recipe["average"], step / (step + 10))
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - keep)
        shown += (loss - shown) * max(0.01, 1 / step)
        if step % 50 == 0:
            print(f"{spent:6.1f} min  step {step}  loss {shown:.5f}", flush=True)
        if time.monotonic() - saved > 60 * recipe["save_minutes"]:
            saved = time.monotonic()
            write_weights(average, output)
    write_weights(average, output)


def _rate(recipe: dict, step: int, done: float) -> float:
    """Warm up for a hundred steps, then fall along a cosine of the time that is spent."""
    falling = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    rate = recipe["last_rate"] + (recipe["rate"] - recipe["last_rate"]) * falling
    return rate * min(1.0, (step + 1) / 100)


def _batch(samples: np.ndarray, recipe: dict, rng: np.random.Generator) -> dict[str, Tensor]:
    """Samples as float tensors, channels first; mirrored, and played backwards, at random."""
    drawn = samples[np.sort(rng.choice(len(samples), recipe["batch"], replace=False))]
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


def _step(
    network: DAINLite, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor], margin: int
) -> float:
    trust = batch["trust"]
    time_map = batch["time"].view(-1, 1, 1, 1) + 0 * trust[:, :1]
    made = network(batch["candidates"], batch["flows"], trust, time_map)
    loss = _charbonnier(_synthesize(batch["around"], made, margin) - batch["target"])
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
    optimizer.step()
    return loss.item()


def _synthesize(around: Tensor, made: Tensor, margin: int) -> Tensor:
    """The full-size crop, as the predictor makes it; around: [n, 2, 3, h, w], with its margin."""
    size = [side - 2 * margin for side in around.shape[3:]]
    large = functional.interpolate(made, size=size, mode="bilinear", align_corners=False)
    flows = large[:, :4] * (FULL / REDUCED)
    first, second = (_warp(around[:, i], flows[:, 2 * i : 2 * i + 2], margin) for i in range(2))
    sharp = second + large[:, 4:5] * (first - second)
    return sharp + large[:, 5:6] * (large[:, 6:] - sharp)


def _warp(image: Tensor, flow: Tensor, margin: int) -> Tensor:
    """Backward warp of the part of `image` inside its margin; the border is repeated."""
    rows, columns = flow.shape[2:]
    x = torch.arange(columns, dtype=flow.dtype) + flow[:, 0] + margin
    y = torch.arange(rows, dtype=flow.dtype)[:, None] + flow[:, 1] + margin
    height, width = image.shape[2:]
    grid = torch.stack([x * 2 / (width - 1) - 1, y * 2 / (height - 1) - 1], 3)
    return functional.grid_sample(image, grid, padding_mode="border", align_corners=True)


def _charbonnier(difference: Tensor) -> Tensor:
    """Quadratic for small differences, so that it is nearer to what interpolation is judged by."""
    return torch.sqrt(difference.square() + 0.03**2).mean() - 0.03


def main(arguments: Sequence[str]) -> None:
    """python -m oldfilm.training interpolation RECIPE --data FOLDER --output FILE"""
    run_recipe(arguments, "rate", __doc__, train)
