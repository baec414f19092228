"""AOT-GAN fills what a mask marks, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("paddle")

import oldfilm  # noqa: E402
from oldfilm.apps import AOTGANPredictor  # noqa: E402
from oldfilm.errors import OptionError  # noqa: E402
from tests.apps import tiny  # noqa: E402
from tests.films import facts, make_film  # noqa: E402
from tests.parity import formula  # noqa: E402

SMALL = {"rates": [1, 2, 4, 8], "block_num": 1, "width": 4}


@pytest.fixture(autouse=True)
def _installed(tmp_path, monkeypatch):
    tiny.install(monkeypatch, tmp_path, "aotgan", SMALL, "full", {"decoder.4.weight": 0.1})


def frames(count, height, width, channels=3):
    film = 0.2 + 0.6 * formula.picture("film", (count, channels, height, width))
    return np.ascontiguousarray(film.transpose(0, 2, 3, 1))


def mask(height, width, *boxes):
    """Return a mask, uint8 [h, w, 1], with boxes of rows and columns."""
    made = np.zeros((height, width, 1), np.uint8)
    for top, bottom, left, right in boxes:
        made[top:bottom, left:right] = 255
    return made


@pytest.mark.parametrize("channels", [1, 3])
def test_only_the_masked_pixels_change(channels, caplog):
    film = frames(2, 71, 90, channels)
    holes = mask(71, 90, (10, 30, 20, 50), (60, 71, 80, 90))
    filled = AOTGANPredictor(mask=holes, device="cpu").predict(film)
    assert "Paddle runs in place" not in caplog.text
    outside = holes[..., 0] == 0
    np.testing.assert_array_equal(filled[:, outside], film[:, outside])
    assert np.abs(filled - film)[:, ~outside].mean() > 0.01


def test_what_was_in_the_hole_does_not_matter():
    film = frames(1, 64, 80)
    other = film.copy()
    other[:, 10:30, 20:50] = 0
    fill = AOTGANPredictor(mask=mask(64, 80, (10, 30, 20, 50)), device="cpu")
    np.testing.assert_allclose(fill.predict(other), fill.predict(film), atol=1e-6)


def test_distant_holes_are_filled_separately():
    film = frames(1, 64, 600)
    one, two = (20, 40, 10, 30), (20, 40, 560, 590)
    both = AOTGANPredictor(mask=mask(64, 600, one, two), device="cpu").predict(film)
    alone = AOTGANPredictor(mask=mask(64, 600, one), device="cpu").predict(film)
    np.testing.assert_array_equal(both[:, :, :300], alone[:, :, :300])


def test_run_takes_two_paths_and_writes_one_as_in_paddlegan(tmp_path):
    picture = (frames(1, 64, 80)[0] * 255).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "old.png")
    Image.fromarray(mask(64, 80, (10, 30, 20, 50))[..., 0]).save(tmp_path / "mask.png")
    weights = str(tmp_path / "aotgan-full.safetensors")
    result = str(tmp_path / "made" / "filled.png")
    gan = AOTGANPredictor(result, weights, None)
    _, path = gan.run(
        input_image_path=str(tmp_path / "old.png"), input_mask_path=str(tmp_path / "mask.png")
    )
    assert path == result
    filled = np.asarray(Image.open(path))
    assert filled.shape == picture.shape
    np.testing.assert_array_equal(filled[:10], picture[:10])


def test_a_mask_is_needed_and_has_the_films_shape(tmp_path):
    film = make_film(tmp_path / "film.mp4", frames=3)
    with pytest.raises(OptionError, match="`mask`: AOTGAN needs a picture"):
        AOTGANPredictor(str(tmp_path)).run(str(film))
    with pytest.raises(OptionError, match="its size is 40x64"):
        AOTGANPredictor(str(tmp_path), mask=mask(64, 40, (0, 9, 0, 9))).run(str(film))
    with pytest.raises(OptionError, match="is black"):
        AOTGANPredictor(str(tmp_path), mask=mask(48, 64)).run(str(film))


def test_a_film_is_the_same_with_workers(tmp_path):
    film = make_film(tmp_path / "film.mp4", frames=6)
    hole = tmp_path / "mask.png"
    Image.fromarray(mask(96, 128, (20, 50, 40, 80))[..., 0]).save(hole)  # twice the film's size
    chain = {"mask": hole, "device": "cpu", "segment_frames": 3, "progress": False}
    alone = oldfilm.restore(film, "AOTGAN", tmp_path / "alone.mp4", **chain)
    two = oldfilm.restore(film, "AOTGAN", tmp_path / "two.mp4", workers=2, **chain)
    assert Path(alone.path).is_file()
    np.testing.assert_array_equal(facts(alone.path)["images"], facts(two.path)["images"])
