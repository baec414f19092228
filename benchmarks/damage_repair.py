"""Measure the stages for dust, grain, scratches, sharpness and tones on the held-out clips.

    python benchmarks/damage_repair.py --data DATA [Despot Denoise ...]

Mean PSNR in dB over clean frames that were damaged with fixed seeds, compared with no repair and
with the closest ffmpeg filters; and the processor time of our stages.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from films import ffmpeg_filtered

from oldfilm.apps import OldPhotoPredictor
from oldfilm.imaging.metrics import psnr
from oldfilm.pipeline import RunnableStage
from oldfilm.repair.denoise import Denoise
from oldfilm.repair.descratch import Descratch
from oldfilm.repair.despot import Despot
from oldfilm.repair.grade import Grade
from oldfilm.repair.sharpen import Sharpen
from oldfilm.training import data

FRAMES = 12
SIZE = (480, 272)

SECONDS = "CPU s per frame"


def clips(root: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the held-out clips, small: name and float32 [t, h, w, 3]."""
    for name, clip in data.clips(root, data.HELD_OUT):
        small = [cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA) for frame in clip[:FRAMES]]
        yield name, np.stack(small).astype(np.float32) / 255


def ffmpeg(frames: np.ndarray, filters: str) -> np.ndarray:
    """Filter frames with ffmpeg, as float32 [t, h, w, 3]."""
    if filters.startswith("tmedian"):  # It drops the first and the last frame.
        frames = np.concatenate([frames[:1], frames, frames[-1:]])
    return ffmpeg_filtered(frames, f"format=gbrp,{filters}")


