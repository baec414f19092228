"""OldPhoto with the published networks.

Images are float32 [h, w, c] in [0, 1] of any size, with c = 3 (RGB) or 1 (luma).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from oldfilm.apps.base import as_input, as_output
from oldfilm.apps.old_photo.part import OldPhotoPart, combined_fingerprint, sigmoid
from oldfilm.imaging.color import luma
from oldfilm.imaging.resample import pad_to_multiple
from oldfilm.stage import FingerprintValue

DETECTION_SIDE = 256
"""The published detector sees a copy with this shorter side."""

MAPPINGS = {
    "mapping-quality": ["model"],
    "mapping-scratch": ["before_NL", "NL", "after_NL"],
    "mapping-hr": [
        *("before_NL", "NL_scale_1", "res_block_1", "NL_scale_2"),
        *("res_block_2", "NL_scale_3", "after_NL"),
    ],
}
"""The parts of each mapping, in order; those called NL also take where the scratches are."""


class Published:
    """The global restoration of Wan et al., as in microsoft/Bringing-Old-Photos-Back-to-Life.

    It differs in two ways. Pictures are padded, not resized, to sizes that the networks accept, so
    they keep their size. Results are not stretched to the full range, which would make films pump.
    """

    certain = 0.4
    """Pixels at least this likely count as damaged."""

    def __init__(self, parts: Sequence[OldPhotoPart]) -> None:
        """parts: of `files`, in that order."""
        self.parts = parts
        self._mapping_name = parts[1].variant
        self._patches = self._mapping_name == "mapping-hr"
        # The largest patch has 8 features a side, of 4 pixels each.
        self._multiple = 32 if self._patches else 16

    @staticmethod
    def files(with_scratch: bool, hr: bool) -> list[str]:
        """The variants of `configs/old_photo.yaml` that it takes."""
        if not with_scratch:
            return ["vae-a-quality", "mapping-quality", "vae-b-quality"]
        mapping = "mapping-hr" if hr else "mapping-scratch"
        return ["vae-a-quality", mapping, "vae-b-scratch", "detection"]

    def damage(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
        """How likely every pixel is scratched: float32 [h, w]. in_film: makes no difference."""
        gray = luma(image)
        height, width = gray.shape
        size = [
            16 * max(1, round(s / min(gray.shape) * DETECTION_SIDE / 16)) for s in (width, height)
        ]
        small = cv2.resize(gray * 2 - 1, size, interpolation=cv2.INTER_LINEAR)
        (logits,) = self.parts[3].graph(luma=(1, 1, None, None))(small[None, None])
        likely = sigmoid(logits[0, 0])
        return cv2.resize(likely, (width, height), interpolation=cv2.INTER_NEAREST)

    def widened(self, mask: np.ndarray) -> np.ndarray:
        """Return the mask as the mapping network needs it."""
        return cv2.dilate(mask, np.ones((3, 3)), iterations=3) if self._patches else mask

    def restored(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return the restored picture, with the masked pixels (1) filled."""
        height, width, channels = image.shape
        image = pad_to_multiple(np.where(mask[..., None] > 0, np.float32(1), image), self._multiple)
        mask = pad_to_multiple(mask[..., None], self._multiple)[..., 0]
        shape = (1, 3, None, None)
        encoder, _, decoder = self.parts[:3]
        (features,) = encoder.graph("encoder", image=shape)(as_input(image) * 2 - 1)
        mapped = self._mapped(features, mask[None, None])
        decode = decoder.graph("decoder", features=(1, features.shape[1], None, None))
        return as_output((decode(mapped)[0] + 1) / 2, channels)[:height, :width]

    def toned(self, image: np.ndarray) -> np.ndarray:
        """Return the picture unchanged: the networks also undo fading."""
        return image

    def _mapped(self, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Map features of an old photograph and its scratch mask to those of a clean one."""
        mapping = self.parts[1]
        for name in MAPPINGS[self._mapping_name]:
            if name == "NL" and not mask.any():
                continue  # It changes nothing then, and takes most of the time.
            if name.startswith("NL"):
                (features,) = mapping.graph(name, export=False)(features, mask)
            else:
                shape = (1, features.shape[1], None, None)
                (features,) = mapping.graph(name, features=shape)(features)
        return features

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """Return the fingerprints of all weight files."""
        return combined_fingerprint(self.parts)
