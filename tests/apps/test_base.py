"""Tests of the base class of predictors, with a tiny predictor."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from oldfilm.api import ignored_options, predictors
from oldfilm.apps.base import Predictor
from oldfilm.engine.device import import_paddle
from oldfilm.errors import OptionError, WeightsError
from oldfilm.stage import SizeRequirement, Window
from oldfilm.system.files import sha256_of_file
from tests.films import facts, make_film

paddle = import_paddle()


class Enlarge(Predictor):
    name = "Enlarge"
    config = "enlarge"
    scale = 2
    window = Window(core=2, before=1, after=1)
    size = SizeRequirement(minimum=16, multiple_of=8)

    def build(self, settings):
        return paddle.nn.Sequential(
            paddle.nn.Conv2D(3, 3 * settings["factor"] ** 2, 1),
            paddle.nn.PixelShuffle(settings["factor"]),
        )

    def restore(self, frames, core):
        assert frames.shape[1] % 8 == frames.shape[2] % 8 == 0
        network = self.graph(frame=(1, 3, None, None))
        pictures = frames[core].transpose(0, 3, 1, 2)
        return np.concatenate([network(p[None])[0] for p in pictures]).transpose(0, 2, 3, 1)


@pytest.fixture(autouse=True)
def shipped(tmp_path, monkeypatch):
    """Install a model `enlarge` whose variant `lite` repeats every pixel four times."""
    eye = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)[:, :, None, None]
    path = tmp_path / "enlarge.safetensors"
    save_file({"0.weight": eye, "0.bias": np.zeros(12, np.float32)}, path)
    weights = {
        "file": path.name,
        "sha256": sha256_of_file(path),
        "licence": "MIT",
        "source": "test",
    }
    variant = {"network": "enlarge.Enlarge", "settings": {"factor": 2}, "weights": weights}
    content = {"name": "Enlarge", "variants": {"lite": variant}}
    (tmp_path / "enlarge.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("OLDFILM_CONFIGS", str(tmp_path))
    monkeypatch.setenv("OLDFILM_WEIGHTS", str(tmp_path))
    return path


def test_predict_keeps_the_dtype_and_the_number_of_dimensions():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (21, 34, 3), np.uint8)
    enlarged = Enlarge().predict(picture)
    np.testing.assert_array_equal(enlarged, picture.repeat(2, 0).repeat(2, 1))
    frames = rng.random((5, 21, 34, 3), dtype=np.float32)
    enlarged = Enlarge().predict(frames)
    np.testing.assert_allclose(enlarged, frames.repeat(2, 1).repeat(2, 2), atol=1e-5)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4)), np.zeros((4, 4, 4)), np.zeros((4, 4, 3), np.int32)]
)
def test_predict_rejects_unsupported_arrays(array):
    with pytest.raises(OptionError, match=r"predict\(\) takes"):
        Enlarge().predict(array)


def test_run_returns_frames_and_path_as_paddlegan_does(tmp_path):
    film = make_film(tmp_path / "film.mp4", frames=3)
    folder = tmp_path / "out" / "Enlarge"
    frames, path = Enlarge(output=str(tmp_path / "out")).run(str(film))
    assert path == str(folder / "film_Enlarge_out.mp4")
    assert facts(path)["size"] == (128, 96)
    assert frames == str(folder / "film" / "frames_pred" / "%08d.png")
    assert [Path(frames % number).is_file() for number in range(4)] == [True, True, True, False]
    frames, path = Enlarge(output=str(tmp_path / "b")).run(str(film), save_frames=False)
    assert frames is None
    assert sorted(file.name for file in Path(path).parent.iterdir()) == ["film_Enlarge_out.mp4"]


def test_weights_of_another_network_are_rejected(tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"0.weight": np.zeros((12, 3, 3, 3), np.float32)}, other)
    with pytest.raises(WeightsError, match=r"missing: 0.bias; misshapen: 0.weight"):
        Enlarge(weight_path=str(other)).predict(np.zeros((16, 16, 3), np.uint8))


def test_damaged_shipped_weights_are_rejected(shipped):
    shipped.write_bytes(shipped.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="damaged"):
        Enlarge()


def test_each_predictor_in_a_chain_gets_only_its_own_options(tmp_path, monkeypatch):
    monkeypatch.undo()
    chain = predictors(["DeOldify", "DAIN"], {"render_factor": 7, "time_step": 0.25})
    assert [p.name for p in chain] == ["DeOldify", "DAIN"]
    assert ignored_options(["DAIN"], {"render_factor": 7, "time_step": 0.25}) == {"render_factor"}


def test_other_settings_in_the_config_change_the_fingerprint(shipped):
    before = Enlarge().fingerprint()
    config = shipped.with_suffix(".yaml")
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("settings:", "predictor: {strength: 0.5}\n    settings:"))
    after = Enlarge().fingerprint()
    assert {key for key in before if before[key] != after[key]} == {"settings"}
