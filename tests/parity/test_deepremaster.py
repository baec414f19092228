from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from oldfilm.media import write_photograph
from tests.parity import formula

paddle = pytest.importorskip("paddle")

from oldfilm.apps.deepremaster import DeepRemasterPredictor  # noqa: E402
from oldfilm.networks.deepremaster import DeepRemaster  # noqa: E402

HERE = Path(__file__).parent

BLOCKS = {"block": (5, 32, 48), "short": (2, 16, 16)}
"""Frames, height and width; the second is the minimum for colorization."""

REFERENCES = {"block": (2, 40, 72), "short": (1, 23, 17)}
"""Number of pictures, height and width."""


def weights(shapes: dict[str, tuple[int, ...]], gain: float = 1.3) -> dict[str, np.ndarray]:
    """Return pseudo-random weights with strong attention."""
    made = formula.weights(shapes, gain)
    for name, values in made.items():
        if name.endswith(".gamma"):
            values[:] = 0.8
    return made


def frames(name: str) -> np.ndarray:
    """Return luma, float32 [t, 1, h, w]."""
    count, height, width = BLOCKS[name]
    return formula.picture("frames", (count, 1, height, width))


def references(name: str) -> np.ndarray:
    """Return RGB, float32 [r, 3, h, w]."""
    count, height, width = REFERENCES[name]
    return formula.picture("references", (count, 3, height, width))


@pytest.fixture(scope="module")
def network() -> DeepRemaster:
    network = DeepRemaster()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    published = json.loads((HERE / "keys/deepremaster-full.json").read_text())["keys"]
    assert {name: list(shape) for name, shape in shapes.items()} == published
    network.set_state_dict(weights(shapes))
    network.eval()
    return network


@pytest.mark.parametrize("name", BLOCKS)
def test_frames_are_restored_as_in_paddlegan(network: DeepRemaster, name: str) -> None:
    with paddle.no_grad():
        found = network.modelR(paddle.to_tensor(frames(name))).numpy()
    assert error(found, f"{name} R") < 1e-4


@pytest.mark.parametrize("name", BLOCKS)
def test_frames_are_colorized_as_in_paddlegan(network: DeepRemaster, name: str) -> None:
    with paddle.no_grad():
        found = network.modelC(paddle.to_tensor(frames(name))).numpy()
    assert error(found, f"{name} C") < 1e-4


@pytest.mark.parametrize("name", BLOCKS)
def test_frames_are_colorized_from_references_as_in_paddlegan(
    network: DeepRemaster, name: str
) -> None:
    with paddle.no_grad():
        near = network.modelC.reffeatnet1(paddle.to_tensor(references(name)))
        far = network.modelC.reffeatnet2(near)
        found = network.modelC(paddle.to_tensor(frames(name)), near, far).numpy()
    assert error(found, f"{name} C references") < 1e-4


NARROWING = 8
FILM_FRAMES = [0, 4, 6]
"""Indices among 7: first and last of a block of 5, and last of a block of 2."""


class SmallDeepRemaster(DeepRemasterPredictor):
    def build(self, settings: dict) -> paddle.nn.Layer:
        return DeepRemaster(NARROWING)


def film() -> np.ndarray:
    """Return gray frames, uint8 [7, 45, 70]."""
    return np.rint(formula.picture("film", (7, 45, 70)) * 255).astype(np.uint8)


def write_references(folder: Path) -> None:
    for index, size in enumerate([(60, 80), (90, 60)]):
        picture = formula.picture(f"reference {index}", (3, *size)).transpose(1, 2, 0)
        write_photograph(folder / f"{index}.png", picture)


@pytest.mark.parametrize("colorization", [False, True])
def test_a_film_is_restored_as_in_paddlegan(colorization: bool, tmp_path: Path) -> None:
    """PaddleGAN rounds to 8 bits before the network, and truncates to 8 bits after it."""
    network = DeepRemaster(NARROWING)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    made = weights(shapes, gain=1.0)
    save_file(made, tmp_path / "small.safetensors")
    write_references(tmp_path)
    predictor = SmallDeepRemaster(
        weight_path=str(tmp_path / "small.safetensors"),
        colorization=colorization,
        reference_dir=str(tmp_path) if colorization else None,
        mindim=32,
        device="cpu",
    )
    predictor.keeps_flat_frames = False  # its film is noise, which may be grain
    found = predictor.predict(film()[..., None].repeat(3, 3) / np.float32(255))[FILM_FRAMES]
    expected = np.load(HERE / "deepremaster.npz")[f"film {'colored' if colorization else 'gray'}"]
    difference = found - (expected.astype(np.float32) + 0.5) / 255
    assert found.std() > 0.1
    assert np.abs(difference).mean() < 1 / 255
    assert np.abs(difference).max() < 5 / 255


def error(found: np.ndarray, name: str) -> float:
    stored = np.load(HERE / "deepremaster.npz")[name]
    return formula.relative_error(formula.sampled(found, stored.size), stored)
