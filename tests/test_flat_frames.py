"""Frames that show nothing stay as they are through every stage: black, white, blank film."""

from __future__ import annotations

import copy
import functools

import cv2
import numpy as np
import pytest

from oldfilm.apps import PREDICTORS, REPAIR, predictor_class
from oldfilm.apps.interpolator import Interpolator
from oldfilm.imaging.content import content
from oldfilm.pipeline import RunnableStage

HEIGHT, WIDTH = 64, 96
OPTIONS = {
    "DeOldify": {"variant": "lite", "device": "cpu"},
    "PPMSVSR": {"variant": "lite", "device": "cpu"},
    "DAIN": {"variant": "lite", "device": "cpu"},
    "OldPhoto": {"variant": "lite", "device": "cpu", "with_scratch": True},
}
ALL = [*OPTIONS, *(name for name in REPAIR if name != "Deinterlace")]
FADING = 16


@functools.cache
def stage(name: str) -> RunnableStage:
    return predictor_class(name)(**OPTIONS.get(name, {}))


def restored(name: str, film: np.ndarray) -> np.ndarray:
    """Restore frames, and return those at the times of the source, at its size: [t, h, w, 3]."""
    found = stage(name).restored(np.ascontiguousarray(film, np.float32))
    found = found[:: len(found) // len(film)]
    size = (film.shape[2], film.shape[1])
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in found])


@functools.cache
def restored_scene(name: str) -> np.ndarray:
    return restored(name, scene(11))


def blank(level: float | tuple[float, ...], count: int = 6) -> np.ndarray:
    return np.full((count, HEIGHT, WIDTH, 3), level, np.float32)


def grainy() -> np.ndarray:
    grain = np.random.default_rng(0).normal(0, 0.02, (6, HEIGHT, WIDTH, 1))
    return blank(0.5) + grain


def vignetted() -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    return grainy() * np.float32(1 - 0.15 * (x * x + y * y))[..., None]


def scene(count: int) -> np.ndarray:
    """Return a gray, faded scene that moves by a pixel per frame."""
    wide = np.random.default_rng(1).random((HEIGHT, WIDTH + count), dtype=np.float32)
    wide = cv2.GaussianBlur(wide, (0, 0), 4)
    wide = 0.14 + 0.6 * (wide - wide.min()) / np.ptp(wide)
    frames = np.stack([wide[:, i : i + WIDTH] for i in range(count)])
    return np.repeat(frames[..., None], 3, axis=3)


@pytest.mark.parametrize(
    "film",
    [blank(0), blank(1), blank(0.5), blank((0.3, 0.4, 0.6)), grainy(), vignetted()],
    ids=["black", "white", "gray", "tinted", "grainy", "vignetted"],
)
@pytest.mark.parametrize("name", ALL)
def test_a_flat_film_stays_as_it_is(name: str, film: np.ndarray) -> None:
    found = restored(name, film)
    assert np.abs(found.mean((1, 2)) - film.mean((0, 1, 2))).max() < 0.002
    assert max(content(frame) for frame in found) == 0


@pytest.mark.parametrize("name", ["DeOldify", "OldPhoto", "Grade", "PPMSVSR"])
def test_a_flat_photograph_stays_as_it_is(name: str) -> None:
    photograph = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    assert (stage(name).predict(photograph) == 128).all()


@pytest.mark.parametrize("level", [0, 0.45, 1])
@pytest.mark.parametrize("name", ALL)
def test_a_flat_frame_among_pictures_stays_flat(name: str, level: float) -> None:
    film, without = scene(11), restored_scene(name)
    film[5] = level
    found = restored(name, film)
    assert np.abs(found[5] - level).max() < 0.002
    assert np.abs(found[[3, 4, 6, 7]] - without[[3, 4, 6, 7]]).mean() < 0.02


@pytest.mark.parametrize("name", ALL)
def test_a_title_is_restored_like_any_picture(name: str) -> None:
    film = blank(0)
    for frame in film:
        cv2.putText(frame, "FIN", (24, 40), 0, 1, (1, 1, 1), 2)
    plain = copy.copy(stage(name))
    plain.keeps_flat_frames = False
    expected = plain.restored(film)
    for ours, theirs in zip(stage(name).restored(film), expected):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("ground", [0.14, 0.5, 1])
@pytest.mark.parametrize("name", ["DeOldify", "Grade", "Deflicker", "OldPhoto"])
def test_a_fade_to_a_flat_frame_does_not_jump(name: str, ground: float) -> None:
    shares = np.float32(np.clip(np.linspace(1.5, -0.5, 2 * FADING), 0, 1))[:, None, None, None]
    film = ground + shares * (scene(2 * FADING) - ground)
    means = film.mean((1, 2))
    found = restored(name, film).mean((1, 2))
    largest_step = np.abs(np.diff(means, axis=0)).max()
    assert np.abs(np.diff(found, axis=0)).max() < largest_step + 0.06


def test_grading_a_fade_ends_in_the_black_of_the_film() -> None:
    shares = np.float32(np.clip(np.linspace(2, -0.5, 20), 0, 1))[:, None, None, None]
    found = restored("Grade", 0.14 + shares * (scene(20) - 0.14)).mean((1, 2, 3))
    assert found[16] < 0.09, "the black of the film is 0.14"
    assert (np.diff(found[8:17]) < 0.002).all()


def is_interpolator(name: str) -> bool:
    return issubclass(predictor_class(name), Interpolator)


@pytest.mark.parametrize("name", [name for name in PREDICTORS if not is_interpolator(name)])
def test_every_network_keeps_flat_frames(name: str) -> None:
    fills_what_the_user_marks = name == "AOTGAN"
    assert predictor_class(name).keeps_flat_frames != fills_what_the_user_marks
