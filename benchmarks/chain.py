"""Measure the time of each stage of a chain, and its peak memory.

    python benchmarks/chain.py film.mp4
    python benchmarks/chain.py film.mp4 --order DeOldify PPMSVSR --frames 60 600

The film is repeated to each number of frames that `--frames` gives. Each run has a process of its
own. Peak memory is printed for that process, for its worker and ffmpeg processes, and for all of
them at the same moment. It includes the export of a network that runs for the first time.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from films import repeat_film

from oldfilm.api import restore
from oldfilm.media import EncodeSettings


class Memory(threading.Thread):
    """Records the peak resident memory of this process and its children, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.own = self.children = self.together = 0

    def run(self) -> None:
        process = psutil.Process()
        while True:
            own, total = process.memory_info().rss, 0
            for child in process.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.own = max(self.own, own)
            self.children = max(self.children, total)
            self.together = max(self.together, own + total)
            time.sleep(0.05)


def measure(source: Path, order: list[str], variant: str) -> dict:
    """Restore `source` as users do: in a worker process."""
    memory = Memory()
    memory.start()
    with tempfile.TemporaryDirectory() as folder:
        summary = restore(source, order, folder, variant=variant, progress=False)
    return {
        "before": f"{summary.before.width}x{summary.before.height}",
        "after": f"{summary.after.width}x{summary.after.height}",
        "frames": summary.before.frames,
        "frames_out": summary.after.frames,
        "seconds": summary.seconds,
        "stages": summary.stage_seconds,
        "own": memory.own,
        "children": memory.children,
        "together": memory.together,
    }


def show(result: dict) -> None:
    frames = result["frames"]
    print(
        f"{result['before']}, {frames} frames -> {result['after']}, {result['frames_out']} frames"
    )
    for name, seconds in result["stages"].items():
        print(f"  {name:<10} {seconds / frames:7.3f} s per source frame")
    rest = result["seconds"] - sum(result["stages"].values())
    print(
        f"  {'the rest':<10} {rest / frames:7.3f}   (start, analysis, decoding, encoding, joining)"
    )
    print(f"  {'all':<10} {result['seconds'] / frames:7.3f}")
    own, children, together = (result[name] / 2**30 for name in ("own", "children", "together"))
    print(
        f"  peak memory {own:.2f} GiB, worker and ffmpeg {children:.2f} GiB, "
        f"together {together:.2f} GiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("film", type=Path)
    parser.add_argument(
        "--order", nargs="+", metavar="STAGE", default=["DeOldify", "PPMSVSR", "DAIN"]
    )
    parser.add_argument("--variant", default="lite")
    parser.add_argument("--frames", nargs="+", type=int, default=[60])
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.film, arguments.order, arguments.variant)))
        return
    print(f"{platform.processor() or platform.machine()}, {psutil.cpu_count()} cores")
    for frames in arguments.frames:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "film.mkv")
            repeat_film(arguments.film, frames, source, settings=EncodeSettings(codec="ffv1"))
            command = [sys.executable, __file__, str(source), "--measure"]
            command += ["--variant", arguments.variant, "--order", *arguments.order]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        show(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
