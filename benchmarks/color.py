"""Measure how close the lite DeOldify comes to the true colors of the held-out photographs.

    python benchmarks/color.py --data ../shared/data/train [--aged] [--sheet sheet.png]
    python benchmarks/color.py --film ../shared/data/films/market-street-1906.mkv

Printed over the pooled pixels of all photographs: the correlation of predicted and true chroma, the
spread (standard deviation over the truth's), both for a* and b* of CIE Lab, and the PSNR of RGB
with the true L*, next to that of gray and of the best constant tint. Printed for a film: the change
of chroma from frame to frame along the motion, in units of a* and b*, and the time per frame.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import av
import cv2
import numpy as np

from oldfilm.apps import DeOldifyPredictor
from oldfilm.imaging.color import as_rgb, luma
from oldfilm.imaging.flow import flow, warp
from oldfilm.training import data
from oldfilm.training.ageing import Ageing, age

SHEET = {"cid22-512": 24, "imagenet-samples": 40, "houses": 8, "clothing-cc0": 16}
"""Photographs of each tar on a contact sheet."""


class Pool:
    """Sums over pixels, from which all figures are computed.

    tint: the constant a* and b* to compare with.
    """

    def __init__(self, tint: np.ndarray) -> None:
        self.tint = tint
        # Rows are pixels: true a* and b*, predicted a* and b*, 1.
        self.moments = np.zeros((5, 5))
        self.errors = dict.fromkeys(("ours", "tint", "gray"), 0.0)

    def add(self, truth: np.ndarray, ours: np.ndarray) -> None:
        """truth, ours: RGB [h, w, 3] in [0, 1]."""
        lab = cv2.cvtColor(truth, cv2.COLOR_RGB2LAB)
        lightness, chroma = lab[..., :1], lab[..., 1:]
        predicted = cv2.cvtColor(ours, cv2.COLOR_RGB2LAB)[..., 1:]
        rows = np.concatenate([chroma, predicted, np.ones_like(lightness)], 2).reshape(-1, 5)
        self.moments += rows.T.astype(np.float64) @ rows
        guesses = {"ours": predicted, "tint": np.broadcast_to(self.tint, chroma.shape)}
        for name, guess in {**guesses, "gray": np.zeros_like(chroma)}.items():
            difference = from_lab(lightness, guess) - truth
            self.errors[name] += np.square(difference, dtype=np.float64).sum()

    def __str__(self) -> str:
        count = self.moments[4, 4]
        mean = self.moments[4, :4] / count
        covariance = self.moments[:4, :4] / count - np.outer(mean, mean)
        deviation = np.sqrt(np.diag(covariance))
        correlation = covariance[[0, 1], [2, 3]] / (deviation[:2] * deviation[2:])
        spread = deviation[2:] / deviation[:2]
        text = f"correlation {correlation.mean():.3f} (a* {correlation[0]:.3f}, b* "
        text += f"{correlation[1]:.3f})  spread {spread.mean():.3f}  PSNR"
        for name, error in self.errors.items():
            text += f" {name} {-10 * np.log10(error / (3 * count)):.2f}"
        return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/train"))
    parser.add_argument("--weights", help="in place of the shipped weights")
    parser.add_argument("--render_factor", type=int)
    parser.add_argument(
        "--aged", action="store_true", help="make the photographs look like old film"
    )
    parser.add_argument("--film", type=Path, help="measure flicker and time on a film instead")
    parser.add_argument("--sheet", type=Path, help="contact sheet to write: luma, ours, truth")
    options = parser.parse_args()

    if options.film:
        print_flicker(options)
    else:
        print_accuracy(options)


def print_accuracy(options: argparse.Namespace) -> None:
    """Print the figures of the held-out photographs, per tar and pooled; write the sheet."""
    predictor = DeOldifyPredictor(
        weight_path=options.weights, render_factor=options.render_factor, steady=False
    )
    damage = data.overlays(options.data, data.HELD_OUT) if options.aged else []
    rng = np.random.default_rng(0)
    photographs = dict(data.photographs(options.data, data.HELD_OUT))
    tint = mean_chroma(list(photographs.values()))
    pools: dict[str, Pool] = {}
    tiles: dict[str, list[np.ndarray]] = {}
    for name, photograph in photographs.items():
        truth = photograph.astype(np.float32) / 255
        seen = age(truth[None], Ageing.draw(rng), rng, damage)[0] if options.aged else truth
        ours = predictor.predict(seen)
        archive = name.partition("/")[0]
        for pool in ("all", archive):
            pools.setdefault(pool, Pool(tint)).add(truth, ours)
        if len(tiles.setdefault(archive, [])) < SHEET.get(archive, 16):
            gray = as_rgb(luma(seen)[..., None])
            tiles[archive].append(np.hstack([thumbnail(x) for x in (gray, ours, truth)]))
    for name, pool in sorted(pools.items()):
        print(f"{name:18} {pool}")
    if options.sheet:
        write_sheet([tile for some in tiles.values() for tile in some], options.sheet)


def print_flicker(options: argparse.Namespace) -> None:
    """Print the flicker of chroma and the time per frame, with and without temporal smoothing."""
    with av.open(str(options.film)) as container:
        gray = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    frames = np.stack(gray)[..., None].astype(np.float32) / 255
    motions = [flow(a, b) for a, b in zip(frames, frames[1:])]
    for steady in (False, True):
        predictor = DeOldifyPredictor(
            weight_path=options.weights, render_factor=options.render_factor, steady=steady
        )
        predictor.predict(frames[0])
        started = time.perf_counter()
        colored = predictor.predict(frames)
        spent = (time.perf_counter() - started) / len(frames)
        chromas = [cv2.cvtColor(frame, cv2.COLOR_RGB2LAB)[..., 1:] for frame in colored]
        moved = [warp(chroma, motion) for chroma, motion in zip(chromas[1:], motions)]
        flicker = np.mean([np.abs(a - b).mean() for a, b in zip(chromas, moved)])
        strength = np.mean([np.abs(chroma).mean() for chroma in chromas])
        label = "smoothed" if steady else "frame by frame"
        print(
            f"{label:18} flicker {flicker:.3f} of {strength:.2f}  {1000 * spent:.0f} ms per frame"
        )


def mean_chroma(photographs: list[np.ndarray]) -> np.ndarray:
    """The best constant a* and b* for all pixels."""
    total, count = np.zeros(2), 0
    for photograph in photographs:
        lab = cv2.cvtColor(photograph.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        total += lab[..., 1:].sum((0, 1), dtype=np.float64)
        count += lab.shape[0] * lab.shape[1]
    return (total / count).astype(np.float32)


def from_lab(lightness: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """RGB [h, w, 3] in [0, 1]."""
    lab = np.concatenate([lightness, chroma], 2)
    return np.clip(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB), 0, 1)


def thumbnail(picture: np.ndarray, side: int = 112) -> np.ndarray:
    """The central square, scaled."""
    short = min(picture.shape[:2])
    top, left = ((n - short) // 2 for n in picture.shape[:2])
    square = picture[top : top + short, left : left + short]
    return cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)


def write_sheet(tiles: list[np.ndarray], path: Path, columns: int = 4) -> None:
    """Write tiles of equal size as a grid."""
    tiles = tiles[: len(tiles) // columns * columns]
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    sheet = np.rint(np.vstack(rows) * 255).astype(np.uint8)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
