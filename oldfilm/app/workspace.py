"""The films of all visitors of the page: one folder each, limits, and removal."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from oldfilm import media
from oldfilm.api import Job, make_job
from oldfilm.apps import check_stage
from oldfilm.apps.presets import presets, read_preset
from oldfilm.errors import MediaError, OldfilmError, OptionError, from_os
from oldfilm.system.files import remove, replacing

NEW, WAITING, STOPPED, FAILED, DONE = "new", "waiting", "stopped", "failed", "done"
"""What a project can be. A running one is `WAITING` until it ends, so that it resumes after a
restart of the server."""

_RECORD = "project.json"
_VISITOR = re.compile(r"[A-Za-z0-9_-]{22}")
_PROJECT = re.compile(r"[0-9a-f]{12}")
_LONGEST_NAME = 100
_ABANDONED_SECONDS = 3600.0
"""An upload that has not grown for this long was broken off."""


class RefusedError(OldfilmError):
    """A visitor exceeds a limit of this server.

    reason: key of the sentence in `texts`. facts: what it names.
    """

    def __init__(self, sentence: str, reason: str, **facts: Any) -> None:
        super().__init__(sentence)
        self.reason, self.facts = reason, facts


@dataclass(frozen=True)
class Limits:
    """What the server accepts.

    bytes: of one upload. seconds: length of a film. films: of one visitor at a time. waiting: jobs
    of all visitors that wait. hours: how long a film and its results are kept after the last job.
    """

    bytes: int = 1_000_000_000
    seconds: float = 1800.0
    films: int = 5
    waiting: int = 20
    hours: float = 24.0


class ColorHint(msgspec.Struct, frozen=True):
    """A color at a point of one frame. at: seconds. x, y: percent of width and height."""

    at: float
    x: float
    y: float
    color: str

    def as_option(self) -> dict[str, Any]:
        """Return the hint as the option `color_hints` takes it."""
        return {"at": self.at, "point": (f"{self.x:.2f}%", f"{self.y:.2f}%"), "color": self.color}


class Settings(msgspec.Struct, frozen=True):
    """What a visitor has chosen. order: stages in order, in place of those of the preset."""

    preset: str = ""
    order: tuple[str, ...] = ()
    height: int | None = None
    duration: float | None = None
    hints: tuple[ColorHint, ...] = ()

    def make_job(self, **options: Any) -> Job:
        """Build the stages. options: more options of the job.

        Raises:
            OldfilmError: nothing is chosen, or a stage, an option or weights do not fit.
        """
        if self.preset and self.preset not in presets():  # A path would open files of the server.
            raise OptionError(f"preset {self.preset!r} does not exist.")
        for name in self.order:
            check_stage(name)
        given = {"height": self.height, "duration": self.duration, **options}
        if self.hints and "DeOldify" in self._stages:
            given["color_hints"] = [hint.as_option() for hint in self.hints]
        chosen = {name: value for name, value in given.items() if value is not None}
        return make_job(self.order, chosen, preset=self.preset or None)

    @property
    def _stages(self) -> Sequence[str]:
        return self.order or (read_preset(self.preset).order if self.preset else ())


class Comparison(msgspec.Struct, frozen=True):
    """One frame before and after, as names of pictures in the project's folder."""

    caption: str
    before: str
    after: str


class Record(msgspec.Struct):
    """What is stored about a project.

    name: of the upload. upload: the path at which it came. seconds: length of a film. asked: when
    the job was last asked for.
    result, report: names in the folder of results, or "".
    """

    name: str
    upload: str
    created: float
    about: str = ""
    seconds: float = 0.0
    is_photograph: bool = False
    state: str = NEW
    settings: Settings | None = None
    asked: float = 0.0
    error: str = ""
    result: str = ""
    report: str = ""
    notes: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()


@dataclass
class Project:
    """One uploaded film or photograph, its settings and its results."""

    folder: Path
    record: Record = field(repr=False)

    @classmethod
    def read(cls, folder: Path) -> Project | None:
        """Read a project; None if it does not exist or its record is damaged."""
        try:
            return cls(folder, msgspec.json.decode((folder / _RECORD).read_bytes(), type=Record))
        except (OSError, msgspec.DecodeError):
            return None

    @property
    def id(self) -> str:
        """The name that the page calls it by."""
        return self.folder.name

    @property
    def source(self) -> Path:
        """The film or photograph."""
        return self.folder / "source" / self.record.name

    @property
    def results(self) -> Path:
        """The folder of results."""
        return self.folder / "results"

    @property
    def pictures(self) -> Path:
        """The folder of frames before and after."""
        return self.folder / "pictures"

    def save(self) -> None:
        """Write the record."""
        with replacing(self.folder / _RECORD) as unfinished:
            unfinished.write_bytes(msgspec.json.encode(self.record))

    def remove(self) -> None:
        """Delete the film and everything made from it."""
        remove(Path(self.record.upload))
        remove(self.folder)


