"""Train the lite OldPhoto: find damage in photographs, and restore what was there.

A sample is a piece of a photograph, aged, damaged seven times in ten, and now and then creased. The
detectors learn which of it is visible. The restorer gets a mask like theirs (a little too wide,
with false alarms); its target is the original with the same tones, since fading stays.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from oldfilm.imaging.color import LUMA_WEIGHTS
from oldfilm.imaging.inpainting import median_residual, telea_inpaint
from oldfilm.training import data, loop
from oldfilm.training.ageing import Ageing, age, tone
from oldfilm.training.damage import cracks, creased, damaged
from oldfilm.training.fold import folded, load_with_norm
from oldfilm.training.torch_networks import OldPhotoLite

DICE_START = 50.0
"""Pixels added to both sides of the Dice coefficient, since most samples have little damage."""

DAMAGE_WEIGHT, CREASE_WEIGHT = 5.0, 15.0
"""Weights of damaged pixels in the cross entropy; others have 1. Creases need more, because they
are so few and faint that a network which finds none has a low loss.
"""

UNFOLDING_BATCHES = 30
"""Batches that measure the normalization of weights that have none."""

IGNORED = -20.0
"""A logit that costs nothing on undamaged pixels."""


@dataclass(frozen=True, kw_only=True)
class Recipe(loop.Recipe):
    """See configs/train/old_photo-lite.yaml."""

    parts: Sequence[str]
    patch: int
    smallest: int
    creases: float
    workers: int


class Samples(IterableDataset):
    """Draws training samples without end, larger photographs in proportion to their side.

    photographs: uint8 [h, w, 3] each. overlays: film damage, uint8 [h, w, 4] each. patch: side of a
    sample in pixels. creases: share of samples that are creased.
    """

    def __init__(
        self,
        photographs: Sequence[np.ndarray],
        overlays: Sequence[np.ndarray],
        patch: int,
        seed: int = 0,
        creases: float = 0.2,
    ) -> None:
        self.photographs, self.overlays, self.patch = photographs, overlays, patch
        self.creases = creases
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self._reached = np.cumsum([math.sqrt(p.shape[0] * p.shape[1]) for p in photographs])

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        worker = get_worker_info()
        if worker:  # Each draws different samples.
            self.rng = np.random.default_rng([self.seed, worker.id])
        while True:
            yield self.draw()

    def draw(self) -> tuple[np.ndarray, ...]:
        """Draw the old picture, its `median_residual`, its `telea_inpaint`, its damage without
        creases, its creases, the mask that was inpainted, and the target.

        float32 [3, patch, patch], or [1, patch, patch] for damage, creases and mask.
        """
        clean, printed, scanned = self._draw_ageing()
        old, damage, creases = self._damaged(age(clean[None], printed, self.rng)[0])
        old = age(old[None], scanned, self.rng)[0]
        mask = self._mask(np.maximum(damage, creases))
        return (
            old.transpose(2, 0, 1),
            median_residual(old).transpose(2, 0, 1),
            telea_inpaint(old, mask).transpose(2, 0, 1),
            damage[None],
            creases[None],
            mask[None],
            clean.transpose(2, 0, 1).astype(np.float32),
        )

    def _draw_ageing(self) -> tuple[np.ndarray, Ageing, Ageing]:
        """A piece of a photograph with old tones, and how its print and its scan look."""
        rng = self.rng
        clean = self._piece()
        if rng.random() < 0.5:
            clean = self._toned(clean)
        ageing = Ageing.draw(rng, strength=rng.uniform(0, 0.6) * (rng.random() < 0.6))
        clean = np.clip(tone(clean[None], ageing, rng)[0], 0, 1)
        spared = dataclasses.replace(ageing, scratches=0.0, dust=0.0, flicker=0.0, fading=0.0)
        printed = dataclasses.replace(spared, quality=100)
        scanned = dataclasses.replace(spared, blur=0.0, grain=0.0)
        return clean, printed, scanned

    def _damaged(self, old: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The picture damaged and creased, or not; masks of the damage and of the creases."""
        rng = self.rng
        damage = np.zeros(old.shape[:2], np.float32)
        if rng.random() < 0.7:
            old, damage = damaged(old, self.overlays, rng)
        creases = np.zeros_like(damage)
        if rng.random() < self.creases:
            old, creases = creased(old, rng)
        return old, damage, creases

    def _piece(self) -> np.ndarray:
        """A square of a photograph, scaled and turned at random: float32 [patch, patch, 3]."""
        rng = self.rng
        place = rng.uniform(0, self._reached[-1])
        photograph = self.photographs[np.searchsorted(self._reached, place)]
        largest = min(photograph.shape[:2])
        # Scans of prints are large and soft, so some pieces are enlarged.
        low, high = (0.5, 1.0) if rng.random() < 0.25 else (1.0, 2.7)
        side = int(min(largest, self.patch * rng.uniform(low, high)))
        top, left = rng.integers(0, np.array(photograph.shape[:2]) - side + 1)
        piece = photograph[top : top + side, left : left + side][:, :: rng.choice([-1, 1])]
        piece = np.ascontiguousarray(np.rot90(piece, rng.integers(4) if rng.random() < 0.3 else 0))
        size = (self.patch, self.patch)
        method = cv2.INTER_AREA if side > self.patch else cv2.INTER_CUBIC
        return cv2.resize(piece, size, interpolation=method).astype(np.float32) / 255

    def _toned(self, image: np.ndarray) -> np.ndarray:
        """Make gray, or brown like old prints."""
        tint = 1 - self.rng.uniform(0, 0.5) * np.float32([0, 0.4, 1]) * (self.rng.random() < 0.6)
        return (image @ LUMA_WEIGHTS)[..., None] * tint

    def _mask(self, damage: np.ndarray) -> np.ndarray:
        """A mask like a detector's: wider than the damage, with some misses and false alarms."""
        rng = self.rng
        if rng.random() < 0.2:
            seen = cv2.resize(rng.random((5, 5)), damage.shape[::-1]) > rng.uniform(0.2, 0.5)
            damage = damage * seen
        reach = int(rng.integers(0, 4))
        if reach:
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
            damage = cv2.dilate(damage, kernel)
        if rng.random() < 0.15:
            damage = np.maximum(damage, cracks(damage.shape, rng) > 0.3)
        return damage.astype(np.float32)


