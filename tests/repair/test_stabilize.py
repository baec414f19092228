"""Stabilize, on clips with known gate weave."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from oldfilm.repair.stabilize import MARGIN, Stabilize, shifted
from oldfilm.stage import FilmInfo
from tests.repair.segments import restore_segment

FRAMES, HEIGHT, WIDTH = 48, 96, 128
ROOM = 90
"""Pixels of scenery around the camera's first view."""

MIDDLE = np.s_[:, 8:-8, 8:-8]


def scene(path: np.ndarray, channels: int = 3, seed: int = 0) -> np.ndarray:
    """A still picture seen by a camera that moves along `path` [t, 2]: x, y in pixels."""
    rng = np.random.default_rng(seed)
    noise = rng.random((HEIGHT + 2 * ROOM, WIDTH + 2 * ROOM, channels), dtype=np.float32)
    wide = cv2.GaussianBlur(noise, (0, 0), 3).reshape(noise.shape)
    wide = (wide - wide.min()) / (wide.max() - wide.min())
    inside = np.s_[ROOM:-ROOM, ROOM:-ROOM]
    return np.stack([shifted(wide, place)[inside] for place in path])


def weave(seed: int = 1) -> np.ndarray:
    """The weave of a worn gate: random jumps and a slow sway; [t, 2]."""
    rng = np.random.default_rng(seed)
    sway = 0.8 * np.sin(np.arange(FRAMES)[:, None] * 2 * np.pi / [10, 14] + [0, 1])
    return rng.normal(0, 0.7, (FRAMES, 2)) + sway


def place(frame: np.ndarray, still: np.ndarray) -> np.ndarray:
    """The shift of a frame against a still one: x, y in pixels."""
    lumas = [image[8:-8, 8:-8].mean(axis=2) for image in (still, frame)]
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-7)
    start = np.eye(2, 3, dtype=np.float32)
    found = cv2.findTransformECC(*lumas, start, cv2.MOTION_TRANSLATION, criteria, None, 5)
    return found[1][:, 2]


def places(clip: np.ndarray, still: np.ndarray) -> np.ndarray:
    return np.array([place(*pair) for pair in zip(clip, still)])


def spread(path: np.ndarray) -> float:
    """Root mean square distance from the mean place."""
    return float(np.sqrt(np.square(path - path.mean(axis=0)).sum(axis=1).mean()))


@pytest.mark.parametrize("channels", [1, 3])
def test_weave_falls_to_less_than_a_third(channels):
    still = scene(np.zeros((FRAMES, 2)), channels)
    weaving = scene(weave(), channels)
    steady = Stabilize().predict(weaving)
    assert steady.shape == weaving.shape
    assert steady.dtype == np.float32
    assert spread(places(steady, still)) < spread(places(weaving, still)) / 3


def test_a_pan_survives_and_its_weave_is_removed():
    pan = np.arange(FRAMES)[:, None] * [1.5, 0.0]
    smooth, weaving = scene(pan), scene(pan + weave())
    np.testing.assert_allclose(places(Stabilize().predict(smooth), smooth), 0, atol=0.1)
    assert spread(places(Stabilize().predict(weaving), smooth)) < spread(weave()) / 3


def test_a_large_moving_object_does_not_pull_the_picture_along():
    still = scene(np.zeros((FRAMES, 2)))
    clip = still.copy()
    obstacle = scene(np.zeros((1, 2)), seed=7)[0, :60, :40]
    for index in range(FRAMES):
        left = (index * 5) % (WIDTH - 40)
        clip[index, 20:80, left : left + 40] = obstacle
    steady = Stabilize().predict(clip)
    assert np.abs(steady[:, :16] - still[:, :16]).max() < 0.02


def test_flicker_is_not_mistaken_for_weave():
    still = scene(np.zeros((FRAMES, 2)))
    levels = np.random.default_rng(3).uniform(0.7, 1.0, (FRAMES, 1, 1, 1)).astype(np.float32)
    flickering = still * levels
    assert np.abs(Stabilize().predict(flickering) - flickering).max() < 0.02


