"""Golden frames: check that a refactoring changes no frame.

    python -m tests.golden record golden.json     # before
    python -m tests.golden check golden.json      # after; the exit status is 1 if a frame differs
    python -m tests.golden messages               # list every text that a user may see

Six jobs run through the command line: the main chain, the silent-film preset, a photograph with
transparency and EXIF data, a GIF, two workers, and a run that is killed and resumed. Each result is
decoded and hashed. The hashes depend on the machine and on library versions, so record them
yourself; they are not committed.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tests.films import FFMPEG, make_film

TOP = Path(__file__).resolve().parents[1]
SAMPLE = TOP / "docs" / "sample.mp4"
MAIN_JOB = ("--process_order", "DeOldify", "PPMSVSR", "DAIN", "--variant", "lite")
REPAIR_AND_RATE = ("--process_order", "Deflicker", "Despot", "DAIN", "--variant", "lite")
LONG_FILM_FRAMES = 600
"""Enough for three segments, which hold at most 250 frames."""


def main() -> int:
    """Record, check, or list messages; return the exit status."""
    if sys.argv[1:] == ["messages"]:
        print("\n".join(messages()))
        return 0
    if len(sys.argv) != 3 or sys.argv[1] not in ("record", "check"):
        print(__doc__, file=sys.stderr)
        return 2
    file = Path(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        found = hashes(Path(folder))
    if sys.argv[1] == "record":
        file.write_text(json.dumps(found, indent=1), encoding="utf-8")
        return 0
    expected = json.loads(file.read_text(encoding="utf-8"))
    for name in sorted(expected.keys() | found.keys()):
        same = expected.get(name) == found.get(name)
        print(f"{'same     ' if same else 'DIFFERENT'}  {name}")
    return int(expected != found)


def hashes(folder: Path) -> dict[str, str]:
    """Run every job; return the sha256 of each decoded result by the job's name."""
    jobs = (main_job, silent_film, photograph, gif, two_workers, killed_and_resumed)
    found = {}
    for job in jobs:
        work = folder / job.__name__
        work.mkdir()
        found[job.__name__] = job(work)
        print(f"{job.__name__}: {found[job.__name__]}", file=sys.stderr)
    return found


def main_job(work: Path) -> str:
    return decoded(enhanced(SAMPLE, work / "out.mp4", *MAIN_JOB))


def silent_film(work: Path) -> str:
    options = ("--preset", "silent-film", "--variant", "lite", "--duration", "1")
    return decoded(enhanced(SAMPLE, work / "out.mp4", *options))


def photograph(work: Path) -> str:
    """Restore a photograph by both commands; hash the pixels and the EXIF data."""
    source = scratched_print(work / "print.png")
    restored = work / "restored.png"
    run("restore-photo.py", "--input", source, "--output", restored, "--with_scratch")
    colored = enhanced(source, work / "colored.png", "--process_order", "DeOldify", "PPMSVSR")
    digest = hashlib.sha256()
    for path in (restored, colored):
        with Image.open(path) as picture:
            digest.update(picture.mode.encode() + picture.tobytes())
            digest.update(str(dict(picture.getexif())).encode())
    return digest.hexdigest()


def scratched_print(path: Path) -> Path:
    """Write a scratched, yellowed photograph with an alpha channel and a description."""
    y, x = np.mgrid[:180, :240]
    tones = 110 + 70 * np.sin(x / 23) * np.cos(y / 31) + 25 * ((x // 20 + y // 20) % 2)
    tones[:, 118:121] = 250  # a scratch
    alpha = np.where(x + y > 60, 255, 90)
    pixels = np.dstack([tones, 0.93 * tones, 0.8 * tones, alpha]).clip(0, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[270] = "The only copy"
    Image.fromarray(pixels, "RGBA").save(path, exif=exif)
    return path


def gif(work: Path) -> str:
    source = make_film(work / "film.mp4", frames=8, size=(80, 60), shots=2)
    first = enhanced(source, work / "first.gif", "--process_order", "PPMSVSR", "--variant", "lite")
    second = enhanced(first, work / "second.gif", "--process_order", "DAIN", "--variant", "lite")
    return decoded(second)


def two_workers(work: Path) -> str:
    result = work / "out.mkv"
    return decoded(enhanced(long_film(work), result, *REPAIR_AND_RATE, "--workers", "2"))


def killed_and_resumed(work: Path) -> str:
    """Kill a run once its first segment is finished, then repeat the command."""
    source, result = long_film(work), work / "out.mkv"
    command = arguments("video-enhance.py", *enhancement(source, result, *REPAIR_AND_RATE))
    process = subprocess.Popen(
        command, cwd=TOP, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True
    )
    finished = work / f".{result.name}.oldfilm" / "finished.json"
    while process.poll() is None and not segments_in(finished):
        time.sleep(0.05)
    if process.poll() is not None:
        raise RuntimeError("the run ended before it could be killed")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if result.exists() or not segments_in(finished):
        raise RuntimeError("the run was killed too early or too late")
    return decoded(enhanced(source, result, *REPAIR_AND_RATE))


def segments_in(finished: Path) -> int:
    """Count the finished segments that a job has recorded."""
    try:
        return len(json.loads(finished.read_text(encoding="ascii"))["pieces"])
    except (FileNotFoundError, ValueError):
        return 0


def long_film(work: Path) -> Path:
    return make_film(work / "long.mkv", frames=LONG_FILM_FRAMES, size=(64, 48), shots=3, sound=True)


def enhancement(source: Path, result: Path, *options: str) -> list[str]:
    return ["--input", str(source), "--output", str(result), *options]


def enhanced(source: Path, result: Path, *options: str) -> Path:
    run("video-enhance.py", *enhancement(source, result, *options))
    return result


def arguments(tool: str, *options: object) -> list[str]:
    return [sys.executable, str(TOP / "tools" / tool), *map(str, options)]


def run(tool: str, *options: object) -> None:
    command = arguments(tool, *options)
    done = subprocess.run(command, cwd=TOP, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{tool} failed: {done.stderr[-2000:]}")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(TOP), "OLDFILM_OFFLINE": "1"}


def decoded(path: Path) -> str:
    """Hash a film's frames (16 bits per channel), their time stamps and its sound."""
    command = [FFMPEG, "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-map", "0:v", "-map", "0:a?", "-pix_fmt", "rgb48le", "-c:a", "pcm_s16le"]
    command += ["-f", "framehash", "-"]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    frames = b"\n".join(line for line in output.splitlines() if not line.startswith(b"#software"))
    return hashlib.sha256(frames).hexdigest()


SHOWING = {"add_argument", "add", "print", "warning", "error", "info", "write", "exit"}
"""Functions and methods that show their arguments to the user."""


def messages() -> list[str]:
    """List the texts of errors, log records, help and printed lines, sorted."""
    found = set()
    for path in sorted((TOP / "oldfilm").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                found.update(texts(node.exc))
            elif isinstance(node, ast.Call) and called(node) in SHOWING:
                found.update(texts(node))
    return sorted(text for text in found if " " in text)


def called(node: ast.Call) -> str:
    """Return the name of the function or method that is called."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def texts(call: ast.Call) -> list[str]:
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    return [text for value in values if (text := as_text(value))]


def as_text(node: ast.expr) -> str:
    """Return a string literal, with `{}` for each value in an f-string; "" for other nodes."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        parts = (as_text(part) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        return "".join(parts)
    if isinstance(node, ast.BinOp):
        return as_text(node.left) + as_text(node.right)
    return ""


if __name__ == "__main__":
    sys.exit(main())
