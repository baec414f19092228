"""Names of `ppgan.apps`: its modules, and the predictors that oldfilm does not have."""

from __future__ import annotations

MODULES = {
    "aotgan_predictor": ("AOTGANPredictor",),
    "dain_predictor": ("DAINPredictor",),
    "deepremaster_predictor": ("DeepRemasterPredictor",),
    "deoldify_predictor": ("DeOldifyPredictor",),
    "edvr_predictor": ("EDVRPredictor",),
    "gpen_predictor": ("GPENPredictor",),
    "invdn_predictor": ("InvDNPredictor",),
    "midas_predictor": ("MiDaSPredictor",),
    "mpr_predictor": ("MPRPredictor",),
    "nafnet_predictor": ("NAFNetPredictor",),
    "realsr_predictor": ("RealSRPredictor",),
    "recurrent_vsr_predictor": (
        "BasicVSRPredictor",
        "IconVSRPredictor",
        "BasiVSRPlusPlusPredictor",
        "PPMSVSRPredictor",
        "PPMSVSRLargePredictor",
    ),
    "swinir_predictor": ("SwinIRPredictor",),
}
"""The modules of `ppgan.apps`, and the predictors that programs import from them."""

_NOT_RESTORATION = (
    *("AnimeGAN", "Decor", "FaceParse", "FirstOrder", "GFPGAN", "LapStyle", "PSGAN"),
    *("Photo2Cartoon", "PhotoPen", "Pixel2Style2Pixel", "SinGAN", "StarGANv2", "U2GAT"),
    *("StyleGANv2", "StyleGANv2Clip", "StyleGANv2Editing", "StyleGANv2Fitting"),
    *("StyleGANv2Mixing", "UGATIT", "Wav2Lip"),
)
_MISSING = {name.lower(): name for name in _NOT_RESTORATION}


def missing(name: str) -> str | None:
    """Say why oldfilm does not have a name of `ppgan.apps`; None for other names.

    name: of a predictor, such as "MPRPredictor", or of its module, "mpr_predictor".
    """
    short = name.lower().replace("_", "")
    known = _MISSING.get(short.removesuffix("predictor"))
    if known is None or not short.endswith("predictor"):
        return None
    return f"PaddleGAN's {known} is not for restoration, and not part of oldfilm."
