"""Make docs/sample.jpg and docs/color.jpg from docs/sample.mp4.

sample.jpg: the middle frame of each shot, as it is and restored with the preset silent-film.

color.jpg: the rows are the shots of the film. The columns are the middle frame without hints, the
same with docs/sample-hints.yaml, and the last frame, whose reference is the picture in the second
column.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

import oldfilm

DOCS = Path(__file__).resolve().parent.parent / "docs"
SAMPLE = DOCS / "sample.mp4"
MIDDLES, LASTS = (6, 18, 30), (11, 23, 35)


JPEG = [cv2.IMWRITE_JPEG_QUALITY, 85]


def restored(folder: Path, numbers: tuple[int, ...], **options: Any) -> list[np.ndarray]:
    """Restore the sample, and return some of its frames, uint8 [h, w, 3]."""
    summary = oldfilm.restore(
        SAMPLE,
        output=folder / f"{len(list(folder.iterdir()))}.mkv",
        codec="ffv1",
        variant="lite",
        device="cpu",
        progress=False,
        **options,
    )
    return frames(summary.path, numbers)


def frames(path: Path, numbers: tuple[int, ...]) -> list[np.ndarray]:
    """Return some frames of a film, uint8 [h, w, 3]."""
    with av.open(str(path)) as film:
        decoded = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    return [decoded[number] for number in numbers]


def before_and_after(folder: Path) -> np.ndarray:
    """Return the picture docs/sample.jpg."""
    after = restored(folder, MIDDLES, preset="silent-film", height=400, fps="16")
    size = after[0].shape[1::-1]
    before = [cv2.resize(f, size, interpolation=cv2.INTER_CUBIC) for f in frames(SAMPLE, MIDDLES)]
    return np.vstack([np.hstack(before), np.hstack(after)])


def colors(folder: Path) -> np.ndarray:
    """Return the picture docs/color.jpg."""
    plain = restored(folder, MIDDLES, order="DeOldify")
    hints = DOCS / "sample-hints.yaml"
    hinted = restored(folder, MIDDLES, order="DeOldify", color_hints=hints)
    referred = restored(folder, LASTS, order="DeOldify", color_reference=hinted)
    return np.vstack([np.hstack(row) for row in zip(plain, hinted, referred)])


def main() -> None:
    """Write both pictures."""
    for name, make in (("sample.jpg", before_and_after), ("color.jpg", colors)):
        with tempfile.TemporaryDirectory() as folder:
            picture = make(Path(folder))
        cv2.imwrite(str(DOCS / name), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), JPEG)


if __name__ == "__main__":
    main()
