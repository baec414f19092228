"""Finds faces and their landmarks, with the best detector that is installed.

Landmarks are float64 [5, 2], x and y in pixels: the left eye (as seen in the picture), the right
eye, the tip of the nose, and the left and right corners of the mouth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from oldfilm.errors import OptionError, WeightsError
from oldfilm.imaging.color import luma
from oldfilm.weights.folders import search_folders

LANDMARKS_FILE = "shape_predictor_68_face_landmarks.dat"
"""dlib's landmarks, which the authors use. Trained on iBUG 300-W, which excludes commercial use."""

LANDMARKS_PACKAGE = "face_recognition_models"
"""A package that has this file, in its folder `models`. Its own code is not run."""

YUNET_FILES = "face_detection_yunet*.onnx"
"""The file names of YuNet in OpenCV's model zoo."""

TEMPLATE = (
    np.array([(98, 113), (158, 113), (128, 143), (110, 180.2), (146, 180.2)], np.float32) / 128 - 1
)
"""Landmarks of a face that looks into the camera, in a square from -1 to 1.

In single precision like the authors', because histogram matching amplifies the last digit.
"""

SMALLEST_FACE = 40
"""In pixels. A smaller face would vanish in the blend."""

SEARCHED_SIDE = 2400
"""Cascades and YuNet search a copy whose longer side is at most this many pixels."""

EYES = np.array([(0.31, 0.39), (0.67, 0.39)])
"""Usual places of the eyes in the square that a cascade finds; measured on photographs."""

ASIDE = 0.12
"""How far an eye may be from its usual place, as a fraction of the square's side."""

Finder = Callable[[np.ndarray], "list[np.ndarray]"]
"""Returns the landmarks of all faces in a picture, uint8 [h, w, 3] RGB."""


def find_faces_by() -> tuple[str, Finder]:
    """Return the best available face finder with its name: the authors' dlib, YuNet, or cascades.

    Raises:
        OptionError: none is available; the message says what to install.
        WeightsError: YuNet's file is damaged.
    """
    if find_spec("dlib") and (file := _found(LANDMARKS_FILE) or _packaged_landmarks()):
        return "dlib", dlib_finder(file)
    if hasattr(cv2, "FaceDetectorYN") and (file := _found(YUNET_FILES)):
        return "YuNet", yunet_finder(file)
    if not hasattr(cv2, "CascadeClassifier"):
        raise OptionError(
            f"faces cannot be found: OpenCV {cv2.__version__} has no cascades. Install dlib and "
            "its landmarks, which are not for commercial use: `pip install 'oldfilm[faces]'`. Or "
            f"install an older OpenCV: `pip install 'opencv-python<5'`. Or put YuNet "
            f"({YUNET_FILES}) into {search_folders()[1]}."
        )
    return "cascades", cascade_finder()


def _found(pattern: str) -> Path | None:
    for folder in search_folders():
        for path in sorted(folder.glob(pattern)):
            return path
    return None


def _packaged_landmarks() -> Path | None:
    """Return the landmarks of the installed package, if there is one."""
    package = find_spec(LANDMARKS_PACKAGE)
    for folder in (package and package.submodule_search_locations) or ():
        if (file := Path(folder) / "models" / LANDMARKS_FILE).is_file():
            return file
    return None


def dlib_finder(file: Path) -> Finder:
    """dlib's detector of frontal faces and its 68 landmarks, as the authors use them."""
    import dlib

    detector = dlib.get_frontal_face_detector()
    try:
        predictor = dlib.shape_predictor(str(file))
    except RuntimeError as error:
        raise WeightsError(f"{file} is damaged, or not a file of dlib's landmarks.") from error

    def find(picture: np.ndarray) -> list[np.ndarray]:
        shapes = [predictor(picture, face) for face in detector(picture)]
        return [_five(np.array([(p.x, p.y) for p in shape.parts()])) for shape in shapes]

    return find


