"""DeepRemaster: takes the damage out of old film, and colors it after reference pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from oldfilm.apps.base import Predictor
from oldfilm.errors import OptionError
from oldfilm.media import read_photograph
from oldfilm.stage import FilmInfo, FingerprintValue, Option, Window

COLORIZATION = Option("colorization", bool, False, "also color the film")
REFERENCE_DIR = Option(
    "reference_dir", str, None, "folder of color pictures to take the colors from", metavar="FOLDER"
)
MINDIM = Option("mindim", int, 360, "shorter side of the result", minimum=16, metavar="N")

MOST_REFERENCES = 8
"""References that a block looks at: what attention costs grows with them."""

_KEPT = 32
"""References whose features are kept; 4 MB each."""

_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_REFERENCE_SIDE = 256
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class DeepRemasterPredictor(Predictor):
    """Restores a film, at the size that its networks were made for; with colorization colors it.

    As PaddleGAN's, in blocks of 5 frames that do not overlap, but in float32 where that rounds to
    8 bits on the way. Without colorization a film's own colors stay. The references need not be of
    the film, nor of the shot: the network looks for what is alike in all that it is given.
    """

    name = "DeepRemaster"
    config = "deepremaster"
    options = (*Predictor.options, COLORIZATION, REFERENCE_DIR, MINDIM)
    window = Window(core=5)

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        colorization: bool = False,
        reference_dir: str | None = None,
        mindim: int = 360,
        *,
        variant: str = "auto",
        device: str | None = None,
    ) -> None:
        """As `Predictor`.

        colorization: color the film again, from its luma. reference_dir: a folder of pictures to
        take colors from; of more than 8, every block looks at the 8 whose grays are most like its
        own. mindim: the shorter side of the result; both sides become multiples of 16.

        Raises:
            OptionError: mindim is below 16; a reference_dir without pictures, or without
                colorization.
            MediaError: a reference cannot be read.
        """
        self.mindim = MINDIM.check(mindim)
        self.colorization = colorization
        self.reference_dir = reference_dir
        if reference_dir is not None and not colorization:
            raise OptionError("`reference_dir` also needs `colorization=True`.")
        super().__init__(output, weight_path, variant=variant, device=device)
        self._references = References(Path(reference_dir)) if reference_dir else None
        self._features = lru_cache(_KEPT)(self._look_at)

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Predictor.fingerprint`."""
        return {
            **super().fingerprint(),
            "mindim": self.mindim,
            "colorization": self.colorization,
            "references": self._references.sha256 if self._references else None,
        }

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The film at its new size, shown in the same shape; colored if it is to be."""
        width, height = self._size(info.height, info.width)
        return replace(
            info,
            width=width,
            height=height,
            channels=3 if self.colorization else info.channels,
            sample_aspect=info.sample_aspect * Fraction(info.width * height, info.height * width),
        )

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame, as it came and in the window, and what a layer holds: 160 values a pixel.

        Films up to 1920x1080 have their blocks of 5 at a `mindim` of 360; at 480 there are fewer.
        """
        width, height = self._size(info.height, info.width)
        return 4 * (2 * 3 * info.width * info.height + 160 * width * height)

    def restore(self, frames: np.ndarray, core: slice) -> np.ndarray:
        """As `Predictor.restore`, at the size of `describe`."""
        size = self._size(*frames.shape[1:3])
        small = np.stack([_resized(frame, size) for frame in frames[core]])
        if self.colorization:
            luma = small[..., 0] if small.shape[3] == 1 else small @ _LUMA
            restored = self._restored(luma)
            return _as_rgb(restored, self._colored(restored))
        colored = np.broadcast_to(small, (*small.shape[:3], 3))
        lab = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2LAB) for frame in colored])
        restored = _as_rgb(self._restored(lab[..., 0] / 100), lab[..., 1:])
        return restored[..., : small.shape[3]]

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """(width, height) of the result."""
        scale = self.mindim / min(height, width)
        return 16 * max(1, round(width * scale / 16)), 16 * max(1, round(height * scale / 16))

    def _restored(self, luma: np.ndarray) -> np.ndarray:
        """Luma [t, h, w] without damage."""
        (restored,) = self.graph("modelR", export=False)(np.ascontiguousarray(luma[:, None]))
        return restored[:, 0]

    def _colored(self, luma: np.ndarray) -> np.ndarray:
        """a* and b*, [t, h, w, 2], of luma [t, h, w]."""
        nearest = self._references.nearest(luma) if self._references else []
        features = zip(*[self._features(index) for index in nearest])
        seen = [np.concatenate(part) for part in features]
        (chroma,) = self.graph("modelC", export=False)(luma[:, None], *seen)
        return np.clip(chroma.transpose(0, 2, 3, 1) * 255 - 128, -100, 100)

    def _look_at(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The features of one reference, at an eighth and at a sixteenth of its size."""
        assert self._references is not None
        picture = self._references.picture(index)
        (near,) = self.graph("modelC.reffeatnet1", export=False)(picture.transpose(2, 0, 1)[None])
        (far,) = self.graph("modelC.reffeatnet2", export=False)(near)
        return near, far


class References:
    """Pictures in color that a film takes its colors from."""

    def __init__(self, folder: Path) -> None:
        """Look at all pictures of a folder.

        Raises:
            OptionError: there are none. MediaError: one cannot be read.
        """
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        self._files = [file for file in files if file.suffix.lower() in _PICTURES]
        if not self._files:
            raise OptionError(f"`reference_dir={folder}`: this folder has no pictures")
        grays, aspects = [], []
        for file in self._files:
            picture = _picture(file)
            grays.append(_grays(picture @ _LUMA))
            aspects.append(picture.shape[1] / picture.shape[0])
        self._grays = np.stack(grays)
        self._aspect = float(np.mean(aspects))

    @property
    def sha256(self) -> str:
        """What identifies the pictures: the sha256 of theirs, in order."""
        digests = [hashlib.sha256(file.read_bytes()).digest() for file in self._files]
        return hashlib.sha256(b"".join(digests)).hexdigest()

    def nearest(self, luma: np.ndarray) -> list[int]:
        """Which references a block [t, h, w] looks at: those with the most similar grays."""
        distances = np.abs(self._grays - _grays(luma)).mean(1)
        return sorted(np.argsort(distances, kind="stable")[:MOST_REFERENCES].tolist())

    def picture(self, index: int) -> np.ndarray:
        """One reference, as the network takes it: float32 [h, w, 3] in [0, 1].

        All have the mean aspect, and a shorter side of 256; what is left over is black, or cut off.
        """
        width = int(_REFERENCE_SIDE * max(self._aspect, 1))
        height = int(_REFERENCE_SIDE / min(self._aspect, 1))
        picture = _picture(self._files[index])
        if picture.shape[:2] == (height, width):
            return picture
        scale = max(width, height) / max(picture.shape[:2])
        rows, columns = (16 * max(1, int(side * scale / 16)) for side in picture.shape[:2])
        place = ((width - columns) // 2, (height - rows) // 2)
        planes = []
        for plane in picture.transpose(2, 0, 1):
            image = Image.fromarray(np.ascontiguousarray(plane))
            canvas = Image.new("F", (width, height))
            canvas.paste(image.resize((columns, rows), Image.Resampling.BICUBIC), place)
            planes.append(np.asarray(canvas))
        return np.clip(np.stack(planes, 2), 0, 1)


def _picture(file: Path) -> np.ndarray:
    """float32 [h, w, 3] in [0, 1]."""
    image = read_photograph(file).image
    return np.repeat(image, 3, 2) if image.shape[2] == 1 else image


def _grays(luma: np.ndarray) -> np.ndarray:
    """How much of a picture is darker than each of 32 grays."""
    counts, _ = np.histogram(luma, 32, (0, 1))
    return counts.cumsum() / luma.size


def _resized(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[h, w, c] at another size (width, height), as the published code does it."""
    return cv2.resize(frame, size).reshape(size[1], size[0], frame.shape[2])


def _as_rgb(lightness: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """RGB float32 [t, h, w, 3] in [0, 1].

    lightness: L* over 100, [t, h, w]. chroma: a* and b*, [t, h, w, 2].
    """
    lab = np.concatenate([100 * lightness[..., None], chroma], 3, dtype=np.float32)
    rgb = np.stack([cv2.cvtColor(frame, cv2.COLOR_LAB2RGB) for frame in lab])
    return np.clip(rgb, 0, 1)
