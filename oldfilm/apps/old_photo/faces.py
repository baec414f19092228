"""Find faces in old photographs, restore them, and blend them in."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from oldfilm.apps.base import Predictor, as_input, as_output
from oldfilm.apps.old_photo.face_finders import TEMPLATE, find_faces_by
from oldfilm.errors import OptionError, WeightsError
from oldfilm.stage import FingerprintValue
from oldfilm.weights import model
from oldfilm.weights.search import candidates

logger = logging.getLogger(__name__)

ROOM = 1.3
"""Scale of the landmarks in the square, relative to the template."""

EDGE = 12
"""Width in pixels of the blend between the restored square and the picture."""

STRIP = 1 << 18
"""Pixels of a warped picture that are computed at once."""

Taps = tuple[np.ndarray, Sequence[np.ndarray]]
"""For every place: the first source pixel, and the weights of it and of the following ones."""

Kernel = Callable[[np.ndarray], Taps]


@dataclass(frozen=True)
class Enhanced:
    """A picture with restored faces.

    image: the picture. faces: each face before and after, aligned, without the color match. All
    float32 [., ., c] in [0, 1], RGB or luma.
    """

    image: np.ndarray
    faces: tuple[tuple[np.ndarray, np.ndarray], ...]


class FaceRestorer(Predictor):
    """Find the faces in a picture, restore each with a network, and blend them in."""

    name = "Faces"

    side: int
    """Side of an aligned face, in pixels."""

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        *,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """As `Predictor`.

        Raises:
            WeightsError: the generator's weights are missing, or the face finder's are damaged.
            OptionError: no face finder is installed.
        """
        super().__init__(
            output, weight_path, variant=variant, device=device, network_engine=network_engine
        )
        self.found_by, self._find = find_faces_by()

    @property
    def target(self) -> np.ndarray:
        """The landmarks of an aligned face: float64 [5, 2]."""
        return template(self.side)

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """Add the face finder to `Predictor.fingerprint`."""
        return {"found by": self.found_by, **super().fingerprint()}

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """Restore the faces of each frame by itself; see `Predictor.restore`."""
        return (self.enhance(frame).image for frame in frames[core])

    def landmarks(self, image: np.ndarray) -> list[np.ndarray]:
        """Return x, y of five landmarks per face: eyes, nose, corners of the mouth; float64 [5, 2].

        image: float32 [h, w, 3] or [h, w, 1] in [0, 1].
        """
        height, width, channels = image.shape
        codes = cv2.convertScaleAbs(image, alpha=255).reshape(height, width, channels)
        return self._find(np.ascontiguousarray(np.broadcast_to(codes, (height, width, 3))))

    def enhance(self, image: np.ndarray, found: Sequence[np.ndarray] | None = None) -> Enhanced:
        """Restore every face; a picture without faces is returned unchanged.

        image: float32 [h, w, 3] or [h, w, 1] in [0, 1]. found: the landmarks of its faces, if they
        are known.
        """
        picture, faces = image.copy(), []
        for landmarks in self.landmarks(image) if found is None else found:
            matrix = similarity(self.target, landmarks)
            face = aligned(image, matrix, self.side)
            painted = self._painted(face)
            blend(picture, matched(painted, face), matrix)
            faces.append((face, painted))
        return Enhanced(picture, tuple(faces))

    def _painted(self, face: np.ndarray) -> np.ndarray:
        (made,) = self.graph(face=(1, 3, self.side, self.side))(as_input(face) * 2 - 1)
        return as_output((made + 1) / 2, face.shape[2])


class FaceEnhancer(FaceRestorer):
    """Restore faces with the network of old photographs.

    These are steps 2 to 4 of microsoft/Bringing-Old-Photos-Back-to-Life (Wan et al., CVPR 2020);
    `docs/photos.md` lists the differences.
    """

    config = "old_photo"

    def __init__(
        self, hr: bool = False, device: str | None = None, network_engine: str = "auto"
    ) -> None:
        """As `FaceRestorer`. hr: restore faces at 512x512 pixels, not at 256x256."""
        self.published = "face-512" if hr else "face-256"
        self.side = 512 if hr else 256
        super().__init__(variant=self.published, device=device, network_engine=network_engine)


def face_enhancer(
    hr: bool = False, device: str | None = None, network_engine: str = "auto"
) -> FaceEnhancer | None:
    """Return a `FaceEnhancer`, or None after a note if its weights or a face finder are missing.

    Raises:
        WeightsError: the weights exist, but are damaged.
    """
    try:
        return FaceEnhancer(hr, device, network_engine)
    except OptionError as error:
        warn_once(f"Faces are not restored: {error}")
    except WeightsError as error:
        wanted = model(FaceEnhancer.config).variant("face-512" if hr else "face-256")
        if next(candidates(wanted), None):
            raise
        warn_once(f"Faces are not restored. {error}")
    return None


@functools.cache
def warn_once(message: str) -> None:
    """Log a message once per run, not once per photograph."""
    logger.warning("%s", message)


def template(side: int) -> np.ndarray:
    """Return the target landmarks in a square of `side` pixels: float64 [5, 2]."""
    return (TEMPLATE * ROOM + 1) / 2 * side


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the least-squares rotation, scale and shift from one set of points to another.

    source, target: [n, 2] of x and y. Returns float64 [2, 3]. In the plane, Umeyama's (1991)
    solution is one division of complex numbers.
    """
    old, new = source @ (1, 1j), target @ (1, 1j)
    from_mean = old - old.mean()
    turn = np.vdot(from_mean, new - new.mean()) / np.vdot(from_mean, from_mean).real
    shift = new.mean() - turn * old.mean()
    return np.array([(turn.real, -turn.imag, shift.real), (turn.imag, turn.real, shift.imag)])


