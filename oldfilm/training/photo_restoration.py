"""Trains the lite OldPhoto: where photographs are damaged, and what was there.

A sample is a piece of a photograph, aged, seven times in ten damaged and now and then creased. The
detectors learn what of that can be seen; the restorer is given a mask as they make it (a little too
wide, with false alarms) and is asked for the picture as it was, with the same tones: fading stays.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from oldfilm.imaging.inpainting import median_residual, telea_inpaint
from oldfilm.training import data
from oldfilm.training.ageing import Ageing, age, tone
from oldfilm.training.damage import LUMA, cracks, creased, damaged
from oldfilm.training.fold import folded, unfolded
from oldfilm.training.recipe import run_recipe, set_rate
from oldfilm.training.snapshot import write_weights
from oldfilm.training.torch_networks import OldPhotoLite

DICE_START = 50.0
"""Pixels that are added to both sides of the Dice coefficient: most samples have little damage."""

OF_DAMAGE, OF_CREASES = 5.0, 15.0
"""How many times as much as others a pixel counts that is damaged. Creases are few and faint: a
network is right enough, at first, that finds none."""

UNFOLDING = 30
"""Batches from which normalization that was folded is measured again."""


class Samples(IterableDataset):
    """Draws training samples for ever; photographs twice as wide and high, twice as often.

    photographs: uint8 [h, w, 3] each. overlays: film damage, uint8 [h, w, 4] each. patch: side of a
    sample, pixels. creases: the share of samples that are creased.
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
        if worker:  # each draws others
            self.rng = np.random.default_rng([self.seed, worker.id])
        while True:
            yield self.draw()

    def draw(self) -> tuple[np.ndarray, ...]:
        """One sample: the old picture, its `median_residual`, and the picture after
        `telea_inpaint`; its damage without creases, the creases, the mask that was filled,
        and the picture as it was.

        float32 [3, patch, patch], or [1, patch, patch] for damage, creases and mask.
        """
        rng = self.rng
        clean = self._piece()
        if rng.random() < 0.5:
            clean = self._toned(clean)
        ageing = Ageing.draw(rng, strength=rng.uniform(0, 0.6) * (rng.random() < 0.6))
        clean = np.clip(tone(clean[None], ageing, rng)[0], 0, 1)
        scanned = dataclasses.replace(ageing, blur=0.0, grain=0.0)
        printed = dataclasses.replace(ageing, quality=100)
        scanned, printed = (
            dataclasses.replace(a, scratches=0.0, dust=0.0, flicker=0.0, fading=0.0)
            for a in (scanned, printed)
        )
        old = age(clean[None], printed, rng)[0]
        damage = np.zeros(clean.shape[:2], np.float32)
        if rng.random() < 0.7:
            old, damage = damaged(old, self.overlays, rng)
        creases = np.zeros_like(damage)
        if rng.random() < self.creases:
            old, creases = creased(old, rng)
        old = age(old[None], scanned, rng)[0]
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

    def _piece(self) -> np.ndarray:
        """A square of a photograph at some size, turned: float32 [patch, patch, 3]."""
        rng = self.rng
        place = rng.uniform(0, self._reached[-1])
        photograph = self.photographs[np.searchsorted(self._reached, place)]
        largest = min(photograph.shape[:2])
        # Scans of prints are large, and blurred by pixels: some of the pieces are enlarged.
        low, high = (0.5, 1.0) if rng.random() < 0.25 else (1.0, 2.7)
        side = int(min(largest, self.patch * rng.uniform(low, high)))
        top, left = rng.integers(0, np.array(photograph.shape[:2]) - side + 1)
        piece = photograph[top : top + side, left : left + side][:, :: rng.choice([-1, 1])]
        piece = np.ascontiguousarray(np.rot90(piece, rng.integers(4) if rng.random() < 0.3 else 0))
        size = (self.patch, self.patch)
        way = cv2.INTER_AREA if side > self.patch else cv2.INTER_CUBIC
        return cv2.resize(piece, size, interpolation=way).astype(np.float32) / 255

    def _toned(self, image: np.ndarray) -> np.ndarray:
        """Gray, or brown as old prints are."""
        tint = 1 - self.rng.uniform(0, 0.5) * np.float32([0, 0.4, 1]) * (self.rng.random() < 0.6)
        return (image @ LUMA)[..., None] * tint

    def _mask(self, damage: np.ndarray) -> np.ndarray:
        """As a detector would give it: wider than the damage, now and then where there is none, or
        not where there is some.
        """
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


def train(recipe: dict, root: Path, output: Path, start: Path | None = None) -> None:
    """Train until recipe["minutes"] have passed; the running average is saved as it goes.

    recipe: the content of configs/train/old_photo-lite.yaml. root: see `oldfilm.training.data`.
    output: where the weights go (.safetensors), every recipe["save_minutes"] and at the end.
    start: weights to go on from; what ships (folded) will do.
    """
    torch.set_num_threads(recipe["threads"])
    cv2.setNumThreads(1)  # what is forked with OpenCV's threads waits for them for ever
    torch.manual_seed(recipe["seed"])
    batches = _batches(recipe, root)
    network = OldPhotoLite(**recipe["settings"], norm=True)
    if start:
        _load(network, load_file(start), recipe["settings"], batches)
    network.to(memory_format=torch.channels_last)
    begun = {name: value.clone() for name, value in network.state_dict().items()}
    average = {name: value.clone() for name, value in begun.items()}
    trained = [value for part in recipe["parts"] for value in getattr(network, part).parameters()]
    optimizer = torch.optim.Adam(trained, lr=recipe["rate"], betas=(0.9, 0.99))
    began = saved = time.monotonic()
    step, shown = 0, np.zeros(3)
    while (spent := (time.monotonic() - began) / 60) < recipe["minutes"]:
        set_rate(optimizer, recipe, step, spent / recipe["minutes"])
        losses = _step(network, optimizer, next(batches), recipe)
        step += 1
        keep = min(recipe["average"], step / (step + 10))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, 1 - keep)
        shown += (losses - shown) * max(0.01, 1 / step)
        if step % 50 == 0:
            found, creases, restored = shown
            print(f"{spent:6.1f} min  step {step}", end="  ")
            print(f"found {found:.4f}  creases {creases:.4f}  restored {restored:.5f}")
        if time.monotonic() - saved > 60 * recipe["save_minutes"]:
            saved = time.monotonic()
            _write(_between(begun, average, recipe["way"]), output)
    _write(_between(begun, average, recipe["way"]), output)


