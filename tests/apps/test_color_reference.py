"""DeOldify with references: it takes the colors of given pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

import oldfilm
from oldfilm import media
from oldfilm.cli.main import main
from oldfilm.errors import MediaError, OptionError
from oldfilm.imaging.color import luma
from tests.films import facts, make_film

pytest.importorskip("paddle")

from oldfilm.apps.deoldify.predictor import DeOldifyPredictor  # noqa: E402
from oldfilm.apps.deoldify.smoothing import OFFSETS  # noqa: E402


def scene(shift: int = 0, seed: int = 0) -> np.ndarray:
    """A textured color picture, float32 [96, 128, 3] in [0, 1]; the content moves to the left."""
    rng = np.random.default_rng(seed)
    shades = rng.random((14, 30), dtype=np.float32)
    texture = cv2.resize(shades, (240, 96), interpolation=cv2.INTER_CUBIC)
    hues = cv2.resize(rng.random((3, 6, 3), dtype=np.float32), (240, 96))
    picture = np.clip(0.15 + 0.5 * texture[..., None] + 0.5 * (hues - 0.5), 0, 1)
    return np.ascontiguousarray(picture[:, 10 + shift : 138 + shift])


def gray(*pictures: np.ndarray) -> np.ndarray:
    return np.stack([luma(picture)[..., None] for picture in pictures])


def predictor(**options) -> DeOldifyPredictor:
    return DeOldifyPredictor(device="cpu", variant="lite", render_factor=6, **options)


def chroma_error(colored: np.ndarray, truth: np.ndarray) -> float:
    pair = [
        cv2.cvtColor(x.astype(np.float32), cv2.COLOR_RGB2LAB)[..., 1:] for x in (colored, truth)
    ]
    return float(np.abs(pair[0] - pair[1]).mean())


@pytest.fixture(scope="module")
def plain_error() -> float:
    """The error of the network by itself."""
    return chroma_error(predictor().predict(gray(scene()))[0], scene())


def test_a_frame_that_moved_takes_the_colors_of_the_reference(plain_error) -> None:
    for shift in (0, 6, 30):
        colored = predictor(color_reference=scene()).predict(gray(scene(shift)))[0]
        assert chroma_error(colored, scene(shift)) < 0.5 * plain_error


def test_luma_stays_with_a_reference() -> None:
    frames = gray(scene(3))
    colored = predictor(color_reference=scene()).predict(frames)
    np.testing.assert_allclose(luma(colored[0]), frames[0, ..., 0], atol=1e-5)


def test_a_reference_of_another_exposure_and_size_works_too(plain_error) -> None:
    darker = cv2.resize(0.8 * scene(), (320, 200), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    colored = predictor(color_reference=darker).predict(gray(scene(5)))[0]
    assert chroma_error(colored, scene(5)) < 0.7 * plain_error


def test_each_shot_takes_the_reference_that_resembles_it(plain_error) -> None:
    references = [scene(seed=seed) for seed in range(6)]
    for seed in (1, 5):
        colored = predictor(color_reference=references).predict(gray(scene(4, seed)))[0]
        alone = predictor(color_reference=scene(seed=seed)).predict(gray(scene(4, seed)))[0]
        assert np.abs(colored - alone).mean() < 0.02


def test_what_a_reference_does_not_show_is_left_to_the_network() -> None:
    frames = gray(scene(seed=8))
    ours = predictor().predict(frames)[0]
    other = np.tile(np.float32([0.9, 0.1, 0.1]), (96, 128, 1))
    assert chroma_error(predictor(color_reference=other).predict(frames)[0], ours) < 3


@pytest.mark.slow
def test_a_frame_does_not_depend_on_where_its_window_begins() -> None:
    reach = OFFSETS[-1]
    film = gray(*(scene(t) for t in range(2 * reach + 4)))
    referring = predictor(color_reference=scene(8))
    all_at_once = referring.restore(film, slice(reach, reach + 3))
    alone = predictor(color_reference=scene(8)).restore(
        film[1 : 2 * reach + 2], slice(reach, reach + 1)
    )
    np.testing.assert_array_equal(alone[0], all_at_once[1])


def save(path, picture):
    media.write_photograph(path, picture)
    return path


def test_files_folders_images_and_arrays_are_the_same_reference(tmp_path) -> None:
    picture = np.rint(scene() * 255).astype(np.uint8)
    (tmp_path / "colors").mkdir()
    path = save(tmp_path / "colors" / "a.png", picture / np.float32(255))
    given = [path, str(path), tmp_path / "colors", Image.fromarray(picture), picture]
    prints = [predictor(color_reference=each).fingerprint()["color_reference"] for each in given]
    assert len(set(prints)) == 1
    assert prints[0] != predictor(color_reference=scene(1)).fingerprint()["color_reference"]


def test_a_gray_or_missing_reference_is_refused(tmp_path) -> None:
    with pytest.raises(OptionError, match="`color_reference=.*gray.png`: this picture is gray"):
        predictor(color_reference=save(tmp_path / "gray.png", gray(scene())[0]))
    with pytest.raises(OptionError, match="picture 2"):
        predictor(color_reference=[scene(), gray(scene())[0]])
    with pytest.raises(MediaError, match="nothing.png"):
        predictor(color_reference=tmp_path / "nothing.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="no photographs"):
        predictor(color_reference=tmp_path / "empty")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", frames=12, size=(64, 48))


@pytest.fixture
def options(tmp_path):
    """A value for every option that decides colors."""
    (tmp_path / "hints.yaml").write_text("- {at: 0.25, box: [5, 5, 20, 20], color: teal}")
    return {
        "color_reference": [save(tmp_path / "a.png", scene()), save(tmp_path / "b.png", scene(9))],
        "color_hints": tmp_path / "hints.yaml",
        "saturation": 1.4,
        "warmth": 0.3,
        "keep_tint": True,
        "render_factor": 3,
        "variant": "lite",
        "device": "cpu",
    }


@pytest.mark.slow
def test_the_flags_the_keywords_and_the_constructor_give_the_same_frames(
    film, options, tmp_path
) -> None:
    results = [tmp_path / f"{door}.mkv" for door in ("flags", "keywords", "constructor")]
    flags = ["--input", str(film), "--output", str(results[0]), "--process_order", "DeOldify"]
    flags += ["--saturation", "1.4", "--warmth", "0.3", "--keep-tint", "--render_factor", "3"]
    flags += ["--variant", "lite", "--cpu", "--color_hints", str(options["color_hints"])]
    flags += ["--colo\u0075r-reference", *map(str, options["color_reference"])]  # also British
    assert main(flags) == 0
    oldfilm.restore(film, "DeOldify", results[1], **options)
    DeOldifyPredictor(output=str(results[2]), **options).run(film, save_frames=False)
    images = [facts(path)["images"] for path in results]
    np.testing.assert_array_equal(images[1], images[0])
    np.testing.assert_array_equal(images[2], images[0])


def test_segments_and_workers_give_the_same_frames(film, tmp_path) -> None:
    save(tmp_path / "a.png", scene())
    same = {"variant": "lite", "device": "cpu", "codec": "ffv1", "render_factor": 3}
    same["color_reference"] = tmp_path / "a.png"
    whole = oldfilm.restore(film, "DeOldify", tmp_path / "a.mkv", **same)
    parts = oldfilm.restore(
        film, "DeOldify", tmp_path / "b.mkv", **same, segment_frames=5, workers=2
    )
    np.testing.assert_array_equal(facts(whole.path)["images"], facts(parts.path)["images"])


def test_a_photograph_takes_the_colors_of_a_reference(tmp_path, plain_error) -> None:
    photograph = save(tmp_path / "old.png", gray(scene(12))[0])
    reference = save(tmp_path / "new.jpg", scene())
    summary = oldfilm.restore(
        photograph,
        "DeOldify",
        tmp_path / "out.png",
        variant="lite",
        device="cpu",
        render_factor=6,
        color_reference=reference,
    )
    assert chroma_error(media.read_photograph(summary.path).image, scene(12)) < 0.6 * plain_error


def test_a_preset_takes_references(film, tmp_path) -> None:
    save(tmp_path / "a.png", scene())
    preset = tmp_path / "mine.yaml"
    preset.write_text(
        "process_order: DeOldify\nvariant: lite\nrender_factor: 3\n"
        f"color_reference: ['{tmp_path / 'a.png'}']\n"
    )
    summary = oldfilm.restore(film, preset=str(preset), output=tmp_path, device="cpu")
    assert summary.path.name == "film_mine_out.mp4"
