"""Train the lite Deblur: the detail that blur took, from the blurred picture.

A sample is a sharp square of a photograph or of a frame, blurred, then grainy and compressed. The
target is what the blur alone took away: the network must not remove grain, which is another
stage's work, nor amplify it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from oldfilm.imaging.color import LUMA_WEIGHTS
from oldfilm.imaging.resample import resize
from oldfilm.training import data, loop
from oldfilm.training.blur import Blur, compressed, drawn, grain
from oldfilm.training.torch_networks import DeblurLite

SIDE = 128
"""Pictures are kept as squares of this many pixels."""

MARGIN = 12
"""Pixels at each border that cyclic blur spoils; a multiple of 4, so that SIDE - 2 * MARGIN is one
of 8.
"""

LARGE = 400
"""Photographs whose shorter side has this many pixels are also cut at their own size."""

EVERY = 12
"""Frames of a clip from one that is used to the next."""

KEPT = 0.8
"""Share of the photographs that is kept: those with the strongest fine detail."""

VALIDATION = 192
"""Squares of either kind, at most, that are set aside for judging while training."""


@dataclass(frozen=True, kw_only=True)
class Recipe(loop.Recipe):
    """See configs/train/deblur-lite.yaml."""

    frames: float
    blurred: float
    grainy: float
    compressed: float


def squares(picture: np.ndarray, across: int = 1) -> list[np.ndarray]:
    """Cut luma squares out of uint8 [h, w, 3], at its own size.

    across: squares along the shorter side, at most.
    """
    luma = np.rint(picture.astype(np.float32) @ LUMA_WEIGHTS).astype(np.uint8)
    rows, columns = (_places(side, across) for side in luma.shape)
    return [luma[row : row + SIDE, column : column + SIDE] for row in rows for column in columns]


def _shrunk(picture: np.ndarray) -> np.ndarray:
    """Shrink a picture until its shorter side is SIDE."""
    height, width = picture.shape[:2]
    scale = SIDE / min(height, width)
    size = (max(SIDE, round(width * scale)), max(SIDE, round(height * scale)))
    return resize(picture, size, cv2.INTER_AREA)


def _places(side: int, most: int) -> list[int]:
    count = min(side // SIDE, most)
    if not count:
        return []
    return [round(x) for x in np.linspace(0, side - SIDE, count + 2)[1:-1]]


def stacked(found: Sequence[np.ndarray]) -> Tensor:
    """uint8 [n, 1, SIDE, SIDE]."""
    if not found:
        return torch.empty(0, 1, SIDE, SIDE, dtype=torch.uint8)
    return torch.from_numpy(np.stack(found))[:, None]


def sharpest(pictures: Tensor) -> Tensor:
    """Keep the pictures with the strongest detail, where each has most of it."""
    scores = []
    for part in pictures.split(512):
        inner = part.float()[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        middle, around = inner[..., 1:-1, 1:-1], inner[..., :-2, 1:-1] + inner[..., 2:, 1:-1]
        around = around + inner[..., 1:-1, :-2] + inner[..., 1:-1, 2:]
        scores.append(torch.quantile((4 * middle - around).abs().flatten(1), 0.98, dim=1))
    found = torch.cat(scores)
    return pictures[found >= found.sort().values[int((1 - KEPT) * len(found))]]


class Deblurring(loop.Training):
    """Trains the lite Deblur."""

    recipe: Recipe
    network: DeblurLite

    def __init__(
        self, recipe: Recipe, photographs: Tensor, frames: Tensor, device: str = "cpu"
    ) -> None:
        """photographs, frames: uint8 [n, 1, SIDE, SIDE]."""
        super().__init__(recipe, device)
        kept = [_split(part) for part in (photographs, frames)]
        self.photographs, self.frames = (train.to(self.device) for train, _ in kept)
        self.validation = torch.cat([held for _, held in kept]).to(self.device)
        self.network = DeblurLite(**recipe.settings)
        _start_small(self.network)
        self.network.to(self.device, memory_format=torch.channels_last)

    @classmethod
    def from_folder(cls, recipe: Recipe, root: Path, device: str = "cpu") -> Deblurring:
        """root: see `oldfilm.training.data`."""
        photographs, frames = [], []
        for _, photograph in data.photographs(root, data.TRAIN):
            shorter = min(photograph.shape[:2])
            if shorter >= SIDE:
                photographs += squares(_shrunk(photograph))
            if shorter >= LARGE:
                frames += squares(photograph, across=2)
        for _, clip in data.clips(root, data.TRAIN):
            for frame in clip[::EVERY]:
                frames += squares(frame, across=3)
        return cls(recipe, sharpest(stacked(photographs)), stacked(frames), device)

    def losses(self) -> dict[str, Tensor]:
        luma, detail = self.draw(self.recipe.batch)
        error = self.network(luma.contiguous(memory_format=torch.channels_last)) - detail
        return {"loss": torch.sqrt(error.square() + 1e-6).mean()}

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Degraded pictures, and the detail that blur took: [n, 1, s, s] each."""
        sharp = self._tones(self._pictures(count))
        blur = Blur.draw(count, self.recipe.blurred, self.device)

        def draw(low: float, high: float, chance: float) -> Tensor:
            chosen = drawn(count, 0, 1, self.device) < chance
            return drawn(count, low, high, self.device) * chosen

        sigma = draw(0.0, 0.05, self.recipe.grainy)
        size = drawn(count, 0.3, 1.4, self.device)
        quality = draw(40, 96, self.recipe.compressed)
        return degraded(sharp, blur, sigma, size, quality)

    def _pictures(self, count: int) -> Tensor:
        """Random squares, mirrored and transposed, in [0, 1]."""
        of_frames = round(count * self.recipe.frames) if len(self.frames) else 0
        parts = [(self.photographs, count - of_frames), (self.frames, of_frames)]
        chosen = [
            part[torch.randint(len(part), (number,), device=part.device)]
            for part, number in parts
            if number
        ]
        pictures = torch.cat(chosen).float() / 255
        for dimension in (2, 3):
            mirror = drawn(count, 0, 1, self.device) < 0.5
            pictures = torch.where(mirror, pictures.flip(dimension), pictures)
        transpose = drawn(count, 0, 1, self.device) < 0.5
        return torch.where(transpose, pictures.transpose(2, 3), pictures)

    def _tones(self, pictures: Tensor) -> Tensor:
        """Change the contrast of most pictures, as prints and scans of old film do."""

        def draw(low: float, high: float) -> Tensor:
            return drawn(len(pictures), low, high, self.device)

        black, white = draw(0, 0.15), draw(0.7, 1.0)
        toned = black + (white - black) * pictures.clamp(min=1e-4) ** torch.exp(draw(-0.4, 0.4))
        return torch.where(draw(0, 1) < 0.6, toned, pictures)

    def write(self, weights: loop.Weights, output: Path) -> None:
        """Write the file that ships, and print how well it does on pictures set aside."""
        judged = DeblurLite(**self.recipe.settings)
        judged.load_state_dict(weights)
        print(f"validation: {judge(judged.to(self.device), self.validation)}", flush=True)
        loop.write_weights(weights, output)


