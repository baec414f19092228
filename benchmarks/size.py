"""Measure the quality and speed of the lite PP-MSVSR on the held-out clips.

    python benchmarks/size.py --data DATA

Y-PSNR in dB, without the outer 8 pixels. Clean frames are made four times smaller (bicubic). Aged
frames are also blurred, grainy, flickering, compressed and damaged, with fixed seeds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from oldfilm.apps import PPMSVSRPredictor
from oldfilm.imaging.color import studio_luma
from oldfilm.imaging.metrics import psnr
from oldfilm.imaging.resample import matlab_bicubic
from oldfilm.training import data
from oldfilm.training.ageing import Ageing, age

SCALE = 4
CROP = 8
FRAMES = 15
STRENGTHS = (3, 5, 7, 10, 14)
AGED = Ageing(
    blur=1.0, grain=0.035, grain_size=0.6, flicker=0.015, scratches=0.5, dust=0.7, quality=75
)


def bicubic(frame: np.ndarray) -> np.ndarray:
    """Enlarge [h, w, 3] four times."""
    height, width = frame.shape[:2]
    large = cv2.resize(frame, (width * SCALE, height * SCALE), interpolation=cv2.INTER_CUBIC)
    return np.clip(large, 0, 1)


def denoised(frame: np.ndarray, strength: float) -> np.ndarray:
    """Denoise with OpenCV's non-local means, in 8 bits."""
    stored = np.rint(frame * 255).astype(np.uint8)
    return (
        cv2.fastNlMeansDenoisingColored(stored, None, strength, strength).astype(np.float32) / 255
    )


def quality(restored: np.ndarray, truth: np.ndarray) -> float:
    """Mean Y-PSNR of the frames, in dB."""
    pairs = zip(studio_luma(restored), studio_luma(truth))
    return float(np.mean([psnr(a, b, crop=CROP) for a, b in pairs]))


def best_denoised(small: np.ndarray, truth: np.ndarray) -> float:
    """Quality of non-local means, then bicubic, at the best strength for this clip."""
    return max(
        quality(np.stack([bicubic(denoised(frame, h)) for frame in small]), truth)
        for h in STRENGTHS
    )


def judge(root: Path) -> None:
    """Print a line per clip, and the means."""
    predictor = PPMSVSRPredictor(variant="lite")
    overlays = data.overlays(root, data.HELD_OUT)
    rows = []
    print(f"{'Y-PSNR, dB':12}  clean: bicubic   ours    aged: bicubic  nl-means   ours")
    for number, (name, clip) in enumerate(data.clips(root, data.HELD_OUT)):
        height, width = (side // SCALE * SCALE for side in clip.shape[1:3])
        truth = clip[:FRAMES, :height, :width].astype(np.float32) / 255
        clean = np.clip(np.stack([matlab_bicubic(frame, 1 / SCALE) for frame in truth]), 0, 1)
        aged = age(clean, AGED, np.random.default_rng(number), overlays)
        row = [
            quality(np.stack([bicubic(frame) for frame in clean]), truth),
            quality(predictor.predict(clean), truth),
            quality(np.stack([bicubic(frame) for frame in aged]), truth),
            best_denoised(aged, truth),
            quality(predictor.predict(aged), truth),
        ]
        rows.append(row)
        show(name, row)
    show("mean", np.mean(rows, axis=0))


def show(name: str, row: list[float]) -> None:
    """Print a line of the table."""
    a, b, c, d, e = row
    print(f"{name:12} {a:15.2f} {b:6.2f} {c:16.2f} {d:9.2f} {e:6.2f}", flush=True)


def measure_speed(height: int = 368, width: int = 480) -> None:
    """Print the seconds per frame in a full window; its neighbors are part of the time."""
    predictor = PPMSVSRPredictor(variant="lite")
    window = predictor.window
    core = slice(window.before, window.before + window.core)
    scene = np.random.default_rng(0).random((height, width, 3), dtype=np.float32)
    frames = np.stack([np.roll(scene, i, 1) for i in range(core.stop + window.after)])
    list(predictor.restore(frames[:3], slice(0, 1)))
    started = time.perf_counter()
    list(predictor.restore(frames, core))
    spent = time.perf_counter() - started
    print(f"{width}x{height}: {spent / window.core:.2f} s per frame, in windows of {window}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/train"))
    judge(parser.parse_args().data)
    measure_speed()


if __name__ == "__main__":
    main()
