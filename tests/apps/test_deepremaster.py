"""Tests of DeepRemaster with a narrow network."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import save_file

from oldfilm.errors import OptionError
from oldfilm.media import write_photograph
from oldfilm.pipeline.chain import WINDOW_BYTES
from oldfilm.stage import FilmInfo
from tests.parity import formula

paddle = pytest.importorskip("paddle")

from oldfilm.apps import deepremaster  # noqa: E402
from oldfilm.apps.deepremaster import DeepRemasterPredictor, References  # noqa: E402
from oldfilm.networks.deepremaster import DeepRemaster  # noqa: E402

NARROWING = 8


class SmallDeepRemaster(DeepRemasterPredictor):
    def build(self, settings: dict) -> paddle.nn.Layer:
        return DeepRemaster(NARROWING)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    network = DeepRemaster(NARROWING)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    made = formula.weights(shapes)
    for name, values in made.items():
        if name.endswith(".gamma"):
            values[:] = 0.8
    file = tmp_path_factory.mktemp("weights") / "deepremaster-full.safetensors"
    save_file(made, file)
    return str(file)


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write three pictures that differ in brightness and shape."""
    folder = tmp_path_factory.mktemp("references")
    for index, size in enumerate([(60, 80), (90, 60), (40, 40)]):
        picture = formula.picture(f"reference {index}", (3, *size)).transpose(1, 2, 0)
        write_photograph(folder / f"{index}.png", picture * (0.3 + 0.3 * index))
    return folder


def film(count: int, height: int = 45, width: int = 70, channels: int = 1) -> np.ndarray:
    planes = formula.picture("film", (channels, count, height, width))
    ramp = np.linspace(0, 0.5, width, dtype=np.float32)  # noise alone counts as flat
    return np.ascontiguousarray((0.5 * planes + ramp).transpose(1, 2, 3, 0))


def test_the_shorter_side_becomes_mindim_and_the_aspect_ratio_is_kept(weights: str) -> None:
    predictor = SmallDeepRemaster(weight_path=weights, device="cpu")
    described = predictor.describe(FilmInfo(640, 480, Fraction(24), 100))
    assert (described.width, described.height) == (480, 352)
    shape = described.width * described.sample_aspect / described.height
    assert shape == Fraction(640, 480)


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080)])
def test_a_whole_block_fits_in_memory(weights: str, size: tuple[int, int]) -> None:
    predictor = SmallDeepRemaster(weight_path=weights, device="cpu")
    info = FilmInfo(*size, Fraction(24), 100)
    assert WINDOW_BYTES // predictor.bytes_per_frame(info) >= predictor.window.core


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 3, 5, 7])
def test_every_frame_is_restored_once_at_the_described_size(
    weights: str, count: int, channels: int
) -> None:
    predictor = SmallDeepRemaster(weight_path=weights, device="cpu", mindim=32)
    restored = predictor.predict(film(count, channels=channels))
    assert restored.shape == (count, 32, 48, channels)
    assert 0 <= restored.min() <= restored.max() <= 1


def test_each_block_is_restored_independently(weights: str) -> None:
    predictor = SmallDeepRemaster(weight_path=weights, device="cpu", mindim=32)
    frames = film(7)
    together = predictor.predict(frames)
    np.testing.assert_array_equal(together[:5], predictor.predict(frames[:5]))
    np.testing.assert_array_equal(together[5:], predictor.predict(frames[5:]))


def test_a_film_keeps_its_colors_without_colorization(weights: str) -> None:
    predictor = SmallDeepRemaster(weight_path=weights, device="cpu", mindim=32)
    frames = np.stack([film(2, 32, 48)[..., 0] * gain for gain in (0.8, 0.5, 0.4)], 3)
    restored = predictor.predict(frames)
    for before, after in zip(frames, restored):
        a, b = (cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 1:] for image in (before, after))
        assert np.abs(a - b).mean() < 2


@pytest.mark.parametrize("count", [2, 5])
def test_references_change_the_colors(weights: str, references: Path, count: int) -> None:
    def colored(folder: Path | None) -> np.ndarray:
        predictor = SmallDeepRemaster(
            weight_path=weights,
            device="cpu",
            mindim=32,
            colorization=True,
            reference_dir=folder and str(folder),
        )
        return predictor.predict(film(count))

    without, with_references = colored(None), colored(references)
    assert without.shape == (count, 32, 48, 3)
    assert np.abs(with_references - without).mean() > 0.001


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 5])
def test_both_engines_color_alike(weights: str, references: Path, count: int) -> None:
    """Exporting the 13 parts takes a minute."""
    options = {"mindim": 32, "colorization": True, "reference_dir": str(references)}
    exported, dynamic = (
        SmallDeepRemaster(weight_path=weights, device="cpu", network_engine=engine, **options)
        for engine in ("auto", "paddle")
    )
    frames = film(count)
    np.testing.assert_allclose(exported.predict(frames), dynamic.predict(frames), atol=1e-5)


def test_a_block_uses_the_references_nearest_to_it(
    references: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepremaster, "MOST_REFERENCES", 1)
    known = References(references)
    luma = np.array([0.299, 0.587, 0.114], np.float32)
    for index in range(3):
        picture = cv2.cvtColor(cv2.imread(str(references / f"{index}.png")), cv2.COLOR_BGR2RGB)
        assert known.nearest(picture.astype(np.float32) @ luma / 255) == [index]


def test_references_are_padded_with_black_to_one_size(references: Path) -> None:
    known = References(references)
    pictures = [known.picture(index) for index in range(3)]
    aspect = (80 / 60 + 60 / 90 + 1) / 3
    assert aspect == 1
    assert [picture.shape for picture in pictures] == [(256, 256, 3)] * 3
    wide, tall, square = pictures
    assert wide[:30].max() == 0 < wide[40:-40].mean()
    assert tall[:, :40].max() == 0 < tall[:, 50:-50].mean()
    assert square[0].mean() > 0


def test_attention_in_parts_equals_full_attention(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oldfilm.networks import deepremaster as networks

    predictor = SmallDeepRemaster(weight_path=weights, device="cpu", mindim=32, colorization=True)
    whole = predictor.predict(film(5))
    monkeypatch.setattr(networks, "ENERGY_VALUES", 777)
    np.testing.assert_allclose(predictor.predict(film(5)), whole, atol=1e-5)


def test_invalid_options_are_rejected(weights: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="mindim"):
        SmallDeepRemaster(weight_path=weights, mindim=8)
    with pytest.raises(OptionError, match="`colorization=True`"):
        SmallDeepRemaster(weight_path=weights, reference_dir=str(tmp_path))
    with pytest.raises(OptionError, match="no pictures"):
        SmallDeepRemaster(weight_path=weights, colorization=True, reference_dir=str(tmp_path))