def test_an_undetected_cut_moves_nothing():
    none = np.zeros((FRAMES // 2, 2))
    clip = np.concatenate([scene(none), scene(none, seed=9)])
    np.testing.assert_allclose(Stabilize().predict(clip), clip, atol=0.02)


def test_a_crop_leaves_out_filled_borders_and_its_size_is_known_beforehand():
    path = 2 * weave()
    info = FilmInfo(WIDTH, HEIGHT, Fraction(16), FRAMES)
    described = Stabilize(crop=True).describe(info)
    across, down = (WIDTH - described.width) // 2, (HEIGHT - described.height) // 2
    assert across >= MARGIN * WIDTH
    assert down >= MARGIN * HEIGHT
    weaving = scene(path)
    cropped = Stabilize(crop=True).predict(weaving)
    assert cropped.shape == (FRAMES, described.height, described.width, 3)
    whole = Stabilize().predict(weaving)
    np.testing.assert_array_equal(cropped, whole[:, down:-down, across:-across])


def test_no_frame_is_shifted_further_than_the_margin():
    jump = np.zeros((FRAMES, 2))
    jump[20] = 7, -6
    left = np.array([[7 - MARGIN * WIDTH, -6 + MARGIN * HEIGHT]])
    steady = Stabilize().predict(scene(jump))[20]
    assert np.abs(steady - scene(left)[0])[8:-8, 8:-8].max() < 0.02


def test_borders_are_filled_from_neighboring_frames():
    jump = np.zeros((FRAMES, 2))
    jump[20] = 4, -3
    still = scene(np.zeros((1, 2)))[0]
    steady = Stabilize().predict(scene(jump))[20]
    assert np.abs(steady - still).mean(axis=(1, 2)).max() < 0.02
    assert np.abs(steady - still).mean(axis=(0, 2)).max() < 0.02


def test_filled_borders_are_as_bright_as_their_frame():
    jump = np.zeros((FRAMES, 2))
    jump[20] = 4, -3
    clip = scene(jump) * 0.8
    clip[20] += 0.1
    still = scene(np.zeros((1, 2)))[0] * 0.8 + 0.1
    steady = Stabilize().predict(clip)[20]
    assert np.abs(steady - still).mean(axis=(1, 2)).max() < 0.03
    assert np.abs(steady - still).mean(axis=(0, 2)).max() < 0.03


@pytest.mark.parametrize("darkened", [False, True])
def test_pixels_next_to_a_bare_border_are_filled_only_where_the_films_edge_darkens_them(darkened):
    jump = np.zeros((FRAMES, 2))
    jump[20] = 0, 3
    clip = scene(jump) * 0.8
    if darkened:
        clip[:, :2] *= 0.5
    clip[20, :2, 60:64] = 1  # dust in this frame only
    steady = Stabilize().predict(clip)[20]
    apart = np.abs(steady - 0.8 * scene(np.zeros((1, 2)))[0])[3:5]
    if darkened:
        assert apart.max() < 0.06
    else:
        assert apart.max() > 0.3
        assert np.delete(apart, np.s_[52:72], axis=1).max() < 0.03


def test_a_moving_object_at_the_border_is_not_filled_from_its_old_place():
    """A foot runs along the lower edge."""
    jump = np.zeros((FRAMES, 2))
    jump[20] = 0, -3
    clip = scene(jump) * 0.9 + 0.1
    for index, frame in enumerate(clip):
        left = 20 * (index - 20) + 50
        frame[84:, max(left, 0) : max(left + 12, 0)] = 0
    steady = Stabilize().predict(clip)[20]
    assert steady[90:, 53:59].max() < 0.05
    assert steady[90:, 4:40].min() > 0.1
    assert steady[90:, 70:120].min() > 0.1


def test_a_black_matte_stays_in_place_and_leaves_no_line_in_the_picture():
    matted = scene(weave())
    matted[:, :, :4], matted[:, :, -6:], matted[:, :3] = 0, 0, 0
    steady = Stabilize().predict(matted)
    assert steady[:, :, :4].max() == 0
    assert steady[:, :, -6:].max() == 0
    assert steady[:, :3].max() == 0
    still = scene(np.zeros((1, 2)))
    assert np.abs(steady - still)[8:-8, 6:, 6:-8].mean(axis=(0, 1, 3)).max() < 0.05


def test_sharpness_is_kept():
    weaving = scene(weave())
    steady = Stabilize().predict(weaving)
    detail = [np.abs(np.diff(clip[MIDDLE], axis=2)).mean() for clip in (weaving, steady)]
    assert detail[1] > 0.98 * detail[0]


def test_windows_and_segments_do_not_change_any_frame():
    clip = scene(weave())
    whole = Stabilize().predict(clip)
    np.testing.assert_array_equal(restore_segment(Stabilize(), clip, 22, 28), whole[22:28])


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_few_flat_frames_are_returned_unchanged(length):
    clip = np.full((length, 5, 9, 3), 0.5, np.float32)
    np.testing.assert_array_equal(Stabilize().predict(clip), clip)
