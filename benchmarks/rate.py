"""Measure the interpolation error on the held-out clips, and the time per frame at full size.

    python benchmarks/rate.py --data DATA

Frame 2i is interpolated between 2i-1 and 2i+1. Compared are the mean of both; the mean of both
warped half-way backward by OpenCV's DIS flow (medium preset, full size); and DAIN lite.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from oldfilm.apps import DAINPredictor
from oldfilm.imaging.color import luma
from oldfilm.imaging.flow import warp
from oldfilm.imaging.metrics import interpolation_error
from oldfilm.stage import FilmFacts, FilmInfo, Frame
from oldfilm.training import data

FULL_SIZE = (1920, 1472)

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]


def plain_average(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first + second) / 2


def dis_average(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    gray = [np.rint(luma(image) * 255).astype(np.uint8) for image in (first, second)]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    forward, backward = search.calc(*gray, None), search.calc(*gray[::-1], None)
    return (warp(first, backward / 2) + warp(second, forward / 2)) / 2


def dain(predictor: DAINPredictor) -> Method:
    """The frame half-way, by the predictor as it restores a film."""

    def interpolate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        height, width, channels = first.shape
        predictor.analyze(FilmInfo(width, height, Fraction(16), 2, channels), FilmFacts())
        frames = [Frame(first, Fraction(0)), Frame(second, Fraction(1, 16))]
        return list(predictor.process(frames, slice(0, 1)))[1].image

    return interpolate


def errors(clip: np.ndarray, method: Method) -> float:
    """Mean interpolation error of a clip, uint8 [t, h, w, 3]."""
    found = []
    for i in range(2, len(clip) - 1, 2):
        first, truth, second = clip[i - 1 : i + 2].astype(np.float32) / 255
        made = np.rint(np.clip(method(first, second), 0, 1) * 255) / 255
        found.append(interpolation_error(made, truth))
    return float(np.mean(found))


def seconds(clip: np.ndarray, method: Method, runs: int = 5) -> float:
    """The fastest of a few runs on frames of FULL_SIZE, each on other frames."""
    large = [cv2.resize(frame, FULL_SIZE).astype(np.float32) / 255 for frame in clip[: runs + 2]]
    method(large[0], large[1])
    taken = []
    for first, second in zip(large[1:], large[2:]):
        started = time.perf_counter()
        method(first, second)
        taken.append(time.perf_counter() - started)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with video/*.mp4")
    parser.add_argument("--weights", help="other weights for DAIN lite")
    given = parser.parse_args()
    predictor = DAINPredictor(weight_path=given.weights, variant="lite")
    methods: dict[str, Method] = {
        "plain average": plain_average,
        "DIS, backward": dis_average,
        "DAIN lite": dain(predictor),
    }
    clips = dict(data.clips(given.data, data.HELD_OUT))
    columns = [*clips, "mean", "s per frame"]
    print(f"{'':14}" + "".join(f"{name:>12}" for name in columns))
    for name, method in methods.items():
        row = [errors(clip, method) for clip in clips.values()]
        row += [np.mean(row), seconds(next(iter(clips.values())), method)]
        print(f"{name:14}" + "".join(f"{value:12.3f}" for value in row), flush=True)


if __name__ == "__main__":
    main()
