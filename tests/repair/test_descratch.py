"""Descratch, on films with known scratches."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from oldfilm.repair.descratch import Descratch, scratches


def film(count: int = 9, speed: int = 3) -> np.ndarray:
    """A soft, slightly grainy texture that drifts to the left: float32 [t, 96, 128, 1]."""
    rng = np.random.default_rng(0)
    field = rng.random((96, 128 + speed * count), dtype=np.float32)
    smooth = cv2.GaussianBlur(field, (0, 0), 3)
    wide = 0.3 + 0.4 * (smooth - smooth.min()) / (smooth.max() - smooth.min())
    frames = np.stack([wide[:, speed * i : speed * i + 128] for i in range(count)])[..., None]
    return (frames + rng.normal(0, 0.004, frames.shape)).astype(np.float32)


@pytest.mark.parametrize("depth", [0.2, -0.2])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_lasting_scratch_is_removed_and_nothing_else_is_touched(depth, channels):
    clean = np.repeat(film(), channels, axis=3)
    damaged = clean.copy()
    damaged[:, 10:80, 60:62] += depth
    restored = Descratch().predict(damaged)
    scratch = np.s_[4, 20:70, 60:62]
    assert np.abs(restored[scratch] - clean[scratch]).mean() < 0.03
    assert np.array_equal(restored[:, :, :54], damaged[:, :, :54])
    assert np.array_equal(restored[:, :, 68:], damaged[:, :, 68:])


def test_the_texture_under_a_scratch_is_kept():
    rng = np.random.default_rng(3)
    clean = np.clip(film() + rng.normal(0, 0.03, (9, 96, 128, 1)), 0, 1).astype(np.float32)
    damaged = clean.copy()
    damaged[:, :, 60:62] += 0.2
    restored = Descratch().predict(damaged)
    under = [frames[4, 20:70, 60, 0] for frames in (restored, clean)]
    fine = [column - cv2.blur(column, (1, 5))[:, 0] for column in under]
    assert np.corrcoef(*fine)[0, 1] > 0.8


def test_a_pole_that_moves_with_the_picture_stays():
    frames = film()
    for index, frame in enumerate(frames):
        frame[:, 80 - 3 * index : 82 - 3 * index] -= 0.2
    assert np.array_equal(Descratch().predict(frames), frames)


def test_a_leaning_rail_stays():
    frames = film()
    for row in range(96):
        frames[:, row, 60 + row // 12 : 62 + row // 12] -= 0.2
    assert np.array_equal(Descratch().predict(frames), frames)


@pytest.mark.parametrize(("width", "is_scratch"), [(2, True), (8, False)])
def test_a_rail_wider_than_a_scratch_is_not_taken_for_one(width, is_scratch):
    places = 3 * np.broadcast_to(np.arange(9, dtype=np.float32)[:, None, None], (9, 96, 128))
    lines = np.zeros((9, 96, 128), np.float32)
    lines[:, :, 60 : 60 + width] = -0.05
    assert scratches(list(lines), places, 4).any() == is_scratch


def test_a_molding_in_a_shot_without_motion_stays():
    frames = film(speed=0)
    frames[:, 10:70, 60:62] -= 0.2
    assert np.array_equal(Descratch().predict(frames), frames)


def test_a_scratch_across_the_whole_height_of_a_still_shot_is_removed():
    clean = film(speed=0)
    damaged = clean.copy()
    damaged[:, :, 60:62] += 0.2
    restored = Descratch().predict(damaged)
    assert np.abs(restored[4] - clean[4]).mean() < 0.2 * np.abs(damaged[4] - clean[4]).mean()


@pytest.mark.parametrize("count", [1, 4])
def test_a_shot_of_fewer_than_five_frames_is_returned_unchanged(count):
    frames = film(count)
    frames[:, :, 60:62] += 0.2
    assert np.array_equal(Descratch().predict(frames), frames)
