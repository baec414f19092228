"""Measure Deblur and Sharpen on blurred held-out clips.

    python benchmarks/deblurring.py --data DATA

Mean Y-PSNR in dB / SSIM of the first two frames of each clip, at full size, blurred by fixed
kernels and rounded to 8 bits. The Wiener filters know the kernel, or take it for a Gaussian of one
pixel.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from oldfilm.apps import DeblurPredictor
from oldfilm.imaging.color import studio_luma
from oldfilm.imaging.metrics import psnr, ssim
from oldfilm.repair.sharpen import Sharpen
from oldfilm.training import data

FRAMES = 2
CROP = 16
NOISE = 1e-3
"""Power of the noise over that of the picture, for Wiener filters."""


Repair = Callable[[np.ndarray], np.ndarray]


def gaussian(sigma: float) -> np.ndarray:
    line = cv2.getGaussianKernel(2 * math.ceil(4 * sigma) + 1, sigma)
    return line @ line.T


def disk(radius: float) -> np.ndarray:
    reach = math.ceil(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return kernel / kernel.sum()


def motion(length: int, degrees: float) -> np.ndarray:
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length // 2, length // 2), degrees, 1)
    kernel = cv2.warpAffine(line, turn, (length, length))
    return kernel / kernel.sum()


KERNELS = {
    "none": np.ones((1, 1)),
    "Gaussian 1": gaussian(1.0),
    "Gaussian 2": gaussian(2.0),
    "defocus 2": disk(2.0),
    "defocus 3": disk(3.0),
    "motion 5": motion(5, 30),
    "motion 9": motion(9, 0),
}


def blurred(frame: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Blur float32 [h, w, 3], and round to 8 bits."""
    soft = cv2.filter2D(frame, -1, kernel, borderType=cv2.BORDER_REFLECT)
    return np.rint(soft * 255).astype(np.float32) / 255


def old(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A grainy, compressed frame."""
    grain = cv2.GaussianBlur(rng.standard_normal(frame.shape[:2], np.float32), (0, 0), 0.6)
    grainy = np.clip(frame + 0.03 * (grain / grain.std())[..., None], 0, 1)
    stored = cv2.imencode(".jpg", np.rint(grainy * 255).astype(np.uint8), [1, 75])[1]
    return cv2.imdecode(stored, cv2.IMREAD_COLOR).astype(np.float32) / 255


def unsharp(frame: np.ndarray) -> np.ndarray:
    return np.clip(2 * frame - cv2.GaussianBlur(frame, (0, 0), 1.5), 0, 1)


def wiener(frame: np.ndarray, kernel: np.ndarray, noise: float) -> np.ndarray:
    """Deconvolve float32 [h, w, 3]."""
    padded = cv2.copyMakeBorder(frame, *[CROP] * 4, cv2.BORDER_REFLECT)
    spread = np.zeros(padded.shape[:2])
    spread[: kernel.shape[0], : kernel.shape[1]] = kernel
    spread = np.roll(spread, [-(side // 2) for side in kernel.shape], (0, 1))
    transfer = np.fft.rfft2(spread)[..., None]
    inverse = transfer.conj() / (np.abs(transfer) ** 2 + noise)
    sharp = np.fft.irfft2(np.fft.rfft2(padded, axes=(0, 1)) * inverse, padded.shape[:2], (0, 1))
    return np.clip(sharp[CROP:-CROP, CROP:-CROP], 0, 1).astype(np.float32)


def judged(restored: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Mean Y-PSNR and Y-SSIM of frames."""
    pairs = list(zip(studio_luma(restored), studio_luma(truth)))
    scores = [(psnr(a, b, crop=CROP), ssim(a, b, crop=CROP)) for a, b in pairs]
    return tuple(np.mean(scores, axis=0))


def methods(kernel: np.ndarray, noise: float) -> dict[str, Repair]:
    """What restores frames [t, h, w, 3] that a kernel has blurred, by name."""

    def each(restore: Callable[..., np.ndarray], *rest: object) -> Repair:
        return lambda frames: np.stack([restore(frame, *rest) for frame in frames])

    return {
        "nothing": lambda frames: frames,
        "unsharp": each(unsharp),
        "Wiener, 1": each(wiener, KERNELS["Gaussian 1"], noise),
        "Wiener, known": each(wiener, kernel, noise),
        "Sharpen": Sharpen().predict,
        "Deblur": DeblurPredictor(variant="lite", device="cpu").predict,
    }


def measure(clips: Sequence[np.ndarray], kernel: np.ndarray, aged: bool) -> list[str]:
    """Return the cells of one row of the table."""
    cells = []
    for method in methods(kernel, 10 * NOISE if aged else NOISE).values():
        scores = []
        for clip in clips:
            rng = np.random.default_rng(0)
            soft = [blurred(frame, kernel) for frame in clip]
            scores.append(
                judged(method(np.stack([old(f, rng) if aged else f for f in soft])), clip)
            )
        quality, likeness = np.mean(scores, axis=0)
        cells.append(f"{quality:.2f} / {likeness:.4f}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/train"))
    root = parser.parse_args().data
    clips = [clip[:FRAMES].astype(np.float32) / 255 for _, clip in data.clips(root, data.HELD_OUT)]
    cases = {name: (kernel, False) for name, kernel in KERNELS.items()}
    cases |= {"old": (gaussian(1.2), True), "old, not blurred": (KERNELS["none"], True)}
    names = ["blur", *methods(KERNELS["none"], NOISE)]
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    for name, (kernel, aged) in cases.items():
        print("| " + " | ".join([name, *measure(clips, kernel, aged)]) + " |", flush=True)


if __name__ == "__main__":
    main()
