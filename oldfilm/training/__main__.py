"""Train a lite network from the command line.

python -m oldfilm.training colorization configs/train/deoldify-lite.yaml --data FOLDER --output FILE
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from oldfilm.errors import OldfilmError

TRAININGS = {
    "colorization": ("Colorization", "the lite DeOldify"),
    "super_resolution": ("SuperResolution", "the lite PP-MSVSR"),
    "interpolation": ("Interpolation", "the lite DAIN"),
    "photo_restoration": ("PhotoRestoration", "the lite OldPhoto"),
    "deblurring": ("Deblurring", "the lite Deblur"),
}
"""The class in the module of this name, and what it trains."""

RENAMED = {
    "colour": "colorization",
    "color": "colorization",
    "size": "super_resolution",
    "rate": "interpolation",
    "photo": "photo_restoration",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; return 0, 1 after an error, or exit with 2 where the arguments are wrong."""
    options = parse(arguments)
    if importlib.util.find_spec("torch") is None:
        return fail('training needs PyTorch: pip install "oldfilm[train]"')
    try:
        train(options)
    except (OldfilmError, OSError) as error:
        return fail(str(error))
    return 0


def fail(message: str) -> int:
    print(f"oldfilm.training: {message}", file=sys.stderr)
    return 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m oldfilm.training", description="Train a lite network by a recipe."
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("recipe", type=Path, help="a file of configs/train")
    shared.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="training data")
    shared.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help=".safetensors to write"
    )
    shared.add_argument(
        "--start", type=Path, metavar="FILE", help="weights to start from, or .checkpoint to resume"
    )
    shared.add_argument(
        "--limit", type=int, metavar="STEPS", help="steps to take in place of the recipe's"
    )
    shared.add_argument("--device", default="cpu", help="such as cuda; the CPU by default")
    names = parser.add_subparsers(dest="training", required=True, metavar="TRAINING")
    for name, (_, about) in TRAININGS.items():
        one = names.add_parser(name, parents=[shared], help=about, description=f"Train {about}.")
        if name == "colorization":
            add_colorization_options(one)
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in RENAMED:
        parser.error(f"{given[0]} is now called {RENAMED[given[0]]}")
    options = parser.parse_args(given)
    if options.limit is not None and options.limit < 0:
        parser.error(f"--limit {options.limit}: must be at least 0")
    return options


def add_colorization_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--extra", type=Path, nargs="+", default=[], metavar="TAR", help="more photographs"
    )
    parser.add_argument(
        "--encoder",
        type=Path,
        metavar="FILE",
        help="weights of the encoder; downloaded by default",
    )
    parser.add_argument(
        "--photographs", type=int, metavar="N", help="photographs to read, to try it quickly"
    )


def train(options: argparse.Namespace) -> None:
    """Build the training that the options name, and run it."""
    from oldfilm.training import loop  # Needs torch.

    module = importlib.import_module(f"oldfilm.training.{options.training}")
    training_class = getattr(module, TRAININGS[options.training][0])
    recipe = module.Recipe.read(options.recipe)
    if options.limit is not None:
        recipe = dataclasses.replace(recipe, steps=options.limit, minutes=None)
    if options.start and loop.is_checkpoint(options.start):
        # A resumed run draws other samples than before.
        step = loop.read_checkpoint(options.start)["step"]
        recipe = dataclasses.replace(recipe, seed=recipe.seed + step)
    more = {}
    if options.training == "colorization":
        encoder = None if options.start else options.encoder or module.published_encoder()
        more = {"extra": options.extra, "encoder": encoder, "limit": options.photographs}
    training = training_class.from_folder(recipe, options.data, options.device, **more)
    loop.fit(training, options.output, options.start)


if __name__ == "__main__":
    sys.exit(main())
