"""How benchmarks measure: what is degraded and how, which clips and frames count, and how images
are compared.

For all of them, PSNR and SSIM are computed for each frame after rounding to 8 bits, then averaged
over the frames of a clip, then over the clips.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oldfilm.errors import OptionError


@dataclass(frozen=True)
class Protocol:
    """How the papers of a benchmark compare images.

    luma: compare the Y of Matlab's `rgb2ycbcr` instead of RGB. crop: pixels to leave out along
    every border. center: compare only the middle frame of a clip. task, degradation: what is done
    to the ground truth, as in `tasks` and `degrade`; None leaves them open. triplets: the input has
    folders of two frames and the true one between them. clips: names of the clips that count; all
    if empty. source: where these settings are from.
    """

    luma: bool = False
    crop: int = 0
    center: bool = False
    task: str | None = None
    degradation: str | None = None
    triplets: bool = False
    clips: tuple[str, ...] = ()
    source: str = ""

    def __str__(self) -> str:
        parts = ["Y" if self.luma else "RGB", f"{self.crop} pixels cropped from every border"]
        return ", ".join([*parts, "middle frame only"] if self.center else parts)

    def counts(self, clip: str) -> bool:
        """Whether a clip of this name, with or without its folders, is part of the benchmark."""
        return not self.clips or _own_name(clip) in self.clips

    def missing(self, clips: Iterable[str]) -> list[str]:
        """Return the benchmark's clips that are not among those of these names."""
        found = {_own_name(clip) for clip in clips}
        return [clip for clip in self.clips if clip not in found]


def _own_name(clip: str) -> str:
    return clip.rpartition("/")[2]


_VID4 = ("calendar", "city", "foliage", "walk")
_REDS4 = ("000", "011", "015", "020")
_BASICSR = "BasicSR, options/test/BasicVSR/test_BasicVSR"
_BI, _BD = f"{_BASICSR}_Vimeo90K_BIx4.yml", f"{_BASICSR}_Vimeo90K_BDx4.yml"
_ADACOF = "AdaCoF (Lee et al. 2020), TestModule.py"

PROTOCOLS = {
    "rgb": Protocol(),
    "y": Protocol(luma=True),
    "reds": Protocol(source="EDVR (Wang et al. 2019); BasicVSR; PP-MSVSR"),
    "reds4": Protocol(
        task="size", degradation="bi", clips=_REDS4, source=f"{_BASICSR}_REDS.yml; EDVR"
    ),
    "vid4": Protocol(luma=True, source="BasicVSR; PP-MSVSR"),
    "vid4-bi-y": Protocol(luma=True, task="size", degradation="bi", clips=_VID4, source=_BI),
    "vid4-bd-y": Protocol(luma=True, task="size", degradation="bd", clips=_VID4, source=_BD),
    "udm10": Protocol(
        luma=True, task="size", degradation="bd", source="BasicVSR (Chan et al. 2021), table 1"
    ),
    "vimeo90k": Protocol(luma=True, center=True, source="BasicVSR; PP-MSVSR"),
    "vimeo90k-bi-y": Protocol(luma=True, center=True, task="size", degradation="bi", source=_BI),
    "vimeo90k-bd-y": Protocol(luma=True, center=True, task="size", degradation="bd", source=_BD),
    "vimeo90k-triplet": Protocol(
        task="rate", triplets=True, source="Xue et al. 2019; RIFE, benchmark/Vimeo90K.py"
    ),
    "middlebury-other": Protocol(
        task="rate",
        triplets=True,
        clips=(
            *("Beanbags", "Dimetrodon", "DogDance", "Grove2", "Grove3", "Hydrangea"),
            *("MiniCooper", "RubberWhale", "Urban2", "Urban3", "Venus", "Walking"),
        ),
        source=f"Baker et al. 2011, frame10i11; {_ADACOF}; RIFE, benchmark/MiddleBury_Other.py",
    ),
    "ucf101": Protocol(
        task="rate", triplets=True, source=f"Liu et al. 2017, without motion masks; {_ADACOF}"
    ),
    "davis": Protocol(task="rate", triplets=True, source=_ADACOF),
    "set5": Protocol(luma=True, crop=4, source="ESRGAN (Wang et al. 2018)"),
    "div2k": Protocol(crop=4, source="PaddleGAN, configs/esrgan_*_x4_div2k.yaml"),
    "realsr": Protocol(crop=4, source="PaddleGAN, configs/realsr_*.yaml"),
}
"""Protocols by name; `docs/evaluation.md` has the same table."""


def agreed(name: str, what: str, given: str | None, stated: str | None) -> str | None:
    """Return what the user gave or what the protocol states, which must not differ.

    name: of the protocol. what: the option, such as "degradation".

    Raises:
        OptionError: both are given, and differ.
    """
    if given is not None and stated is not None and given != stated:
        raise OptionError(
            f"`protocol={name}` is measured with `{what}={stated}`: leave `{what}` out, or use a "
            "protocol that leaves it open, such as `protocol=y` or `protocol=rgb`."
        )
    return given or stated
