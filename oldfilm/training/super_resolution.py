"""Trains the lite PP-MSVSR: four times the size, out of frames that are clean or look old.

A sample is a few consecutive frames of a moving clip, or of a photograph that a camera pans over,
made four times smaller and, half of the time, aged. The network is asked for the picture as it
was before, with the same tones: what age did to brightness is another stage's work.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from oldfilm.imaging.flow import flow
from oldfilm.training import data
from oldfilm.training.ageing import Ageing, age, tone
from oldfilm.training.recipe import run_recipe, set_rate
from oldfilm.training.snapshot import write_weights
from oldfilm.training.torch_networks import PPMSVSRLite

SCALE = 4

_MARGIN = 8
"""Small pixels around a patch that only the search for motion sees; DIS is poor at borders."""


def shrink(image: np.ndarray, scale: int = SCALE) -> np.ndarray:
    """Make an image smaller by an integer, bicubic (a = -0.5) with the kernel widened to match.

    image: float32 [h, w, c], sides multiples of `scale`. This is what the field's benchmarks call
    bicubic downscaling (Matlab's imresize); OpenCV's own does not widen the kernel, so it aliases.
    """
    height, width, channels = image.shape
    rows = _shrink_matrix(height, scale) @ image.reshape(height, -1)
    rows = rows.reshape(-1, width, channels)
    return np.matmul(_shrink_matrix(width, scale), rows)


@functools.lru_cache(maxsize=8)
def _shrink_matrix(size: int, scale: int) -> np.ndarray:
    """float32 [size / scale, size]; borders are mirrored."""
    small = size // scale
    centers = (np.arange(small) + 0.5) * scale - 0.5
    taps = np.floor(centers)[:, None].astype(int) + np.arange(-2 * scale + 1, 2 * scale + 1)
    distance = np.abs(taps - centers[:, None]) / scale
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = np.where(taps < 0, -taps - 1, np.where(taps >= size, 2 * size - taps - 1, taps))
    matrix = np.zeros((small, size), np.float32)
    np.add.at(matrix, (np.arange(small)[:, None], mirrored), weights)
    return matrix


class Samples:
    """Draws training samples for ever.

    clips: uint8 [t, h, w, 3] each. photographs: uint8 [h, w, 3] each. overlays: film damage, uint8
    [h, w, 4] each. frames, patch: how many frames a sample has, and their side in small pixels.
    """

    def __init__(
        self,
        clips: Sequence[np.ndarray],
        photographs: Sequence[np.ndarray],
        overlays: Sequence[np.ndarray],
        frames: int,
        patch: int,
        seed: int = 0,
    ) -> None:
        self.clips, self.photographs, self.overlays = clips, photographs, overlays
        self.frames, self.patch = frames, patch
        self.rng = np.random.default_rng(seed)
        self.chances = np.array([len(clip) for clip in clips], float)
        self.chances /= self.chances.sum()

    def draw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One sample: small frames, flow to the next, flow to the previous, and what is wanted.

        float32 [t, 3, patch, patch], [t - 1, 2, patch, patch] twice, [t, 3, 4 patch, 4 patch].
        """
        rng = self.rng
        large = self._pan() if rng.random() < 0.25 else self._cut_from_clip()
        large = _turn(large, rng)
        if rng.random() < 0.4:
            large = np.repeat(large @ np.float32([[0.299], [0.587], [0.114]]), 3, 3)
        if rng.random() < 0.5:
            small = np.stack([shrink(image) for image in large])
        else:
            large, small = self._aged(large)
            large = np.stack([_crisp(image) for image in large])
        small = np.clip(small, 0, 1)
        pairs = list(zip(small[:-1], small[1:]))
        to_next = np.stack([flow(a, b) for a, b in pairs])
        to_previous = np.stack([flow(b, a) for a, b in pairs])
        inner = slice(_MARGIN, _MARGIN + self.patch)
        outer = slice(_MARGIN * SCALE, (_MARGIN + self.patch) * SCALE)
        return (
            small[:, inner, inner].transpose(0, 3, 1, 2),
            to_next[:, inner, inner].transpose(0, 3, 1, 2),
            to_previous[:, inner, inner].transpose(0, 3, 1, 2),
            np.clip(large[:, outer, outer], 0, 1).transpose(0, 3, 1, 2),
        )

    def _aged(self, large: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is wanted, and the small frames to make it from, aged but for the tones of both."""
        ageing = Ageing.draw(self.rng, strength=self.rng.uniform(0.3, 1.0))
        large = np.clip(tone(large, ageing, self.rng), 0, 1)
        small = np.stack([shrink(image) for image in large])
        # Old films are scanned far finer than they were sharp: blurred by pixels, not by one.
        blur = self.rng.uniform(0.0, 2.0)
        rest = dataclasses.replace(ageing, flicker=0.0, fading=0.0, blur=blur)
        return large, age(np.clip(small, 0, 1), rest, self.rng, [self._damage()])

    def _damage(self) -> np.ndarray:
        """A piece of an overlay: an overlay is a whole frame's, a patch is a piece of one."""
        overlay = self.overlays[self.rng.integers(len(self.overlays))]
        side = min(overlay.shape[0], overlay.shape[1], 3 * self.patch)
        return _piece(overlay, self._corner(overlay.shape[:2], side), side)

    def _side(self) -> int:
        return (self.patch + 2 * _MARGIN) * SCALE

    def _corner(self, shape: Sequence[int], side: int) -> np.ndarray:
        """A random upper left corner of a square: row, column."""
        return self.rng.integers(0, np.array(shape) - side + 1)

    def _cut_from_clip(self) -> np.ndarray:
        """Consecutive frames of a clip, forwards or backwards, with or without gate weave."""
        rng, side = self.rng, self._side()
        clip = self.clips[rng.choice(len(self.clips), p=self.chances)]
        stride = 2 if len(clip) > 2 * self.frames and rng.random() < 0.2 else 1
        start = rng.integers(len(clip) - (self.frames - 1) * stride)
        shown = clip[start : start + self.frames * stride : stride]
        corner = self._corner(clip.shape[1:3], side)
        weave = rng.normal(0, 2.0, (len(shown), 2)) if rng.random() < 0.3 else 0
        corners = np.clip(corner + np.zeros((len(shown), 2)) + weave, 0, _last(clip[0], side))
        cut = [_piece(f, c, side) for f, c in zip(shown, corners.astype(int))]
        return np.stack(cut[:: rng.choice([-1, 1])]).astype(np.float32) / 255

    def _pan(self) -> np.ndarray:
        """A photograph that the camera passes over, evenly and with gate weave, or not at all."""
        rng, side = self.rng, self._side()
        photograph = self.photographs[rng.integers(len(self.photographs))]
        steps = np.arange(self.frames)[:, None]
        path = steps * rng.normal(0, 4, 2) + rng.normal(0, 2, (self.frames, 2))
        if rng.random() < 0.3:
            path[:] = 0
        corner = self._corner(photograph.shape[:2], side)
        corners = np.clip(corner + path, 0, _last(photograph, side)).astype(int)
        return np.stack([_piece(photograph, c, side) for c in corners]).astype(np.float32) / 255


def _last(image: np.ndarray, side: int) -> np.ndarray:
    return np.array(image.shape[:2]) - side


def _piece(image: np.ndarray, corner: np.ndarray, side: int) -> np.ndarray:
    return image[corner[0] : corner[0] + side, corner[1] : corner[1] + side]


def _crisp(image: np.ndarray, amount: float = 0.15) -> np.ndarray:
    """Unsharp masking of what is wanted: where age took detail, a mean of guesses looks soft."""
    return image + amount * (image - cv2.GaussianBlur(image, (0, 0), 1.5))


def _turn(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    frames = frames[:, :: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    return frames.transpose(0, 2, 1, 3) if rng.random() < 0.5 else frames


def train(recipe: dict, root: Path, output: Path, start: Path | None = None) -> None:
    """Train until recipe["minutes"] have passed; the running average is saved as it goes.

    recipe: the content of configs/train/ppmsvsr-lite.yaml. root: see `oldfilm.training.data`.
    output: where the weights go (.safetensors), every recipe["save_minutes"] and at the end.
    start: weights to go on from.
    """
    torch.set_num_threads(recipe["threads"])
    cv2.setNumThreads(recipe["threads"])
    torch.manual_seed(recipe["seed"])
    samples = _load(recipe, root)
    network = PPMSVSRLite(**recipe["settings"])
    if start:
        network.load_state_dict(load_file(start))
    else:
        _start_small(network)
    average = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe["rate"], betas=(0.9, 0.99))
    began = saved = time.monotonic()
    step, shown_loss = 0, 0.0
    while (spent := (time.monotonic() - began) / 60) < recipe["minutes"]:
        set_rate(optimizer, recipe, step, spent / recipe["minutes"])
        loss = _step(network, optimizer, samples, recipe)
        step += 1
        _follow(average, network, min(recipe["average"], step / (step + 10)))
        shown_loss += (loss - shown_loss) * max(0.01, 1 / step)
        if step % 50 == 0:
            print(f"{spent:6.1f} min  step {step}  loss {shown_loss:.5f}", flush=True)
        if time.monotonic() - saved > 60 * recipe["save_minutes"]:
            saved = time.monotonic()
            write_weights(average, output)
    write_weights(average, output)


def _load(recipe: dict, root: Path) -> Samples:
    clips = [clip for _, clip in data.clips(root, data.TRAIN)]
    least = (recipe["patch"] + 2 * _MARGIN) * SCALE
    photographs = [
        photograph
        for _, photograph in data.photographs(root, data.TRAIN)
        if min(photograph.shape[:2]) >= max(least, 400)
    ]
    overlays = data.overlays(root, data.TRAIN)
    return Samples(clips, photographs, overlays, recipe["frames"], recipe["patch"], recipe["seed"])


def _start_small(network: PPMSVSRLite) -> None:
    """Residual branches begin near zero, so that the first steps already refine the base."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("second.weight", "enlarge.weight")):
                parameter.mul_(0.1)
            if name.endswith("bias"):
                parameter.zero_()


def _step(
    network: PPMSVSRLite, optimizer: torch.optim.Optimizer, samples: Samples, recipe: dict
) -> float:
    batch = [samples.draw() for _ in range(recipe["batch"])]
    small, to_next, to_previous, wanted = (
        torch.from_numpy(np.stack(part).astype(np.float32)) for part in zip(*batch)
    )
    loss = _charbonnier(network(small, to_next, to_previous) - wanted)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), recipe["clip"])
    optimizer.step()
    return loss.item()


def _charbonnier(difference: Tensor) -> Tensor:
    return torch.sqrt(difference.square() + 1e-6).mean()


def _follow(average: dict[str, Tensor], network: PPMSVSRLite, keep: float) -> None:
    for name, value in network.state_dict().items():
        average[name].lerp_(value, 1 - keep)


def main(arguments: Sequence[str]) -> None:
    """python -m oldfilm.training super_resolution RECIPE --data FOLDER --output FILE"""
    run_recipe(arguments, "size", __doc__, train)
