"""Names of `ppgan.apps`: its modules, and the predictors that oldfilm does not have."""

from __future__ import annotations

MODULES = {
    "dain_predictor": ("DAINPredictor",),
    "deepremaster_predictor": ("DeepRemasterPredictor",),
    "deoldify_predictor": ("DeOldifyPredictor",),
    "edvr_predictor": ("EDVRPredictor",),
    "realsr_predictor": ("RealSRPredictor",),
    "recurrent_vsr_predictor": (
        "BasicVSRPredictor",
        "IconVSRPredictor",
        "BasiVSRPlusPlusPredictor",
        "PPMSVSRPredictor",
        "PPMSVSRLargePredictor",
    ),
}
"""The modules of `ppgan.apps`, and the predictors that programs import from them."""

_OLD_PHOTO = "OldPhotoPredictor removes blur, noise and scratches from old photographs"
_NOISE = "Denoise removes grain from films, OldPhotoPredictor from photographs"
_INSTEAD = {
    "MPR": _OLD_PHOTO,
    "NAFNet": _NOISE,
    "SwinIR": _NOISE,
    "InvDN": _NOISE,
    "AOTGAN": "OldPhotoPredictor(with_scratch=True) finds damage and fills it",
    "GPEN": "OldPhotoPredictor restores the faces of old photographs",
    "MiDaS": "it estimates depth only as a part of DAINPredictor",
}
"""Predictors for restoration that oldfilm does not have, and what it has in their place."""

_NOT_RESTORATION = (
    *("AnimeGAN", "Decor", "FaceParse", "FirstOrder", "GFPGAN", "LapStyle", "PSGAN"),
    *("Photo2Cartoon", "PhotoPen", "Pixel2Style2Pixel", "SinGAN", "StarGANv2", "U2GAT"),
    *("StyleGANv2", "StyleGANv2Clip", "StyleGANv2Editing", "StyleGANv2Fitting"),
    *("StyleGANv2Mixing", "UGATIT", "Wav2Lip"),
)
_MISSING = {name.lower(): name for name in (*_INSTEAD, *_NOT_RESTORATION)}


def missing(name: str) -> str | None:
    """Say why oldfilm does not have a name of `ppgan.apps`; None for other names.

    name: of a predictor, such as "MPRPredictor", or of its module, "mpr_predictor".
    """
    short = name.lower().replace("_", "")
    known = _MISSING.get(short.removesuffix("predictor"))
    if known is None or not short.endswith("predictor"):
        return None
    if known in _INSTEAD:
        return f"oldfilm does not have PaddleGAN's {known}: {_INSTEAD[known]}."
    return f"PaddleGAN's {known} is not for restoration, and not part of oldfilm."
