"""What the lite OldPhoto finds of known damage on clean held-out photographs, and what it leaves.

    python benchmarks/damage_photos.py --data ../shared/data/train

Every held-out overlay of film damage lies over a held-out photograph, which is as large; so do nets
of cracks, drawn; and every photograph is creased. All are then grainy and compressed a little, as a
scan is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from oldfilm.apps import OldPhotoPredictor
from oldfilm.imaging.color import LUMA_WEIGHTS
from oldfilm.imaging.metrics import psnr
from oldfilm.training import data
from oldfilm.training.ageing import Ageing, age
from oldfilm.training.damage import VISIBLE, cracks, creased

GRAIN, QUALITY = 0.01, 92
TOLERANCE = 2
"""Pixels by which a find may lie beside the damage."""

MOST_LOST = 0.1
"""Decibels that a restorer may cost a photograph that has no damage."""

SIDE = 400
"""Pixels that a photograph has at least: the overlays have as many, and are not made smaller."""


def photographs(root: Path) -> Sequence[np.ndarray]:
    """Held-out photographs, float32 [h, w, 3] in [0, 1]."""
    every = (photograph for _, photograph in data.photographs(root, data.HELD_OUT))
    return [p.astype(np.float32) / 255 for p in every if min(p.shape[:2]) >= SIDE]


def laid_over(
    image: np.ndarray, alpha: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The photograph with paper (or, three times in ten, dirt) where alpha is 1; where it shows."""
    color = np.float32([0.95, 0.93, 0.86]) if rng.random() < 0.7 else np.float32([0.1, 0.09, 0.08])
    marred = image + (alpha * rng.uniform(0.6, 1.0))[..., None] * (color - image)
    return marred, (np.abs((marred - image) @ LUMA_WEIGHTS) > VISIBLE).astype(np.float32)


def scanned(image: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return age(image[None], Ageing(grain=GRAIN, quality=QUALITY), rng)[0]


def counts(mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pixels found that are right, found, damaged and found, damaged; with the tolerance.

    mask, truth: [h, w] of 0 and 1.
    """
    side = 2 * TOLERANCE + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    right, seen = mask * cv2.dilate(truth, kernel), truth * cv2.dilate(mask, kernel)
    return np.array([part.sum() for part in (right, mask, seen, truth)], float)


def score(counted: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1."""
    right, found, seen, damaged = counted
    precision, recall = right / max(found, 1), seen / max(damaged, 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


Damage = Callable[[np.ndarray, int, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def damage_case(title: str, images: Sequence[np.ndarray], damage: Damage) -> None:
    """Print what is found and what is left.

    damage: of a picture, by its number: the picture with it, and where it is, of 0 and 1.
    """
    predictor = OldPhotoPredictor(with_scratch=True, variant="lite", device="cpu")
    counted: list[np.ndarray] = []
    inside: dict[str, list[float]] = {}
    outside: dict[str, list[float]] = {}
    for index, clean in enumerate(images):
        rng = np.random.default_rng(index)
        marred, truth = damage(clean, index, rng)
        if not truth.any():
            continue
        old = scanned(marred, index)
        likely = predictor.damage(old)
        found = (likely >= predictor.restoration.certain).astype(np.float32)
        counted.append(counts(found, truth))
        mask = (predictor.scratches(old) * 255).astype(np.uint8)
        codes = np.rint(old * 255).astype(np.uint8)
        results = {
            "nothing": old,
            "inpaint, Telea": cv2.inpaint(codes, mask, 3, cv2.INPAINT_TELEA) / np.float32(255),
            "inpaint, NS": cv2.inpaint(codes, mask, 3, cv2.INPAINT_NS) / np.float32(255),
            "OldPhoto": predictor.predict(old),
        }
        beside = cv2.dilate(truth, np.ones((9, 9))) == 0
        for name, result in results.items():
            inside.setdefault(name, []).append(
                psnr(result[truth > 0][:, None], clean[truth > 0][:, None])
            )
            outside.setdefault(name, []).append(
                psnr(result[beside][:, None], clean[beside][:, None])
            )
    print(f"\n{title}: {len(counted)} photographs")
    of_each = np.mean([score(one) for one in counted], axis=0)
    for name, (precision, recall, f1) in (
        ("all pixels", score(np.sum(counted, axis=0))),
        ("mean photograph", of_each),
    ):
        print(f"found, {name}: precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}")
    print(f"{'':16}{'PSNR inside':>14}{'outside':>14}")
    for name, figures in inside.items():
        print(f"{name:16}{np.mean(figures):14.2f}{np.mean(outside[name]):14.2f}", flush=True)


def clean_case(images: Sequence[np.ndarray]) -> None:
    """Photographs without damage, sharp and as a scan has them: how much changes all the same."""
    predictor = OldPhotoPredictor(with_scratch=True, variant="lite", device="cpu")
    masked, figures, scans = [], [], []
    for index, clean in enumerate(images):
        masked.append(predictor.scratches(clean).mean())
        figures.append(psnr(predictor.predict(clean), clean))
        scan = scanned(clean, index)
        scans.append((psnr(scan, clean), psnr(predictor.predict(scan), clean)))
    changed = sorted(figure for figure in figures if np.isfinite(figure))
    before, after = np.transpose(scans)
    print(f"\nUndamaged: {len(images)} photographs")
    print(f"taken for damage {100 * np.mean(masked):.2f} % of the pixels")
    print(f"{len(images) - len(changed)} come back as they were; PSNR of the others:", end=" ")
    print(*(f"{figure:.1f}" for figure in changed), "dB")
    print(f"as scans: {before.mean():.2f} dB before, {after.mean():.2f} after;", end=" ")
    print(f"{(before - after <= MOST_LOST).sum()} of them lose at most {MOST_LOST} dB")


def photograph_cases(root: Path) -> None:
    """Print all; root: as `oldfilm.training.data` has it."""
    overlays = data.overlays(root, data.HELD_OUT)

    def overlay(image, index, rng):
        alpha = overlays[index % len(overlays)][..., 3].astype(np.float32) / 255
        size = image.shape[1::-1]
        return laid_over(image, cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), rng)

    def cracked(image, _, rng):
        return laid_over(image, cracks(image.shape[:2], rng), rng)

    images = photographs(root)
    once_each = [images[i % len(images)] for i in range(len(overlays))]
    damage_case("Overlays of film damage", once_each, overlay)
    damage_case("Cracks", images, cracked)
    damage_case("Creases", images, lambda image, _, rng: creased(image, rng))
    clean_case(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="photos/*.tar, film-damage.tar")
    photograph_cases(parser.parse_args().data)


if __name__ == "__main__":
    main()
