"""The photographs, clips and film damage that weights are made from, and what is kept for judging.

`root` is a folder with `photos/*.tar`, `video/*.mp4` and `film-damage.tar`. Held out, so that
figures can be compared: in every tar of photographs the members whose number is a multiple of 10,
four clips, and of every kind of damage the overlays 040 to 044.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

TRAIN, HELD_OUT = "train", "held-out"
SPLITS = (TRAIN, HELD_OUT)

HELD_OUT_CLIPS = frozenset({"blackswan", "dog", "kite-surf", "soapbox"})
HELD_OUT_OVERLAYS = range(40, 45)


def photographs(root: Path, split: str) -> Iterator[tuple[str, np.ndarray]]:
    """Every photograph of a split, as ("tar's stem/member's stem", uint8 [h, w, 3] RGB)."""
    for archive in sorted((Path(root) / "photos").glob("*.tar")):
        for member, stored in tar_members(archive):
            if _part(int(member.stem) % 10 == 0) == _checked(split):
                yield f"{archive.stem}/{member.stem}", decode_photograph(stored)


def clips(root: Path, split: str) -> Iterator[tuple[str, np.ndarray]]:
    """Every clip of a split, as (name, uint8 [t, h, w, 3] RGB); one at a time is in memory."""
    for path in sorted((Path(root) / "video").glob("*.mp4")):
        if _part(path.stem in HELD_OUT_CLIPS) == _checked(split):
            with av.open(str(path)) as container:
                frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            yield path.stem, np.stack(frames)


def overlays(root: Path, split: str) -> list[np.ndarray]:
    """The film damage of a split: uint8 [h, w, 4] pictures, of which the alpha says where."""
    return [
        cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)
        for member, stored in tar_members(Path(root) / "film-damage.tar")
        if _part(int(member.stem) in HELD_OUT_OVERLAYS) == _checked(split)
    ]


def tar_members(archive: Path) -> Iterator[tuple[Path, bytes]]:
    """The files of a tar, in its order, as (path inside it, content)."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile():
                yield Path(member.name), tar.extractfile(member).read()


def decode_photograph(stored: bytes) -> np.ndarray:
    """A coded picture as uint8 [h, w, 3] RGB."""
    decoded = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def _part(held_out: bool) -> str:
    return HELD_OUT if held_out else TRAIN


def _checked(split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}: choose from {', '.join(SPLITS)}")
    return split
