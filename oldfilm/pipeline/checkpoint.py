"""The records of a job on disk: what it is, and which of its segments are finished.

Records are readable JSON with a checksum. A record that is missing, damaged or written by someone
else counts as absent, so the work that it describes is done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from oldfilm.pipeline.segments import Segment
from oldfilm.stage import FilmFacts, FingerprintValue
from oldfilm.system.files import replacing

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What the analysis found, and the segments that follow from it.

    part: source frames to restore. facts: of that part, whose first frame is at time 0. threads:
    threads per network, for all segments. notes: sentences on the source, for the summary.
    """

    part: range
    facts: FilmFacts
    segments: tuple[Segment, ...]
    threads: int = 1
    notes: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether the segments cover the part in order, and facts exist for every frame."""
        length = self.part.stop - self.part.start
        starts = [segment.start for segment in self.segments]
        stops = [segment.stop for segment in self.segments]
        return (
            self.part.start >= 0
            and 0 < length == len(self.facts.brightness)
            and [*starts, length] == [0, *stops]
            and all(0 <= s.first <= s.start < s.stop <= s.last <= length for s in self.segments)
        )


@dataclass(frozen=True)
class Manifest:
    """The description of a job, written once, after the analysis.

    fingerprint: see `job_fingerprint`.
    """

    fingerprint: Mapping[str, FingerprintValue]
    plan: Plan

    def write(self, path: Path) -> None:
        """Write the manifest; it is on disk when this returns."""
        plan, facts = self.plan, self.plan.facts
        record = _PlanRecord(
            part=(plan.part.start, plan.part.stop),
            cuts=facts.cuts,
            repeats=tuple(sorted(facts.repeats)),
            brightness=facts.brightness,
            segments=plan.segments,
            threads=plan.threads,
            notes=plan.notes,
            start=facts.start,
        )
        _write(path, _ManifestRecord(dict(self.fingerprint), record))

    @classmethod
    def read(cls, path: Path) -> Manifest | None:
        """Read a manifest; returns None if it is missing or damaged."""
        record = _read(path, _ManifestRecord)
        if record is None or not record.job:
            return None
        plan = record.plan
        facts = FilmFacts(plan.cuts, frozenset(plan.repeats), plan.brightness, plan.start)
        found = Plan(range(*plan.part), facts, plan.segments, plan.threads, plan.notes)
        return cls(record.job, found) if found.is_sound else None


class FinishedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A finished file in the work folder: one segment of the result, or the whole video.

    frames: frames of the result in it. pictures: combined sha256 of those frames as pictures, if
    they were saved, else "". repairs: what stages repaired in it.
    """

    frames: int
    bytes: int
    sha256: str
    pictures: str = ""
    repairs: dict[str, tuple[tuple[float, float], ...]] = msgspec.field(default_factory=dict)


class Finished(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The finished parts of a job; rewritten after every segment.

    segments: by the index of their first source frame. video: all segments joined. publishing:
    whether files may already have been moved to the paths of the result.
    """

    segments: dict[int, FinishedFile] = msgspec.field(name="pieces", default_factory=dict)
    video: FinishedFile | None = None
    publishing: bool = msgspec.field(name="placing", default=False)

    def write(self, path: Path) -> None:
        """Write the record; it is on disk when this returns."""
        _write(path, self)

    @classmethod
    def read(cls, path: Path) -> Finished:
        """Read the record; if it is missing or damaged, nothing counts as finished."""
        return _read(path, cls) or cls()


class _PlanRecord(msgspec.Struct, forbid_unknown_fields=True):
    """A `Plan` on disk. part: first and last frame, the last one excluded. start: in seconds."""

    part: tuple[int, int]
    cuts: tuple[Fraction, ...]
    repeats: tuple[Fraction, ...]
    brightness: tuple[float, ...]
    segments: tuple[Segment, ...]
    threads: int
    notes: tuple[str, ...]
    start: Fraction = Fraction(0)


class _ManifestRecord(msgspec.Struct, forbid_unknown_fields=True):
    """A `Manifest` on disk."""

    job: dict[str, FingerprintValue]
    plan: _PlanRecord


def _write(path: Path, record: msgspec.Struct) -> None:
    content = msgspec.to_builtins(record, enc_hook=str, str_keys=True)
    text = json.dumps({"sha256": _checksum(content), **content})
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="ascii")


def _read(path: Path, kind: type[T]) -> T | None:
    """Read a record of this kind; None if it is missing, damaged or has another shape."""
    try:
        content = json.loads(path.read_text(encoding="ascii"))
        if content.pop("sha256") != _checksum(content):
            return None
        return msgspec.convert(content, kind, dec_hook=decode_fraction, str_keys=True)
    except (FileNotFoundError, RecursionError, msgspec.MsgspecError):
        return None
    except (AttributeError, KeyError, TypeError, ValueError):  # Not such a JSON object at all.
        return None


def decode_fraction(kind: type, value: Any) -> Any:
    """Decode a fraction such as "24000/1001"; a `dec_hook` of msgspec."""
    if kind is not Fraction or not isinstance(value, str):
        raise TypeError(f"expected {kind.__name__}")
    try:
        return Fraction(value)
    except ZeroDivisionError as error:
        raise ValueError(str(error)) from error


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
