"""What trainings by a recipe share: their command line, and how the learning rate goes."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import yaml

Train = Callable[[dict, Path, Path, "Path | None"], None]
"""Trains by a recipe on the data in a folder, into a file; the last: weights to go on from."""


def run_recipe(arguments: Sequence[str], name: str, about: str | None, train: Train) -> None:
    """python -m oldfilm.training NAME RECIPE --data FOLDER --output FILE"""
    parser = argparse.ArgumentParser(prog=f"python -m oldfilm.training {name}", description=about)
    parser.add_argument("recipe", type=Path, help="configs/train/*.yaml")
    parser.add_argument("--data", type=Path, required=True, help="photos/, video/, film-damage.tar")
    parser.add_argument("--output", type=Path, required=True, help="the .safetensors to write")
    parser.add_argument("--start", type=Path, help="weights to go on from")
    given = parser.parse_args(arguments)
    recipe = yaml.safe_load(given.recipe.read_text(encoding="utf-8"))
    train(recipe, given.data, given.output, given.start)


def set_rate(optimizer: torch.optim.Optimizer, recipe: dict, step: int, done: float) -> None:
    """Warm up for a hundred steps, then fall along a cosine of the part that is done."""
    falling = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    rate = recipe["last_rate"] + (recipe["rate"] - recipe["last_rate"]) * falling
    for group in optimizer.param_groups:
        group["lr"] = rate * min(1.0, (step + 1) / 100)