@torch.no_grad()
def _start_small(network: DeblurLite) -> None:
    """Start residual branches near zero."""
    for name, parameter in network.named_parameters():
        if name.endswith("second.weight"):
            parameter.mul_(0.1)


def _split(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """What is trained on, and what is set aside: every so many."""
    every = max(len(pictures) // VALIDATION, 8)
    aside = torch.arange(len(pictures)) % every == every - 1
    return pictures[~aside], pictures[aside][:VALIDATION]


def degraded(
    sharp: Tensor, blur: Blur, sigma: Tensor, size: Tensor, quality: Tensor
) -> tuple[Tensor, Tensor]:
    """Blur pictures, add grain and compress them, and cut off the borders.

    sigma, size: see `grain`. quality: see `compressed`; 0 leaves a picture alone.
    Returns the pictures, and the detail that blur took.
    """
    soft = blur(sharp)
    seen = (soft + grain(soft, sigma, size)).clamp(0, 1)
    seen = torch.where(quality > 0, compressed(seen, quality.clamp(1, 99)), seen)
    seen = (seen * 255).round() / 255
    inner = slice(MARGIN, sharp.shape[-1] - MARGIN)
    return seen[..., inner, inner], (sharp - soft)[..., inner, inner]


@torch.no_grad()
def judge(network: DeblurLite, pictures: Tensor) -> str:
    """PSNR in dB of degraded pictures before and after, per kind of degradation.

    pictures: uint8 [n, 1, SIDE, SIDE]. Compared with sharp pictures of the same grain.
    """
    cases = {  # gaussian, radius, length, sigma of the grain, quality
        "sharp": (0.05, 0, 0, 0, 0),
        "grainy": (0.05, 0, 0, 0.03, 0),
        "soft 1": (1.0, 0, 0, 0, 0),
        "soft 2": (2.0, 0, 0, 0, 0),
        "defocus 3": (0.3, 3, 0, 0, 0),
        "motion 9": (0.3, 0, 9, 0, 0),
        "old": (1.2, 0, 0, 0.03, 75),
    }
    found = []
    for name, numbers in cases.items():
        torch.manual_seed(1)
        before, after = [], []
        for part in pictures.split(64):
            like = torch.ones(len(part), 1, 1, 1, device=part.device)
            gaussian, radius, length, sigma, quality = (x * like for x in numbers)
            angle = torch.linspace(0, torch.pi, len(part), device=part.device)
            blur = Blur(gaussian, radius, length, angle.reshape(like.shape), like)
            seen, detail = degraded(part.float() / 255, blur, sigma, 0.6 * like, quality)
            before.append(detail.square().mean((1, 2, 3)))
            after.append((network(seen) - detail).square().mean((1, 2, 3)))
        figures = [-10 * torch.log10(torch.cat(x) + 1e-8).mean() for x in (before, after)]
        found.append(f"{name} {figures[0]:.2f} -> {figures[1]:.2f}")
    return ", ".join(found)
