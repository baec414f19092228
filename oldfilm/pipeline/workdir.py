"""The hidden work folder of a job. It keeps finished segments, so that a stopped job can resume."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from oldfilm.errors import MediaError
from oldfilm.pipeline.chain import Repairs
from oldfilm.pipeline.checkpoint import Finished, FinishedFile, Manifest
from oldfilm.system.files import make_folder, remove, sha256_of_file, sha256_of_files, sync
from oldfilm.system.locks import locked

logger = logging.getLogger(__name__)

_MANIFEST, _FINISHED = "manifest.json", "finished.json"
_LOCK, _UNFINISHED, _PICTURES = "job", "unfinished-", "frames"
_ATTEMPTS, _ATTEMPT_SECONDS = 5, 0.1
"""To delete a folder: a process that is being killed may create one more file in it."""


class WorkDir:
    """The work folder of one job.

    A file counts as finished only if it was fsynced before it was recorded, and still matches its
    recorded hash.

    folder: the work folder. manifest: None until the job has begun. finished: what is finished.
    scratch: a folder for unfinished files, removed at the end of the run. staging: the same on the
    file system of the result, where a rename is atomic.
    """

    def __init__(self, folder: Path, home: Path, restart: bool = False) -> None:
        """Read the records of an earlier run, and create the folders for unfinished files.

        home: the hidden folder next to the result; usually the same as `folder`. restart: ignore
        the earlier run; `begin` deletes its files.
        """
        self.folder = folder
        self.manifest = None if restart else Manifest.read(folder / _MANIFEST)
        self.finished = Finished()
        if self.manifest is not None:
            self.finished = Finished.read(folder / _FINISHED)
        elif not restart and (folder / _MANIFEST).exists():
            logger.warning("%s is damaged: the job starts over.", folder / _MANIFEST)
        # A unique name: a child process of a killed run may still write to the old one.
        self.scratch = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
        self.staging = self.scratch
        if folder != home:
            self.staging = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=home))

    @property
    def pictures(self) -> Path:
        """The folder of the result's frames, if they are saved as pictures."""
        return self.folder / _PICTURES

    def begin(self, manifest: Manifest) -> None:
        """Delete all files of an earlier job and record the new one, which can then be resumed."""
        shutil.rmtree(self.pictures, ignore_errors=True)
        for path in self.folder.iterdir():
            if path.is_file() and path.name not in (_MANIFEST, f".{_LOCK}.lock"):
                path.unlink()
        manifest.write(self.folder / _MANIFEST)
        self.manifest = manifest
        self.finished = Finished()

    def commit(
        self,
        start: int,
        path: Path,
        frames: int,
        pictures: Sequence[Path] = (),
        repairs: Repairs | None = None,
    ) -> FinishedFile:
        """Keep a finished segment.

        start: index of its first source frame. path: its file in `scratch`; the name is kept.
        frames: of the result in it. pictures: its frames in the folder `pictures`, if saved.
        repairs: what stages repaired in it.
        """
        for picture in pictures:
            sync(picture)
        if pictures:
            sync(self.pictures)
        file = self._keep(path, frames, pictures, repairs)
        segments = {**self.finished.segments, start: file}
        self._record(msgspec.structs.replace(self.finished, segments=segments))
        return file

    def commit_video(self, path: Path, frames: int, segments: Sequence[Path]) -> Path:
        """Keep the joined video, delete the segments, and return the video's new path."""
        repairs = _joined([file.repairs for _, file in sorted(self.finished.segments.items())])
        self._record(Finished(video=self._keep(path, frames, repairs=repairs)))
        for segment in segments:
            segment.unlink()
        return self.folder / path.name

    def is_intact(
        self, name: str, file: FinishedFile | None, pictures: Sequence[Path] = ()
    ) -> bool:
        """Whether a finished file and its pictures still match their record."""
        path = self.folder / name
        if file is None or not path.is_file():
            return False
        has_all = path.stat().st_size == file.bytes and all(map(Path.is_file, pictures))
        if has_all and _hashes(path, pictures) == (file.sha256, file.pictures):
            return True
        logger.warning("%s is damaged: it will be restored again.", path)
        return False

    def begin_publishing(self) -> None:
        """Record that from now on, files at the paths of the result may belong to this job."""
        self._record(msgspec.structs.replace(self.finished, publishing=True))

    def _keep(
        self,
        path: Path,
        frames: int,
        pictures: Sequence[Path] = (),
        repairs: Repairs | None = None,
    ) -> FinishedFile:
        sync(path)
        size, hashes = path.stat().st_size, _hashes(path, pictures)
        file = FinishedFile(frames, size, *hashes, dict(repairs or {}))
        path.replace(self.folder / path.name)
        sync(self.folder)
        return file

    def _record(self, finished: Finished) -> None:
        finished.write(self.folder / _FINISHED)
        self.finished = finished