def grain(frames: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Add film grain: gray noise with a grain size of about a pixel and a half."""
    noise = rng.standard_normal(frames.shape[:3], dtype=np.float32)
    noise = np.stack([cv2.GaussianBlur(one, (0, 0), 0.6) for one in noise])
    return np.clip(frames + noise[..., None] * (sigma / noise.std()), 0, 1)


def masked_psnr(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """PSNR over the pixels of a mask; image, truth: [t, h, w, c], mask: bool [t, h, w]."""
    return psnr(image[mask][None, None], truth[mask][None, None])


def spotted(
    frames: np.ndarray, overlays: list[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay a different overlay of damage over each frame.

    Returns the frames, a mask of visible damage, bool [t, h, w], and a mask of untouched pixels.
    """
    damaged, inside, outside = [], [], []
    side = SIZE[1] * 3 // 4
    for frame in frames:
        cover = np.zeros(frame.shape[:2], np.float32)
        overlay = np.rot90(overlays[rng.integers(len(overlays))], rng.integers(4))
        alpha = cv2.resize(overlay[..., 3], (side, side), interpolation=cv2.INTER_AREA) / 255
        top, left = rng.integers(SIZE[1] - side), rng.integers(SIZE[0] - side)
        cover[top : top + side, left : left + side] = alpha * rng.uniform(0.5, 1)
        image = frame + cover[..., None] * (rng.choice([0.05, 0.95]) - frame)
        damaged.append(image.astype(np.float32))
        inside.append(np.abs(image - frame).max(axis=2) > 0.05)
        outside.append(cover == 0)
    return np.stack(damaged), np.stack(inside), np.stack(outside)


def table(title: str, names: list[str], rows: Iterator[tuple[str, list[float]]]) -> None:
    """Print lines of figures, and their means."""
    print(f"\n{title}\n{'':12}" + "".join(f"{name:>17}" for name in names))
    figures = []
    for name, row in rows:
        figures.append(row)
        print(f"{name:12}" + "".join(f"{figure:17.2f}" for figure in row), flush=True)
    print(f"{'mean':12}" + "".join(f"{figure:17.2f}" for figure in np.mean(figures, axis=0)))


def repaired(stage: RunnableStage, frames: np.ndarray) -> tuple[np.ndarray, float]:
    """Run frames through a stage; return the result and the processor time per frame."""
    start = time.process_time()
    restored = stage.predict(frames)
    return restored, (time.process_time() - start) / len(frames)


def despot(root: Path) -> None:
    """Dust on single frames of film with a little grain."""
    overlays = data.overlays(root, data.HELD_OUT)
    filters = ["tmedian=radius=1", "atadenoise", "removegrain=4:4:4"]

    def rows() -> Iterator[tuple[str, list[float]]]:
        for number, (name, clean) in enumerate(clips(root)):
            rng = np.random.default_rng(number)
            damaged, inside, outside = spotted(grain(clean, 0.015, rng), overlays, rng)
            ours, seconds = repaired(Despot(), damaged)
            photo = OldPhotoPredictor(with_scratch=True, variant="lite", device="cpu")
            results = [damaged, *(ffmpeg(damaged, f) for f in filters)]
            results += [photo.predict(damaged), ours]
            figures = [masked_psnr(r, clean, mask) for r in results for mask in (inside, outside)]
            yield name, [*figures, seconds]

    methods = ["nothing", *(f.partition("=")[0] for f in filters), "OldPhoto", "Despot"]
    names = [f"{method} {where}" for method in methods for where in ("in", "out")] + [SECONDS]
    table("Despot: PSNR inside and outside the damage", names, rows())


def denoise(root: Path) -> None:
    """Grain with a sigma of 0.03, judged on the middle frames."""
    filters = ["hqdn3d=6", "atadenoise=0a=0.1:1a=0.1:2a=0.1", "nlmeans=s=4", "nlmeans=s=6"]
    judged = slice(3, -3)

    def rows() -> Iterator[tuple[str, list[float]]]:
        for number, (name, clean) in enumerate(clips(root)):
            grainy = grain(clean, 0.03, np.random.default_rng(number))
            ours, seconds = repaired(Denoise(), grainy)
            results = [grainy, *(ffmpeg(grainy, f) for f in filters), ours]
            yield name, [*(psnr(result[judged], clean[judged]) for result in results), seconds]

    names = ["nothing", *(f[:13] for f in filters), "Denoise", SECONDS]
    table("Denoise: PSNR of grainy film", names, rows())


def scratched(
    frames: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw six persistent scratches; returns the same as `spotted`."""
    columns = np.arange(SIZE[0], dtype=np.float32)
    cover = np.zeros((len(frames), SIZE[1], SIZE[0]), np.float32)
    for _ in range(6):
        start, depth = rng.uniform(20, SIZE[0] - 20), rng.choice([-1, 1]) * rng.uniform(0.06, 0.25)
        top, bottom = rng.integers(0, SIZE[1] // 3), rng.integers(SIZE[1] // 2, SIZE[1])
        for one in cover:
            start += rng.normal(0, 0.2)
            one[top:bottom] += depth * np.exp(-np.square(columns - start) / 1.2)
    damaged = np.clip(frames + cover[..., None], 0, 1)
    return damaged, np.abs(cover) > 0.03, np.abs(cover) < 1e-3


def descratch(root: Path) -> None:
    """Persistent scratches. ffmpeg has no filter for them; a median along the row is closest."""
    median = "median=radius=3:radiusV=1"

    def rows() -> Iterator[tuple[str, list[float]]]:
        for number, (name, clean) in enumerate(clips(root)):
            rng = np.random.default_rng(number)
            damaged, inside, outside = scratched(grain(clean, 0.015, rng), rng)
            ours, seconds = repaired(Descratch(), damaged)
            results = [damaged, ffmpeg(damaged, median), ours]
            figures = [masked_psnr(r, clean, mask) for r in results for mask in (inside, outside)]
            yield name, [*figures, seconds]

    names = [f"{m} {where}" for m in ("nothing", "median", "Descratch") for where in ("in", "out")]
    names += [SECONDS]
    table("Descratch: PSNR inside and outside the scratches", names, rows())


def halo(image: np.ndarray, truth: np.ndarray) -> float:
    """The overshoot of the worst thousandth of pixels beyond the range around it, in 1/255."""
    square = np.ones((5, 5), np.uint8)
    most = np.stack([cv2.dilate(frame, square) for frame in truth])
    least = np.stack([cv2.erode(frame, square) for frame in truth])
    return float(255 * np.quantile(np.maximum(image - most, least - image).clip(0), 0.999))


def sharpen(root: Path) -> None:
    """Clips blurred with a sigma of 1; ffmpeg's unsharp has the strength of our stage."""
    mask = "unsharp=7:7:1:7:7:1"

    def rows() -> Iterator[tuple[str, list[float]]]:
        for name, clean in clips(root):
            truth = clean[:4]
            soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in truth])
            ours, seconds = repaired(Sharpen(), soft)
            results = [soft, ffmpeg(soft, mask), ours]
            yield name, [*(f for r in results for f in (psnr(r, truth), halo(r, soft))), seconds]

    names = [f"{m} {what}" for m in ("nothing", "unsharp", "Sharpen") for what in ("dB", "halo")]
    names += [SECONDS]
    table("Sharpen: PSNR of blurred film, and halos", names, rows())


def grade(root: Path) -> None:
    """Clips that are faded, with a yellow cast and unsteady exposure; and clean clips."""
    filters = ["normalize", "normalize=smoothing=25", "grayworld"]

    def rows() -> Iterator[tuple[str, list[float]]]:
        for number, (name, clean) in enumerate(clips(root)):
            waver = np.random.default_rng(number).normal(1, 0.01, (len(clean), 1, 1, 1))
            faded = 0.12 + 0.65 * clean * waver * np.array([1, 0.95, 0.85])
            faded = np.clip(faded, 0, 1).astype(np.float32)
            planar = [ffmpeg(faded, f"{f},format=gbrp") for f in filters]
            ours, seconds = repaired(Grade(), faded)
            figures = [psnr(result, clean) for result in (faded, *planar, ours)]
            of_clean = [ffmpeg(clean, filters[0]), Grade().predict(clean)]
            yield name, [*figures, *(psnr(result, clean) for result in of_clean), seconds]

    names = ["nothing", "normalize", "normalize 25", "grayworld", "Grade"]
    names += ["normalize clean", "Grade clean", SECONDS]
    table("Grade: PSNR of faded film", names, rows())


CASES: dict[str, Callable[[Path], None]] = {
    "Despot": despot,
    "Denoise": denoise,
    "Descratch": descratch,
    "Sharpen": sharpen,
    "Grade": grade,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/train"))
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    arguments = parser.parse_args()
    for case in arguments.cases or CASES:
        CASES[case](arguments.data)


if __name__ == "__main__":
    main()
