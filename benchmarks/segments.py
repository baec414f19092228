"""Compare the time and disk space of a job in segments with the same job in one piece.

    python benchmarks/segments.py film.mkv
    python benchmarks/segments.py film.mkv --order Deflicker DAIN --frames 600 --height 360

The film is repeated to `--frames`. Runs with and without segments take turns, each in a process of
its own. Processor time, including ffmpeg's, is printed next to wall-clock time, because other work
on the machine affects it less.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from films import repeat_film

from oldfilm.api import predictors
from oldfilm.media import Film
from oldfilm.pipeline import RestoreOptions, restore


class Disk(threading.Thread):
    """Records the peak size of a folder and its subfolders, in bytes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.peak = 0

    def run(self) -> None:
        while True:
            self.peak = max(self.peak, self.size())
            time.sleep(0.005)

    def size(self) -> int:
        total = 0
        for path in self.folder.rglob("*"):
            with contextlib.suppress(OSError):  # The file was deleted meanwhile.
                total += path.stat().st_size if path.is_file() else 0
        return total


def measure(source: Path, order: list[str], variant: str, length: int) -> dict:
    """Restore `source` in this process, in segments of at most `length` frames."""
    stages = predictors(order, {"variant": variant})
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(Path(folder))
        disk.start()
        began = time.perf_counter()
        options = RestoreOptions(segment_frames=length, deinterlace="off")
        summary = restore(source, stages, Path(folder, "out.mp4"), options)
        seconds = time.perf_counter() - began
        result = summary.path.stat().st_size
    times = psutil.Process().cpu_times()
    used = times.user + times.system + times.children_user + times.children_system
    return {"clock": seconds, "processor": used, "disk": disk.peak / result}


def median(runs: list[dict], name: str) -> float:
    return statistics.median(run[name] for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("--order", nargs="+", default=["Deflicker", "DAIN"])
    parser.add_argument("--variant", default="lite")
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--length", type=int, default=250, help="most frames per segment")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.film, given.order, given.variant, given.measure)))
        return
    lengths = (given.length, given.frames)
    runs: dict[int, list[dict]] = {length: [] for length in lengths}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "film.mkv")
        film = Film.open(given.film)
        width = round(film.width * given.height / film.height / 2) * 2
        repeat_film(given.film, given.frames, source, (width, given.height))
        for _ in range(given.rounds):
            for length in lengths:
                command = [sys.executable, __file__, str(source), "--measure", str(length)]
                command += ["--variant", given.variant, "--order", *given.order]
                done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
                runs[length].append(json.loads(done.stdout.splitlines()[-1]))
    for length in lengths:
        clock, processor, disk = (median(runs[length], n) for n in ("clock", "processor", "disk"))
        print(
            f"segments of at most {length} frames: {clock:.1f} s of wall-clock time, "
            f"{processor:.1f} s of processor time, {disk:.2f} times the result on disk"
        )
    for name, time_of in (("clock", "wall-clock"), ("processor", "processor")):
        with_segments, without = (median(runs[length], name) for length in lengths)
        print(f"segments cost {100 * (with_segments / without - 1):+.1f} % {time_of} time")


if __name__ == "__main__":
    main()
