"""Old photographs: takes out fading, blur, grain and, where they are looked for, scratches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from oldfilm.apps.base import Predictor, as_input, as_output
from oldfilm.errors import OptionError
from oldfilm.pipeline import Restorer
from oldfilm.stage import Fact, FilmInfo, Frame, SizeRequirement

DETECTION_SIDE = 256
"""Scratches are looked for in a copy with this shorter side."""

SCRATCHED = math.log(0.4 / 0.6)
"""From this logit on, which is a probability of 0.4, a pixel is scratched."""

MAPPINGS = {
    "mapping-quality": ["model"],
    "mapping-scratch": ["before_NL", "NL", "after_NL"],
    "mapping-hr": [
        *("before_NL", "NL_scale_1", "res_block_1", "NL_scale_2"),
        *("res_block_2", "NL_scale_3", "after_NL"),
    ],
}
"""The parts of each mapping, in order; those called NL also take where the scratches are."""


class OldPhotoPart(Predictor):
    """One published file: a network that is no stage by itself."""

    name = "OldPhoto"
    config = "oldphoto"

    def __init__(self, file: str, device: str | None) -> None:
        """file: the variant of `configs/oldphoto.yaml` that it is."""
        self.published = file
        super().__init__(variant=file, device=device)


class OldPhotoPredictor(Restorer):
    """Restores a photograph, or a film frame by frame, as "Bringing Old Photos Back to Life" does.

    The global restoration of Wan et al. (CVPR 2020), as microsoft/Bringing-Old-Photos-Back-to-Life
    has it, without its faces. Two things are otherwise there: sides that the networks do not take
    are resized, here they are padded, so that the size stays; and every result is stretched to the
    full range from black to white, here it is not, as films would pump.
    """

    name = "OldPhoto"

    def __init__(
        self,
        output: str = "output",
        with_scratch: bool = False,
        *,
        hr: bool = False,
        variant: str = "auto",
        device: str | None = None,
    ) -> None:
        """As `Predictor`; all published files that are needed must be here.

        with_scratch: find scratches, and fill them from what is beside them. hr: fill them by
        patches, for large pictures: otherwise every place looks at every other, which takes very
        long from 1000 pixels a side on. variant: "full", the published one; there is no other.

        Raises:
            OptionError: another variant, or no such device.
            WeightsError: a file is missing; the message says which, and how to get it.
        """
        super().__init__(output)
        if variant not in ("auto", "full"):
            raise OptionError(f"OldPhoto has no variant {variant!r}; it has: full.")
        self.with_scratch = with_scratch
        self.hr = hr
        self._patches = hr and with_scratch
        kind = "scratch" if with_scratch else "quality"
        self._mapping_name = "mapping-hr" if self._patches else f"mapping-{kind}"
        self._encoder, self._mapping, self._decoder = (
            OldPhotoPart(name, device)
            for name in ("vae-a-quality", self._mapping_name, f"vae-b-{kind}")
        )
        self._detector = OldPhotoPart("detection", device) if with_scratch else None
        # The largest patch has 8 features a side, of 4 pixels each.
        self.size = SizeRequirement(minimum=32, multiple_of=32 if self._patches else 16)

    def identity(self) -> Mapping[str, Fact]:
        """As `Predictor.identity`, for every file."""
        parts = [self._encoder, self._mapping, self._decoder]
        if self._detector is not None:
            parts.append(self._detector)
        files = {
            f"{part.variant} {fact}": value
            for part in parts
            for fact, value in part.identity().items()
        }
        return {"with_scratch": self.with_scratch, "hr": self.hr, **files}

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film."""
        return info

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Restore each frame by itself."""
        for frame in frames[core]:
            yield replace(frame, image=self._restored(frame.image))

    def scratches(self, image: np.ndarray) -> np.ndarray:
        """Where a picture is scratched: float32 [h, w], 1 there and 0 elsewhere.

        image: float32 [h, w, 3] or [h, w, 1] in [0, 1].

        Raises:
            OptionError: this predictor was made without `with_scratch`.
        """
        if self._detector is None:
            raise OptionError("scratches are looked for with with_scratch=True alone.")
        luma = image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        height, width = luma.shape
        size = [16 * round(s / min(luma.shape) * DETECTION_SIDE / 16) for s in (width, height)]
        small = cv2.resize(luma * 2 - 1, size, interpolation=cv2.INTER_LINEAR)
        (logits,) = self._detector.graph(luma=(1, 1, None, None))(small[None, None])
        found = (logits[0, 0] >= SCRATCHED).astype(np.float32)
        found = cv2.resize(found, (width, height), interpolation=cv2.INTER_NEAREST)
        return cv2.dilate(found, np.ones((3, 3)), iterations=3) if self._patches else found

    def _restored(self, image: np.ndarray) -> np.ndarray:
        mask = np.zeros(image.shape[:2], np.float32)
        if self._detector is not None:
            mask = self.scratches(image)
            image = np.where(mask[..., None] > 0, np.float32(1), image)
        shape = (1, 3, None, None)
        (features,) = self._encoder.graph("encoder", image=shape)(as_input(image) * 2 - 1)
        mapped = self._mapped(features, mask[None, None])
        decode = self._decoder.graph("decoder", features=(1, features.shape[1], None, None))
        return as_output((decode(mapped)[0] + 1) / 2, image.shape[2])

    def _mapped(self, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Features of a clean photograph, from those of an old one and its scratches."""
        for name in MAPPINGS[self._mapping_name]:
            if name == "NL" and not mask.any():
                continue  # It changes nothing then, and takes most of the time.
            if name.startswith("NL"):
                (features,) = self._mapping.graph(name, export=False)(features, mask)
            else:
                shape = (1, features.shape[1], None, None)
                (features,) = self._mapping.graph(name, features=shape)(features)
        return features
