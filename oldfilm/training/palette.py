"""Chroma as a choice among colors (Zhang, Isola and Efros, "Colorful Image Colorization", 2016)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

STEP, CELLS = 2, 112
"""The a*b* plane as a table: CELLS x CELLS entries, STEP units apart."""

NEAREST, SIGMA = 5, 5.0
"""A chroma has shares in its nearest centers, by a Gaussian of this sigma in a* and b*."""


def chroma(rgb: Tensor) -> Tensor:
    """a* and b* [n, 2, h, w] of sRGB [n, 3, h, w] in [0, 1]; CIE 1976 with the white point D65."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    to_xyz = linear.new_tensor(
        [
            [0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456],
            [0.212671, 0.715160, 0.072169],
            [0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754],
        ]
    )
    xyz = torch.einsum("ij,njhw->nihw", to_xyz, linear)
    x, y, z = torch.where(
        xyz > 0.008856, xyz.clamp(min=1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116
    ).unbind(1)
    return torch.stack([500 * (x - y), 200 * (y - z)], 1)


class Palette:
    """The colors that the network chooses from, and how much each one counts.

    centers: float32 [bins, 2], a* and b*.
    """

    def __init__(self, samples: Tensor, centers: Tensor, rebalance: float) -> None:
        """Measure how often each color occurs.

        samples: a* and b* [n, 2] of the training pictures. rebalance: 0 counts colors as often as
        they occur, 1 counts all equally.
        """
        self.centers = centers
        counts, plane = _histogram(samples)
        squared, nearest = torch.cdist(plane, centers).square().topk(NEAREST, largest=False)
        share = torch.softmax(-squared / (2 * SIGMA**2), 1)
        self.shares = torch.zeros(len(plane), len(centers)).scatter_(1, nearest, share)
        prior = (counts[:, None] * self.shares).sum(0) / counts.sum()
        weight = 1 / ((1 - rebalance) * prior + rebalance / len(centers))
        weight /= (prior * weight).sum()
        self.weights = self.shares @ weight

    def to(self, device: torch.device) -> Palette:
        """Move to a device; returns itself."""
        for name in ("centers", "shares", "weights"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def weight_of(self, chroma: Tensor) -> Tensor:
        """The weight of a* and b* [n, 2] in the cross entropy: [n]."""
        return self.weights[_cell(chroma)]

    def losses(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Compare logits [n, bins, h, w] with a* and b* [n, 2, h, w].

        Returns the cross entropy, with rare colors weighted up, and the mean square error of the
        chroma that the logits decode to, in units of 20.
        """
        target = target.permute(0, 2, 3, 1).reshape(-1, 2)
        cells = _cell(target)
        belief = functional.log_softmax(logits.permute(0, 2, 3, 1).flatten(0, 2).float(), 1)
        entropy = (self.weights[cells] * -(self.shares[cells] * belief).sum(1)).mean()
        return entropy, ((belief.exp() @ self.centers - target) / 20).square().mean()


def find_centers(samples: Tensor, bins: int, seed: int) -> Tensor:
    """Choose `bins` colors that cover a* and b* [n, 2] of pictures: [bins, 2]."""
    counts, plane = _histogram(samples)
    # The square root spreads the centers over rare colors too.
    return _weighted_k_means(plane, counts.sqrt(), bins, seed)


def _cell(chroma: Tensor) -> Tensor:
    index = (chroma / STEP + CELLS / 2).long().clamp(0, CELLS - 1)
    return index[:, 0] * CELLS + index[:, 1]


def _histogram(samples: Tensor) -> tuple[Tensor, Tensor]:
    """The number of samples per cell, [cells], and the centers of the cells, [cells, 2]."""
    counts = torch.bincount(_cell(samples), minlength=CELLS**2).float()
    axis = (torch.arange(CELLS).float() + 0.5 - CELLS / 2) * STEP
    return counts, torch.cartesian_prod(axis, axis)


def _weighted_k_means(points: Tensor, weights: Tensor, count: int, seed: int) -> Tensor:
    """[count, 2] centers of [n, 2] points."""
    points, weights = points[weights > 0], weights[weights > 0]
    generator = torch.Generator().manual_seed(seed)
    centers = points[torch.multinomial(weights, count, generator=generator)]
    for _ in range(40):
        nearest = torch.cdist(points, centers).argmin(1)
        mass = torch.zeros(count).index_add_(0, nearest, weights)
        moment = torch.zeros(count, 2).index_add_(0, nearest, points * weights[:, None])
        centers = torch.where(mass[:, None] > 0, moment / mass[:, None].clamp(min=1e-9), centers)
    return centers
