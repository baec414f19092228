"""Every shipped recipe can be read, and every training takes a few steps."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from oldfilm.training import deblurring, interpolation, loop, super_resolution  # noqa: E402

CONFIGS = Path(__file__).parents[2] / "configs" / "train"
RECIPES = {
    "dain-lite": "interpolation",
    "deblur-lite": "deblurring",
    "deoldify-lite": "colorization",
    "deoldify-lite-2": "colorization",
    "deoldify-lite-3": "colorization",
    "old_photo-lite": "photo_restoration",
    "ppmsvsr-lite": "super_resolution",
}


def read(name: str) -> loop.Recipe:
    recipe = import_module(f"oldfilm.training.{RECIPES[name]}").Recipe
    return recipe.read(CONFIGS / f"{name}.yaml")


def clip(frames: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_recipe_can_be_read(path) -> None:
    assert read(path.stem).progress(step=0, seconds=0) == 0


def test_interpolation_cuts_no_more_samples_than_its_steps_use(tmp_path) -> None:
    recipe = dataclasses.replace(
        read("dain-lite"), crop=(20, 30), margin=5, batch=4, steps=2, minutes=None
    )
    training = interpolation.Interpolation(recipe, [clip(6, 60, 80)])
    assert len(training.samples) == 8
    assert loop.fit(training, tmp_path / "x.safetensors") == 2
    assert (tmp_path / "x.safetensors").is_file()


def test_super_resolution_takes_steps(tmp_path) -> None:
    settings = {"channels": 4, "backward_blocks": 1, "forward_blocks": 1}
    recipe = dataclasses.replace(
        read("ppmsvsr-lite"), settings=settings, batch=1, frames=3, patch=16, steps=2, minutes=None
    )
    overlay = np.zeros((50, 50, 4), np.uint8)
    photograph = clip(1, 200, 220)[0]
    samples = super_resolution.Samples([clip(9, 200, 220)], [photograph], [overlay], 3, 16)
    training = super_resolution.SuperResolution(recipe, samples)
    assert loop.fit(training, tmp_path / "x.safetensors") == 2


def test_deblurring_takes_steps(tmp_path) -> None:
    settings = {"widths": [4, 4, 4], "blocks": [1, 1, 1], "blocks_up": [1, 1]}
    recipe = dataclasses.replace(
        read("deblur-lite"), settings=settings, batch=5, steps=2, minutes=None
    )
    pictures = deblurring.stacked(deblurring.squares(clip(1, 520, 520)[0], across=4))
    training = deblurring.Deblurring(recipe, pictures, pictures[:9])
    assert loop.fit(training, tmp_path / "x.safetensors") == 2
