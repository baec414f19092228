"""What a job is and how far it is, on disk: enough to go on after any end, and to see damage.

Nothing is trusted that was not synced before it was noted, or that is no longer what was noted.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg

from oldfilm import __version__
from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.segments import Segment
from oldfilm.stage import Fact, FilmFacts

_BLOCK = 1 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Plan:
    """What the analysis found, and the segments that follow from it.

    part: the source frames to restore. facts: of that part, its first frame at time 0. notes: what
    is to be said of the source.
    """

    part: range
    facts: FilmFacts
    segments: tuple[Segment, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Piece:
    """A finished file of the work folder: a stretch of the result, or the whole of it.

    frames: how many it holds. pictures: sha256 of its frames saved as pictures, "" for none.
    """

    frames: int
    bytes: int
    sha256: str
    pictures: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a job is: written once, after the analysis. job: all that decides its frames."""

    job: Mapping[str, Fact]
    plan: Plan

    def write(self, path: Path) -> None:
        """Note it, for good when this returns."""
        facts = self.plan.facts
        plan = {
            "part": [self.plan.part.start, self.plan.part.stop],
            "cuts": [str(time) for time in facts.cuts],
            "repeats": sorted(str(time) for time in facts.repeats),
            "brightness": facts.brightness,
            "segments": [astuple(segment) for segment in self.plan.segments],
            "notes": self.plan.notes,
        }
        _write(path, {"job": dict(self.job), "plan": plan})

    @classmethod
    def read(cls, path: Path) -> Manifest | None:
        """What was noted; None where there is nothing, or nothing that is whole."""
        content = _read(path)
        if content is None:
            return None
        plan = content["plan"]
        facts = FilmFacts(
            cuts=tuple(Fraction(time) for time in plan["cuts"]),
            repeats=frozenset(Fraction(time) for time in plan["repeats"]),
            brightness=tuple(plan["brightness"]),
        )
        stretches = tuple(Segment(*segment) for segment in plan["segments"])
        return cls(content["job"], Plan(range(*plan["part"]), facts, stretches, (*plan["notes"],)))


@dataclass(frozen=True)
class Finished:
    """How far a job is: written anew whenever a piece is finished.

    pieces: by the first source frame of their segments. video: all pieces in one. placing: results
    have been given their final names, or are about to be.
    """

    pieces: Mapping[int, Piece] = field(default_factory=dict)
    video: Piece | None = None
    placing: bool = False

    def write(self, path: Path) -> None:
        """Note it, for good when this returns."""
        pieces = {str(start): asdict(piece) for start, piece in self.pieces.items()}
        video = self.video and asdict(self.video)
        _write(path, {"pieces": pieces, "video": video, "placing": self.placing})

    @classmethod
    def read(cls, path: Path) -> Finished:
        """What was noted; nothing where that is not whole."""
        content = _read(path)
        if content is None:
            return cls()
        pieces = {int(start): Piece(**piece) for start, piece in content["pieces"].items()}
        video = content["video"] and Piece(**content["video"])
        return cls(pieces, video, content["placing"])


def identity(
    sources: Sequence[Path], chain: Chain, settings: Mapping[str, Any]
) -> Mapping[str, Fact]:
    """All that decides the frames of a job, by names that a message can tell.

    sources: the film, or the pictures of a folder. settings: of the job, by the options' names.
    """
    info, states = chain.info, [path.stat() for path in sources]
    modified = timedelta(microseconds=max(state.st_mtime_ns for state in states) // 1000)
    job: dict[str, Fact] = {
        "bytes of the source": sum(state.st_size for state in states),
        "time of the source": str(_EPOCH + modified),
        "sha256 of the source": sha256_of(sources),
        "film": f"{info.width}x{info.height} at {info.rate}",
        "stages": " ".join(link.stage.name for link in chain.links),
    }
    for link in chain.links:
        window = f"{link.window.before}+{link.window.core}+{link.window.after}"
        facts = {"window": window, **link.stage.identity()}
        job.update({f"{link.stage.name} {name}": fact for name, fact in facts.items()})
    for name, value in settings.items():
        plain = isinstance(value, (str, int, type(None)))
        job[name] = value if plain else str(value)
    return {
        **job,
        "oldfilm": __version__,
        "ffmpeg": imageio_ffmpeg.get_ffmpeg_version(),
        "opencv": cv2.__version__,
        # The encoder, and what runs networks, divide their work by it.
        "processors": _processors(),
    }


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def differences(then: Mapping[str, Fact], now: Mapping[str, Fact]) -> list[str]:
    """What decides a job's frames and is no longer what it was, each in a few words."""
    changed = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    return [f"{key} was {_short(then.get(key))}, is {_short(now.get(key))}" for key in changed]


def _short(fact: Fact) -> str:
    text = "not given" if fact is None else str(fact)
    is_hash = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return text[:12] if is_hash else text


def sha256_of(paths: Iterable[Path]) -> str:
    """The sha256 of files: of one its own, of several that of their names and hashes."""
    digests = {path: _sha256(path) for path in paths}
    if len(digests) == 1:
        return digests.popitem()[1]
    lines = (os.fsencode(f"{path.name}\0{digest}\n") for path, digest in digests.items())
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Let what was written to a file, or the names in a folder, outlive a loss of power."""
    if path.is_dir() and sys.platform == "win32":  # where a folder cannot be opened
        return
    # Windows syncs only what is open for writing.
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network shares cannot
            raise
    finally:
        os.close(handle)


def _write(path: Path, content: dict[str, Any]) -> None:
    unfinished = path.with_name(path.name + ".new")
    checked = {"sha256": _digest(content), **content}
    unfinished.write_text(json.dumps(checked), encoding="ascii")
    sync(unfinished)
    unfinished.replace(path)
    sync(path.parent)


def _read(path: Path) -> dict[str, Any] | None:
    """The content that was written; None where it is missing, cut short or changed."""
    try:
        content = json.loads(path.read_text(encoding="ascii"))
        noted = content.pop("sha256")
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return content if noted == _digest(content) else None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
