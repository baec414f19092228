"""Stabilize, on clips whose weave is known."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.windows import Span
from oldfilm.repair.stabilize import MARGIN, REACH, Stabilize, shifted
from oldfilm.stage import FilmFacts, FilmInfo, Frame, Window

FRAMES, HEIGHT, WIDTH = 48, 96, 128
ROOM = 90
"""Pixels of picture around what the camera shows at first."""

MIDDLE = np.s_[:, 8:-8, 8:-8]


def scene(path: np.ndarray, channels: int = 3, seed: int = 0) -> np.ndarray:
    """A still picture seen by a camera that goes along `path` [t, 2], x, y in pixels."""
    rng = np.random.default_rng(seed)
    noise = rng.random((HEIGHT + 2 * ROOM, WIDTH + 2 * ROOM, channels), dtype=np.float32)
    wide = cv2.GaussianBlur(noise, (0, 0), 3).reshape(noise.shape)
    wide = (wide - wide.min()) / (wide.max() - wide.min())
    inside = np.s_[ROOM:-ROOM, ROOM:-ROOM]
    return np.stack([shifted(wide, place)[inside] for place in path])


def weave(seed: int = 1) -> np.ndarray:
    """What a worn gate does: a jump from frame to frame, and a sway."""
    rng = np.random.default_rng(seed)
    sway = 0.8 * np.sin(np.arange(FRAMES)[:, None] * 2 * np.pi / [10, 14] + [0, 1])
    return rng.normal(0, 0.7, (FRAMES, 2)) + sway


def place(frame: np.ndarray, still: np.ndarray) -> np.ndarray:
    """Where the frame shows what the still one shows, less its place there: x, y in pixels."""
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
def test_at_most_a_third_of_the_weave_is_left(channels):
    still = scene(np.zeros((FRAMES, 2)), channels)
    woven = scene(weave(), channels)
    steady = Stabilize().predict(woven)
    assert steady.shape == woven.shape
    assert steady.dtype == np.float32
    assert spread(places(steady, still)) < spread(places(woven, still)) / 3


def test_a_pan_survives_and_its_weave_does_not():
    pan = np.arange(FRAMES)[:, None] * [1.5, 0.0]
    smooth, woven = scene(pan), scene(pan + weave())
    np.testing.assert_allclose(places(Stabilize().predict(smooth), smooth), 0, atol=0.1)
    assert spread(places(Stabilize().predict(woven), smooth)) < spread(weave()) / 3


def test_something_large_that_moves_does_not_pull_the_picture_along():
    still = scene(np.zeros((FRAMES, 2)))
    clip = still.copy()
    thing = scene(np.zeros((1, 2)), seed=7)[0, :60, :40]
    for index in range(FRAMES):
        left = (index * 5) % (WIDTH - 40)
        clip[index, 20:80, left : left + 40] = thing
    steady = Stabilize().predict(clip)
    assert np.abs(steady[:, :16] - still[:, :16]).max() < 0.02


def test_flicker_is_not_taken_for_weave():
    still = scene(np.zeros((FRAMES, 2)))
    levels = np.random.default_rng(3).uniform(0.7, 1.0, (FRAMES, 1, 1, 1)).astype(np.float32)
    flickering = still * levels
    assert np.abs(Stabilize().predict(flickering) - flickering).max() < 0.02


def test_a_cut_that_nobody_told_moves_nothing():
    none = np.zeros((FRAMES // 2, 2))
    clip = np.concatenate([scene(none), scene(none, seed=9)])
    np.testing.assert_allclose(Stabilize().predict(clip), clip, atol=0.02)


def test_a_crop_has_no_repeated_borders_and_its_size_is_told_before():
    path = 2 * weave()
    info = FilmInfo(WIDTH, HEIGHT, Fraction(16), FRAMES)
    told = Stabilize(crop=True).describe(info)
    across, down = (WIDTH - told.width) // 2, (HEIGHT - told.height) // 2
    assert across >= MARGIN * WIDTH
    assert down >= MARGIN * HEIGHT
    woven = scene(path)
    cropped = Stabilize(crop=True).predict(woven)
    assert cropped.shape == (FRAMES, told.height, told.width, 3)
    whole = Stabilize().predict(woven)
    np.testing.assert_array_equal(cropped, whole[:, down:-down, across:-across])


def test_no_frame_is_moved_further_than_the_margin():
    jump = np.zeros((FRAMES, 2))
    jump[20] = 7, -6
    left = np.array([[7 - MARGIN * WIDTH, -6 + MARGIN * HEIGHT]])
    steady = Stabilize().predict(scene(jump))[20]
    assert np.abs(steady - scene(left)[0])[8:-8, 8:-8].max() < 0.02


def test_borders_are_filled_with_what_the_neighbors_show():
    jump = np.zeros((FRAMES, 2))
    jump[20] = 4, -3
    still = scene(np.zeros((1, 2)))[0]
    steady = Stabilize().predict(scene(jump))[20]
    assert np.abs(steady - still).mean(axis=(1, 2)).max() < 0.02
    assert np.abs(steady - still).mean(axis=(0, 2)).max() < 0.02


def test_borders_are_as_bright_as_the_frame_they_are_filled_in():
    jump = np.zeros((FRAMES, 2))
    jump[20] = 4, -3
    clip = scene(jump) * 0.8
    clip[20] += 0.1
    still = scene(np.zeros((1, 2)))[0] * 0.8 + 0.1
    steady = Stabilize().predict(clip)[20]
    assert np.abs(steady - still).mean(axis=(1, 2)).max() < 0.03
    assert np.abs(steady - still).mean(axis=(0, 2)).max() < 0.03


@pytest.mark.parametrize("darkened", [False, True])
def test_what_is_not_bare_is_filled_only_where_the_films_edge_darkens_it(darkened):
    jump = np.zeros((FRAMES, 2))
    jump[20] = 0, 3
    clip = scene(jump) * 0.8
    if darkened:
        clip[:, :2] *= 0.5
    clip[20, :2, 60:64] = 1  # dust, which no other frame has
    steady = Stabilize().predict(clip)[20]
    apart = np.abs(steady - 0.8 * scene(np.zeros((1, 2)))[0])[3:5]
    if darkened:
        assert apart.max() < 0.06
    else:
        assert apart.max() > 0.3
        assert np.delete(apart, np.s_[52:72], axis=1).max() < 0.03


def test_what_moves_at_a_border_is_not_filled_from_where_it_was():
    """The foot of somebody who runs along the lower edge."""
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


def test_a_black_matte_stays_where_it_is_and_leaves_no_line_in_the_picture():
    matted = scene(weave())
    matted[:, :, :4], matted[:, :, -6:], matted[:, :3] = 0, 0, 0
    steady = Stabilize().predict(matted)
    assert steady[:, :, :4].max() == 0
    assert steady[:, :, -6:].max() == 0
    assert steady[:, :3].max() == 0
    still = scene(np.zeros((1, 2)))
    assert np.abs(steady - still)[8:-8, 6:, 6:-8].mean(axis=(0, 1, 3)).max() < 0.05


def test_what_was_sharp_stays_sharp():
    woven = scene(weave())
    detail = [
        np.abs(np.diff(clip[MIDDLE], axis=2)).mean() for clip in (woven, Stabilize().predict(woven))
    ]
    assert detail[1] > 0.98 * detail[0]


def test_windows_and_segments_do_not_change_a_frame():
    clip = scene(weave())
    whole = Stabilize().predict(clip)
    stage = Stabilize()
    stage.window = Window(core=3, before=REACH, after=REACH)
    info = FilmInfo(WIDTH, HEIGHT, Fraction(16), FRAMES)
    chain = Chain([stage], info)
    chain.analyze(FilmFacts())
    frames = [Frame(image, i / info.rate) for i, image in enumerate(clip)]
    segment = chain.run(frames[22 - REACH : 28 + REACH], Span(22 / info.rate, 28 / info.rate))
    np.testing.assert_array_equal(np.stack([frame.image for frame in segment]), whole[22:28])


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_few_flat_frames_come_back_as_they_were(length):
    clip = np.full((length, 5, 9, 3), 0.5, np.float32)
    np.testing.assert_array_equal(Stabilize().predict(clip), clip)
