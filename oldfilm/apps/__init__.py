"""Predictors: one class a model family, named and called as in `ppgan.apps`; and film repair.

`STAGES` is the table from the names of `--process_order` to the classes.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from oldfilm.errors import OptionError

PREDICTORS = {
    "DeOldify": "oldfilm.apps.deoldify.predictor:DeOldifyPredictor",
    "DeepRemaster": "oldfilm.apps.deepremaster:DeepRemasterPredictor",
    "PPMSVSR": "oldfilm.apps.ppmsvsr.predictor:PPMSVSRPredictor",
    "PPMSVSRLarge": "oldfilm.apps.ppmsvsr.predictor:PPMSVSRLargePredictor",
    "BasicVSR": "oldfilm.apps.recurrent:BasicVSRPredictor",
    "IconVSR": "oldfilm.apps.recurrent:IconVSRPredictor",
    "BasicVSRPlusPlus": "oldfilm.apps.recurrent:BasicVSRPlusPlusPredictor",
    "BasiVSRPlusPlus": "oldfilm.apps.recurrent:BasiVSRPlusPlusPredictor",
    "EDVR": "oldfilm.apps.edvr:EDVRPredictor",
    "RealSR": "oldfilm.apps.upscaler:RealSRPredictor",
    "ESRGAN": "oldfilm.apps.upscaler:ESRGANPredictor",
    "DAIN": "oldfilm.apps.dain.predictor:DAINPredictor",
    "RIFE": "oldfilm.apps.rife:RIFEPredictor",
    "SuperSloMo": "oldfilm.apps.super_slomo:SuperSloMoPredictor",
}
"""Stages that own one network, and take one file of weights."""

STAGES = {
    **PREDICTORS,
    "OldPhoto": "oldfilm.apps.old_photo.predictor:OldPhotoPredictor",
    "Deinterlace": "oldfilm.repair.deinterlace:Deinterlace",
    "Stabilize": "oldfilm.repair.stabilize:Stabilize",
    "Deflicker": "oldfilm.repair.deflicker:Deflicker",
    "Despot": "oldfilm.repair.despot:Despot",
    "Descratch": "oldfilm.repair.descratch:Descratch",
    "Denoise": "oldfilm.repair.denoise:Denoise",
    "Sharpen": "oldfilm.repair.sharpen:Sharpen",
    "Grade": "oldfilm.repair.grade:Grade",
}

_CLASSES = {target.partition(":")[2]: name for name, target in STAGES.items()}

__all__ = ["PREDICTORS", "STAGES", "predictor_class", *_CLASSES]


def predictor_class(name: str) -> type:
    """The predictor of a `--process_order` name.

    Raises:
        OptionError: there is none of this name.
    """
    if name not in STAGES:
        raise OptionError(f"there is no stage {name!r}; the stages are: {', '.join(STAGES)}.")
    module, _, attribute = STAGES[name].partition(":")
    return getattr(import_module(module), attribute)


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return predictor_class(_CLASSES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
