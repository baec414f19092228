"""Show an original and its result side by side."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from oldfilm.imaging.color import as_rgb
from oldfilm.imaging.resample import resize
from oldfilm.media.codecs import EncodeSettings
from oldfilm.media.decode import decode
from oldfilm.media.encode import Encoder
from oldfilm.media.film import Film
from oldfilm.stage import FilmInfo

SHEET_WIDTH, CAPTION_HEIGHT = 960, 26
"""Largest width of one image in a contact sheet, and the height of its captions, in pixels."""


def compare(source: Film, start: int, result: Path, destination: Path, slowdown: Fraction) -> None:
    """Write a film with the original on the left and the result on the right, without sound.

    source: the original. start: its first restored frame. result: a film of the restored frames.
    slowdown: seconds of the result per second of the source. The original is scaled to the
    result's size and shown at the times of its frames.
    """
    restored = Film.open(result)
    info = FilmInfo(2 * restored.width, restored.height, restored.rate, restored.frames)
    originals = decode(source, start)
    original, following = next(originals), next(originals, None)
    began = original.time
    with Encoder(destination, info, EncodeSettings()) as encoder:
        for frame in decode(restored):
            while following is not None and following.time - began <= frame.time / slowdown:
                original, following = following, next(originals, None)
            encoder.write(side_by_side(original.image, frame.image))
    originals.close()


def side_by_side(original: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Return two images side by side, both at the size of the second, clipped to [0, 1].

    original: float32 [h', w', c]. restored: float32 [h, w, c]. Returns float32 [h, 2w, 3].
    """
    height, width = restored.shape[:2]
    enlarged = resize(original, (width, height), cv2.INTER_CUBIC)
    return np.clip(np.concatenate([as_rgb(enlarged), as_rgb(restored)], axis=1), 0, 1)


def contact_sheet(
    rows: Sequence[tuple[str, np.ndarray, np.ndarray]], sample_aspect: Fraction = Fraction(1)
) -> np.ndarray:
    """Return one picture with a row for each (caption, original, restored image).

    Images are as `side_by_side` takes them. Rows wider than two times `SHEET_WIDTH` are scaled
    down. sample_aspect: of the restored images; pixels of the sheet are square. Returns float32
    [h, w, 3] in [0, 1].
    """
    strips = []
    for caption, original, restored in rows:
        height, width = restored.shape[:2]
        wide = float(width * sample_aspect)
        scale = min(1.0, SHEET_WIDTH / wide)
        size = (max(1, round(wide * scale)), max(1, round(height * scale)))
        restored = resize(restored, size, cv2.INTER_AREA)
        strips += [side_by_side(original, restored), _caption(caption, 2 * size[0])]
    return np.concatenate(strips)


def _caption(text: str, width: int) -> np.ndarray:
    strip = np.zeros((CAPTION_HEIGHT, width, 3), np.uint8)  # OpenCV 5 writes on 8 bits only.
    white = (230, 230, 230)
    cv2.putText(strip, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, white, 1, cv2.LINE_AA)
    return strip / np.float32(255)
