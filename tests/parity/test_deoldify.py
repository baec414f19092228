"""DeOldify computes the same as PaddleGAN's code and the authors'."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from oldfilm.weights import model
from tests.parity import formula

paddle = pytest.importorskip("paddle")

from oldfilm.apps.deoldify.predictor import DeOldifyPredictor  # noqa: E402
from oldfilm.imaging.color import LUMA_WEIGHTS  # noqa: E402
from oldfilm.networks import deoldify  # noqa: E402

HERE = Path(__file__).parent
SIZES = ((96, 64), (48, 80))
"""Sides of the second are not multiples of 32, so the encoder rounds up."""

SMALL = {"blocks": (1, 2, 2, 1), "width": 16}
NETWORKS = {
    "stable": (deoldify.Stable, {}, 0.7),
    "artistic": (deoldify.Artistic, {}, 0.7),
    "stable-small": (deoldify.Stable, {**SMALL, "channels": 128}, 0.6),
    "artistic-small": (deoldify.Artistic, SMALL, 0.6),
}
"""Class, settings, and spectral norm of every kernel."""


def weights(shapes: dict[str, tuple[int, ...]], norm: float) -> dict[str, np.ndarray]:
    """Return pseudo-random weights with u and v such that every kernel is divided by `norm`.

    With random u and v, norms are almost 0; with the true norm of random kernels, coarse levels
    vanish after ReLUs. Attention is strong, so that errors in it show.
    """
    made = formula.weights(shapes)
    for name, values in made.items():
        if name.endswith(".weight_orig"):
            layer = name[: -len("weight_orig")] + "spectral_norm."
            u = values.reshape(len(values), -1) @ made[layer + "weight_v"]
            made[layer + "weight_u"] = np.float32(norm) * u / u.dot(u)
        elif name.endswith(".gamma"):
            values[:] = 0.8
    return made


def shapes(network: paddle.nn.Layer) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def image(size: tuple[int, int]) -> np.ndarray:
    """Return a normalized gray picture, float32 [1, 3, h, w]."""
    gray = formula.picture("image", (1, 1, *size)).repeat(3, 1)
    return (gray - 0.45) / np.float32(0.225)


@pytest.mark.parametrize("variant", ["stable", "artistic"])
def test_weights_have_the_published_names_and_shapes(variant: str) -> None:
    published = json.loads((HERE / f"keys/deoldify-{variant}.json").read_text())["keys"]
    network = NETWORKS[variant][0]()
    assert {name: list(shape) for name, shape in shapes(network).items()} == published


@pytest.mark.parametrize("variant", ["stable", "artistic"])
def test_the_authors_keys_are_converted(variant: str) -> None:
    keys = HERE / f"keys/deoldify-{variant}.authors.json"
    theirs = [key for key in json.loads(keys.read_text())["keys"] if "num_batches" not in key]
    for pattern, replacement in model("deoldify").variant(variant).convert:
        theirs = [re.sub(pattern, replacement, key) for key in theirs]
    published = json.loads((HERE / f"keys/deoldify-{variant}.json").read_text())["keys"]
    statistics = {"_mean": "running_mean", "_variance": "running_var"}
    ours = [re.sub("_mean$|_variance$", lambda m: statistics[m[0]], key) for key in published]
    assert sorted(theirs) == sorted(ours)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("stable", marks=pytest.mark.slow),  # 218 million parameters
        "artistic",
        "stable-small",
        "artistic-small",
    ],
)
def test_the_output_equals_paddlegans(name: str) -> None:
    kind, settings, norm = NETWORKS[name]
    network = kind(**settings)
    network.set_state_dict(weights(shapes(network), norm))
    network.fold()
    network.eval()
    expected = np.load(HERE / "deoldify.npz")
    for size in SIZES:
        with paddle.no_grad():
            found = network(paddle.to_tensor(image(size))).numpy()
        stored = expected[f"{name} {size[0]}x{size[1]}"]
        assert formula.relative_error(formula.sampled(found, stored.size), stored) < 1e-4


class SmallDeOldify(DeOldifyPredictor):
    def build(self, settings: dict) -> paddle.nn.Layer:
        return deoldify.Artistic(**SMALL)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> DeOldifyPredictor:
    file = tmp_path_factory.mktemp("weights") / "deoldify-artistic.safetensors"
    save_file(weights(shapes(deoldify.Artistic(**SMALL)), NETWORKS["artistic-small"][2]), file)
    made = SmallDeOldify(weight_path=str(file), artistic=True, render_factor=3, device="cpu")
    made.keeps_flat_frames = False  # the formula's noise may count as grain
    return made


@pytest.mark.parametrize("size", [(45, 61), (90, 70)])
def test_a_picture_is_colorized_as_by_the_authors_and_paddlegan(
    predictor: DeOldifyPredictor, size: tuple[int, int]
) -> None:
    """The published code rounds to 8 bits four times."""
    stored = np.load(HERE / "deoldify.npz")
    gray = np.rint(formula.picture("photograph", size) * 255) / np.float32(255)
    found = predictor.predict(gray[..., None].astype(np.float32))
    authors = stored[f"picture {size[0]}x{size[1]} authors"] / np.float32(255)
    within = ((authors > 0) & (authors < 1)).all(2)
    assert within.mean() > 0.95
    assert np.abs(found - authors)[within].max() < 3.5 / 255
    assert np.abs(found - authors)[within].mean() < 0.7 / 255
    # PaddleGAN's luma is off, as `PublishedColours` says; its chroma is the same.
    paddlegans = stored[f"picture {size[0]}x{size[1]}"] / np.float32(255)
    chroma, expected = (p - (p @ LUMA_WEIGHTS)[..., None] for p in (found, paddlegans))
    assert np.abs(chroma - expected)[within].max() < 3.5 / 255
    np.testing.assert_allclose(found @ LUMA_WEIGHTS, gray, atol=2e-6)
