"""Measure how close the lite DeOldify comes to the true colors of the held-out photographs.

    python benchmarks/color.py --data DATA [--aged] [--sheet sheet.png]
    python benchmarks/color.py --film FILM ... [--sheet sheet.png]

Printed over the pooled pixels of all photographs: the correlation of predicted and true chroma, the
spread (standard deviation over the truth's), both for a* and b* of CIE Lab, and the PSNR of RGB
with the true L*, next to that of gray and of the best constant tint.

Printed for every film, frame by frame and smoothed, in units of a* and b*:

- flicker: the change of chroma from frame to frame along the motion;
- wander: the standard deviation of a* and b* of a surface over its shot. Points of a grid are
  followed by flow, as long as their luma stays;
- sepia: the share of pixels that are colored (chroma above 4) within 20 degrees of the hue of the
  film's mean color;
- the mean chroma, and seconds of CPU time per frame.

The sheet shows every fourth frame of each film, as it is and colored.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from oldfilm import media
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
    parser.add_argument("--film", type=Path, nargs="+", help="measure films instead")
    parser.add_argument("--sheet", type=Path, help="contact sheet to write: luma, ours, truth")
    options = parser.parse_args()

    if options.film:
        print_films(options)
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
        sizes = ("all",) if archive.startswith("tiny") else ("all", "all but tiny")
        for pool in (*sizes, archive):
            pools.setdefault(pool, Pool(tint)).add(truth, ours)
        if len(tiles.setdefault(archive, [])) < SHEET.get(archive, 16):
            gray = as_rgb(luma(seen)[..., None])
            tiles[archive].append(np.hstack([thumbnail(x) for x in (gray, ours, truth)]))
    for name, pool in sorted(pools.items()):
        print(f"{name:18} {pool}")
    if options.sheet:
        write_sheet([tile for some in tiles.values() for tile in some], options.sheet)


def print_films(options: argparse.Namespace) -> None:
    """Print the figures of every film, frame by frame and smoothed; write the sheet."""
    tiles: list[np.ndarray] = []
    for path in options.film:
        film = media.Film.open(path)
        cuts = media.analyze(film).facts.cuts
        decoded = list(media.decode(film))
        frames = np.stack([luma(frame.image)[..., None] for frame in decoded])
        bounds = [i for i, f in enumerate(decoded) if f.time in (0, *cuts)] + [len(frames)]
        shots = [slice(*pair) for pair in zip(bounds, bounds[1:])]
        for steady in (False, True):
            predictor = DeOldifyPredictor(
                weight_path=options.weights, render_factor=options.render_factor, steady=steady
            )
            predictor.predict(frames[0])
            started = time.process_time()
            colored = [image for shot in shots for image in predictor.predict(frames[shot])]
            spent = (time.process_time() - started) / len(frames)
            figures = " ".join(f"{k} {v:.3f}" for k, v in film_figures(frames, colored, shots))
            label = "smoothed" if steady else "frame by frame"
            print(f"{path.stem:24} {label:15} {figures} {spent:.3f} s", flush=True)
        tiles += [
            half(np.hstack([as_rgb(frames[i]), colored[i]])) for i in range(0, len(frames), 4)
        ]
    if options.sheet:
        write_sheet(tiles, options.sheet, columns=2)


def film_figures(
    frames: np.ndarray, colored: list[np.ndarray], shots: list[slice]
) -> Iterator[tuple[str, float]]:
    """Yield the name and value of every figure of a film, averaged over its shots."""
    chromas = [cv2.cvtColor(frame, cv2.COLOR_RGB2LAB)[..., 1:] for frame in colored]
    flickers, wanders = [], []
    for shot in shots:
        motions = [flow(a, b) for a, b in zip(frames[shot], frames[shot][1:])]
        near = zip(chromas[shot], chromas[shot][1:], motions)
        flickers += [np.abs(a - warp(b, motion)).mean() for a, b, motion in near]
        wanders += wander(frames[shot], chromas[shot], motions)
    yield "flicker", float(np.mean(flickers))
    yield "wander", float(np.mean(wanders))
    pixels = np.concatenate([chroma.reshape(-1, 2) for chroma in chromas[::4]])
    strength, mean = np.hypot(*pixels.T), pixels.mean(0)
    toward = pixels @ (mean / np.hypot(*mean))
    yield "sepia", float(((strength > 4) & (toward > strength * np.cos(np.deg2rad(20)))).mean())
    yield "chroma", float(strength.mean())


def wander(
    frames: np.ndarray, chromas: list[np.ndarray], motions: list[np.ndarray], least: int = 12
) -> list[float]:
    """Return the standard deviation of a* and b* of every surface seen in `least` frames."""
    height, width = frames.shape[1:3]
    rows, columns = np.mgrid[12 : height - 12 : 16, 12 : width - 12 : 16].astype(np.float32)
    points = np.stack([columns.ravel(), rows.ravel()], 1)
    first, seen = at(cv2.blur(frames[0], (7, 7)), points), np.ones(len(points), bool)
    values, valid = [], []
    for index, (frame, chroma) in enumerate(zip(frames, chromas)):
        if index:
            points = points + at(motions[index - 1], points)
        level = at(cv2.blur(frame, (7, 7)), points)
        gain = np.median(level / np.maximum(first, 0.02))
        inside = np.all((points > 4) & (points < np.array([width - 5, height - 5])), axis=1)
        seen = seen & inside & (np.abs(level / gain - first) < 0.06)
        values.append(at(cv2.blur(chroma, (7, 7)), points))
        valid.append(seen)
    tracks = zip(np.stack(values, 1), np.stack(valid, 1))
    return [float(v[ok].std(0).mean()) for v, ok in tracks if ok.sum() >= min(least, len(frames))]


def at(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Sample [h, w, c] or [h, w] at points [n, 2], x and y: [n, c] or [n]."""
    x, y = (points[:, i].astype(np.float32)[:, None] for i in range(2))
    return np.squeeze(cv2.remap(image, x, y, cv2.INTER_LINEAR), 1 if image.ndim == 3 else None)


def half(picture: np.ndarray) -> np.ndarray:
    """Shrink to half the size."""
    return cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


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
