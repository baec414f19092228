"""Runs damaged inputs in separate processes and reports how each ended.

    python -m tests.reliability.corpus_run [--workers N] [--every N] [--match TEXT]

An input ends well as "restored" (weights and configs: "read"), "restored in part" or
"refused: reason". Everything else is a failure: an error that is not an `OldfilmError`, a process
that dies or exceeds `SECONDS` or `MEBIBYTES`, an unexplained difference between the number of
frames in the result and in the input, or an unfinished file under the name of the result.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from oldfilm.media.chained_ogg import chain
from tests.films import METADATA_ERRORS, make_film
from tests.reliability.corpus import MANIFEST_FRAMES, Damaged, arrays, damaged_inputs

SECONDS = 60
"""Time limit for one input."""
MEBIBYTES = 1024
"""Memory limit of a process and of each of its children."""
_ADDRESSES = 3 << 29

RESTORED, IN_PART, READ = "restored", "restored in part", "read"
REFUSED, FAILED = "refused", "FAILED"


@dataclass(frozen=True)
class Ending:
    """How one input ended. reason: of a refusal or a failure, or the note on what was lost."""

    title: str
    kind: str
    material: str
    ending: str
    reason: str = ""
    seconds: float = 0.0
    mebibytes: int = 0


class Wrong(Exception):
    """A wrong result without an explanation."""


def run(
    chosen: Sequence[int], folder: Path, workers: int = 1, report: Callable[[Ending], None] = print
) -> list[Ending]:
    """Run the inputs with these numbers. folder: for the original films."""
    inputs = damaged_inputs(folder)
    shares = [list(chosen[i::workers]) for i in range(workers)]

    def work(share: list[int]) -> list[Ending]:
        return _run_share(share, inputs, folder, report)

    with ThreadPoolExecutor(workers) as pool:
        return [ending for endings in pool.map(work, shares) for ending in endings]


def _run_share(
    share: list[int], inputs: list[Damaged], folder: Path, report: Callable[[Ending], None]
) -> list[Ending]:
    endings, worker = [], None
    for number in share:
        damaged = inputs[number]
        worker = worker or _InputProcess(folder)
        ending = worker.ask(number)
        if isinstance(ending, str):
            ending = Ending(damaged.title, damaged.kind, damaged.original, FAILED, ending)
        if ending.mebibytes > MEBIBYTES:
            reason = f"it took {ending.mebibytes} MiB, then: {ending.ending} {ending.reason}"
            ending = replace(ending, ending=FAILED, reason=reason)
        if ending.ending == FAILED:
            worker.end()
            worker = None
        report(ending)
        endings.append(ending)
    if worker:
        worker.end()
    return endings


class _InputProcess:
    """A process that runs one input after another."""

    def __init__(self, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._scratch = tempfile.mkdtemp(prefix="oldfilm-corpus-")
        self._process = context.Process(
            target=_work, args=(theirs, folder, Path(self._scratch), _ADDRESSES), daemon=True
        )
        self._process.start()
        theirs.close()
        assert self._pipe.recv() == "ready"

    def ask(self, number: int) -> Ending | str:
        try:
            self._pipe.send(number)
            if self._pipe.poll(SECONDS):
                return self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return f"the process died: exit status {self._process.exitcode}"
        return f"it took longer than {SECONDS} seconds"

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        for child in _working_in(self._scratch):
            os.kill(child, 9)
        shutil.rmtree(self._scratch, ignore_errors=True)


def _working_in(folder: str) -> Iterable[int]:
    """Yield other processes whose command lines name a folder."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            named = folder.encode() in path.read_bytes()
        except OSError:
            continue
        if named and int(path.parent.name) != os.getpid():
            yield int(path.parent.name)