def _five(points: np.ndarray) -> np.ndarray:
    """Reduce dlib's 68. As in the authors' code, an eye is the rounded mean of its corners."""
    left, right = (points[36] + points[39]) / 2, (points[42] + points[45]) / 2
    return np.stack([np.trunc(left), np.trunc(right), points[30], points[48], points[54]])


def yunet_finder(file: Path) -> Finder:
    """YuNet (Wu et al., 2023), by OpenCV's own class."""
    try:
        detector = cv2.FaceDetectorYN.create(str(file), "", (320, 320))
    except cv2.error as error:
        raise WeightsError(
            f"{file} is damaged, or not a YuNet model that OpenCV {cv2.__version__} can read."
        ) from error

    def find(picture: np.ndarray) -> list[np.ndarray]:
        small, scale = _searched(picture)
        detector.setInputSize(small.shape[1::-1])
        _, faces = detector.detect(np.ascontiguousarray(small[..., ::-1]))
        found = [] if faces is None else [face[4:14].reshape(5, 2) / scale for face in faces]
        return sorted(found, key=lambda face: tuple(face[0]))

    return find


def cascade_finder() -> Finder:
    """OpenCV's cascades (Viola and Jones, 2001), for faces and for the eyes in them.

    Nose and mouth are placed where most faces with these eyes have them.
    """
    faces, eyes = (_cascade(f"haarcascade_{name}.xml") for name in ("frontalface_alt2", "eye"))

    def find(picture: np.ndarray) -> list[np.ndarray]:
        small, scale = _searched(luma(picture))
        squares = faces.detectMultiScale(small, 1.1, 5, minSize=(SMALLEST_FACE, SMALLEST_FACE))
        # Their order depends on threads.
        return [_landmarks(small, eyes, s) / scale for s in sorted(squares, key=tuple)]

    return find


def _cascade(name: str) -> cv2.CascadeClassifier:
    folder = Path(cv2.data.haarcascades)  # type: ignore[attr-defined]
    cascade = cv2.CascadeClassifier(str(folder / name))
    if cascade.empty():
        raise OptionError(f"{name} is not in {folder}: install opencv-python again.")
    return cascade


def _searched(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the copy in which faces are searched, and its scale relative to the picture."""
    scale = min(1, SEARCHED_SIDE / max(picture.shape[:2]))
    if scale == 1:
        return picture, 1
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), scale


def _landmarks(luma: np.ndarray, eyes: cv2.CascadeClassifier, square: Sequence[int]) -> np.ndarray:
    """Return the landmarks of the face in a square: x, y, width and height."""
    x, y, side, _ = square
    upper = luma[y : y + side * 3 // 5, x : x + side]
    upper = cv2.resize(upper, None, fx=200 / side, fy=200 / side)  # so that eyes have a known size
    upper = cv2.createCLAHE(2, (4, 4)).apply(upper)  # one eye is often in shadow
    found = eyes.detectMultiScale(upper, 1.05, 2, minSize=(28, 28), maxSize=(90, 90))
    centers = np.array([(ex + ew / 2, ey + eh / 2) for ex, ey, ew, eh in found]).reshape(-1, 2)
    return _from_eyes(_pair(centers / 200) * side + (x, y))


def _pair(centers: np.ndarray) -> np.ndarray:
    """Choose both eyes among the candidates; a missing eye is placed relative to the other."""
    aside = np.zeros((2, 2))
    known = np.zeros(2, bool)
    for index, usual in enumerate(EYES):
        distances = np.linalg.norm(centers - usual, axis=1)
        if len(centers) and distances.min() < ASIDE:
            aside[index] = centers[distances.argmin()] - usual
            known[index] = True
    if known.any():
        aside[~known] = aside[known].mean(axis=0)
    return EYES + aside


def _from_eyes(eyes: np.ndarray) -> np.ndarray:
    """Rotate and scale the template so that its eyes are at these places."""
    usual, seen = TEMPLATE[:2] @ (1, 1j), eyes @ (1, 1j)
    moved = (TEMPLATE @ (1, 1j) - usual[0]) * (seen[1] - seen[0]) / (usual[1] - usual[0]) + seen[0]
    return np.stack([moved.real, moved.imag], axis=1)