class PhotoRestoration(loop.Training):
    """Trains the lite OldPhoto."""

    recipe: Recipe
    network: OldPhotoLite

    def __init__(self, recipe: Recipe, samples: Samples, device: str = "cpu") -> None:
        super().__init__(recipe, device)
        cv2.setNumThreads(1)  # A forked process would wait for OpenCV's threads forever.
        self.batches: Iterator[Sequence[Tensor]] = iter(
            DataLoader(
                samples,
                recipe.batch,
                num_workers=recipe.workers,
                worker_init_fn=_lower_priority,
            )
        )
        self.network = OldPhotoLite(**recipe.settings, norm=True)
        self.network.to(self.device, memory_format=torch.channels_last)

    @classmethod
    def from_folder(cls, recipe: Recipe, root: Path, device: str = "cpu") -> PhotoRestoration:
        """root: see `oldfilm.training.data`."""
        photographs = data.large_photographs(root, data.TRAIN, recipe.smallest)
        overlays = data.overlays(root, data.TRAIN)
        samples = Samples(photographs, overlays, recipe.patch, recipe.seed, recipe.creases)
        return cls(recipe, samples, device)

    def load(self, weights: loop.Weights) -> None:
        """Start from weights with or without normalization, and with or without creases."""

        def show_samples(plain: OldPhotoLite) -> None:
            for batch in itertools.islice(self.batches, UNFOLDING_BATCHES):
                old, apart, guess, _, _, mask, _ = (part.to(self.device) for part in batch)
                plain.detector(old, apart)
                plain.creases(old, apart)
                plain.restorer(old, guess, mask)

        plain = OldPhotoLite(**self.recipe.settings).to(self.device)
        normed = any(".norm." in name for name in weights)
        weights = with_creases(weights, self.network if normed else plain)
        load_with_norm(self.network, plain, weights, show_samples)

    def parts(self) -> list[list[nn.Parameter]]:
        return [list(getattr(self.network, part).parameters()) for part in self.recipe.parts]

    def losses(self) -> dict[str, Tensor]:
        """The losses of the trained parts, which share no weights."""
        batch = (part.to(self.device) for part in next(self.batches))
        old, apart, guess, damage, creases, mask, clean = batch
        losses = {}
        with torch.autocast(self.device.type, torch.bfloat16):
            if "detector" in self.recipe.parts:
                found = self.network.detector(old, apart)
            if "creases" in self.recipe.parts:
                found_creases = self.network.creases(old, apart)
            if "restorer" in self.recipe.parts:
                restored = self.network.restorer(old, guess, mask)
        if "detector" in self.recipe.parts:
            losses["damage"] = detection_loss(ignoring(found.float(), creases, damage), damage)
        if "creases" in self.recipe.parts:
            logits = ignoring(found_creases.float(), damage, creases)
            losses["creases"] = detection_loss(logits, creases, CREASE_WEIGHT)
        if "restorer" in self.recipe.parts:
            losses["restored"] = restoration_loss(restored.float() - clean, mask)
        return losses

    def write(self, weights: loop.Weights, output: Path) -> None:
        """Write the file that ships, folded and in half precision, and one to train on."""
        loop.write_weights(weights, output.with_suffix(".unfolded.safetensors"))
        halves = {name: value.half() for name, value in folded(weights, self.network).items()}
        loop.write_weights(halves, output)


