"""Measure how much known damage the lite OldPhoto finds and repairs on held-out photographs.

    python benchmarks/damage_photos.py --data DATA [--photographs FOLDER]

Each held-out overlay of film damage is laid over a held-out photograph of about its size. Drawn
cracks, and drawn creases, are put on every photograph. All then get a little grain and JPEG
compression, like scans. With --photographs, those of a folder take the place of the held-out ones.
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
"""Largest distance of a find from the damage, in pixels."""

TOLERATED_LOSS = 0.1
"""Decibels that restoration may cost an undamaged photograph."""

SIDE = 400
"""Shorter side of the smallest photographs, in pixels: that of the overlays."""


def photographs(root: Path, folder: Path | None) -> Sequence[np.ndarray]:
    """The large held-out photographs, or those of a folder: float32 [h, w, 3] in [0, 1]."""
    if folder:
        codes = [data.decode_photograph(path.read_bytes()) for path in sorted(folder.iterdir())]
    else:
        codes = data.large_photographs(root, data.HELD_OUT, SIDE)
    return [photograph.astype(np.float32) / 255 for photograph in codes]


def laid_over(
    image: np.ndarray, alpha: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Lay paper (or dirt, three times in ten) over a picture; return a mask of visible damage."""
    color = np.float32([0.95, 0.93, 0.86]) if rng.random() < 0.7 else np.float32([0.1, 0.09, 0.08])
    marred = image + (alpha * rng.uniform(0.6, 1.0))[..., None] * (color - image)
    return marred, (np.abs((marred - image) @ LUMA_WEIGHTS) > VISIBLE).astype(np.float32)


def scanned(image: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return age(image[None], Ageing(grain=GRAIN, quality=QUALITY), rng)[0]


def counts(mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Count pixels: correctly found, found, damaged and found, damaged; all with TOLERANCE.

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
"""Damages a picture, given its number: the damaged picture, and a mask of 0 and 1."""


def damage_case(title: str, images: Sequence[np.ndarray], damage: Damage) -> None:
    """Print how much of the damage is found, and the PSNR inside and outside of it."""
    predictor = OldPhotoPredictor(with_scratch=True, variant="lite", device="cpu")
    counted: list[np.ndarray] = []
    figures: dict[str, list[tuple[float, float]]] = {}
    for index, clean in enumerate(images):
        marred, truth = damage(clean, index, np.random.default_rng(index))
        if not truth.any():
            continue
        old = scanned(marred, index)
        likely = predictor.damage(old)
        found = (likely >= predictor.restoration.certain).astype(np.float32)
        counted.append(counts(found, truth))
        for name, result in repairs(predictor, old).items():
            figures.setdefault(name, []).append(psnr_in_and_out(result, clean, truth))
    print(f"\n{title}: {len(counted)} photographs")
    print_score("all pixels", score(np.sum(counted, axis=0)))
    print_score("mean photograph", np.mean([score(one) for one in counted], axis=0))
    print(f"{'':16}{'PSNR inside':>14}{'outside':>14}")
    for name, pairs in figures.items():
        inside, outside = np.mean(pairs, axis=0)
        print(f"{name:16}{inside:14.2f}{outside:14.2f}", flush=True)


def repairs(predictor: OldPhotoPredictor, old: np.ndarray) -> dict[str, np.ndarray]:
    """Repair a picture with each method; OpenCV's get the mask that ours finds."""
    mask = (predictor.scratches(old) * 255).astype(np.uint8)
    codes = np.rint(old * 255).astype(np.uint8)
    return {
        "nothing": old,
        "inpaint, Telea": cv2.inpaint(codes, mask, 3, cv2.INPAINT_TELEA) / np.float32(255),
        "inpaint, NS": cv2.inpaint(codes, mask, 3, cv2.INPAINT_NS) / np.float32(255),
        "OldPhoto": predictor.predict(old),
    }


def psnr_in_and_out(
    result: np.ndarray, clean: np.ndarray, truth: np.ndarray
) -> tuple[float, float]:
    """PSNR inside the damage, and outside of its surroundings."""
    inside, outside = truth > 0, cv2.dilate(truth, np.ones((9, 9))) == 0
    return tuple(psnr(result[part][:, None], clean[part][:, None]) for part in (inside, outside))


def print_score(name: str, figures: Sequence[float]) -> None:
    precision, recall, f1 = figures
    print(f"found, {name}: precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}")


def clean_case(images: Sequence[np.ndarray]) -> None:
    """Print how much changes in undamaged photographs, clean and as scans."""
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
    print(f"classified as damage: {100 * np.mean(masked):.2f} % of the pixels")
    print(f"{len(images) - len(changed)} are unchanged; PSNR of the others:", end=" ")
    print(*(f"{figure:.1f}" for figure in changed), "dB")
    print(f"as scans: {before.mean():.2f} dB before, {after.mean():.2f} after;", end=" ")
    print(f"{(before - after <= TOLERATED_LOSS).sum()} of them lose at most {TOLERATED_LOSS} dB")


def photograph_cases(root: Path, folder: Path | None = None) -> None:
    """Print all cases; root: see `oldfilm.training.data`. folder: see `photographs`."""
    overlays = data.overlays(root, data.HELD_OUT)

    def overlay(image, index, rng):
        alpha = overlays[index % len(overlays)][..., 3].astype(np.float32) / 255
        size = image.shape[1::-1]
        return laid_over(image, cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), rng)

    def cracked(image, _, rng):
        return laid_over(image, cracks(image.shape[:2], rng), rng)

    images = photographs(root, folder)
    most = max(len(images), len(overlays))
    every_overlay = [images[i % len(images)] for i in range(most)]
    damage_case("Overlays of film damage", every_overlay, overlay)
    damage_case("Cracks", images, cracked)
    damage_case("Creases", images, lambda image, _, rng: creased(image, rng))
    clean_case(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="photos/*.tar, film-damage.tar")
    parser.add_argument("--photographs", type=Path, metavar="FOLDER", help="other photographs")
    options = parser.parse_args()
    photograph_cases(options.data, options.photographs)


if __name__ == "__main__":
    main()
