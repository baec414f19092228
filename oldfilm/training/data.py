"""The photographs, clips and film damage for training, and those held out for judging.

`root` is a folder with `photos/*.tar`, `video/*.mp4` and `film-damage.tar`. Held out, so that
figures can be compared: the photographs whose number is a multiple of 10, four clips, and the
overlays 040 to 044 of every kind of damage.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from oldfilm.errors import MediaError

TRAIN, HELD_OUT = "train", "held-out"
SPLITS = (TRAIN, HELD_OUT)

HELD_OUT_CLIPS = frozenset({"blackswan", "dog", "kite-surf", "soapbox"})
HELD_OUT_OVERLAYS = range(40, 45)


def photographs(root: Path, split: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the photographs of a split as ("tar's stem/member's stem", uint8 [h, w, 3] RGB).

    Raises:
        MediaError: `photos/*.tar` is missing.
    """
    for name, stored in stored_photographs(root, split):
        yield name, decode_photograph(stored)


def stored_photographs(root: Path, split: str) -> Iterator[tuple[str, bytes]]:
    """As `photographs`, before they are decoded."""
    for archive in _found(root, "photos/*.tar"):
        for member, stored in tar_members(archive):
            if _part(int(member.stem) % 10 == 0) == _checked(split):
                yield f"{archive.stem}/{member.stem}", stored


def large_photographs(root: Path, split: str, smallest: int) -> list[np.ndarray]:
    """The photographs of a split whose shorter side has at least `smallest` pixels."""
    every = (photograph for _, photograph in photographs(root, split))
    return [photograph for photograph in every if min(photograph.shape[:2]) >= smallest]


def clips(root: Path, split: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the clips of a split as (name, uint8 [t, h, w, 3] RGB).

    Raises:
        MediaError: `video/*.mp4` is missing.
    """
    for path in _found(root, "video/*.mp4"):
        if _part(path.stem in HELD_OUT_CLIPS) == _checked(split):
            with av.open(str(path)) as container:
                frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            yield path.stem, np.stack(frames)


def overlays(root: Path, split: str) -> list[np.ndarray]:
    """The film damage of a split: uint8 [h, w, 4] pictures, of which only the alpha is used.

    Raises:
        MediaError: `film-damage.tar` is missing.
    """
    return [
        cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)
        for archive in _found(root, "film-damage.tar")
        for member, stored in tar_members(archive)
        if _part(int(member.stem) in HELD_OUT_OVERLAYS) == _checked(split)
    ]


def tar_members(archive: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the files of a tar in its order, as (path inside it, content)."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile():
                yield Path(member.name), tar.extractfile(member).read()


def decode_photograph(stored: bytes) -> np.ndarray:
    """Decode a picture to uint8 [h, w, 3] RGB."""
    decoded = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def _found(root: Path, pattern: str) -> list[Path]:
    paths = sorted(Path(root).glob(pattern))
    if not paths:
        raise MediaError(f"{root}: no {pattern} in this folder")
    return paths


def _part(held_out: bool) -> str:
    return HELD_OUT if held_out else TRAIN


def _checked(split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose from {', '.join(SPLITS)}")
    return split
