"""DeepRemaster: remove damage from a film, and color it from reference pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from oldfilm.apps.base import Predictor
from oldfilm.errors import OptionError
from oldfilm.imaging.color import LUMA_WEIGHTS, as_rgb
from oldfilm.media import read_photograph
from oldfilm.networks import propagation
from oldfilm.pipeline import PredictorNames, Summary
from oldfilm.stage import FilmInfo, FingerprintValue, Option, Window
from oldfilm.system.files import sha256_of_file

COLORIZATION = Option("colorization", bool, False, "also color the film")
REFERENCE_DIR = Option(
    "reference_dir", str, None, "folder of color pictures to take the colors from", metavar="FOLDER"
)
MINDIM = Option("mindim", int, 360, "shorter side of the result", minimum=16, metavar="N")

MOST_REFERENCES = 8
"""References per block; the cost of attention grows with their number."""

_KEPT = 32
"""References whose features are cached; 4 MB each."""

_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_REFERENCE_SIDE = 256


class DeepRemasterPredictor(Predictor):
    """Restores a film at the size of its networks, and colors it if asked (Iizuka et al., 2019).

    Like PaddleGAN's, it restores blocks of 5 frames that do not overlap, but in float32, without
    rounding to 8 bits between its networks. Without colorization, a film keeps its own colors. The
    references may come from anywhere: the network finds similar areas in all of them.
    """

    name = "DeepRemaster"
    result_names = PredictorNames("DeepRemaster", "{base}_out", "output/%07d.png")
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
        network_engine: str = "auto",
    ) -> None:
        """As `Predictor`.

        colorization: color the film from its luma; its own colors are dropped. reference_dir:
        folder of pictures to take colors from. If there are more than 8, every block uses the 8
        with the most similar histograms. mindim: shorter side of the result; both sides become
        multiples of 16.

        Raises:
            OptionError: mindim is below 16, reference_dir has no pictures, or it is given without
                colorization.
            MediaError: a reference cannot be read.
        """
        self.mindim = MINDIM.check(mindim)
        self.colorization = colorization
        self.reference_dir = reference_dir
        if reference_dir is not None and not colorization:
            raise OptionError("`reference_dir` also needs `colorization=True`.")
        super().__init__(
            output, weight_path, variant=variant, device=device, network_engine=network_engine
        )
        self._references = References(Path(reference_dir)) if reference_dir else None
        self._cached_features = lru_cache(_KEPT)(self._features)

    def frames_of(self, summary: Summary) -> str | None:
        """Return the folder of the saved frames, as PaddleGAN does, and not their pattern."""
        return summary.frames and f"{Path(summary.frames).parent}/"

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Predictor.fingerprint`, with the options and the references."""
        return {
            **super().fingerprint(),
            "mindim": self.mindim,
            "colorization": self.colorization,
            "references": self._references.sha256 if self._references else None,
        }

    def describe(self, info: FilmInfo) -> FilmInfo:
        """Return the film's properties at the new size and the same display aspect ratio."""
        width, height = self._size(info.height, info.width)
        return replace(
            info,
            width=width,
            height=height,
            channels=3 if self.colorization else info.channels,
            sample_aspect=info.sample_aspect * Fraction(info.width * height, info.height * width),
        )

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """Return the memory of one more frame in the window.

        In float32: the frame itself and its copy in the window, and 160 values per pixel of the
        result for the largest layer. Films up to 1920x1080 get whole blocks of 5 frames if `mindim`
        is 360, and smaller blocks if it is 480.
        """
        width, height = self._size(info.height, info.width)
        return 4 * (2 * 3 * info.width * info.height + 160 * width * height)

    def restore(self, frames: np.ndarray, core: slice) -> np.ndarray:
        """Restore the core at the size of `describe`."""
        size = self._size(*frames.shape[1:3])
        small = np.stack([_resized(frame, size) for frame in frames[core]])
        if self.colorization:
            luma = small[..., 0] if small.shape[3] == 1 else small @ LUMA_WEIGHTS
            restored = self._restored(luma)
            return _combine(restored, self._colored(restored))
        lab = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2LAB) for frame in as_rgb(small)])
        restored = _combine(self._restored(lab[..., 0] / 100), lab[..., 1:])
        return restored[..., : small.shape[3]]

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """Return (width, height) of the result."""
        scale = self.mindim / min(height, width)
        return 16 * max(1, round(width * scale / 16)), 16 * max(1, round(height * scale / 16))

    def _restored(self, luma: np.ndarray) -> np.ndarray:
        """Remove damage from luma [t, h, w]."""
        return self.step("modelR", batch=None)(np.ascontiguousarray(luma[:, None]))[:, 0]

    def _colored(self, luma: np.ndarray) -> np.ndarray:
        """Return a* and b*, [t, h, w, 2], for luma [t, h, w]."""
        nearest = self._references.nearest(luma) if self._references else []
        features = zip(*[self._cached_features(index) for index in nearest])
        parts = [np.concatenate(part) for part in features]
        if self.exports:
            known = parts or (None, None)
            chroma = propagation.deepremaster(self._coloring_step, luma[:, None], *known)
        else:
            (chroma,) = self.graph("modelC", export=False)(luma[:, None], *parts)
        return np.clip(chroma.transpose(0, 2, 3, 1) * 255 - 128, -100, 100)

    def _features(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the features of one reference, at 1/8 and at 1/16 of its size."""
        assert self._references is not None
        picture = self._references.picture(index)
        near = self._coloring_step("reffeatnet1")(picture.transpose(2, 0, 1)[None])
        return near, self._coloring_step("reffeatnet2")(near)

    def _coloring_step(self, name: str) -> Callable[..., np.ndarray]:
        """Return a step of `NetworkC`.

        Attention computes its map some rows at a time, which cannot be exported; it consists of
        matrix products, which Paddle computes as fast.
        """
        part = f"modelC.{name}"
        if "attn" not in name:
            return self.step(part, batch=None)
        attend = self.graph(part, export=False)
        return lambda *features: attend(*features)[0]


class References:
    """The color pictures in a folder that a film takes its colors from."""

    def __init__(self, folder: Path) -> None:
        """Measure all pictures of the folder.

        Raises:
            OptionError: the folder has no pictures.
            MediaError: a picture cannot be read.
        """
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        self._files = [file for file in files if file.suffix.lower() in _PICTURES]
        if not self._files:
            raise OptionError(f"`reference_dir={folder}`: this folder has no pictures")
        histograms, aspects = [], []
        for file in self._files:
            picture = _picture(file)
            histograms.append(_histogram(picture @ LUMA_WEIGHTS))
            aspects.append(picture.shape[1] / picture.shape[0])
        self._histograms = np.stack(histograms)
        self._aspect = float(np.mean(aspects))

    @property
    def sha256(self) -> str:
        """Hash of the pictures' own hashes, in order."""
        digests = [bytes.fromhex(sha256_of_file(file)) for file in self._files]
        return hashlib.sha256(b"".join(digests)).hexdigest()

    def nearest(self, luma: np.ndarray) -> list[int]:
        """Return the indices of the references that are most similar to a block [t, h, w]."""
        distances = np.abs(self._histograms - _histogram(luma)).mean(1)
        return sorted(np.argsort(distances, kind="stable")[:MOST_REFERENCES].tolist())

    def picture(self, index: int) -> np.ndarray:
        """Return one reference as the network's input: float32 [h, w, 3] in [0, 1].

        All references get the mean aspect ratio of the folder and a shorter side of 256; a picture
        of another shape is padded with black or cropped.
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
    """Read a picture: float32 [h, w, 3] in [0, 1]."""
    return np.ascontiguousarray(as_rgb(read_photograph(file).image))


def _histogram(luma: np.ndarray) -> np.ndarray:
    """Return the cumulative histogram of luma: the share of pixels up to each of 32 levels."""
    counts, _ = np.histogram(luma, 32, (0, 1))
    return counts.cumsum() / luma.size


def _resized(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize [h, w, c] to (width, height) as the published code does, without filtering."""
    return cv2.resize(frame, size).reshape(size[1], size[0], frame.shape[2])


def _combine(lightness: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Return RGB, float32 [t, h, w, 3] in [0, 1].

    lightness: L* divided by 100, [t, h, w]. chroma: a* and b*, [t, h, w, 2].
    """
    lab = np.concatenate([100 * lightness[..., None], chroma], 3, dtype=np.float32)
    rgb = np.stack([cv2.cvtColor(frame, cv2.COLOR_LAB2RGB) for frame in lab])
    return np.clip(rgb, 0, 1)
