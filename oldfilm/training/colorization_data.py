"""Pictures for training colorization, and how they are made to look like old film."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from oldfilm.imaging.color import LUMA_WEIGHTS
from oldfilm.training import data
from oldfilm.training.palette import chroma

SIDE = 64
"""Training pictures are squares of this many pixels."""

BLUE_SENSITIVE = (0.1, 0.5, 0.4)
"""Luma as early film stock records it: it hardly sees red."""

SAME_PHOTOGRAPH = 0.98
"""Thumbnails that correlate above this show the same photograph."""


@dataclass(frozen=True)
class Pictures:
    """rgb: uint8 [n, 3, SIDE, SIDE]. subject: int64 [n], the class shown, -1 if unknown."""

    rgb: Tensor
    subject: Tensor

    def keep(self, chosen: Tensor) -> Pictures:
        return Pictures(self.rgb[chosen], self.subject[chosen])


@dataclass(frozen=True)
class Validation:
    """Pictures for choosing the decoding.

    luma: [n, 1, SIDE, SIDE]. chroma: a* and b*, [n, 2, SIDE / 4, SIDE / 4].
    """

    luma: Tensor
    chroma: Tensor

    @classmethod
    def of(cls, rgb: Tensor) -> Validation:
        """From RGB [n, 3, SIDE, SIDE] in [0, 1]."""
        luma = torch.einsum("c,nchw->nhw", torch.from_numpy(LUMA_WEIGHTS), rgb)[:, None]
        return cls(luma, chroma(functional.avg_pool2d(rgb, 4)))


def is_validation(name: str) -> bool:
    """Whether a photograph of the training split is set aside for choosing the decoding."""
    return int(name.rsplit("/", 1)[1]) % 20 == 5


def gather_validation(root: Path, crops: int, seed: int) -> Validation:
    """The photographs that are set aside, as squares."""
    rng = np.random.default_rng(seed)
    squares = []
    for name, photograph in data.photographs(root, data.TRAIN):
        if is_validation(name):
            squares += _squares(photograph, crops, rng)
    return Validation.of(_stacked(squares).float() / 255)


def gather_pictures(root: Path, crops: int, seed: int, extra: Path | None = None) -> Pictures:
    """All training pictures as squares, in memory.

    crops: squares cut out of every larger photograph, half as many out of a film frame.
    extra: a tar of small JPEGs, `.../<class>_<number>.JPEG`. Those that are also in root's own
    tars, byte by byte or pixel by pixel, are left out, because some of them are held out.

    Gray pictures are left out, and so is every picture that looks like a held-out photograph:
    archives contain the same one in different sizes.
    """
    rng = np.random.default_rng(seed)
    squares = []
    for name, photograph in data.photographs(root, data.TRAIN):
        if not is_validation(name):
            squares += _squares(photograph, crops, rng)
    for _, clip in data.clips(root, data.TRAIN):
        for frame in clip[::8]:
            squares += _squares(frame, crops // 2, rng)
    subjects = [-1] * len(squares)
    if extra is not None:
        more, more_subjects = _extra_squares(root, extra)
        squares += more
        subjects += more_subjects
    rgb = _stacked(squares)
    wanted = _is_colored(rgb) & ~looks_held_out(rgb, root)
    return Pictures(rgb, torch.tensor(subjects)).keep(wanted)


def _stacked(squares: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()


def _shrunk(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _squares(photograph: np.ndarray, crops: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut random squares of half to all of the shorter side; keep pictures of SIDE pixels whole."""
    short = min(photograph.shape[:2])
    if short <= SIDE:
        return [_shrunk(photograph)]
    found = []
    for _ in range(crops):
        side = int(rng.uniform(0.5, 1.0) * short)
        top, left = (int(rng.integers(n - side + 1)) for n in photograph.shape[:2])
        found.append(_shrunk(photograph[top : top + side, left : left + side]))
    return found


def _extra_squares(root: Path, extra: Path) -> tuple[list[np.ndarray], list[int]]:
    known = set()
    for archive in sorted((root / "photos").glob("*.tar")):
        for _, stored in data.tar_members(archive):
            known |= {_digest(stored), _digest(data.decode_photograph(stored).tobytes())}
    squares, subjects, classes = [], [], {}
    for member, stored in data.tar_members(extra):
        if member.suffix.lower() not in (".jpeg", ".jpg") or _digest(stored) in known:
            continue
        photograph = data.decode_photograph(stored)
        if _digest(photograph.tobytes()) in known:
            continue
        squares.append(_shrunk(photograph))
        name = member.stem.split("_")[0]
        subjects.append(classes.setdefault(name, len(classes)))
    return squares, subjects


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def looks_held_out(rgb: Tensor, root: Path) -> Tensor:
    """Find pictures [n, 3, SIDE, SIDE] that show a held-out photograph, or its middle: bool [n].

    Compares thumbnails of 8x8 pixels.
    """
    squares = []
    for _, photograph in data.photographs(root, data.HELD_OUT):
        squares += [_shrunk(photograph), _shrunk(_middle(photograph))]
    held_out = _thumbnails(_stacked(squares))
    likeness = [(_thumbnails(part) @ held_out.T).amax(1) for part in rgb.split(4096)]
    return torch.cat(likeness) > SAME_PHOTOGRAPH