def _work(pipe: Connection, folder: Path, scratch: Path, limit: int) -> None:
    os.chdir(scratch)
    os.environ.update(
        OLDFILM_CACHE=str(scratch / "cache"), OLDFILM_OFFLINE="1", TMPDIR=str(scratch)
    )
    tempfile.tempdir = str(scratch)
    inputs, stopped = damaged_inputs(folder), _Stopped(scratch / "stopped")
    sys.stderr = (scratch / "stderr").open("w")
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe.send("ready")
    while True:
        damaged = inputs[pipe.recv()]
        place = Path(tempfile.mkdtemp(dir=scratch))
        started = time.monotonic()
        ending, reason = _ending_of(damaged, place, stopped)
        seconds = time.monotonic() - started
        reason = reason.replace(f"{place}/", "")
        pipe.send(
            Ending(
                damaged.title, damaged.kind, damaged.original, ending, reason, seconds, _memory()
            )
        )
        shutil.rmtree(place, ignore_errors=True)


def _memory() -> int:
    """Return the peak memory in MiB of this process or of one of its children.

    Its own peak is from /proc: getrusage includes the parent's memory before `exec`.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    own = int(re.search(r"VmHWM:\s*(\d+)", status).group(1))
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) // 1024


def _ending_of(damaged: Damaged, place: Path, stopped: _Stopped) -> tuple[str, str]:
    from oldfilm.errors import OldfilmError

    source = damaged.write(place)
    outside = sorted(place.parent.glob("*"))
    try:
        if damaged.kind == "manifest":
            ending = stopped.resume(source, place)
        elif damaged.kind == "config":
            ending = _read_config(source)
        elif damaged.kind == "presets":
            ending = _read_preset(source)
        elif damaged.kind in ("weights", "torch"):
            ending = _read_weights(source)
        else:
            ending = _restored(source, place / "out")
        if sorted(place.parent.glob("*")) != outside:
            raise Wrong("a file was written outside the folder")
    except OldfilmError as error:
        left = sorted(path.name for path in place.glob("out/*"))
        if left and damaged.kind != "manifest":
            return FAILED, f"{left} exists after: {error}"
        if "\n" in str(error) or len(str(error)) > 1200:
            return FAILED, f"more than one line: {str(error)[:200]}"
        return REFUSED, str(error)
    except Wrong as error:
        return FAILED, f"an unexplained wrong result: {error}"
    except BaseException:
        return FAILED, traceback.format_exc()
    return ending


def _restored(source: Path, output: Path) -> tuple[str, str]:
    from oldfilm import media
    from oldfilm.api import predictors
    from oldfilm.pipeline import restore

    summary = restore(source, predictors(["Sharpen"]), output)
    if [summary.path] != list(output.iterdir()):
        raise Wrong(f"the output folder contains {sorted(output.iterdir())}")
    lost = [note for note in summary.notes if re.search("can be read|cannot be|damaged", note)]
    if media.is_photograph(source):
        if lost:
            return IN_PART, "; ".join(lost)
        size = media.read_photograph(summary.path).image.shape[:2]
        if _upright_size(source) not in (None, size):
            raise Wrong("the picture has another size")
        return RESTORED, ""
    written = _frames_in(summary.path)
    if written != summary.after.frames:
        raise Wrong(f"the summary has {summary.after.frames} frames, the file {written}")
    if lost:
        return IN_PART, "; ".join(lost)
    if source.is_file():
        _compare(media.Film.open(source), written)
    return RESTORED, ""


def _upright_size(source: Path) -> tuple[int, int] | None:
    """Return height and width as Pillow reads them, or None if it cannot."""
    from PIL import Image, ImageOps

    try:
        with Image.open(source) as picture:
            return ImageOps.exif_transpose(picture).size[::-1]
    except (SyntaxError, OSError):  # Damaged EXIF data, which is logged.
        return None


def _frames_in(source: Path | io.BytesIO) -> int:
    import av

    opened = str(source) if isinstance(source, Path) else source
    with av.open(opened, **METADATA_ERRORS) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def _compare(film, written: int) -> None:
    """Compare a number of frames with what libav decodes."""
    if links := chain(film.path):  # libav reads the first one only.
        data = film.path.read_bytes()
        apart = sum(_frames_in(io.BytesIO(data[link.begin : link.end])) for link in links)
        if written != apart:
            raise Wrong(f"{written} frames of {apart} in {len(links)} links")
        return
    stamps, packets, broken = _decodable(film)
    if broken:
        raise Wrong(f"the decoder reported damage in {broken} of {packets} frames")
    if film.times is None:
        if written != len(stamps):
            raise Wrong(f"{written} frames of {len(stamps)} that can be decoded")
        return
    if len(stamps) < packets:
        raise Wrong(f"{packets - len(stamps)} of {packets} frames cannot be decoded")
    lasts = (max(stamps) - min(stamps)) * film.rate
    if film.clock:  # The stored times jump.
        repaired = film.times.stamps
        lasts = int(repaired.max() - repaired.min()) * film.times.tick * film.rate
    tolerance = 0 if not film.variable_rate else 2
    if film.variable_rate:
        if written + tolerance < lasts:
            raise Wrong(f"{written} frames, where the film lasts for {float(lasts):.1f}")
    elif abs(written - 1 - lasts) > (1 if film.times.places else Fraction(1, 2)) or written < len(
        stamps
    ):
        raise Wrong(f"{written} frames of {len(stamps)}, {float(lasts) + 1:.1f} by their times")


def _decodable(film) -> tuple[list[Fraction], int, int]:
    """Return times of the decoded frames, and the numbers of packets and of damaged frames."""
    import av

    stamps, packets, broken = [], 0, 0
    with av.open(f"file:{film.path}", **METADATA_ERRORS) as container:
        stream = container.streams[film.stream]
        demuxed = container.demux(stream)
        while True:
            try:
                packet = next(demuxed, None)
                if packet is None:
                    break
                packets += bool(packet.size) and not packet.is_discard
                frames = packet.decode()
            except av.error.FFmpegError:
                if packet is None or not packet.size:
                    break
                broken += 1
                continue
            for frame in frames:
                broken += frame.is_corrupt
                stamps.append((frame.pts or 0) * (stream.time_base or Fraction(1)))
    return stamps, packets, broken


class _Stopped:
    """A stopped job, and the frames of its undamaged result."""

    def __init__(self, folder: Path) -> None:
        from oldfilm.api import predictors
        from oldfilm.pipeline import RESTORING, RestoreOptions, restore

        folder.mkdir()
        self.folder = folder
        self.options = RestoreOptions(segment_frames=4)
        film = make_film(folder / "film.mp4", MANIFEST_FRAMES, size=(48, 32), shots=2)
        whole = restore(film, predictors(["Sharpen"]), folder / "whole", self.options)
        self.frames = _pictures(whole.path)
        shutil.rmtree(whole.path.parent)

        def stop(report) -> None:
            if report.part == RESTORING and report.done == 9:
                raise KeyboardInterrupt

        try:
            restore(film, predictors(["Sharpen"]), folder / "out", self.options, stop)
        except KeyboardInterrupt:
            return
        raise AssertionError("the job was not stopped")

    def resume(self, damage: Path, place: Path) -> tuple[str, str]:
        """Resume a copy of the job, damaged as `damage` describes."""
        from oldfilm.api import predictors
        from oldfilm.pipeline import restore

        job = place / "job"
        shutil.copytree(self.folder, job, symlinks=True)
        (work,) = (job / "out").iterdir()
        outside = place / "outside"
        outside.write_text("untouched")
        _apply(json.loads(damage.read_text()), work, outside)
        summary = restore(job / "film.mp4", predictors(["Sharpen"]), job / "out", self.options)
        if outside.read_text() != "untouched":
            raise Wrong("a file outside the work folder was written")
        if not np.array_equal(_pictures(summary.path), self.frames):
            raise Wrong("the frames differ from those of an uninterrupted job")
        if list((job / "out").iterdir()) != [summary.path]:
            raise Wrong("the work folder still exists")
        return RESTORED, ""


def _apply(change: dict, work: Path, outside: Path) -> None:
    import random

    path, chance = work / change["file"], random.Random(str(change))
    if "part" in change:
        content = json.loads(path.read_text())
        content.pop("sha256")
        target, key = content, change["part"]
        if change["key"] is not None:
            target, key = content[key], change["key"]
        target[key] = change["value"]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        path.write_text(json.dumps({"sha256": digest, **content}))
        return
    data = bytearray(path.read_bytes())
    path.unlink()
    if "cut" in change:
        path.write_bytes(data[: int(len(data) * change["cut"])])
    elif "flip" in change:
        for _ in range(change["flip"]):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
    elif "text" in change:
        path.write_text(change["text"], encoding="utf-8")
    elif "folder" in change:
        path.mkdir()
    elif "link" in change:
        path.symlink_to(outside if change["link"] == "outside" else "/nowhere/at/all")


def _pictures(path: Path) -> np.ndarray:
    import av

    with av.open(str(path), **METADATA_ERRORS) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def _read_config(path: Path) -> tuple[str, str]:
    from oldfilm.weights.registry import read_config
    from oldfilm.weights.search import candidates

    known = read_config(path)
    for variant in known.variants.values():
        for name in (variant.file, *variant.published_names):
            if Path(name).name != name or "\\" in name:
                raise Wrong(f"the file {name!r} leaves its folder")
        list(candidates(variant))
    return READ, ""


def _read_preset(path: Path) -> tuple[str, str]:
    from oldfilm.apps.presets import read_preset

    read_preset(str(path))
    return READ, ""


def _read_weights(path: Path) -> tuple[str, str]:
    from oldfilm.weights.convert import read_published
    from oldfilm.weights.formats import flattened, read_weights

    is_torch = path.suffix == ".pth"
    read = flattened(read_published(path)[0]) if is_torch else read_weights(path, "generator")
    wanted = arrays()
    same = {n: v.shape for n, v in read.items()} == {n: v.shape for n, v in wanted.items()}
    return READ, "" if same else "other keys or shapes, which a network refuses"


def table(endings: Sequence[Ending]) -> str:
    """Return a table of how the inputs ended, grouped by material."""
    columns = [RESTORED, IN_PART, READ, REFUSED, FAILED]
    counts: dict[str, Counter[str]] = {}
    for ending in endings:
        row = ending.material if ending.kind == "film" else f"{ending.kind}: {ending.material}"
        counts.setdefault(row, Counter())[ending.ending] += 1
    total = sum(counts.values(), Counter())
    width = max(map(len, counts))
    lines = [f"{'':{width}}  tried  " + "  ".join(columns)]
    for row, count in [*counts.items(), ("all", total)]:
        cells = "  ".join(f"{count[c] or '-':>{len(c)}}" for c in columns)
        lines.append(f"{row:{width}}  {sum(count.values()):5}  {cells}")
    lines += ["", "refused:"]
    reasons = Counter(_plain(e.reason) for e in endings if e.ending == REFUSED)
    lines += [f"{count:5}  {reason}" for reason, count in reasons.most_common(40)]
    slowest = max(endings, key=lambda ending: ending.seconds)
    most = max(ending.mebibytes for ending in endings)
    lines += ["", f"slowest: {slowest.seconds:.1f} s ({slowest.title}); most memory: {most} MiB"]
    return "\n".join(lines)


def _plain(reason: str) -> str:
    """Remove the file name and numbers from a reason."""
    reason = re.sub(r"^\S*(film|photo|frames|weights|config|out/|job)\S*:? ?", "", reason)
    return re.sub(r"-?\d[\d.]*", "#", reason)[:110]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="take every Nth input")
    parser.add_argument("--match", default="", help="take inputs whose titles match")
    parser.add_argument("--originals", type=Path, help="where to keep the films to damage")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        originals = arguments.originals or Path(folder)
        inputs = damaged_inputs(originals)
        matching = [
            n for n, d in enumerate(inputs) if re.search(arguments.match, f"{d.kind} {d.title}")
        ]
        started = time.monotonic()
        endings = run(matching[:: arguments.every], originals, arguments.workers, _print_failure)
    print(table(endings))
    print(f"{len(endings)} damaged inputs in {time.monotonic() - started:.0f} seconds")
    return any(ending.ending == FAILED for ending in endings)


def _print_failure(ending: Ending) -> None:
    if ending.ending == FAILED:
        print(f"FAILED  {ending.title}: {ending.reason}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
