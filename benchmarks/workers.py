"""Compare two one-core workers with one, in local processes and on Ray.

    python benchmarks/workers.py film.mp4
    python benchmarks/workers.py film.mp4 --order DeOldify --size 480x368 --frames 240 --rounds 5

A job with one worker may use one core and a job with two workers two, including its parent and all
ffmpeg processes. The runs take turns, so that other work on the machine affects both alike. Workers
build their stages before the clock starts. It also prints how many bytes a segment moves: those
decoded for it, and those of its encoded result.
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
from pathlib import Path

from films import repeat_film

from oldfilm.api import predictors
from oldfilm.pipeline import RESTORING, JobProgress, RestoreOptions, open_executor, restore
from oldfilm.pipeline.runnable import stage_factory

SEGMENTS = 8
"""Segments of the film that is timed, an even number for two workers."""


def measure(engine: str, count: int, folder: Path, order: list[str], segment: int) -> dict:
    """Restore on as many cores as there are workers.

    Returns the seconds, and the mean size of an encoded segment in bytes.
    """
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    os.environ["OMP_NUM_THREADS"] = "1"
    options = RestoreOptions(segment_frames=segment, overwrite=True)
    stages = predictors(order, {"variant": "lite", "device": "cpu"})
    sizes: list[int] = []

    def record_sizes(report: JobProgress) -> None:
        if report.part == RESTORING:
            sizes.extend(path.stat().st_size for path in folder.glob(".film.mp4.oldfilm/0*.mp4"))

    with open_executor(stage_factory(stages), count, engine) as executor:
        restore(folder / "warm.mkv", stages, folder / "warm.mp4", options, None, executor)
        began = time.monotonic()
        film, result = folder / "film.mkv", folder / "film.mp4"
        summary = restore(film, stages, result, options, record_sizes, executor)
        seconds = time.monotonic() - began
    assert not [note for note in summary.notes if "worker" in note], summary.notes
    return {"seconds": seconds, "segment": statistics.mean(sizes)}


def measure_in_process(
    engine: str, count: int, folder: Path, arguments: argparse.Namespace
) -> dict:
    """Run `measure` in a new process."""
    command = [sys.executable, __file__, str(arguments.film), "--measure", engine, str(count)]
    command += ["--frames", str(arguments.frames), "--folder", str(folder), "--order"]
    done = subprocess.run([*command, *arguments.order], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_all(arguments: argparse.Namespace, kinds: list[tuple[str, int]]) -> dict:
    """Time every engine and number of workers in turn; returns the runs of each."""
    size = tuple(map(int, arguments.size.split("x")))
    taken: dict = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warm_frames = 2 * arguments.frames // SEGMENTS
        repeat_film(arguments.film, arguments.frames, folder / "film.mkv", size)
        repeat_film(arguments.film, warm_frames, folder / "warm.mkv", size)
        for _ in range(arguments.rounds):
            for kind in kinds:
                taken[kind].append(measure_in_process(*kind, folder, arguments))
    return taken


def show(arguments: argparse.Namespace, engines: list[str], taken: dict) -> None:
    """Print the medians, and the speed-up of every round."""
    segment = arguments.frames // SEGMENTS
    width, height = map(int, arguments.size.split("x"))
    print(f"{' '.join(arguments.order)}, {arguments.size}, {arguments.frames} frames")
    print(f"a segment: {segment} frames, {segment * width * height * 6 / 1e6:.2f} MB decoded")
    for engine in engines:
        one, two = ([run["seconds"] for run in taken[engine, count]] for count in (1, 2))
        ratios = [a / b for a, b in zip(one, two)]
        encoded = taken[engine, 2][0]["segment"]
        print(
            f"{engine:<6} 1 worker {statistics.median(one):6.1f} s   "
            f"2 workers {statistics.median(two):6.1f} s   "
            f"{statistics.median(ratios):.2f} times ({', '.join(f'{r:.2f}' for r in ratios)})   "
            f"{encoded / 1e6:.3f} MB encoded"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("--order", nargs="+", metavar="STAGE", default=["DeOldify", "PPMSVSR"])
    parser.add_argument("--size", default="240x184")
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", metavar="ENGINE", default=["local", "ray"])
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        engine, count = arguments.measure
        segment = arguments.frames // SEGMENTS
        found = measure(engine, int(count), arguments.folder, arguments.order, segment)
        print(json.dumps(found))
        return
    engines = [engine for engine in arguments.engines if engine != "ray" or find_spec("ray")]
    kinds = [(engine, count) for engine in engines for count in (1, 2)]
    show(arguments, engines, run_all(arguments, kinds))


if __name__ == "__main__":
    main()
