"""The networks of "Bringing Old Photos Back to Life" compute the same as the authors' code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

paddle = pytest.importorskip("paddle")

from oldfilm.apps.old_photo.predictor import OldPhotoPredictor  # noqa: E402
from oldfilm.networks import old_photo_restoration as restoration  # noqa: E402
from oldfilm.networks.old_photo_faces import FaceGenerator  # noqa: E402
from oldfilm.networks.old_photo_restoration import (  # noqa: E402
    VAE,
    Mapping,
    PatchMapping,
    ScratchMapping,
)
from oldfilm.networks.old_photo_scratches import ScratchDetector  # noqa: E402
from oldfilm.weights import Variant  # noqa: E402
from oldfilm.weights.convert import translated  # noqa: E402
from tests.parity import formula  # noqa: E402

HERE = Path(__file__).parent
EXPECTED = np.load(HERE / "old_photo.npz")
PLAIN = Variant("", "", "", "", "")
"""A variant without rules, as our keys equal the authors'."""


@pytest.fixture(scope="module", autouse=True)
def _no_random_weights() -> Iterator[None]:
    """Networks start as zeros, which `load` replaces: random values of large ones take seconds."""
    initializer = paddle.nn.initializer
    initializer.set_global_initializer(initializer.Constant(0.0))
    yield
    initializer.set_global_initializer(None)


def published_keys(name: str) -> dict[str, tuple[int, ...]]:
    return json.loads((HERE / f"keys/old_photo-{name}.json").read_text())["keys"]


def load(network: paddle.nn.Layer, published: dict[str, np.ndarray]) -> None:
    """Load weights with the authors' keys; all of them must be used."""
    weights = translated(published, PLAIN, network, from_torch=True)
    ours = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert ours == {key: value.shape for key, value in weights.items()}
    network.set_state_dict(weights)
    network.eval()


def check(name: str, found: paddle.Tensor) -> None:
    stored = EXPECTED[name]
    assert formula.relative_error(formula.sampled(found.numpy(), stored.size), stored) < 1e-4


@pytest.fixture(scope="module")
def detector() -> ScratchDetector:
    network = ScratchDetector()
    load(network, formula.weights(published_keys("detection"), gain=1.3))
    return network


@pytest.mark.parametrize("size", [(64, 48), (32, 80)])
def test_scratches_are_detected_as_by_the_authors(detector: ScratchDetector, size: tuple) -> None:
    """The second size is the minimum, and not a multiple of 32."""
    name = f"{size[0]}x{size[1]}"
    luma = paddle.to_tensor(formula.picture(f"luma {name}", (1, 1, *size)) * 2 - 1)
    with paddle.no_grad():
        check(f"detection {name}", detector(luma))


