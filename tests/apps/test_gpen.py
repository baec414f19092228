"""GPEN restores faces as they are, and steadies them in films."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

pytest.importorskip("paddle")

import oldfilm  # noqa: E402
from oldfilm.apps import GPENPredictor  # noqa: E402
from oldfilm.apps.gpen import smoothed_landmarks  # noqa: E402
from oldfilm.apps.old_photo import face_finders  # noqa: E402
from oldfilm.errors import OptionError  # noqa: E402
from tests.apps import tiny  # noqa: E402
from tests.films import facts, ffmpeg  # noqa: E402

SMALL = {"size": 64, "style_dim": 16, "n_mlp": 1, "narrow": 0.0625}
FACE = np.array([(40, 50), (60, 50), (50, 62), (43, 74), (57, 74)], float)


@pytest.fixture(autouse=True)
def _installed(tmp_path, monkeypatch):
    tiny.install(monkeypatch, tmp_path, "gpen", SMALL)
    monkeypatch.setitem(sys.modules, face_finders.LANDMARKS_PACKAGE, None)  # as if not installed


needs_cascades = pytest.mark.skipif(
    not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no cascades"
)


@needs_cascades
def test_a_face_is_painted_and_the_rest_of_the_picture_stays(tmp_path, caplog):
    Image.fromarray(data.astronaut()[:320, 96:352]).save(tmp_path / "old.jpg", quality=95)
    restored, path = GPENPredictor(str(tmp_path / "out"), model_type="gpen-ffhq-256").run(
        str(tmp_path / "old.jpg")
    )
    assert path == str(tmp_path / "out" / "gpen_predict.png")
    assert "Paddle runs in place" not in caplog.text
    before, after = np.asarray(Image.open(tmp_path / "old.jpg")), np.asarray(restored)
    assert after.shape == before.shape
    changed = np.abs(after.astype(int) - before) > 2
    assert changed[80:150, 94:164].mean() > 0.3  # the face
    assert not changed[260:].any()


@needs_cascades
def test_a_film_with_a_face_is_the_same_with_workers(tmp_path):
    head = np.ascontiguousarray(data.astronaut()[:256, 96:352])
    frames = np.stack([np.roll(head, step, axis=1) for step in range(6)])
    film = tmp_path / "film.mp4"
    raw = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", "256x256"]
    ffmpeg(*raw, "-i", "pipe:0", "-crf", "8", f"file:{film}", data=frames.tobytes())
    chain = {"device": "cpu", "segment_frames": 3, "progress": False}
    alone = oldfilm.restore(film, "Faces", tmp_path / "alone.mp4", **chain)
    two = oldfilm.restore(film, "Faces", tmp_path / "two.mp4", workers=2, **chain)
    assert facts(alone.path)["frames"] == 6
    np.testing.assert_array_equal(facts(alone.path)["images"], facts(two.path)["images"])


def test_landmarks_that_tremble_are_steadied():
    tremble = np.random.default_rng(0).normal(0, 1, (9, 5, 2))
    moving = [FACE + (2 * t, t) for t in range(9)]
    found = [[face + noise] for face, noise in zip(moving, tremble)]
    before = [np.abs(found[t][0] - moving[t]).mean() for t in range(2, 7)]
    after = [np.abs(smoothed_landmarks(found, t)[0] - moving[t]).mean() for t in range(2, 7)]
    assert np.mean(after) < 0.6 * np.mean(before)


def test_steady_motion_is_kept():
    found = [[FACE + (3 * t, t)] for t in range(5)]
    for t in range(5):
        np.testing.assert_allclose(smoothed_landmarks(found, t)[0], found[t][0])


def test_a_face_in_one_frame_alone_is_a_mistake_and_a_missing_one_is_added():
    distant = FACE + 200
    found = [[FACE], [distant, FACE], [], [FACE + 2], [FACE + 2]]
    assert len(smoothed_landmarks(found, 1)) == 1
    (added,) = smoothed_landmarks(found, 2)
    np.testing.assert_allclose(added, FACE + 1)


def test_the_faces_of_a_photograph_are_kept():
    assert len(smoothed_landmarks([[FACE, FACE + 200]], 0)) == 2


def test_other_sizes_and_types_are_refused():
    with pytest.raises(OptionError, match="choose from 256, 512"):
        GPENPredictor(size=1024)
    with pytest.raises(OptionError, match="only gpen-ffhq-256"):
        GPENPredictor(model_type="gpen-ffhq-2048")
