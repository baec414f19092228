"""Tests of the distinction between pictures and flat frames."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from oldfilm.imaging.content import blend_by_content, content, is_flat
from oldfilm.imaging.resample import fitted_size


def blank(level: float, height: int = 120, width: int = 160) -> np.ndarray:
    return np.full((height, width, 3), level, np.float32)


def grainy(image: np.ndarray, sigma: float, coarseness: float = 0) -> np.ndarray:
    grain = np.random.default_rng(0).normal(0, 1, image.shape[:2]).astype(np.float32)
    if coarseness:
        grain = cv2.GaussianBlur(grain, (0, 0), coarseness)
    return np.clip(image + sigma * grain[..., None] / grain.std(), 0, 1).astype(np.float32)


@pytest.mark.parametrize("level", [0, 0.1, 0.5, 1])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (120, 160), (1080, 1440)])
def test_blank_film_is_flat(level: float, size: tuple[int, int]) -> None:
    assert content(blank(level, *size)) == 0


def test_tinted_film_without_a_picture_is_flat() -> None:
    assert is_flat(blank(1) * np.float32([0.3, 0.4, 0.7]))


@pytest.mark.parametrize("sigma", [0.02, 0.05])
@pytest.mark.parametrize("coarseness", [0, 1])
@pytest.mark.parametrize("size", [(48, 64), (240, 320), (720, 960)])
def test_grain_is_not_a_picture(sigma: float, coarseness: float, size: tuple[int, int]) -> None:
    assert is_flat(grainy(blank(0.5, *size), sigma, coarseness))


def vignette(corner: float, height: int, width: int) -> np.ndarray:
    """Return the light of a lens, 1 at the center, by the cosine-fourth law: [h, w, 1]."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = np.hypot(x, y) / np.sqrt(2) * np.arccos(corner**0.25)
    return np.float32(np.cos(angle) ** 4)[..., None]


@pytest.mark.parametrize("corner", [0.9, 0.7, 0.55])
@pytest.mark.parametrize("sigma", [0, 0.02, 0.04])
@pytest.mark.parametrize("size", [(48, 64), (120, 160), (480, 640)])
def test_a_vignette_on_flat_film_is_not_a_picture(
    corner: float, sigma: float, size: tuple[int, int]
) -> None:
    tinted = blank(0.8, *size) * np.float32([1, 0.8, 0.5]) * vignette(corner, *size)
    assert is_flat(grainy(tinted, sigma))


def test_strong_fine_grain_is_not_a_picture() -> None:
    assert is_flat(grainy(blank(0.5, 240, 320), 0.09))


def test_a_speck_of_dust_is_not_a_picture() -> None:
    image = blank(0.5, 240, 320)
    cv2.circle(image, (100, 100), 4, (0, 0, 0), -1)
    assert is_flat(image)


def test_uneven_light_of_two_percent_is_not_a_picture() -> None:
    assert is_flat(blank(0.5) + np.linspace(0, 0.02, 160, dtype=np.float32)[:, None])


@pytest.mark.parametrize("size", [(60, 80), (240, 320), (1080, 1440)])
@pytest.mark.parametrize("levels", [(0, 1), (0.9, 0.1)])
def test_a_title_on_flat_ground_is_a_picture(
    size: tuple[int, int], levels: tuple[float, float]
) -> None:
    image = blank(levels[0], *size)
    place, scale = (size[1] // 4, size[0] // 2), size[0] / 300
    cv2.putText(image, "THE END", place, 0, scale, [levels[1]] * 3, max(1, size[0] // 200))
    assert content(image) == 1


@pytest.mark.parametrize("name", ["astronaut", "camera", "chelsea", "coffee", "page"])
def test_photographs_are_pictures(name: str) -> None:
    image = np.atleast_3d(getattr(data, name)()).astype(np.float32) / 255
    assert content(image) == 1
    assert content(grainy(image, 0.05)) == 1
    assert content(0.3 + 0.3 * image) == 1, "faded"


@pytest.mark.parametrize("name", ["astronaut", "camera", "coffee", "rocket"])
@pytest.mark.parametrize("side", [16, 24, 32, 48, 64, 96])
@pytest.mark.parametrize("blur", [0, 1, 2])
def test_small_soft_photographs_are_pictures(name: str, side: int, blur: float) -> None:
    image = np.atleast_3d(getattr(data, name)()).astype(np.float32) / 255
    small = cv2.resize(image, fitted_size(*image.shape[1::-1], side), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), blur) if blur else small
    assert content(np.atleast_3d(soft)) == 1


def test_soft_blobs_on_a_small_frame_are_a_picture() -> None:
    blobs = cv2.GaussianBlur(np.random.default_rng(5).random((32, 32)), (0, 0), 2.5)
    blobs = 0.25 + 0.5 * (blobs - blobs.min()) / np.ptp(blobs)
    assert content(np.float32(blobs)[..., None]) == 1


def test_colors_of_equal_brightness_are_a_picture() -> None:
    image = blank(0.5)
    image[:, 80:] = 0.7, 0.41, 0.45
    assert content(image) == 1


def test_a_fine_pattern_is_a_picture() -> None:
    assert content(np.random.default_rng(0).random((60, 80, 3), dtype=np.float32)) == 1


@pytest.mark.parametrize("ground", [0, 0.5, 1])
def test_content_falls_smoothly_in_a_fade(ground: float) -> None:
    picture = data.astronaut().astype(np.float32) / 255
    shown = [content(ground + (picture - ground) * np.float32(s)) for s in np.linspace(1, 0, 200)]
    assert shown[0] == 1
    assert shown[-1] == 0
    steps = np.diff(shown)
    assert steps.max() <= 1e-6
    assert steps.min() > -0.15


def test_a_flat_result_is_its_source_at_the_new_size() -> None:
    source = blank(0.5)[..., :1]
    invented = np.random.default_rng(0).random((240, 320, 3), dtype=np.float32)
    assert np.array_equal(blend_by_content(source, invented, 0), blank(0.5, 240, 320))
    assert blend_by_content(source, invented, 1) is invented
    half = blend_by_content(source, invented, 0.5)
    np.testing.assert_allclose(half, (invented + 0.5) / 2, atol=1e-6)