def aligned(image: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """Return a face as a square of `side` pixels, black outside the picture.

    image: float32 [h, w, c]. matrix: from the square to the picture, as `similarity` returns it.
    """
    return warped(image, matrix, (side, side), _linear)


def matched(face: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Match the histogram of a face to that of another one, in every channel.

    face, reference: float32 [h, w, c] in [0, 1]. Uses the authors' tables for 8 bits, and
    interpolates between their 256 values. (They round a restored face, and truncate the original.)
    """
    channels = zip(np.moveaxis(face, 2, 0), np.moveaxis(reference, 2, 0))
    return np.stack([_matched(*planes) for planes in channels], axis=2).astype(np.float32)


def _matched(plane: np.ndarray, reference: np.ndarray) -> np.ndarray:
    counts, wanted = (
        np.bincount(codes.ravel().astype(np.int64), minlength=256)
        for codes in (np.rint(plane * 255), np.floor(reference * 255))
    )
    shares = counts.cumsum() / plane.size
    table = np.searchsorted(wanted.cumsum() / reference.size, shares)
    (present,) = counts.nonzero()
    return np.interp(plane * 255, present, table[present]) / 255


def blend(picture: np.ndarray, face: np.ndarray, matrix: np.ndarray) -> None:
    """Blend an aligned face into a picture with a soft edge.

    picture: float32 [h, w, c], which is changed. face: float32 [s, s, c]. matrix: from the face to
    the picture.
    """
    side = face.shape[0]
    rows, columns = _place(picture, matrix, side)
    size = (rows.stop - rows.start, columns.stop - columns.start)
    if min(size) <= 0:
        return
    back = _inverse(matrix)
    back[:, 2] += back[:, :2] @ (columns.start, rows.start)
    everywhere = np.broadcast_to(np.float32(1), (*picture.shape[:2], 1))
    mask = warped(warped(everywhere, matrix, (side, side), _nearest), back, size, _nearest)
    mask = cv2.erode(mask, np.ones((9, 9)), iterations=3)
    mask = cv2.GaussianBlur(mask, (2 * EDGE + 1, 2 * EDGE + 1), 0)[..., None]
    painted = warped(face, back, size, _cubic).clip(0, face.max())
    old = picture[rows, columns]
    picture[rows, columns] = np.clip(painted * mask + old * (1 - mask), 0, 1)


def _place(picture: np.ndarray, matrix: np.ndarray, side: int) -> tuple[slice, slice]:
    """Rows and columns of the picture that a face may change, and enough around them."""
    corners = np.array([(-1, -1), (side, -1), (-1, side), (side, side)])
    places = corners @ matrix[:, :2].T + matrix[:, 2]
    first = np.maximum(np.floor(places.min(axis=0)).astype(int) - EDGE, 0)
    last = np.minimum(np.ceil(places.max(axis=0)).astype(int) + EDGE, picture.shape[1::-1])
    return slice(first[1], last[1]), slice(first[0], last[0])


def _inverse(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))[:2]


def warped(
    image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], kernel: Kernel
) -> np.ndarray:
    """Sample a picture along a transform; what is beyond it counts as black.

    image: float32 [h, w, c]. matrix: [2, 3], from places of the result, x and y, to those of the
    picture. size: of the result, height and width. Exact to scikit-image's `warp` with orders 0, 1
    and 3; OpenCV's warps know 1/32 of a pixel only, and have another cubic.
    """
    height, width = size
    result = np.empty((height, width, image.shape[2]), np.float32)
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        y, x = np.mgrid[top : min(top + rows, height), :width]
        places = (row[0] * x + row[1] * y + row[2] for row in matrix)
        result[top : top + rows] = _sampled(image, *map(kernel, places))
    return result


def _sampled(image: np.ndarray, across: Taps, down: Taps) -> np.ndarray:
    height, width, channels = image.shape
    (left, x_weights), (top, y_weights) = across, down
    total = np.zeros((*left.shape, channels))
    for (i, y_weight), (j, x_weight) in product(enumerate(y_weights), enumerate(x_weights)):
        row, column = top + i, left + j
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        seen = image[row.clip(0, height - 1), column.clip(0, width - 1)]
        total += (y_weight * x_weight * inside)[..., None] * seen
    return total


def _nearest(place: np.ndarray) -> Taps:
    return np.floor(place + 0.5).astype(np.int64), (np.ones_like(place),)


def _linear(place: np.ndarray) -> Taps:
    first = np.floor(place)
    part = place - first
    return first.astype(np.int64), (1 - part, part)


def _cubic(place: np.ndarray) -> Taps:
    """Catmull and Rom's."""
    second = np.floor(place)
    x = place - second
    weights = (
        x * (-1 + x * (2 - x)) / 2,
        1 + x * x * (-5 + 3 * x) / 2,
        x * (1 + x * (4 - 3 * x)) / 2,
        x * x * (x - 1) / 2,
    )
    return second.astype(np.int64) - 1, weights