class Workspace:
    """The folder of a server. Each visitor has a folder whose name only their browser knows."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        """folder: is created if necessary; nobody else on this machine may read it."""
        self.folder, self.limits = folder.absolute(), limits or Limits()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        except OSError as error:
            raise from_os(f"{folder}: cannot be created", error) from error

    def new_visitor(self) -> str:
        """Return a name that nobody can guess."""
        return secrets.token_urlsafe(16)

    def projects(self, visitor: str) -> list[Project]:
        """Return the projects of a visitor, the newest first."""
        return self._projects(self._home(visitor))

    def project(self, visitor: str, name: str) -> Project:
        """Return a project of a visitor.

        Raises:
            RefusedError: it does not exist, or belongs to another visitor.
        """
        home = self._home(visitor)
        found = Project.read(home / name) if _PROJECT.fullmatch(str(name)) else None
        if found is None:
            raise RefusedError("This film is not on the server: upload it again.", "gone")
        return found

    def add(self, visitor: str, upload: Path) -> Project:
        """Accept an uploaded file.

        It is linked into the visitor's folder, so it takes no more space.

        Raises:
            RefusedError: it exceeds a limit.
            MediaError: it is not a film or photograph that can be read.
        """
        home = self._home(visitor)
        if len(self._projects(home)) >= self.limits.films:
            sentence = f"{self.limits.films} films are here already: delete one first."
            raise RefusedError(sentence, "films_limit", films=self.limits.films)
        project = Project(
            home / secrets.token_hex(6), Record(_short(upload.name), str(upload), time.time())
        )
        try:
            project.source.parent.mkdir(parents=True)
            home.chmod(0o700)
            os.link(upload, project.source)
            self._check(project)
            project.save()
        except BaseException as error:
            project.remove()
            if isinstance(error, OSError):
                raise from_os(project.record.name, error) from error
            raise
        return project

    def unfinished(self) -> list[Project]:
        """Return the projects whose jobs wait, in the order in which they were asked for."""
        waiting = [each for each in self._all() if each.record.state == WAITING]
        return sorted(waiting, key=lambda each: each.record.asked)

    def clean(self, now: float | None = None, starting: bool = False) -> None:
        """Remove what is too old, and what broken-off uploads left.

        starting: also remove all files that belong to no project: the last server left them.
        """
        now = time.time() if now is None else now
        oldest = now - self.limits.hours * 3600
        for project in self._all():
            record = project.record
            if record.state != WAITING and max(record.created, record.asked) < oldest:
                project.remove()
        for entry in self.folder.iterdir():
            if _VISITOR.fullmatch(entry.name) and entry.is_dir():
                _remove_damaged(entry, now)
                continue
            changed = entry.stat().st_mtime if entry.exists() else now
            allowed = oldest if entry.is_dir() else now - _ABANDONED_SECONDS
            if not entry.name.startswith(".") and (starting or changed < allowed):
                remove(entry)

    def _home(self, visitor: str) -> Path:
        if not _VISITOR.fullmatch(str(visitor)):
            raise RefusedError("This film is not on the server: upload it again.", "gone")
        return self.folder / visitor

    def _projects(self, home: Path) -> list[Project]:
        folders = home.iterdir() if home.is_dir() else ()
        found = [each for folder in folders if (each := Project.read(folder))]
        return sorted(found, key=lambda each: -each.record.created)

    def _all(self) -> Iterator[Project]:
        for home in self.folder.iterdir():
            if _VISITOR.fullmatch(home.name):
                yield from self._projects(home)

    def _check(self, project: Project) -> None:
        """Make sure that a new film can be read and is within the limits, and describe it."""
        record, source = project.record, project.source
        if source.stat().st_size > self.limits.bytes:
            raise RefusedError(
                f"{record.name} is too large: at most {self.limits.bytes / 1e9:g} GB.",
                "bytes",
                name=record.name,
                gigabytes=f"{self.limits.bytes / 1e9:g}",
            )
        record.is_photograph = media.is_photograph(source)
        try:
            if record.is_photograph:
                height, width = media.read_photograph(source).image.shape[:2]
                record.about = f"{width}x{height}"
                return
            info = media.Film.open(source).info
        except MediaError as error:
            raise MediaError(str(error).replace(str(source), record.name)) from error
        record.about = f"{info.width}x{info.height}, {float(info.rate):g} fps, "
        record.seconds = float(info.duration)
        record.about += f"{record.seconds:.1f} s"
        if record.seconds > self.limits.seconds:
            facts: Mapping[str, Any] = {
                "name": record.name,
                "minutes": f"{record.seconds / 60:.1f}",
                "most": f"{self.limits.seconds / 60:g}",
            }
            sentence = "{name} lasts {minutes} minutes: at most {most} are accepted.".format(
                **facts
            )
            raise RefusedError(sentence, "seconds", **facts)


def _short(name: str) -> str:
    """Return a file name that every file system takes, with its suffix."""
    path = Path(name.lstrip(".-") or "film")
    return f"{path.stem[:_LONGEST_NAME]}{path.suffix[:20]}"


def _remove_damaged(home: Path, now: float) -> None:
    """Remove folders of a visitor that have no readable record, and the home if it is empty."""
    for folder in home.iterdir():
        is_old = folder.exists() and folder.stat().st_mtime < now - _ABANDONED_SECONDS
        if is_old and Project.read(folder) is None:
            remove(folder)
    if not any(home.iterdir()):
        home.rmdir()
