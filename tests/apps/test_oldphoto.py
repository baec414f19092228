from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from oldfilm.errors import OptionError, WeightsError
from oldfilm.weights import Model, model
from tests.parity import formula

paddle = pytest.importorskip("paddle")

from oldfilm.apps import base  # noqa: E402
from oldfilm.apps.base import build_network  # noqa: E402
from oldfilm.apps.oldphoto import OldPhotoPredictor  # noqa: E402

MAPPING = {"channels": 8, "most": 16}
SMALL = {
    "detection": ({"width": 4}, 2.0),
    "vae-a-quality": ({"channels": 8}, 1.4),
    "vae-b-quality": ({"channels": 8}, 1.3),
    "vae-b-scratch": ({"channels": 8}, 1.5),
    "mapping-quality": (MAPPING, 1.4),
    "mapping-scratch": (MAPPING, 1.4),
    "mapping-hr": (MAPPING, 1.4),
}
"""Settings, and the gain of the formula."""

MODES = [
    {},
    {"with_scratch": True},
    {"with_scratch": True, "hr": True},
]


@pytest.fixture(scope="module")
def networks() -> dict[str, paddle.nn.Layer]:
    made = {}
    for name, (settings, gain) in SMALL.items():
        network = build_network(model("oldphoto").variant(name).network, settings)
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        network.set_state_dict(formula.weights(shapes, gain))
        network.eval()
        made[name] = network
    return made


@pytest.fixture(autouse=True)
def _installed(
    networks: dict[str, paddle.nn.Layer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the predictor find small networks in place of the published ones."""
    known = {}
    for name, network in networks.items():
        published = model("oldphoto").variant(name)
        path = tmp_path / published.file
        save_file({key: value.numpy() for key, value in network.state_dict().items()}, path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        known[name] = replace(published, settings=SMALL[name][0], sha256=sha256)
    monkeypatch.setattr(base, "model", lambda config: Model("OldPhoto", known, {}, config))
    monkeypatch.setenv("OLDFILM_WEIGHTS", str(tmp_path))


def picture(height: int = 64, width: int = 96, channels: int = 3) -> np.ndarray:
    return formula.picture("photograph", (channels, height, width)).transpose(1, 2, 0).copy()


class Scratched(OldPhotoPredictor):
    """Finds a hole and an upright scratch, whatever it sees."""

    def scratches(self, image: np.ndarray) -> np.ndarray:
        mask = np.zeros(image.shape[:2], np.float32)
        mask[:40, 30:74] = 1
        mask[:, 90] = 1
        return mask


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_goes_through_the_networks(
    mode: dict, networks: dict[str, paddle.nn.Layer]
) -> None:
    predictor = Scratched(device="cpu", **mode)
    image = picture()
    found = predictor.predict(image)
    mask = predictor.scratches(image) if mode else np.zeros(image.shape[:2], np.float32)
    given = np.where(mask[..., None] > 0, 1, image).transpose(2, 0, 1)[None] * 2 - 1
    kind = "scratch" if mode else "quality"
    mapping = networks["mapping-hr" if "hr" in mode else f"mapping-{kind}"]
    masks = [paddle.to_tensor(mask[None, None])] if mode else []
    with paddle.no_grad():
        features = networks["vae-a-quality"].encoder(paddle.to_tensor(given.astype(np.float32)))
        made = networks[f"vae-b-{kind}"].decoder(mapping(features, *masks)).numpy()
    expected = (made[0].transpose(1, 2, 0) + 1) / 2
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("mode", MODES[1:])
def test_what_lies_under_a_scratch_does_not_matter(mode: dict) -> None:
    predictor = Scratched(device="cpu", **mode)
    image = picture()
    other = image.copy()
    other[predictor.scratches(image) > 0] = 0
    assert np.array_equal(predictor.predict(image), predictor.predict(other))


@pytest.mark.parametrize("size", [(1, 1), (45, 61), (33, 128)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_any_size_keeps_it(mode: dict, channels: int, size: tuple) -> None:
    image = picture(*size, channels=channels)
    restored = OldPhotoPredictor(device="cpu", **mode).predict(image)
    assert restored.shape == image.shape
    assert np.isfinite(restored).all()
    assert restored.min() >= 0
    assert restored.max() <= 1


def test_scratches_are_found_at_the_size_of_the_picture() -> None:
    """The small detector's weights say nothing of scratches, but of this picture both."""
    predictor = OldPhotoPredictor(with_scratch=True, device="cpu")
    mask = predictor.scratches(picture(80, 112))
    assert mask.shape == (80, 112)
    assert set(np.unique(mask)) == {0, 1}
    wider = OldPhotoPredictor(with_scratch=True, hr=True, device="cpu").scratches(picture(80, 112))
    assert (wider >= mask).all()
    assert wider.sum() > mask.sum()


def test_a_picture_all_of_which_is_scratched_still_comes_out() -> None:
    class Ruined(OldPhotoPredictor):
        def scratches(self, image: np.ndarray) -> np.ndarray:
            return np.ones(image.shape[:2], np.float32)

    for mode in MODES[1:]:
        assert np.isfinite(Ruined(device="cpu", **mode).predict(picture())).all()


def test_each_frame_of_a_film_is_restored_by_itself() -> None:
    predictor = OldPhotoPredictor(with_scratch=True, device="cpu")
    frames = np.stack([picture(40, 56), 1 - picture(40, 56), picture(40, 56) / 2])
    together = predictor.predict(frames)
    alone = np.stack([predictor.predict(frame) for frame in frames])
    assert np.array_equal(together, alone)


def test_a_job_notes_every_file() -> None:
    noted = OldPhotoPredictor(with_scratch=True, device="cpu").identity()
    weights = [fact for fact in noted if fact.endswith(" weights")]
    assert len({noted[fact] for fact in weights}) == 4
    assert OldPhotoPredictor(device="cpu").identity() != noted


def test_a_file_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "model", model)
    monkeypatch.setenv("OLDFILM_WEIGHTS", str(tmp_path / "empty"))
    told = "vae-a-quality weights of OldPhoto.*VAE_A_quality/latest_net_G.pth.*convert"
    with pytest.raises(WeightsError, match=told):
        OldPhotoPredictor(device="cpu")


def test_wrong_options_are_told() -> None:
    with pytest.raises(OptionError, match="no variant 'huge'; it has: full"):
        OldPhotoPredictor(variant="huge", device="cpu")
    with pytest.raises(OptionError, match="with_scratch=True"):
        OldPhotoPredictor(device="cpu").scratches(picture())
