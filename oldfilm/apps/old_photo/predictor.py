"""Old photographs: takes out fading, blur, grain and, where they are looked for, scratches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from oldfilm.apps.base import DEVICE, VARIANT
from oldfilm.apps.old_photo.faces import face_enhancer
from oldfilm.apps.old_photo.restorations import Lite, OldPhotoPart, Published
from oldfilm.engine import choose_device
from oldfilm.errors import OptionError
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

BORNE_OUT = 0.3
"""Of what looks like one place of damage, the frames beside it must say of so much that it is."""


class OldPhotoPredictor(RunnableStage):
    """Restores a photograph, or a film frame by frame, after "Bringing Old Photos Back to Life".

    Wan et al. (CVPR 2020). The published networks are exact to the authors' code (`Published` says
    what is done otherwise around them). The lite ones find damage of all kinds, fill it, and take
    out grain where it is measured; a sharp photograph without damage comes back nearly as it was.
    """

    name = "OldPhoto"
    options = (VARIANT, DEVICE, WITH_SCRATCH, HR, FACES)

    def __init__(
        self,
        output: str = "output",
        with_scratch: bool = False,
        *,
        hr: bool = False,
        faces: bool = True,
        variant: str = "auto",
        device: str | None = None,
    ) -> None:
        """As `Predictor`; the published restoration needs several files, and all must be here.

        with_scratch: find scratches, and fill them from what is beside them. hr (published): fill
        them by patches, for large pictures: otherwise every place looks at every other, which takes
        very long from 1000 pixels a side on. faces (published): paint faces anew, if the weights
        for that are here too; it is said where they are not. variant: "full", the published one,
        or "lite"; "auto" is full where all its files are here.

        Raises:
            OptionError: another variant, or no such device.
            WeightsError: a file is missing; the message says which, and how to get it.
        """
        super().__init__(output)
        if variant not in ("auto", "full", "lite"):
            raise OptionError(f"OldPhoto has no variant {variant!r}; it has: full, lite.")
        self.with_scratch = with_scratch
        self.hr = hr
        self.device = choose_device(device)
        self.restoration = _restoration(with_scratch, hr, variant, device)
        published = isinstance(self.restoration, Published)
        self.faces = faces
        self._painter = face_enhancer(hr, device) if faces and published else None
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

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film."""
        return info

    def analyze(self, info: FilmInfo, facts: FilmFacts) -> None:
        """A photograph gets its blacks and whites back; in a film that would pump."""
        self._is_photograph = info.frames == 1

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame, what is likely damaged, and the result."""
        return 4 * info.width * info.height * (2 * info.channels + 1)

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Restore each frame; only where it is damaged is asked of its neighbors too.

        A shot with fewer than three frames tells nothing of that: none of it is filled.
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
        """One photograph, step by step, each with its name.

        image: float32 [h, w, c], RGB or luma, in [0, 1]. Gives "mask" (float32 [h, w], with
        `with_scratch` only), "restored", "face-1-before" and "face-1-after" for the first face and
        so on, as squares, and "final".
        """
        mask = np.zeros(image.shape[:2], np.float32)
        if self.with_scratch:
            mask = self.scratches(image)
            yield "mask", mask
        restored = self.restoration.toned(self.restoration.restored(image, mask))
        yield "restored", restored
        if self._painter:
            enhanced = self._painter.enhance(restored)
            for number, face in enumerate(enhanced.faces, 1):
                yield from zip((f"face-{number}-before", f"face-{number}-after"), face)
            restored = enhanced.image
        yield "final", restored

    def scratches(self, image: np.ndarray) -> np.ndarray:
        """Where a picture is damaged: float32 [h, w], 1 there and 0 elsewhere.

        image: float32 [h, w, 3] or [h, w, 1] in [0, 1].

        Raises:
            OptionError: this predictor was made without `with_scratch`.
        """
        return self._mask(self._certain(image))

    def damage(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
        """How likely every pixel of a picture is damaged: float32 [h, w]; see `scratches`.

        in_film: the picture is a frame, and `in_one_frame` will tell what of it is damage.
        """
        if not self.with_scratch:
            raise OptionError("scratches are looked for with with_scratch=True alone.")
        return self.restoration.damage(image, in_film)

    def _certain(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
        return self.damage(image, in_film) >= self.restoration.certain

    def _mask(self, damaged: np.ndarray) -> np.ndarray:
        return self.restoration.widened(damaged.astype(np.float32))


def in_one_frame(damaged: np.ndarray, image: np.ndarray, near: Sequence[np.ndarray]) -> np.ndarray:
    """What of the damage in a frame of a film the two frames beside it do not show: bool [h, w].

    What a single picture seems to be damaged by is often the picture: a crowd, rubble, a fence.

    damaged: bool [h, w]. image, near: float32 [h, w, c] in [0, 1], the frame and the two.
    """
    if not damaged.any():
        return damaged
    fetched = [motion_compensate(image, other, flow(image, other)) for other in near]
    new = damaged & rank_order_outliers(image, fetched, grain_sigma(image, fetched))
    new = damaged & (cv2.dilate(new.astype(np.uint8), np.ones((5, 5))) > 0)
    count, labels = cv2.connectedComponents(damaged.astype(np.uint8))
    borne_out = np.bincount(labels[new], minlength=count)
    enough = borne_out >= BORNE_OUT * np.bincount(labels.ravel(), minlength=count)
    return new & enough[labels]


def _restoration(
    with_scratch: bool, hr: bool, variant: str, device: str | None
) -> Published | Lite:
    if variant == "lite":
        return Lite(OldPhotoPart("lite", "lite", device))
    parts = []
    for file in Published.files(with_scratch, hr):
        part = OldPhotoPart(file, file if variant == "full" else "auto", device)
        if part.variant == "lite":
            return Lite(part)
        parts.append(part)
    return Published(parts)
