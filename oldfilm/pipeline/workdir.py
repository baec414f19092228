"""The hidden folder of one job: what is finished stays there, what is not is made there."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from oldfilm.errors import MediaError
from oldfilm.pipeline.checkpoint import Finished, Manifest, Piece, sha256_of
from oldfilm.system.files import sync
from oldfilm.system.locks import locked

logger = logging.getLogger(__name__)

_MANIFEST, _FINISHED = "manifest.json", "finished.json"
_LOCKED, _UNFINISHED = "job", "unfinished-"


class Work:
    """What a job has finished.

    manifest: None until the job has begun. making: a folder for what is being made, which nothing
    is left of when this run ends. placing: the same, on the result's own disk.
    """

    def __init__(self, folder: Path, home: Path, restart: bool = False) -> None:
        """folder: of this job. home: the folder beside the result; the same one, as a rule.

        restart: take nothing from an earlier job, which is forgotten when this one begins.
        """
        self.folder = folder
        self.manifest = None if restart else Manifest.read(folder / _MANIFEST)
        self.finished = Finished()
        if self.manifest is not None:
            self.finished = Finished.read(folder / _FINISHED)
        elif not restart and (folder / _MANIFEST).exists():
            logger.warning("%s is damaged: the work begins anew.", folder / _MANIFEST)
        # A name of its own: a child of a killed run may still be writing under the old one.
        self.making = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
        self.placing = self.making
        if folder != home:
            self.placing = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=home))

    @property
    def pictures(self) -> Path:
        """Where the result's frames are saved as pictures."""
        return self.folder / "frames"

    def begin(self, manifest: Manifest) -> None:
        """From now on the job can be gone on with, and no other."""
        shutil.rmtree(self.pictures, ignore_errors=True)
        for path in self.folder.iterdir():
            if path.is_file() and path.name not in (_MANIFEST, f".{_LOCKED}.lock"):
                path.unlink()
        manifest.write(self.folder / _MANIFEST)
        self.manifest = manifest

    def keep(self, start: int, made: Path, frames: int, pictures: Sequence[Path] = ()) -> Piece:
        """Keep the finished piece of the segment that begins at frame `start`.

        made: it lies in `making`, and keeps its name. pictures: its frames, where they are saved.
        """
        for path in pictures:
            sync(path)
        if pictures:
            sync(self.pictures)
        piece = self._kept(made, frames, pictures)
        self._note(replace(self.finished, pieces={**self.finished.pieces, start: piece}))
        return piece

    def keep_video(self, made: Path, frames: int, pieces: Sequence[Path]) -> Path:
        """Keep all pieces in one, and let go of them."""
        self._note(Finished(video=self._kept(made, frames)))
        for path in pieces:
            path.unlink()
        return self.folder / made.name

    def is_whole(self, name: str, piece: Piece | None, pictures: Sequence[Path] = ()) -> bool:
        """Whether a piece is there, and what it was when it was kept."""
        path = self.folder / name
        if piece is None or not path.is_file():
            return False
        there = path.stat().st_size == piece.bytes and all(map(Path.is_file, pictures))
        if there and _noted(path, pictures) == (piece.sha256, piece.pictures):
            return True
        logger.warning("%s is damaged: it is made again.", path)
        return False

    def begin_placing(self) -> None:
        """From now on what exists under the result's names may be the result."""
        self._note(replace(self.finished, placing=True))

    def _kept(self, made: Path, frames: int, pictures: Sequence[Path] = ()) -> Piece:
        sync(made)
        piece = Piece(frames, made.stat().st_size, *_noted(made, pictures))
        made.replace(self.folder / made.name)
        sync(self.folder)
        return piece

    def _note(self, finished: Finished) -> None:
        finished.write(self.folder / _FINISHED)
        self.finished = finished


def _noted(path: Path, pictures: Sequence[Path]) -> tuple[str, str]:
    return sha256_of([path]), sha256_of(pictures) if pictures else ""


@contextlib.contextmanager
def open_workdir(
    result: Path, elsewhere: Path | None = None, restart: bool = False
) -> Iterator[Work]:
    """Work on a result, as the only one who does, with what an earlier run of the job has left.

    The work folder lies beside the result, or in the folder `elsewhere`. It is gone afterwards
    where all went well, or the job had not yet begun; else it stays. restart: begin anew.

    Raises:
        MediaError: another run is working on the same result.
        OSError: there is no place to work.
    """
    home = result.with_name(f".{result.name}.oldfilm")
    folder = home
    if elsewhere is not None:
        place = hashlib.sha256(os.fsencode(result.absolute())).hexdigest()[:8]
        folder = elsewhere / f"{result.name}-{place}.oldfilm"

    def refuse() -> None:
        raise MediaError(f"{result}: another run is making it now; wait for that one.")

    _refuse_links({home, folder})
    with locked(home / _LOCKED, refuse):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _clear_unfinished({home, folder})
            yield Work(folder, home, restart)
            for done in {home, folder}:
                (done / _MANIFEST).unlink(missing_ok=True)
        finally:
            _clear_unfinished({home, folder})
            for path in {home, folder}:
                if not (path / _MANIFEST).exists():
                    shutil.rmtree(path, ignore_errors=True)
    if sys.platform == "win32" and not (home / _MANIFEST).exists():
        shutil.rmtree(home, ignore_errors=True)  # an open lock could not be removed there


def _refuse_links(folders: set[Path]) -> None:
    """What is written in a work folder that came from somebody else stays in it.

    Raises:
        MediaError: it is a symbolic link, or there is one in it.
    """
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            if path.is_symlink():
                raise MediaError(f"{path} leads elsewhere, which no work folder does: remove it.")


def _clear_unfinished(folders: set[Path]) -> None:
    for folder in folders:
        for path in folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(path, ignore_errors=True)
