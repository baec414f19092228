"""Interpolation error on the held-out clips, and seconds a frame at full size.

python benchmarks/rate.py --data ../shared/data/train

Frame 2i is made of 2i-1 and 2i+1. Compared: the mean of both; both warped half-way backwards by
OpenCV's DIS flow (medium preset, full size) and averaged; and DAINPredictor, variant lite.
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
from oldfilm.imaging.flow import warp
from oldfilm.imaging.metrics import interpolation_error
from oldfilm.stage import FilmFacts, FilmInfo, Frame
from oldfilm.training import data

FULL_SIZE = (1920, 1472)

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]


def plain_average(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first + second) / 2


def dis_average(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    gray = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
    gray = [np.rint(image * 255).astype(np.uint8) for image in gray]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    forward, backward = search.calc(*gray, None), search.calc(*gray[::-1], None)
    return (warp(first, backward / 2) + warp(second, forward / 2)) / 2


def dain(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The frame half-way, by the predictor as a film is given to it."""
    height, width, channels = first.shape
    info = FilmInfo(width, height, Fraction(16), 2, channels)
    PREDICTOR.analyze(info, FilmFacts())
    frames = [Frame(first, Fraction(0)), Frame(second, Fraction(1, 16))]
    return list(PREDICTOR.process(frames, slice(0, 1)))[1].image


METHODS: dict[str, Method] = {
    "plain average": plain_average,
    "DIS, backward": dis_average,
    "DAIN lite": dain,
}


def errors(clip: np.ndarray, method: Method) -> float:
    """Mean interpolation error over a clip; clip: uint8 [t, h, w, 3]."""
    found = []
    for i in range(2, len(clip) - 1, 2):
        first, truth, second = clip[i - 1 : i + 2].astype(np.float32) / 255
        made = np.rint(np.clip(method(first, second), 0, 1) * 255) / 255
        found.append(interpolation_error(made, truth))
    return float(np.mean(found))


def seconds(clip: np.ndarray, method: Method, runs: int = 5) -> float:
    """The best of a few runs on frames of FULL_SIZE; every run has other frames."""
    large = [cv2.resize(frame, FULL_SIZE).astype(np.float32) / 255 for frame in clip[: runs + 2]]
    method(large[0], large[1])
    taken = []
    for first, second in zip(large[1:], large[2:]):
        started = time.perf_counter()
        method(first, second)
        taken.append(time.perf_counter() - started)
    return min(taken)


def main() -> None:
    global PREDICTOR
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with video/*.mp4")
    parser.add_argument("--weights", default=None, help="other weights for DAIN lite")
    given = parser.parse_args()
    PREDICTOR = DAINPredictor(weight_path=given.weights, variant="lite")
    clips = dict(data.clips(given.data, data.HELD_OUT))
    print(f"{'':14}" + "".join(f"{name:>12}" for name in [*clips, "mean", "s a frame"]))
    for name, method in METHODS.items():
        row = [errors(clip, method) for clip in clips.values()]
        row += [np.mean(row), seconds(next(iter(clips.values())), method)]
        print(f"{name:14}" + "".join(f"{value:12.3f}" for value in row), flush=True)


if __name__ == "__main__":
    main()
