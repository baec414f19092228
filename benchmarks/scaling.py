"""Measure how time and memory grow with the length and the size of a film.

    python benchmarks/scaling.py film.mkv
    python benchmarks/scaling.py film.mkv --order PPMSVSR --frames 30 100 300 --lines 96 144 240

Without --order, a stage without a network enlarges every frame --enlarge times, bicubically.
What remains is decoding, analysis, queues, encoding with the default codec, and joining.

--frames: lengths of the film, repeated, at its own size. --lines: heights, at the shortest of these
lengths. For both, the share of the variance is printed that a straight line explains (R²), over
frames and over pixels. Every run has a process of its own. The columns are seconds, seconds that
are not spent in a stage, the same in milliseconds per megapixel of the result, and the peak memory
of all processes together.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from chain import Memory
from films import repeat_film

from oldfilm import media, pipeline
from oldfilm.api import restore
from oldfilm.pipeline import RestoreOptions, RunnableStage
from oldfilm.stage import FilmInfo, Frame

HEADER = "| film | result | frames | seconds | outside of stages | ms per megapixel | GiB |"


class Enlarge(RunnableStage):
    """Enlarges every frame bicubically."""

    name = "Enlarge"

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def describe(self, info: FilmInfo) -> FilmInfo:
        """As `Stage.describe`."""
        return replace(info, width=info.width * self.factor, height=info.height * self.factor)

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """As `Stage.process`."""
        for frame in frames[core]:
            height, width, channels = frame.image.shape
            size = (width * self.factor, height * self.factor)
            large = cv2.resize(frame.image, size, interpolation=cv2.INTER_CUBIC)
            yield replace(frame, image=np.clip(large, 0, 1).reshape(size[1], size[0], channels))


def measure(source: Path, order: list[str], enlarge: int) -> dict:
    """Restore `source`, and return the figures of a row."""
    memory = Memory()
    memory.start()
    with tempfile.TemporaryDirectory() as folder:
        if order:
            summary = restore(source, order, folder, variant="lite", progress=False)
        else:
            result = Path(folder, "result.mp4")
            summary = pipeline.restore(source, [Enlarge(enlarge)], result, RestoreOptions())
    after = summary.after
    return {
        "before": f"{summary.before.width}x{summary.before.height}",
        "after": f"{after.width}x{after.height}",
        "frames": summary.before.frames,
        "pixels": summary.before.width * summary.before.height,
        "seconds": summary.seconds,
        "outside": summary.seconds - sum(summary.stage_seconds.values()),
        "megapixels": after.width * after.height * after.frames / 1e6,
        "memory": memory.together,
    }


def run(options: argparse.Namespace, frames: int, lines: int | None) -> dict:
    """Measure one length and size in a process of its own, and print the row."""
    film = media.Film.open(options.film)
    across = None if lines is None else (round(film.width * lines / film.height / 2) * 2, lines)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "film.mkv")
        settings = media.EncodeSettings(codec="ffv1")
        repeat_film(options.film, frames, source, size=across, settings=settings)
        command = [sys.executable, __file__, str(source), "--measure", "--enlarge"]
        command += [str(options.enlarge), "--order", *options.order]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    row = json.loads(done.stdout.splitlines()[-1])
    pace = 1000 * row["outside"] / row["megapixels"]
    print(
        f"| {row['before']} | {row['after']} | {frames} | {row['seconds']:.1f} | "
        f"{row['outside']:.1f} | {pace:.0f} | {row['memory'] / 2**30:.2f} |",
        flush=True,
    )
    return row


def linearity(rows: list[dict], key: str) -> float:
    """Return the share of the variance of the seconds that a line over `key` explains."""
    x, y = (np.array([row[name] for row in rows], float) for name in (key, "seconds"))
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("--order", nargs="*", metavar="STAGE", default=[])
    parser.add_argument("--frames", nargs="+", type=int, default=[30, 100, 300, 1000])
    parser.add_argument("--lines", nargs="*", type=int, default=[96, 144, 240, 368, 480])
    parser.add_argument("--enlarge", type=int, default=4)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.film, options.order, options.enlarge)))
        return
    print(f"{HEADER}\n|---|---|---:|---:|---:|---:|---:|")
    lengths = [run(options, frames, None) for frames in options.frames]
    sizes = [run(options, min(options.frames), lines) for lines in options.lines]
    for rows, key in ((lengths, "frames"), (sizes, "pixels")):
        if len(rows) > 2:
            print(f"R² of the seconds over {key}: {linearity(rows, key):.4f}")


if __name__ == "__main__":
    main()
