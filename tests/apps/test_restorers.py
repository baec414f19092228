"""MPR, NAFNet, SwinIR and InvDN with small networks: files, sizes, tiles, films and options."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("paddle")

import oldfilm  # noqa: E402
from oldfilm.apps import (  # noqa: E402
    InvDNPredictor,
    MPRPredictor,
    NAFNetPredictor,
    SwinIRPredictor,
)
from oldfilm.errors import MediaError, OptionError, WeightsError  # noqa: E402
from oldfilm.pipeline.report import RESTORING  # noqa: E402
from oldfilm.stage import Tiling  # noqa: E402
from tests.apps import tiny  # noqa: E402
from tests.films import facts, make_film  # noqa: E402
from tests.parity import formula  # noqa: E402
from tests.parity.test_restorers import TINY  # noqa: E402

CLASSES = {
    "mpr-deblurring": MPRPredictor,
    "nafnet-full": NAFNetPredictor,
    "swinir-full": SwinIRPredictor,
    "invdn-full": InvDNPredictor,
}
LAST = {
    "mpr-deblurring": {"tail.weight": 1e-3},
    "nafnet-full": {"ending.weight": 1e-3},
    "swinir-full": {"conv_last.weight": 0.01},
    "invdn-full": {},
}
"""Factors of the last layer, which keep results close to the frame."""


def install(monkeypatch, folder, name):
    config, _, variant = name.partition("-")
    factors = dict(LAST[name])
    gain = 0.3 if config == "invdn" else 1.0
    tiny.install(monkeypatch, folder, config, TINY[name], variant, factors, gain)
    return {"task": variant.capitalize()} if config == "mpr" else {}


@pytest.fixture(params=CLASSES)
def made(request, tmp_path, monkeypatch):
    """A predictor, and the arguments of its constructor."""
    arguments = install(monkeypatch, tmp_path, request.param)
    return CLASSES[request.param](str(tmp_path / "results"), **arguments, device="cpu"), arguments


def photograph(path, size=(40, 24), seed=0):
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def frames(count, height, width, channels=3):
    noise = formula.picture("film", (count, channels, height, width))
    film = 0.4 * noise + np.linspace(0.1, 0.5, width, dtype=np.float32)
    return np.ascontiguousarray(film.transpose(0, 2, 3, 1))


def stop_after_a_segment(progress):
    if progress.part == RESTORING and progress.done > 3:
        raise KeyboardInterrupt


def test_a_photograph_becomes_paddlegans_file(made, tmp_path):
    predictor, _ = made
    image, path = predictor.run(str(photograph(tmp_path / "old.house.jpg")))
    assert Path(path) == tmp_path / "results" / predictor.task / "old.house_restoration.jpg"
    assert image.size == Image.open(path).size == (40, 24)
    assert Image.open(path).format == "JPEG"


def test_every_photograph_of_a_folder_is_restored(made, tmp_path):
    predictor, _ = made
    folder = tmp_path / "album"
    folder.mkdir()
    for number, name in enumerate(["a.png", "b.JPG"]):
        photograph(folder / name, seed=number)
    (folder / "notes.txt").write_text("1912")
    assert predictor.run(str(folder)) is None
    written = sorted(p.name for p in (tmp_path / "results" / predictor.task).iterdir())
    assert written == ["a_restoration.png", "b_restoration.JPG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="holds no photograph"):
        predictor.run(str(tmp_path / "empty"))


@pytest.mark.parametrize("size", [(1, 1), (5, 37), (33, 20)])
def test_frames_of_any_size_keep_it(made, size):
    restored = made[0].predict(frames(2, *size))
    assert restored.shape == (2, *size, 3)
    assert restored.min() >= 0
    assert restored.max() <= 1


def test_the_network_runs_on_the_fast_engine(made, caplog):
    made[0].predict(frames(1, 16, 24))
    assert "Paddle runs in place" not in caplog.text


def test_luma_stays_luma(made):
    gray = frames(1, 24, 32, channels=1)
    restored = made[0].predict(gray)
    assert restored.shape == (1, 24, 32, 1)
    if isinstance(made[0], InvDNPredictor):
        return  # Its noise, without trained weights, leaves [0, 1].
    colored = made[0].predict(gray.repeat(3, axis=3))
    np.testing.assert_allclose(restored, colored.mean(axis=3, keepdims=True), atol=1e-5)


def test_large_frames_are_divided_into_tiles(made, monkeypatch):
    predictor, _ = made
    film = frames(1, 48, 96)
    monkeypatch.setattr(predictor, "tiling", Tiling(48 * 64, 16))
    assert predictor.predict(film).shape == film.shape


def test_a_film_is_the_same_with_workers_and_when_resumed(made, tmp_path, monkeypatch):
    predictor, arguments = made
    film = make_film(tmp_path / "film.mp4", frames=9, size=(48, 32))
    chain = {"order": type(predictor).name, "device": "cpu", "segment_frames": 3, **arguments}
    alone = oldfilm.restore(film, output=tmp_path / "alone.mp4", progress=False, **chain)
    late = tmp_path / "late.mp4"
    with pytest.raises(KeyboardInterrupt):
        oldfilm.restore(film, output=late, progress=stop_after_a_segment, **chain)
    oldfilm.restore(film, output=late, progress=False, workers=2, **chain)
    assert facts(alone.path)["frames"] == 9
    assert facts(alone.path)["size"] == (48, 32)
    np.testing.assert_array_equal(facts(alone.path)["images"], facts(late)["images"])


def test_a_predictor_survives_pickling(made):
    predictor, _ = made
    film = frames(1, 16, 16)
    copied = pickle.loads(pickle.dumps(predictor))
    np.testing.assert_array_equal(copied.predict(film), predictor.predict(film))


@pytest.mark.parametrize(
    ("task", "end"),
    [
        ("Deblurring", ", or use Deblur, which needs no download."),
        ("Denoising", ", or use Denoise, which needs no download."),
        ("Deraining", "` downloads them."),
    ],
)
def test_a_chain_without_weights_names_a_stage_for_the_same_task(task, end, tmp_path, monkeypatch):
    monkeypatch.setenv("OLDFILM_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        oldfilm.restore(make_film(tmp_path / "film.mp4", 2), "MPR", task=task, device="cpu")
    assert str(caught.value).endswith(end)


def test_mpr_needs_a_task_that_exists(tmp_path, monkeypatch):
    with pytest.raises(OptionError, match="`task`: choose from Deblurring, Denoising, Deraining"):
        MPRPredictor()
    with pytest.raises(OptionError, match="task=Colorizing"):
        MPRPredictor(task="Colorizing")
    install(monkeypatch, tmp_path, "mpr-deblurring")
    assert MPRPredictor(variant="deblurring").task == "Deblurring"
    with pytest.raises(
        OptionError, match="`task=Deraining`: `variant=deblurring` is for Deblurring"
    ):
        MPRPredictor(task="Deraining", variant="deblurring")
    positional = MPRPredictor("results", None, 3, "Deblurring")
    assert positional.variant == "deblurring"


def test_a_chain_looks_for_the_weights_of_its_task(tmp_path, monkeypatch):
    monkeypatch.setenv("OLDFILM_OFFLINE", "1")
    film = make_film(tmp_path / "film.mp4", frames=2)
    with pytest.raises(WeightsError, match="its deraining weights are not on this machine"):
        oldfilm.restore(film, "MPR", tmp_path, task="Deraining", device="cpu", progress=False)


def test_invdns_noise_depends_on_the_seed_alone(tmp_path, monkeypatch):
    install(monkeypatch, tmp_path, "invdn-full")
    film = frames(2, 24, 32)
    film[1] = film[0]
    first = InvDNPredictor(seed=1).predict(film)
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(first, InvDNPredictor(seed=1).predict(film))
    assert not np.array_equal(first, InvDNPredictor(seed=2).predict(film))


def test_invdns_ensemble_can_be_left_out(tmp_path, monkeypatch):
    install(monkeypatch, tmp_path, "invdn-full")
    source = str(photograph(tmp_path / "old.png"))
    invdn = InvDNPredictor(str(tmp_path / "results"))
    many, _ = invdn.run(source)
    one, _ = invdn.run(source, True)
    again, _ = invdn.run(source, disable_mc=False)
    assert many == again
    assert many != one
    assert one == InvDNPredictor(disable_mc=True).run_image(source)
