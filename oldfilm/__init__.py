"""Restore old films and photographs with PaddlePaddle: color, resolution, frame rate, damage.

    import oldfilm
    oldfilm.restore("film.mp4", ["DeOldify", "PPMSVSR", "DAIN"])

Every stage is also a class, as in `ppgan.apps`: `oldfilm.apps.DAINPredictor`. Programs that use
PaddleGAN run after `sys.modules["ppgan"] = oldfilm`.
Importing this package does not import PaddlePaddle.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from oldfilm.system.modules import ModuleAlias

__version__ = "0.1.0"

_EXPORTS = {
    "restore": "oldfilm.api",
    "preview": "oldfilm.api",
    "estimate": "oldfilm.api",
    "run_job": "oldfilm.api",
    "save_job": "oldfilm.api",
    "fetch_weights": "oldfilm.api",
    "OldfilmError": "oldfilm.errors",
}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    if name in ("apps", "utils"):
        return import_module(f"oldfilm.{name}")
    if name.endswith("Predictor"):
        return getattr(import_module("oldfilm.apps"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.meta_path.insert(0, ModuleAlias("ppgan", __name__))