def with_creases(weights: loop.Weights, network: OldPhotoLite) -> loop.Weights:
    """Complete weights that lack a crease detector with those of the damage detector.

    Only weights of the right shape are copied. From random weights, a network that is trained on
    faint lines alone learns to find none.
    """
    made = {}
    for name, value in network.creases.state_dict().items():
        like = weights.get(f"detector.{name}", value)
        made[f"creases.{name}"] = like if like.shape == value.shape else value
    return {**made, **weights}


def _lower_priority(_: int) -> None:
    """Let a worker draw samples while training waits: at equal priority steps took a third longer.

    Windows has no niceness.
    """
    if hasattr(os, "nice"):
        os.nice(19)


def ignoring(logits: Tensor, other: Tensor, wanted: Tensor) -> Tensor:
    """Silence logits on pixels that have other damage but not the wanted one."""
    return logits.masked_fill((other > 0) & (wanted == 0), IGNORED)


def detection_loss(logits: Tensor, damage: Tensor, weight: float = DAMAGE_WEIGHT) -> Tensor:
    """Cross entropy, in which damaged pixels count `weight` times, plus 1 - Dice coefficient.

    Both are computed per sample, so that a hair counts as much as a stain. The coefficient of all
    samples together is added, because finds are judged by it. logits, damage: [n, 1, h, w].
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, damage, reduction="none")
    weights = 1 + (weight - 1) * damage
    sides = (1, 2, 3)
    likely = torch.sigmoid(logits)
    overlap = 2 * (likely * damage).sum(sides) + DICE_START
    both = likely.sum(sides) + damage.sum(sides) + DICE_START
    each = (weights * entropy).sum(sides) / weights.sum(sides) + 1 - overlap / both
    return each.mean() + 1 - overlap.sum() / both.sum()


def restoration_loss(difference: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error, plus the square error, as in PSNR, inside the filled mask.

    difference: [n, 3, h, w]. mask: [n, 1, h, w].
    """
    plain = torch.sqrt(difference.square() + 1e-6).mean()
    inside = (mask * (difference.abs() + 2 * difference.square())).sum() / (3 * mask.sum() + 100)
    return plain + 0.5 * inside
