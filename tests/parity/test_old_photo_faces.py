"""Faces are aligned and blended as by the authors, given the same landmarks and faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oldfilm.apps.old_photo.faces import aligned, blend, matched, similarity, template
from tests.parity import formula

EXPECTED = np.load(Path(__file__).parent / "old_photo_faces.npz")
LANDMARKS = (
    np.array([(60, 70), (118, 62), (95, 100), (72, 135), (120, 128)]),
    np.array([(150, 40), (214, 66), (176, 90), (140, 112), (186, 132)]),
)
"""A rotated face, and one that overlaps it, is rotated further, and leaves the picture."""


def picture(name: str, height: int, width: int) -> np.ndarray:
    """Return a picture, rounded to 8 bits."""
    made = formula.picture(name, (3, height, width)).transpose(1, 2, 0)
    return np.rint(made * 255).astype(np.float32) / 255


def check(name: str, found: np.ndarray) -> None:
    stored = EXPECTED[name]
    np.testing.assert_allclose(formula.sampled(found, stored.size), stored, atol=2e-5)


@pytest.mark.parametrize("side", [256, 512])
def test_faces_are_aligned_and_blended_as_by_the_authors(side: int) -> None:
    image = picture("photograph 180x230", 180, 230)
    result = image.copy()
    for number, landmarks in enumerate(LANDMARKS, 1):
        matrix = similarity(template(side), landmarks)
        np.testing.assert_allclose(matrix, EXPECTED[f"faces matrix {side} {number}"], atol=1e-5)
        face = aligned(image, matrix, side)
        check(f"faces aligned {side} {number}", face)
        painted = matched(picture(f"face {side} {number}", side, side), face)
        check(f"faces matched {side} {number}", painted)
        blend(result, painted, matrix)
    check(f"faces blended {side}", result)
    assert np.abs(result - image).max() > 0.5