def damage(height: int, width: int) -> paddle.Tensor:
    """Return a mask with a hole and a vertical scratch."""
    mask = np.zeros((1, 1, height, width), np.float32)
    mask[..., : height // 2, width // 4 : width * 3 // 4] = 1
    mask[..., width - 5] = 1
    return paddle.to_tensor(mask)


def features(height: int, width: int) -> paddle.Tensor:
    """Return features of a picture of this size."""
    name, shape = f"features {height}x{width}", (1, 64, height // 4, width // 4)
    return paddle.to_tensor(formula.picture(name, shape) * 4 - 2)


@pytest.mark.parametrize("variant", ["vae-a-quality", "vae-b-quality", "vae-b-scratch"])
def test_pictures_are_encoded_and_decoded_as_by_the_authors(variant: str) -> None:
    network = VAE()
    load(network, formula.weights(published_keys(variant), gain=1.4))
    for height, width in ((48, 64), (52, 36)):
        name = f"{height}x{width}"
        image = paddle.to_tensor(formula.picture(f"image {name}", (1, 3, height, width)) * 2 - 1)
        with paddle.no_grad():
            encoded = network.encoder(image)
            check(f"encoded {name}", encoded)
            check(f"decoded {name}", network.decoder(encoded))


def test_features_are_mapped_as_by_the_authors() -> None:
    network = Mapping()
    load(network, formula.weights(published_keys("mapping-quality"), gain=1.4))
    for height, width in ((32, 48), (52, 36)):
        with paddle.no_grad():
            found = network(features(height, width))
        check(f"mapping-quality {height}x{width}", found)


@pytest.fixture(scope="module")
def scratch_mapping() -> ScratchMapping:
    network = ScratchMapping()
    load(network, formula.weights(published_keys("mapping-scratch"), gain=1.4))
    return network


@pytest.mark.parametrize("at_once", [restoration.ATTENTION_VALUES, 300])
def test_scratched_features_are_mapped_as_by_the_authors(
    scratch_mapping: ScratchMapping, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(restoration, "ATTENTION_VALUES", at_once)
    for height, width in ((32, 48), (52, 36)):
        with paddle.no_grad():
            found = scratch_mapping(features(height, width), damage(height, width))
        check(f"mapping-scratch {height}x{width}", found)


def test_large_scratched_features_are_mapped_as_by_the_authors() -> None:
    """Sides of the second size are not multiples of the patch size."""
    network = PatchMapping()
    load(network, formula.weights(published_keys("mapping-hr"), gain=1.4))
    for height, width in ((64, 96), (84, 68)):
        with paddle.no_grad():
            found = network(features(height, width), damage(height, width))
        check(f"mapping-hr {height}x{width}", found)


FACE_NORM = 1.5
"""Spectral norm of every kernel."""


def face_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return pseudo-random weights with u such that every kernel is divided by `FACE_NORM`."""
    made = formula.weights(shapes)
    for name, values in made.items():
        if name.endswith("weight_orig"):
            vectors = name[: -len("orig")]
            u = values.reshape(len(values), -1) @ made[vectors + "v"]
            made[vectors + "u"] = np.float32(FACE_NORM) * u / u.dot(u)
    return made


@pytest.mark.parametrize("variant", ["face-256", "face-512"])
def test_keys_and_shapes_of_the_face_generator_match_the_published_file(variant: str) -> None:
    load(FaceGenerator(), {name: np.zeros(s, "f4") for name, s in published_keys(variant).items()})


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("face", marks=pytest.mark.slow),  # 92 million parameters
        "face-small",
    ],
)
def test_faces_are_enhanced_as_by_the_authors(name: str) -> None:
    network = FaceGenerator(width=64 if name == "face" else 8)
    if name == "face":
        shapes = published_keys("face-256")
    else:
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    load(network, face_weights(shapes))
    network.fold()
    for height, width in ((64, 64), (64, 96)):
        size = f"{height}x{width}"
        face = paddle.to_tensor(formula.picture(f"face {size}", (1, 3, height, width)) * 2 - 1)
        with paddle.no_grad():
            check(f"{name} {size}", network(face))


class Damaged(OldPhotoPredictor):
    """A predictor with a fixed mask, as a detector with pseudo-random weights is useless."""

    def damage(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
        return damage(*image.shape[:2]).numpy()[0, 0]


def convert(folder: Path, variants: dict[str, tuple[type[paddle.nn.Layer], float]]) -> None:
    """Write converted files with pseudo-random weights of the given gains."""
    for name, (kind, gain) in variants.items():
        published = formula.weights(published_keys(name), gain)
        weights = translated(published, PLAIN, kind(), from_torch=True)
        save_file(weights, folder / f"old_photo-{name}.safetensors")


@pytest.mark.slow  # up to 112 million parameters, and their export
@pytest.mark.parametrize(
    ("mode", "mapping", "decoder"),
    [
        ("quality", Mapping, "vae-b-quality"),
        ("scratch", ScratchMapping, "vae-b-scratch"),
        ("hr", PatchMapping, "vae-b-scratch"),
    ],
)
def test_a_photograph_is_restored_as_by_the_authors(
    mode: str, mapping: type, decoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published code rounds the picture to 8 bits, so this one is rounded, too."""
    files = {"vae-a-quality": (VAE, 1.4), f"mapping-{mode}": (mapping, 1.4), decoder: (VAE, 1.4)}
    convert(tmp_path, files)
    (tmp_path / "old_photo-detection.safetensors").touch()
    monkeypatch.setenv("OLDFILM_WEIGHTS", str(tmp_path))
    options = {"with_scratch": mode != "quality", "hr": mode == "hr"}
    photograph = formula.picture("photograph 64x96", (3, 64, 96)).transpose(1, 2, 0)
    photograph = np.rint(photograph * 255).astype(np.float32) / 255
    found = Damaged(**options, device="cpu").predict(photograph).transpose(2, 0, 1)
    stored = EXPECTED[f"photograph {mode} 64x96"]
    assert formula.relative_error(formula.sampled(found, stored.size), stored) < 1e-3


@pytest.mark.slow  # 38 million parameters, and their export
def test_scratches_of_a_photograph_are_detected_as_by_the_authors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many probabilities are near the threshold, so gray must be Pillow's, in 8 bits."""
    convert(tmp_path, {"detection": (ScratchDetector, 1.3)})
    for unused in ("vae-a-quality", "mapping-scratch", "vae-b-scratch"):
        (tmp_path / f"old_photo-{unused}.safetensors").touch()
    monkeypatch.setenv("OLDFILM_WEIGHTS", str(tmp_path))
    photograph = formula.picture("photograph 64x96", (3, 64, 96)).transpose(1, 2, 0)
    gray = Image.fromarray(np.rint(photograph * 255).astype(np.uint8)).convert("L")
    luma = np.asarray(gray, np.float32)[..., None] / 255
    found = OldPhotoPredictor(with_scratch=True, device="cpu").scratches(luma)
    theirs = np.unpackbits(EXPECTED["scratches 64x96"]).reshape(64, 96)
    assert 0.1 < theirs.mean() < 0.9
    assert (found == theirs).mean() > 0.999
