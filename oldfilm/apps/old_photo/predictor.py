"""Old photographs: removes fading, blur, grain and, on request, scratches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from oldfilm.apps.base import DEVICE, NETWORK_ENGINE, VARIANT
from oldfilm.apps.old_photo.faces import face_enhancer
from oldfilm.apps.old_photo.lite import Lite
from oldfilm.apps.old_photo.part import OldPhotoPart
from oldfilm.apps.old_photo.published import Published
from oldfilm.engine import choose_device
from oldfilm.errors import OptionError
from oldfilm.imaging.content import blend_by_content, content
from oldfilm.imaging.flow import flow
from oldfilm.imaging.motion_compensation import (
    grain_sigma,
    motion_compensate,
    pick_references,
    rank_order_outliers,
    thumbnail,
)
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmFacts, FilmInfo, FingerprintValue, Frame, Option, Window

WITH_SCRATCH = Option("with_scratch", bool, False, "also find and fill scratches")
HR = Option("hr", bool, False, "use the published networks for large pictures", flag="--HR")
FACES = Option("faces", bool, True, "do not restore faces (published weights)", flag="--no-faces")

CONFIRMED_SHARE = 0.3
"""Share of a damaged place that the neighboring frames must confirm."""


class OldPhotoPredictor(RunnableStage):
    """Restore photographs, or films frame by frame: "Bringing Old Photos Back to Life".

    Wan et al. (CVPR 2020). The published networks match the authors' code; `Published` lists the
    differences around them. The lite ones find and fill damage of all kinds, and remove measured
    grain; a sharp photograph without damage stays nearly unchanged.
    """

    name = "OldPhoto"
    options = (VARIANT, DEVICE, NETWORK_ENGINE, WITH_SCRATCH, HR, FACES)
    keeps_flat_frames = True

    def __init__(
        self,
        output: str = "output",
        with_scratch: bool = False,
        *,
        hr: bool = False,
        faces: bool = True,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """Arguments are those of `Predictor`, and:

        with_scratch: find scratches and fill them from their surroundings. hr (published): fill
        them patch by patch, for large pictures; without it, every place is compared with all
        others, which is very slow above 1000 pixels per side. faces (published): restore faces, if
        their weights are available; a note says when they are not. variant: "full" (published),
        "lite", or "auto": full if all its files are available.

        Raises:
            OptionError: the variant or the device does not exist.
            WeightsError: a file is missing; the message says which, and how to get it.
        """
        super().__init__(output)
        if variant not in ("auto", "full", "lite"):
            raise OptionError(f"OldPhoto has no variant {variant!r}; it has: full, lite.")
        self.with_scratch = with_scratch
        self.hr = hr
        self.device = choose_device(device)
        self.network_engine = network_engine
        self.restoration = _restoration(with_scratch, hr, variant, device, network_engine)
        published = isinstance(self.restoration, Published)
        self.faces = faces
        self._painter = face_enhancer(hr, device, network_engine) if faces and published else None
        self.window = Window(core=8, before=3, after=3) if with_scratch else Window()
        self._is_photograph = False

    @property
    def variant(self) -> str:
        """The name of the variant in use, "full" or "lite"."""
        return "lite" if isinstance(self.restoration, Lite) else "full"

    @property
    def label(self) -> str:
        """As `RunnableStage.label`."""
        return f"{self.name} ({self.variant})"

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Predictor.fingerprint`, for every file."""
        own = {"with_scratch": self.with_scratch, "hr": self.hr, "faces": self.faces}
        painter = self._painter.fingerprint() if self._painter else {}
        named = {f"faces {fact}": value for fact, value in painter.items()}
        return {**own, **self.restoration.fingerprint(), **named}

    def terms(self) -> Mapping[str, str]:
        """As `Predictor.terms`, for every file."""
        return {k: v for part in self.restoration.parts for k, v in part.terms().items()}

    def analyze(self, info: FilmInfo, facts: FilmFacts) -> None:
        """Tones are restored in photographs only: in a film, brightness would pump."""
        self._is_photograph = info.frames == 1

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """Count the frame, the map of damage, and the result."""
        return 4 * info.width * info.height * (2 * info.channels + 1)

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Restore each frame; its neighbors confirm where it is damaged.

        Damage in a shot of fewer than three frames cannot be confirmed, and is not filled.
        """
        images = [frame.image for frame in frames]
        small = [thumbnail(image) for image in images] if self.with_scratch else []
        for index in range(core.start, core.stop):
            image = images[index]
            mask = np.zeros(image.shape[:2], np.float32)
            if self.with_scratch and self._is_photograph:
                mask = self.scratches(image)
            elif self.with_scratch and (near := pick_references(index, small, 1)):
                others = [images[n] for n in near]
                certain = self._certain(image, in_film=True)
                mask = self._mask(in_one_frame(certain, image, others))
            restored = self.restoration.restored(image, mask)
            if self._is_photograph:
                restored = self.restoration.toned(restored)
            if self._painter:
                restored = self._painter.enhance(restored).image
            yield replace(frames[index], image=restored)

    def steps(self, image: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Restore a photograph step by step; yield the name and the image of each step.

        image: float32 [h, w, c], RGB or luma, in [0, 1]. Steps are "mask" (float32 [h, w], with
        `with_scratch` only), "restored", "face-1-before" and "face-1-after" for the first face and
        so on, as squares, and "final".
        """
        mask = np.zeros(image.shape[:2], np.float32)
        if self.with_scratch:
            mask = self.scratches(image)
            yield "mask", mask
        restored = self.restoration.toned(self.restoration.restored(image, mask))
        restored = blend_by_content(image, restored, content(image))
        yield "restored", restored
        if self._painter:
            enhanced = self._painter.enhance(restored)
            for number, face in enumerate(enhanced.faces, 1):
                yield from zip((f"face-{number}-before", f"face-{number}-after"), face)
            restored = enhanced.image
        yield "final", restored

    def scratches(self, image: np.ndarray) -> np.ndarray:
        """Return a mask of the damage: float32 [h, w], 1 where damaged, else 0.

        image: float32 [h, w, 3] or [h, w, 1] in [0, 1].

        Raises:
            OptionError: this predictor was made without `with_scratch`.
        """
        return self._mask(self._certain(image))

    def damage(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
        """Return how likely every pixel is damaged: float32 [h, w]; see `scratches`.

        in_film: the picture is a frame of a film, and `in_one_frame` confirms the damage later.
        """
        if not self.with_scratch:
            raise OptionError("scratches are detected only with `with_scratch=True`.")
        return self.restoration.damage(image, in_film)

    def _certain(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
        return self.damage(image, in_film) >= self.restoration.certain

    def _mask(self, damaged: np.ndarray) -> np.ndarray:
        return self.restoration.widened(damaged.astype(np.float32))


def in_one_frame(damaged: np.ndarray, image: np.ndarray, near: Sequence[np.ndarray]) -> np.ndarray:
    """Keep the damage in a frame that its two neighbors do not show: bool [h, w].

    In a single frame, crowds, rubble and fences often look like damage.

    damaged: bool [h, w]. image, near: float32 [h, w, c] in [0, 1], the frame and its neighbors.
    """
    if not damaged.any():
        return damaged
    fetched = [motion_compensate(image, other, flow(image, other)) for other in near]
    new = damaged & rank_order_outliers(image, fetched, grain_sigma(image, fetched))
    new = damaged & (cv2.dilate(new.astype(np.uint8), np.ones((5, 5))) > 0)
    count, labels = cv2.connectedComponents(damaged.astype(np.uint8))
    confirmed = np.bincount(labels[new], minlength=count)
    enough = confirmed >= CONFIRMED_SHARE * np.bincount(labels.ravel(), minlength=count)
    return new & enough[labels]


def _restoration(
    with_scratch: bool, hr: bool, variant: str, device: str | None, network_engine: str
) -> Published | Lite:
    if variant == "lite":
        return Lite(OldPhotoPart("lite", "lite", device, network_engine))
    parts = []
    for file in Published.files(with_scratch, hr):
        wanted = file if variant == "full" else "auto"
        part = OldPhotoPart(file, wanted, device, network_engine)
        if part.variant == "lite":
            return Lite(part)
        parts.append(part)
    return Published(parts)
