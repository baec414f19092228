"""Make docs/color.jpg: docs/sample.mp4 colored without help, with hints, and from references.

The rows are the shots of the film. The columns are the middle frame without hints, the same with
docs/sample-hints.yaml, and the last frame, whose reference is the picture in the second column.
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
MIDDLES, LASTS = (6, 18, 30), (11, 23, 35)


def colored(folder: Path, numbers: tuple[int, ...], **options: Any) -> list[np.ndarray]:
    """Color the sample, and return some of its frames, uint8 [h, w, 3]."""
    summary = oldfilm.restore(
        DOCS / "sample.mp4",
        "DeOldify",
        folder / f"{len(list(folder.iterdir()))}.mkv",
        codec="ffv1",
        variant="lite",
        device="cpu",
        progress=False,
        **options,
    )
    with av.open(str(summary.path)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    return [frames[number] for number in numbers]


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = colored(folder, MIDDLES)
        hinted = colored(folder, MIDDLES, color_hints=DOCS / "sample-hints.yaml")
        referred = colored(folder, LASTS, color_reference=hinted)
    sheet = np.vstack([np.hstack(row) for row in zip(plain, hinted, referred)])
    encoded = [cv2.IMWRITE_JPEG_QUALITY, 85]
    cv2.imwrite(str(DOCS / "color.jpg"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), encoded)


if __name__ == "__main__":
    main()
