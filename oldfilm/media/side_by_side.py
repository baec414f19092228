"""Show an original and its result side by side."""

from __future__ import annotations

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
