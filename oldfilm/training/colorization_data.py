"""Pictures for training colorization, and how they are made to look like old film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from oldfilm.imaging.color import LUMA_WEIGHTS
from oldfilm.training import data
from oldfilm.training.palette import chroma

STORED_SIDE = 144
"""Pictures are kept as squares of this many pixels."""

SIDE = 128
"""Training samples are squares of this many pixels."""

LONG_BY = 28
"""Pictures that are longer than a square by more pixels give two squares, one from each end."""

SMALL_SIDE = 100
"""Photographs with a shorter side below this count as small ones."""

LEAST_COLOR = 8
"""Pictures whose channels differ by less than this of 255, on average, count as gray."""

BLUE_SENSITIVE = (0.1, 0.5, 0.4)
"""Luma as early film stock records it: it hardly sees red."""

SAME_PHOTOGRAPH = 0.98
"""Thumbnails that correlate above this show the same photograph."""


@dataclass(frozen=True)
class Pictures:
    """Squares in memory, on the device that trains.

    rgb: uint8 [n, 3, STORED_SIDE, STORED_SIDE]; the first `large` of them are of large photographs.
    """

    rgb: Tensor
    large: int

    def to(self, device: torch.device) -> Pictures:
        return Pictures(self.rgb.to(device), self.large)


@dataclass(frozen=True)
class Validation:
    """Pictures for judging while training.

    luma: [n, 1, SIDE, SIDE]. chroma: a* and b*, [n, 2, SIDE / 4, SIDE / 4].
    """

    luma: Tensor
    chroma: Tensor

    @classmethod
    def of(cls, rgb: Tensor) -> Validation:
        """From RGB [n, 3, STORED_SIDE, STORED_SIDE] in [0, 1]; the margin is cut off."""
        margin = (STORED_SIDE - SIDE) // 2
        rgb = rgb[:, :, margin : margin + SIDE, margin : margin + SIDE]
        luma = torch.einsum("c,nchw->nhw", torch.from_numpy(LUMA_WEIGHTS), rgb)[:, None]
        return cls(luma, chroma(functional.avg_pool2d(rgb, 4)))


def is_validation(name: str) -> bool:
    """Whether a photograph of the training split is set aside for judging while training."""
    return int(name.rsplit("/", 1)[1]) % 20 == 5


def gather_validation(root: Path) -> Validation:
    """The photographs that are set aside, as squares."""
    photographs = data.photographs(root, data.TRAIN)
    found = [s for name, picture in photographs if is_validation(name) for s in squares(picture)]
    return Validation.of(_stacked(found).float() / 255)


def gather_pictures(root: Path, extra: Sequence[Path] = (), limit: int | None = None) -> Pictures:
    """All training pictures as squares, in memory.

    root: see `oldfilm.training.data`. extra: tars of more photographs; their numbers do not matter.
    limit: photographs to read, at most, from either.

    Gray pictures are left out, and so is every picture that looks like a held-out photograph:
    archives contain the same one in different sizes.
    """
    large, small = [], []
    for source in (_training_photographs(root), _of_tars(extra)):
        with ThreadPoolExecutor() as threads:
            for side, found in threads.map(_decoded_squares, islice(source, limit)):
                (small if side < SMALL_SIDE else large).extend(found)
    held_out = _held_out_thumbnails(root)
    parts = [_wanted(part, held_out) for part in (large, small)]
    return Pictures(torch.cat(parts), len(parts[0]))


def _training_photographs(root: Path) -> Iterator[bytes]:
    for name, stored in data.stored_photographs(root, data.TRAIN):
        if not is_validation(name):
            yield stored


def _of_tars(archives: Sequence[Path]) -> Iterator[bytes]:
    for archive in archives:
        for _, stored in data.tar_members(archive):
            yield stored


def _decoded_squares(stored: bytes) -> tuple[int, list[np.ndarray]]:
    """The shorter side of a stored photograph, and its squares."""
    photograph = data.decode_photograph(stored)
    return min(photograph.shape[:2]), squares(photograph)


def _wanted(found: Sequence[np.ndarray], held_out: Tensor) -> Tensor:
    if not found:
        return torch.empty(0, 3, STORED_SIDE, STORED_SIDE, dtype=torch.uint8)
    rgb = _stacked(found)
    return rgb[_is_colored(rgb) & ~_looks_like(rgb, held_out)]


def _stacked(pictures: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def squares(photograph: np.ndarray) -> list[np.ndarray]:
    """One or two squares of STORED_SIDE that show a photograph [h, w, 3]."""
    height, width = photograph.shape[:2]
    scale = STORED_SIDE / min(height, width)
    size = tuple(max(STORED_SIDE, round(side * scale)) for side in (width, height))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(photograph, size, interpolation=way)
    over = max(size) - STORED_SIDE
    offsets = [0, over] if over > LONG_BY else [over // 2]
    return [
        picture[:, at : at + STORED_SIDE] if width > height else picture[at : at + STORED_SIDE]
        for at in offsets
    ]


def looks_held_out(rgb: Tensor, root: Path) -> Tensor:
    """Find pictures [n, 3, s, s] that show a held-out photograph, or a square of it: bool [n].

    Compares thumbnails of 8x8 pixels.
    """
    return _looks_like(rgb, _held_out_thumbnails(root))


def _held_out_thumbnails(root: Path) -> Tensor:
    found = []
    for _, photograph in data.photographs(root, data.HELD_OUT):
        whole = cv2.resize(photograph, (STORED_SIDE, STORED_SIDE), interpolation=cv2.INTER_AREA)
        found += [whole, *squares(photograph)]
    return _thumbnails(_stacked(found))


def _looks_like(rgb: Tensor, thumbnails: Tensor) -> Tensor:
    likeness = [(_thumbnails(part) @ thumbnails.T).amax(1) for part in rgb.split(4096)]
    return torch.cat(likeness) > SAME_PHOTOGRAPH


def _thumbnails(rgb: Tensor) -> Tensor:
    small = functional.adaptive_avg_pool2d(rgb.float(), 8).flatten(1)
    return functional.normalize(small - small.mean(1, keepdim=True))


def _is_colored(rgb: Tensor) -> Tensor:
    spreads = [part.amax(1).short() - part.amin(1).short() for part in rgb.split(4096)]
    return torch.cat([spread.float().mean((1, 2)) for spread in spreads]) > LEAST_COLOR


class OldLook:
    """Make a batch of luma look like old film, and leave a share of it clean."""

    def __init__(self, overlays: Sequence[np.ndarray], share: float) -> None:
        """overlays: film damage, uint8 [h, w, 4] each, of which only the alpha is used.
        share: of the pictures that are aged.
        """
        small = [
            cv2.resize(overlay[..., 3], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            for overlay in overlays
        ]
        self.damage = torch.from_numpy(np.stack(small)).float()[:, None] / 255
        self.share = share

    def __call__(self, luma: Tensor) -> Tensor:
        """luma: [n, 1, SIDE, SIDE] in [0, 1]. Returns the same shape and range."""
        count, device = len(luma), luma.device
        self.damage = self.damage.to(device)

        def draw(low: float, high: float) -> Tensor:
            return torch.rand(count, 1, 1, 1, device=device) * (high - low) + low

        aged = _blurred(luma, draw(0, 1))
        aged = aged.clamp(min=1e-4) ** torch.exp(draw(-0.45, 0.45))
        black, white = draw(0, 0.18), draw(0.75, 1.0)
        aged = black + aged * (white - black)
        aged = aged * (1 - draw(0, 0.25) * _distance_from_center(device))
        half = torch.randn(count, 1, SIDE // 2, SIDE // 2, device=device)
        coarse = functional.interpolate(half, scale_factor=2)
        aged = aged + draw(0, 0.06) * torch.randn_like(luma) + draw(0, 0.04) * coarse
        damage = self.damage[torch.randint(len(self.damage), (count,), device=device)]
        damage = damage * (draw(0, 1) < 0.25) * draw(0.3, 1)
        aged = aged + damage * ((draw(0, 1) < 0.5).float() * 0.9 + 0.05 - aged)
        return torch.where(draw(0, 1) < self.share, aged.clamp(0, 1), luma)


def _blurred(luma: Tensor, amount: Tensor) -> Tensor:
    """Blur pictures between not at all (0) and a sigma of about two pixels (1)."""
    soft = _box(luma)
    softer = _box(soft)
    little = luma + 2 * amount * (soft - luma)
    return torch.where(amount < 0.5, little, soft + (2 * amount - 1) * (softer - soft))


def _box(luma: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.pad(luma, (2,) * 4, mode="reflect"), 5, 1)


def _distance_from_center(device: torch.device) -> Tensor:
    """[1, 1, SIDE, SIDE]: 0 in the center, 1 in the corners; squared."""
    axis = torch.linspace(-1, 1, SIDE, device=device).square()
    return ((axis[:, None] + axis) / 2)[None, None]


def draw_batch(
    pictures: Pictures, count: int, look: OldLook, large_share: float = 1.0, pairs: int = 0
) -> tuple[Tensor, Tensor]:
    """Draw random squares of random pictures.

    large_share: how often a picture is one of the large ones. pairs: the last pictures of the batch
    are the first ones again, aged in another way.
    Returns aged luma [n, 1, SIDE, SIDE], and a* and b* at a quarter of the size.
    """
    rgb = pictures.rgb[_chosen(pictures, count, large_share)].float() / 255
    grid = functional.affine_grid(
        _random_views(count, rgb.device), [count, 3, SIDE, SIDE], align_corners=False
    )
    rgb = functional.grid_sample(rgb, grid, padding_mode="reflection", align_corners=False)
    rgb = rgb.clamp(0, 1)
    luma = _film_luma(rgb)
    if pairs:
        luma, rgb = (torch.cat([x[:-pairs], x[:pairs]]) for x in (luma, rgb))
    return look(luma), chroma(functional.avg_pool2d(rgb, 4))


def _chosen(pictures: Pictures, count: int, large_share: float) -> Tensor:
    total, large, device = len(pictures.rgb), pictures.large, pictures.rgb.device
    if large in (0, total):
        return torch.randint(total, (count,), device=device)
    of_large = torch.randint(large, (count,), device=device)
    of_small = torch.randint(large, total, (count,), device=device)
    return torch.where(torch.rand(count, device=device) < large_share, of_large, of_small)


def _random_views(count: int, device: torch.device) -> Tensor:
    """Affine maps [count, 2, 3]: zoomed, turned, stretched, mirrored and shifted at random."""

    def draw(low: float, high: float) -> Tensor:
        return torch.rand(count, device=device) * (high - low) + low

    zoom = torch.where(draw(0, 1) < 0.5, draw(0.5, 1.0), draw(0.85, 1.0))
    angle = draw(-0.12, 0.12) * (draw(0, 1) < 0.4)
    stretch = torch.exp(draw(-0.15, 0.15))
    mirror = torch.randint(2, (count,), device=device) * 2.0 - 1
    across, down = (zoom * stretch).clamp(max=1), (zoom / stretch).clamp(max=1)
    views = torch.zeros(count, 2, 3, device=device)
    views[:, 0, 0], views[:, 0, 1] = across * angle.cos() * mirror, -down * angle.sin()
    views[:, 1, 0], views[:, 1, 1] = across * angle.sin() * mirror, down * angle.cos()
    views[:, 0, 2], views[:, 1, 2] = draw(-1, 1) * (1 - across), draw(-1, 1) * (1 - down)
    return views


def _film_luma(rgb: Tensor) -> Tensor:
    """Luma [n, 1, h, w], a third of it as a more or less blue-sensitive film records it."""
    usual = torch.from_numpy(LUMA_WEIGHTS).to(rgb.device).expand(len(rgb), 3)
    amount = torch.rand(len(rgb), 1, device=rgb.device)
    amount = amount * (torch.rand(len(rgb), 1, device=rgb.device) < 0.35)
    weights = usual + amount * (rgb.new_tensor(BLUE_SENSITIVE) - usual)
    return torch.einsum("nc,nchw->nhw", weights, rgb)[:, None]
