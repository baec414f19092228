"""python -m oldfilm.training NAME ...: make the weights of one lite network."""

from __future__ import annotations

import importlib
import sys

TRAININGS = ("colorization", "super_resolution", "interpolation", "photo_restoration")


def main() -> int:
    """Hand the command line over to the training that its first word names."""
    if len(sys.argv) < 2 or sys.argv[1] not in TRAININGS:
        print(
            f"usage: python -m oldfilm.training {{{','.join(TRAININGS)}}} --help", file=sys.stderr
        )
        return 2
    importlib.import_module(f"oldfilm.training.{sys.argv[1]}").main(sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
