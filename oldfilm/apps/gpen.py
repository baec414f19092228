"""GPEN: restores faces in photographs and films."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from oldfilm.apps.old_photo.faces import FaceRestorer
from oldfilm.errors import OptionError
from oldfilm.pipeline import PredictorNames
from oldfilm.stage import FilmInfo, Window

REACH = 2
"""Neighbors on either side whose landmarks steady those of a frame."""

WEIGHTS = (3, 2, 1)
"""Weights of a frame's own landmarks, and of those of its neighbors, by distance."""

NEAR = 0.5
"""Largest distance of one face between neighboring frames, relative to the distance of its eyes."""

ALIGNED = (
    np.array([(66.29, 79.7), (101.53, 79.5), (84.03, 99.74), (69.55, 120.37), (98.73, 120.2)]) / 168
)
"""The landmarks of an aligned face in a square of side 1, as in the authors' `align_faces.py`."""


class GPENPredictor(FaceRestorer):
    """Restores faces with GPEN (Yang et al., CVPR 2021): found, aligned, painted and blended in.

    PaddleGAN's class expects a picture of one aligned face, and degrades it before it restores it,
    as a demonstration. This one restores the faces of any picture as they are.
    """

    name = "Faces"
    config = "gpen"
    window = Window(core=8, before=REACH, after=REACH)
    result_names = PredictorNames(
        "", "{base}_gpen_predict", "{base}/frames_pred/%08d.png", "gpen_predict.png"
    )

    def __init__(
        self,
        output: str = "output_dir",
        weight_path: str | None = None,
        model_type: str | None = None,
        seed: int | None = 100,
        size: int = 256,
        style_dim: int = 512,
        n_mlp: int = 8,
        channel_multiplier: int = 1,
        narrow: float = 0.5,
        *,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """As `FaceRestorer`. model_type: None or "gpen-ffhq-256". size: of a face, 256 or 512.

        The variant decides all else: seed, style_dim, n_mlp, channel_multiplier and narrow are
        accepted as in PaddleGAN.

        Raises:
            OptionError: there are no weights of this type or size.
        """
        if model_type not in (None, "gpen-ffhq-256"):
            raise OptionError(f"`model_type={model_type}`: there is only gpen-ffhq-256")
        if size not in (256, 512):
            raise OptionError(f"`size={size}`: choose from 256, 512")
        if variant == "auto" and size == 512:
            variant = "bfr-512"
        super().__init__(
            output, weight_path, variant=variant, device=device, network_engine=network_engine
        )

    @property
    def side(self) -> int:  # type: ignore[override]
        """Side of an aligned face, in pixels."""
        return int(self.weights.variant.settings["size"])

    @property
    def target(self) -> np.ndarray:
        """As `FaceRestorer.target`: a closer view than that of OldPhoto."""
        return ALIGNED * self.side

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """Return the memory of one more frame in the window: the input twice, in float32."""
        return 4 * 2 * info.channels * info.width * info.height

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """Restore the faces of the core; in a film, their landmarks are steadied over time."""
        found = [self.landmarks(frame) for frame in frames]
        for index in range(len(frames))[core]:
            yield self.enhance(frames[index], smoothed_landmarks(found, index)).image


def smoothed_landmarks(found: Sequence[Sequence[np.ndarray]], index: int) -> list[np.ndarray]:
    """Return the landmarks of one frame's faces, averaged with those of its neighbors.

    A face that neither neighbor shows is left out, as a mistake of the face finder. One that both
    show, but not the frame, is added.

    found: landmarks, [5, 2], of the faces in consecutive frames. index: of the frame.
    """
    if len(found) == 1:
        return list(found[index])
    near = [found[i] for i in (index - 1, index + 1) if 0 <= i < len(found)]
    faces = [f for f in found[index] if any(_same(f, others) is not None for others in near)]
    if len(near) == 2:
        for face in near[0]:
            other = _same(face, near[1])
            if other is not None and _same((face + other) / 2, found[index]) is None:
                faces.append((face + other) / 2)
    return [_mean(face, found, index) for face in faces]


def _mean(face: np.ndarray, found: Sequence[Sequence[np.ndarray]], index: int) -> np.ndarray:
    """Average a face with the same face before and after, in pairs, so that motion cancels out."""
    total, weights = WEIGHTS[0] * face, WEIGHTS[0]
    for distance in range(1, REACH + 1):
        if index - distance < 0 or index + distance >= len(found):
            break
        before, after = (_same(face, found[index + step]) for step in (-distance, distance))
        if before is None or after is None:
            break
        total = total + WEIGHTS[distance] * (before + after)
        weights += 2 * WEIGHTS[distance]
    return total / weights


def _same(face: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return the nearest of other faces if it is close enough to be the same one."""
    if not others:
        return None
    distances = [np.linalg.norm(other.mean(axis=0) - face.mean(axis=0)) for other in others]
    nearest = int(np.argmin(distances))
    eyes = np.linalg.norm(face[1] - face[0])
    return others[nearest] if distances[nearest] < NEAR * eyes else None