def _between(begun: dict[str, Tensor], learned: dict[str, Tensor], way: float) -> dict[str, Tensor]:
    """Weights so far from what was begun with to what was learned.

    Half-way lies what knows both what training has gone on to and what it came from (Wortsman et
    al., "Robust fine-tuning of zero-shot models", CVPR 2022).
    """
    mixed = dict(learned)
    for name, value in learned.items():
        if value.is_floating_point():
            mixed[name] = begun[name].lerp(value, way)
    return mixed


def _load(
    network: OldPhotoLite,
    weights: dict[str, Tensor],
    settings: dict,
    batches: Iterator[Sequence[Tensor]],
) -> None:
    if any(".norm." in name for name in weights):
        network.load_state_dict(_with_creases(weights, network))
        return
    plain = OldPhotoLite(**settings)
    plain.load_state_dict(_with_creases(weights, plain))

    def see(plain: OldPhotoLite) -> None:
        for old, apart, guess, _, _, mask, _ in itertools.islice(batches, UNFOLDING):
            plain.detector(old, apart)
            plain.creases(old, apart)
            plain.restorer(old, guess, mask)

    unfolded(plain, network, see)


def _with_creases(weights: dict[str, Tensor], network: OldPhotoLite) -> dict[str, Tensor]:
    """Weights for creases too: where there are none, those of the detector, as far as they fit.

    A network that is asked for faint lines alone, from nothing, learns that there are none.
    """
    made = {}
    for name, value in network.creases.state_dict().items():
        like = weights.get(f"detector.{name}", value)
        made[f"creases.{name}"] = like if like.shape == value.shape else value
    return {**made, **weights}


def _write(weights: dict[str, Tensor], output: Path) -> None:
    """What ships, and beside it, with the normalization, what training can go on from."""
    write_weights(weights, output.with_suffix(".unfolded.safetensors"))
    halves = {name: value.half() for name, value in folded(weights).items()}
    write_weights(halves, output)


def _batches(recipe: dict, root: Path) -> Iterator[Sequence[Tensor]]:
    photographs = [
        photograph
        for _, photograph in data.photographs(root, data.TRAIN)
        if min(photograph.shape[:2]) >= recipe["smallest"]
    ]
    overlays = data.overlays(root, data.TRAIN)
    samples = Samples(photographs, overlays, recipe["patch"], recipe["seed"], recipe["creases"])
    workers = recipe["workers"]
    return iter(DataLoader(samples, recipe["batch"], num_workers=workers, worker_init_fn=_yield))


def _yield(_: int) -> None:
    """Let a worker draw while training waits, not beside it: that took a third longer.

    Windows has no niceness.
    """
    if hasattr(os, "nice"):
        os.nice(19)


def _step(
    network: OldPhotoLite, optimizer: torch.optim.Optimizer, batch: Sequence[Tensor], recipe: dict
) -> np.ndarray:
    old, apart, guess, damage, creases, mask, clean = batch
    losses = torch.zeros(3)
    if "detector" in recipe["parts"]:
        with _halved():
            logits = network.detector(old, apart)
        losses[0] = detection_loss(_but(logits.float(), creases, damage), damage)
    if "creases" in recipe["parts"]:
        with _halved():
            logits = network.creases(old, apart)
        logits = _but(logits.float(), damage, creases)
        losses[1] = detection_loss(logits, creases, OF_CREASES)
    if "restorer" in recipe["parts"]:
        with _halved():
            restored = network.restorer(old, guess, mask)
        losses[2] = restoration_loss(restored.float() - clean, mask)
    optimizer.zero_grad()
    losses.sum().backward()  # the parts share nothing
    for part in recipe["parts"]:
        torch.nn.utils.clip_grad_norm_(getattr(network, part).parameters(), recipe["clip"])
    optimizer.step()
    return losses.detach().numpy()


def _but(logits: Tensor, other: Tensor, wanted: Tensor) -> Tensor:
    """`logits`, but none that cost anything where there is other damage than what is wanted."""
    return logits.masked_fill((other > 0) & (wanted == 0), -20.0)


def _halved() -> torch.autocast:
    """Convolutions in 16 bits: twice as fast where the processor knows them."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


def detection_loss(logits: Tensor, damage: Tensor, weight: float = OF_DAMAGE) -> Tensor:
    """Cross entropy, damaged pixels counting `weight` times, and one less the Dice coefficient.

    Both of every sample by itself, so that a hair counts as much as a stain; the coefficient of
    all samples together too, as that is how finds are counted in the end.
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
    """Mean absolute error, and the square error where it is filled, which is what PSNR counts."""
    plain = torch.sqrt(difference.square() + 1e-6).mean()
    filled = (mask * (difference.abs() + 2 * difference.square())).sum() / (3 * mask.sum() + 100)
    return plain + 0.5 * filled


def main(arguments: Sequence[str]) -> None:
    """python -m oldfilm.training photo_restoration RECIPE --data FOLDER --output FILE"""
    run_recipe(arguments, "photo", __doc__, train)