def _joined(repairs: Sequence[Repairs]) -> Repairs:
    """Return the repairs of consecutive segments as those of one."""
    names = dict.fromkeys(name for each in repairs for name in each)
    return {name: tuple(p for each in repairs for p in each.get(name, ())) for name in names}


def _hashes(path: Path, pictures: Sequence[Path]) -> tuple[str, str]:
    return sha256_of_file(path), sha256_of_files(pictures) if pictures else ""


def _unique_folder(result: Path, elsewhere: Path) -> Path:
    """Return the result's work folder in a folder that other results share."""
    digest = hashlib.sha256(os.fsencode(result.absolute())).hexdigest()[:8]
    return elsewhere / f"{result.name}-{digest}.oldfilm"


@contextlib.contextmanager
def open_workdir(
    result: Path, elsewhere: Path | None = None, restart: bool = False, wait: bool = False
) -> Iterator[WorkDir]:
    """Lock a result and open its work folder.

    The work folder is next to the result, or in the folder `elsewhere`. It is removed at the end
    if the job finished or had not yet begun; otherwise it stays, so that the job can resume.

    restart: ignore and delete the work of an earlier run. wait: if another run is writing the same
    result, wait until it has finished.

    Raises:
        MediaError: another run is writing the same result, or its folder cannot be created.
        OSError: the work folder cannot be created.
    """
    make_folder(result.parent)
    home = result.with_name(f".{result.name}.oldfilm")
    folder = home if elsewhere is None else _unique_folder(result, elsewhere)

    def busy() -> None:
        if not wait:
            raise MediaError(f"{result}: another run is already writing this result.")

    folders = {home, folder}
    _refuse_links(folders)
    with locked(home / _LOCK, busy):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_unfinished(folders)
            yield WorkDir(folder, home, restart)
            for path in folders:
                (path / _MANIFEST).unlink(missing_ok=True)
        finally:
            _remove_unfinished(folders)
            for path in folders:
                if not (path / _MANIFEST).exists():
                    shutil.rmtree(path, ignore_errors=True)
    if sys.platform == "win32" and not (home / _MANIFEST).exists():
        shutil.rmtree(home, ignore_errors=True)  # Windows could not delete the open lock file.


def _refuse_links(folders: set[Path]) -> None:
    """Make sure that nothing in a work folder of unknown origin redirects what is written there.

    Raises:
        MediaError: it is or contains a symbolic link.
    """
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            if path.is_symlink():
                raise MediaError(
                    f"{path} is a symbolic link, which a work folder never contains: delete it."
                )


def _remove_unfinished(folders: set[Path]) -> None:
    for folder in folders:
        for path in (*folder.glob(f"{_UNFINISHED}*"), *folder.glob(f"{_PICTURES}/.*.part.png")):
            for _ in range(_ATTEMPTS):
                remove(path)
                if not path.exists():
                    break
                time.sleep(_ATTEMPT_SECONDS)