def _thumbnails(rgb: Tensor) -> Tensor:
    small = functional.avg_pool2d(rgb.float(), SIDE // 8).flatten(1)
    return functional.normalize(small - small.mean(1, keepdim=True))


def _middle(photograph: np.ndarray) -> np.ndarray:
    side = min(photograph.shape[:2])
    top, left = ((n - side) // 2 for n in photograph.shape[:2])
    return photograph[top : top + side, left : left + side]


def _is_colored(rgb: Tensor) -> Tensor:
    spread = rgb.amax(1).short() - rgb.amin(1).short()
    return spread.float().mean((1, 2)) > 6


class OldLook:
    """Make a batch of luma look like old film; half of it stays clean.

    The strengths are those of `ageing.Ageing` where it has them, for pictures of SIDE pixels.
    """

    def __init__(self, overlays: Sequence[np.ndarray]) -> None:
        """overlays: film damage, uint8 [h, w, 4] each, of which only the alpha is used."""
        small = [_shrunk(overlay)[..., 3] for overlay in overlays]
        self.damage = torch.from_numpy(np.stack(small)).float()[:, None] / 255

    def __call__(self, luma: Tensor) -> Tensor:
        """luma: [n, 1, SIDE, SIDE] in [0, 1]. Returns the same shape and range."""
        count = len(luma)

        def draw(low: float, high: float) -> Tensor:
            return torch.rand(count, 1, 1, 1) * (high - low) + low

        aged = _blurred(luma, draw(0.05, 1.0))
        aged = aged.clamp(min=1e-4) ** torch.exp(draw(-0.4, 0.4))
        black, white = draw(0.0, 0.15), draw(0.8, 1.0)
        aged = black + aged * (white - black)
        coarse = functional.interpolate(torch.randn(count, 1, SIDE // 2, SIDE // 2), scale_factor=2)
        aged = aged + draw(0.0, 0.05) * torch.randn_like(luma) + draw(0.0, 0.03) * coarse
        damage = self.damage[torch.randint(len(self.damage), (count,))]
        damage = damage * (draw(0.0, 1.0) < 0.25) * draw(0.3, 1.0)
        aged = aged + damage * ((draw(0.0, 1.0) < 0.5).float() * 0.9 + 0.05 - aged)
        return torch.where(draw(0.0, 1.0) < 0.5, luma, aged.clamp(0, 1))


def _blurred(luma: Tensor, sigma: Tensor) -> Tensor:
    """Blur each picture of [n, 1, h, w] with a Gaussian of its own sigma, [n, 1, 1, 1]."""
    offsets = torch.arange(-2, 3).float()
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum(-1, keepdim=True)
    rows = functional.pad(luma.transpose(0, 1), (2, 2, 2, 2), mode="replicate")
    rows = functional.conv2d(rows, kernel, groups=len(luma))
    return functional.conv2d(rows, kernel.transpose(2, 3), groups=len(luma)).transpose(0, 1)


def draw_batch(pictures: Pictures, count: int, look: OldLook) -> tuple[Tensor, Tensor, Tensor]:
    """Draw random squares of random pictures.

    Returns aged luma [n, 1, SIDE, SIDE], RGB at a quarter of the size, and the class shown [n].
    """
    chosen = torch.randint(len(pictures.rgb), (count,))
    zoom = 1 - 0.5 * torch.rand(count) * (torch.rand(count) < 0.4)
    shift = (torch.rand(count, 2) * 2 - 1) * (1 - zoom)[:, None]
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = zoom * (torch.randint(2, (count,)) * 2 - 1)
    theta[:, 1, 1] = zoom
    theta[:, :, 2] = shift
    grid = functional.affine_grid(theta, [count, 3, SIDE, SIDE], align_corners=False)
    rgb = pictures.rgb[chosen].float() / 255
    rgb = functional.grid_sample(rgb, grid, padding_mode="border", align_corners=False)
    return look(_film_luma(rgb)), functional.avg_pool2d(rgb, 4), pictures.subject[chosen]


def _film_luma(rgb: Tensor) -> Tensor:
    """Luma [n, 1, h, w], four times in ten as a more or less blue-sensitive film records it."""
    usual = torch.from_numpy(LUMA_WEIGHTS).expand(len(rgb), 3)
    blue_sensitive = rgb.new_tensor(BLUE_SENSITIVE)
    amount = torch.rand(len(rgb), 1) * (torch.rand(len(rgb), 1) < 0.4)
    weights = usual + amount * (blue_sensitive - usual)
    return torch.einsum("nc,nchw->nhw", weights, rgb)[:, None]
