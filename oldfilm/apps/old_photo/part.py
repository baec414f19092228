"""What the published and the lite implementation of OldPhoto share: the weight files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from oldfilm.apps.base import Predictor
from oldfilm.stage import FingerprintValue


class OldPhotoPart(Predictor):
    """One weight file: a network that is not a stage by itself."""

    name = "OldPhoto"
    config = "old_photo"

    def __init__(
        self, published: str, variant: str, device: str | None, network_engine: str
    ) -> None:
        """published: its variant in `configs/old_photo.yaml`. variant: "auto" or a variant."""
        self.published = published
        super().__init__(variant=variant, device=device, network_engine=network_engine)


def combined_fingerprint(parts: Sequence[OldPhotoPart]) -> Mapping[str, FingerprintValue]:
    """Return the fingerprints of several weight files as one."""
    return {
        f"{part.variant} {fact}": value
        for part in parts
        for fact, value in part.fingerprint().items()
    }


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return probabilities in (0, 1), without overflow."""
    return np.exp(-np.logaddexp(0, -logits))
