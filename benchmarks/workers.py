"""Compares two one-core workers with one, on this machine's processes and on Ray.

    python benchmarks/workers.py film.mp4
    python benchmarks/workers.py film.mp4 --order DeOldify --size 480x368 --frames 240 --rounds 5

A job with one worker may use one core, a job with two workers two, its parent and all its ffmpeg
processes included. They run in turns, so that what else the machine does strikes both. The workers
have made their stages before the clock starts. Beside the speed it prints what a segment moves: the
bytes that are decoded for it and those of the piece that comes back.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path

from oldfilm import media
from oldfilm.api import recipe
from oldfilm.pipeline import RESTORING, RestoreOptions, open_executor, restore
from oldfilm.pipeline.executors.local import LocalExecutor
from oldfilm.stage import FilmInfo

SEGMENTS = 8
"""Of the film that is timed: as many for each of two workers."""


def repeated(source: Path, size: tuple[int, int], frames: int, destination: Path) -> Path:
    """The film again and again, of another size, until it has `frames` frames."""
    film = media.Film.open(source)
    decoded = media.decode(film, 0, frames, width=size[0], height=size[1])
    images = [frame.image for frame in decoded]
    info = FilmInfo(*size, film.rate, frames, images[0].shape[2])
    with media.Encoder(destination, info) as encoder:
        for image in islice(cycle(images), frames):
            encoder.write(image)
    return destination


def measure(engine: str, count: int, folder: Path, order: list[str], segment: int) -> dict:
    """Restore on as many cores as there are workers; returns seconds, and bytes of a piece."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    os.environ["OMP_NUM_THREADS"] = "1"
    options = RestoreOptions(segment_frames=segment, overwrite=True)
    stages, elsewhere = recipe(order, {"variant": "lite", "device": "cpu"}, {}, {})
    workers = (
        LocalExecutor(elsewhere, count)
        if engine == "local"
        else open_executor(elsewhere, count, "ray")
    )
    sizes: list[int] = []

    def look(report: object) -> None:
        if report.part == RESTORING:
            sizes.extend(path.stat().st_size for path in folder.glob(".film.mp4.oldfilm/0*.mp4"))

    with workers as hands:
        restore(folder / "warm.mkv", stages, folder / "warm.mp4", options, None, hands)
        began = time.monotonic()
        summary = restore(folder / "film.mkv", stages, folder / "film.mp4", options, look, hands)
        seconds = time.monotonic() - began
    assert not [note for note in summary.notes if "worker" in note], summary.notes
    return {"seconds": seconds, "piece": statistics.mean(sizes)}


def in_a_process(engine: str, count: int, folder: Path, arguments: argparse.Namespace) -> dict:
    """`measure`, where nothing else has run before."""
    command = [sys.executable, __file__, str(arguments.film), "--measure", engine, str(count)]
    command += ["--frames", str(arguments.frames), "--folder", str(folder), "--order"]
    done = subprocess.run([*command, *arguments.order], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("--order", nargs="+", default=["DeOldify", "PPMSVSR"])
    parser.add_argument("--size", default="240x184")
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", default=["local", "ray"])
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    segment = arguments.frames // SEGMENTS
    if arguments.measure:
        engine, count = arguments.measure
        print(json.dumps(measure(engine, int(count), arguments.folder, arguments.order, segment)))
        return
    engines = [engine for engine in arguments.engines if engine != "ray" or find_spec("ray")]
    width, height = map(int, arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repeated(arguments.film, (width, height), arguments.frames, folder / "film.mkv")
        repeated(arguments.film, (width, height), 2 * segment, folder / "warm.mkv")
        kinds = [(engine, count) for engine in engines for count in (1, 2)]
        taken: dict = {kind: [] for kind in kinds}
        for _ in range(arguments.rounds):
            for kind in kinds:
                taken[kind].append(in_a_process(*kind, folder, arguments))
    print(f"{' '.join(arguments.order)}, {arguments.size}, {arguments.frames} frames")
    print(f"a segment: {segment} frames, {segment * width * height * 6 / 1e6:.2f} MB as decoded")
    for engine in engines:
        one, two = ([run["seconds"] for run in taken[engine, count]] for count in (1, 2))
        ratios = [a / b for a, b in zip(one, two)]
        piece = taken[engine, 2][0]["piece"]
        print(
            f"{engine:<6} 1 worker {statistics.median(one):6.1f} s   "
            f"2 workers {statistics.median(two):6.1f} s   "
            f"{statistics.median(ratios):.2f} times ({', '.join(f'{r:.2f}' for r in ratios)})   "
            f"{piece / 1e6:.3f} MB a piece"
        )


if __name__ == "__main__":
    main()
