"""Predictors, named and called as in `ppgan.apps`, and the table of all stages."""

from __future__ import annotations

import sys
from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from oldfilm.apps.paddlegan import MODULES, missing
from oldfilm.errors import NotProvidedError, NotProvidedImport, OptionError, did_you_mean
from oldfilm.stage import Option
from oldfilm.system.modules import VirtualModules

if TYPE_CHECKING:
    from oldfilm.pipeline import RunnableStage

PREDICTORS = {
    "DeOldify": "oldfilm.apps.deoldify.predictor:DeOldifyPredictor",
    "DeepRemaster": "oldfilm.apps.deepremaster:DeepRemasterPredictor",
    "PPMSVSR": "oldfilm.apps.ppmsvsr.predictor:PPMSVSRPredictor",
    "PPMSVSRLarge": "oldfilm.apps.ppmsvsr.published:PPMSVSRLargePredictor",
    "BasicVSR": "oldfilm.apps.recurrent:BasicVSRPredictor",
    "IconVSR": "oldfilm.apps.recurrent:IconVSRPredictor",
    "BasicVSRPlusPlus": "oldfilm.apps.recurrent:BasicVSRPlusPlusPredictor",
    "BasiVSRPlusPlus": "oldfilm.apps.recurrent:BasiVSRPlusPlusPredictor",
    "EDVR": "oldfilm.apps.edvr:EDVRPredictor",
    "RealSR": "oldfilm.apps.upscaler:RealSRPredictor",
    "ESRGAN": "oldfilm.apps.upscaler:Upscaler:esrgan",
    "MPR": "oldfilm.apps.restorers:MPRPredictor",
    "NAFNet": "oldfilm.apps.restorers:NAFNetPredictor",
    "SwinIR": "oldfilm.apps.restorers:SwinIRPredictor",
    "InvDN": "oldfilm.apps.restorers:InvDNPredictor",
    "AOTGAN": "oldfilm.apps.aotgan:AOTGANPredictor",
    "Faces": "oldfilm.apps.gpen:GPENPredictor",
    "Deblur": "oldfilm.apps.deblur:DeblurPredictor",
    "DAIN": "oldfilm.apps.dain.predictor:DAINPredictor",
    "RIFE": "oldfilm.apps.rife:RIFEPredictor",
    "SuperSloMo": "oldfilm.apps.super_slomo:SuperSloMoPredictor",
}
"""Stages that own one network and take one file of weights, by name.

A row is "module:Class", or "module:Class:config" for a class that several models share.
"""

REPAIR = {
    "Deinterlace": "oldfilm.repair.deinterlace:Deinterlace",
    "Stabilize": "oldfilm.repair.stabilize:Stabilize",
    "Deflicker": "oldfilm.repair.deflicker:Deflicker",
    "Despot": "oldfilm.repair.despot:Despot",
    "Descratch": "oldfilm.repair.descratch:Descratch",
    "Denoise": "oldfilm.repair.denoise:Denoise",
    "Sharpen": "oldfilm.repair.sharpen:Sharpen",
    "Grade": "oldfilm.repair.grade:Grade",
}
"""Stages without a network, by name."""

NEEDS_NO_DOWNLOAD: dict[str, str | None] = {
    **dict.fromkeys(("PPMSVSRLarge", "BasicVSR", "IconVSR", "EDVR", "RealSR", "ESRGAN"), "PPMSVSR"),
    **dict.fromkeys(("BasicVSRPlusPlus", "BasiVSRPlusPlus"), "PPMSVSR"),
    **dict.fromkeys(("RIFE", "SuperSloMo"), "DAIN"),
    "DeepRemaster": "Despot",
    "MPR": "Deblur",
    "MPR denoising": "Denoise",
    "MPR deraining": None,
    **dict.fromkeys(("AOTGAN", "Faces"), "OldPhoto"),
    **dict.fromkeys(("NAFNet", "SwinIR", "InvDN"), "Denoise"),
}
"""Stages without lite weights, and a stage for the same purpose that needs no download, if any.

A variant for another purpose has a row of its own: "STAGE VARIANT".
"""

STAGES = {**PREDICTORS, "OldPhoto": "oldfilm.apps.old_photo.predictor:OldPhotoPredictor", **REPAIR}
"""All stages of a chain: the class of each, by name."""


def _class_name(stage: str) -> str:
    _, attribute, *config = STAGES[stage].split(":")
    return f"{stage}Predictor" if config else attribute


_CLASSES = {_class_name(stage): stage for stage in STAGES}
_OTHER_CLASSES = {
    "BasePredictor": "oldfilm.apps.base_predictor",
    "MiDaSPredictor": "oldfilm.apps.midas",
}
"""Classes that are not stages, and their modules."""


def _explain(name: str) -> NotProvidedImport | None:
    sentence = missing(name)
    return NotProvidedImport(sentence, name=f"{__name__}.{name}") if sentence else None


sys.meta_path.insert(0, VirtualModules(__name__, MODULES, _explain))

__all__ = [
    "PREDICTORS",
    "STAGES",
    "check_stage",
    "predictor_class",
    "stage_options",
    *_CLASSES,
    *_OTHER_CLASSES,
]


def check_stage(name: str) -> None:
    """Raise an OptionError unless a stage has this name."""
    if name not in STAGES:
        close = did_you_mean(name, STAGES) or "."
        raise OptionError(f"unknown stage `{name}`{close} The stages are: {', '.join(STAGES)}.")


def predictor_class(name: str) -> type[RunnableStage]:
    """Return the class of a stage.

    Raises:
        OptionError: the stage does not exist.
    """
    check_stage(name)
    return _load(name)


@cache
def _load(stage: str) -> type[RunnableStage]:
    module, attribute, *config = STAGES[stage].split(":")
    found = getattr(import_module(module), attribute)
    if not config:
        return found
    # Pickle looks the class up in this module, whose __getattr__ finds it.
    own = {"name": stage, "config": config[0], "__module__": __name__, "__doc__": found.__doc__}
    return type(_class_name(stage), (found,), own)


@lru_cache(maxsize=1)
def stage_options() -> dict[str, tuple[Option, tuple[str, ...]]]:
    """Return the options of all stages by name, each with the stages that have it."""
    found: dict[str, tuple[Option, tuple[str, ...]]] = {}
    for stage in STAGES:
        for option in predictor_class(stage).options:
            declared, stages = found.get(option.name, (option, ()))
            found[option.name] = (declared, (*stages, stage))
    return found


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return predictor_class(_CLASSES[name])
    if name in _OTHER_CLASSES:
        return getattr(import_module(_OTHER_CLASSES[name]), name)
    if sentence := missing(name):
        raise NotProvidedError(sentence, name=name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
