"""What a job is and how far it is, on disk: enough to go on after any end, and to see damage.

Nothing is trusted that was not synced before it was noted, or that is no longer what was noted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from functools import cached_property
from operator import index
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg

from oldfilm import __version__
from oldfilm.errors import MediaError
from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.segments import Segment
from oldfilm.stage import FilmFacts, FingerprintValue
from oldfilm.system.files import sync

_BLOCK = 1 << 20
_TIME, _CONTENT = "time of the source", "sha256 of the source"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_NOT_AS_WRITTEN = (AttributeError, ArithmeticError, KeyError, TypeError, ValueError)
"""What is raised by a file that is damaged, or that somebody else wrote."""


@dataclass(frozen=True)
class Plan:
    """What the analysis found, and the segments that follow from it.

    part: the source frames to restore. facts: of that part, its first frame at time 0. threads:
    that networks compute in, from the first segment to the last. notes: what is to be said of the
    source.
    """

    part: range
    facts: FilmFacts
    segments: tuple[Segment, ...]
    threads: int = 1
    notes: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether the segments are the whole part, in order, and every frame's facts are there."""
        starts = [segment.start for segment in self.segments]
        stops = [segment.stop for segment in self.segments]
        return (
            self.part.start >= 0
            and 0 < len(self.part) == len(self.facts.brightness)
            and [*starts, len(self.part)] == [0, *stops]
            and all(0 <= s.first <= s.start < s.stop <= s.last <= stops[-1] for s in self.segments)
        )


@dataclass(frozen=True)
class Piece:
    """A finished file of the work folder: a part of the result, or the whole of it.

    frames: how many it holds. pictures: sha256 of its frames saved as pictures, "" for none.
    """

    frames: int
    bytes: int
    sha256: str
    pictures: str = ""

    @classmethod
    def of(cls, noted: Mapping[str, Any]) -> Piece:
        """What was noted. Raises TypeError or ValueError where it is no piece."""
        piece = cls(**noted)
        if [type(value) for value in astuple(piece)] != [int, int, str, str]:
            raise TypeError(f"{noted} is no piece")
        return piece


@dataclass(frozen=True)
class Manifest:
    """What a job is: written once, after the analysis. job: all that decides its frames."""

    job: Mapping[str, FingerprintValue]
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
            "threads": self.plan.threads,
            "notes": self.plan.notes,
        }
        _write(path, {"job": dict(self.job), "plan": plan})

    @classmethod
    def read(cls, path: Path) -> Manifest | None:
        """What was noted; None where there is nothing, or nothing that is whole."""
        content = _read(path)
        try:
            return None if content is None else cls._of(content["job"], content["plan"])
        except _NOT_AS_WRITTEN:
            return None

    @classmethod
    def _of(cls, job: Mapping[str, FingerprintValue], noted: Mapping[str, Any]) -> Manifest | None:
        start, stop = map(index, noted["part"])
        facts = FilmFacts(
            cuts=tuple(Fraction(time) for time in noted["cuts"]),
            repeats=frozenset(Fraction(time) for time in noted["repeats"]),
            brightness=tuple(float(mean) for mean in noted["brightness"]),
        )
        stretches = tuple(Segment(*map(index, segment)) for segment in noted["segments"])
        notes = tuple(map(str, noted["notes"]))
        plan = Plan(range(start, stop), facts, stretches, index(noted["threads"]), notes)
        return cls(dict(job), plan) if job and plan.is_sound else None


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
        try:
            pieces = {int(start): Piece.of(piece) for start, piece in content["pieces"].items()}
            video = None if content["video"] is None else Piece.of(content["video"])
            return cls(pieces, video, content["placing"] is True)
        except _NOT_AS_WRITTEN:
            return cls()


class Source:
    """The files that a job is made from, as they were at first sight."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """paths: the film, or the pictures of a folder."""
        self._states = {path: path.stat() for path in paths}

    @property
    def bytes(self) -> int:
        return sum(state.st_size for state in self._states.values())

    @property
    def modified(self) -> str:
        """When the last of them was."""
        newest = max(state.st_mtime_ns for state in self._states.values())
        return str(_EPOCH + timedelta(microseconds=newest // 1000))

    @cached_property
    def sha256(self) -> str:
        return sha256_of(self._states)

    def check(self) -> None:
        """See that they are what they were; that one was only touched does not matter.

        Raises:
            MediaError: one was not complete, or was changed.
        """
        touched = False
        for path, then in self._states.items():
            now = path.stat()
            if now.st_size != then.st_size:
                raise MediaError(
                    f"{path} changed while it was read (it had {then.st_size} bytes, now "
                    f"{now.st_size}): begin when it is complete."
                )
            touched = touched or now.st_mtime_ns != then.st_mtime_ns
        if touched and sha256_of(self._states) != self.sha256:
            raise MediaError(f"{next(iter(self._states))} changed while it was read.")
        self._states = {path: path.stat() for path in self._states} if touched else self._states


def fingerprint(
    source: Source, chain: Chain, settings: Mapping[str, Any]
) -> Mapping[str, FingerprintValue]:
    """All that decides the frames of a job, by names that a message can tell.

    settings: of the job, by the options' names.
    """
    job: dict[str, FingerprintValue] = {
        "bytes of the source": source.bytes,
        _TIME: source.modified,
        _CONTENT: source.sha256,
        **chain_fingerprint(chain),
    }
    for name, value in settings.items():
        plain = isinstance(value, (str, int, type(None)))
        job[name] = value if plain else str(value)
    return job


def chain_fingerprint(chain: Chain) -> dict[str, FingerprintValue]:
    """What decides the frames of a chain, wherever it runs."""
    info = chain.info
    job: dict[str, FingerprintValue] = {
        "film": f"{info.width}x{info.height} at {info.rate}",
        "stages": " ".join(link.stage.name for link in chain.links),
        "oldfilm": __version__,
        "ffmpeg": imageio_ffmpeg.get_ffmpeg_version(),
        "opencv": cv2.__version__,
    }
    for link in chain.links:
        window = f"{link.window.before}+{link.window.core}+{link.window.after}"
        facts = {"window": window, **link.stage.fingerprint()}
        job.update({f"{link.stage.name} {name}": fact for name, fact in facts.items()})
    return job


def diff(then: Mapping[str, FingerprintValue], now: Mapping[str, FingerprintValue]) -> list[str]:
    """What decides a job's frames and is no longer what it was, each in a few words."""
    changed = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    if _CONTENT not in changed:
        changed = [key for key in changed if key != _TIME]  # it was only touched, or copied
    return [f"{key} was {_short(then.get(key))}, is {_short(now.get(key))}" for key in changed]


def _short(fact: FingerprintValue) -> str:
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
    except (FileNotFoundError, RecursionError, *_NOT_AS_WRITTEN):
        return None
    return content if noted == _digest(content) else None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
