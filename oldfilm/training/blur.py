"""Draw blur, grain and compression for batches of pictures, on the device that trains.

Everything is [n, 1, side, side], float32, and convolutions are cyclic: cut off the borders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def drawn(count: int, low: float, high: float, device: torch.device) -> Tensor:
    """Uniform random numbers, [count, 1, 1, 1]."""
    return torch.rand(count, 1, 1, 1, device=device) * (high - low) + low


def convolved(pictures: Tensor, kernels: Tensor) -> Tensor:
    """Convolve every picture with its own kernel, of the same side, around the corner [0, 0]."""
    spectrum = torch.fft.rfft2(pictures) * torch.fft.rfft2(kernels)
    return torch.fft.irfft2(spectrum, s=pictures.shape[-2:])


def _offsets(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Distance down and across from the corner [0, 0], where cyclic kernels are centered."""
    axis = (torch.arange(side, device=device) + side // 2) % side - side // 2
    return axis[:, None].float(), axis[None].float()


def _normalized(kernels: Tensor) -> Tensor:
    return kernels / kernels.sum((2, 3), keepdim=True)


def gaussians(sigma: Tensor, side: int) -> Tensor:
    """Kernels of a soft lens; sigma: [n, 1, 1, 1] in pixels, above 0."""
    down, across = _offsets(side, sigma.device)
    return _normalized(torch.exp(-(down**2 + across**2) / (2 * sigma**2)))


def disks(radius: Tensor, side: int) -> Tensor:
    """Kernels of a lens out of focus; radius: [n, 1, 1, 1] in pixels."""
    down, across = _offsets(side, radius.device)
    return _normalized((radius + 0.5 - torch.hypot(down, across)).clamp(0, 1))


def lines(length: Tensor, angle: Tensor, side: int) -> Tensor:
    """Kernels of motion along a line; length in pixels and angle: [n, 1, 1, 1]."""
    down, across = _offsets(side, length.device)
    along = across * angle.cos() + down * angle.sin()
    sideways = down * angle.cos() - across * angle.sin()
    beyond = (along.abs() - length / 2).clamp(min=0)
    return _normalized((1 - torch.hypot(sideways, beyond)).clamp(min=0))


@dataclass(frozen=True)
class Blur:
    """Optics and motion of a batch.

    gaussian: sigma. radius: of the disk. length, angle: of the motion. gamma: of the light that is
    blurred; 1 blurs the stored values. All [n, 1, 1, 1]; radius and length 0 blur nothing.
    """

    gaussian: Tensor
    radius: Tensor
    length: Tensor
    angle: Tensor
    gamma: Tensor

    @classmethod
    def draw(cls, count: int, share: float, device: torch.device) -> Blur:
        """share: of the pictures that are blurred."""

        def draw(low: float, high: float) -> Tensor:
            return drawn(count, low, high, device)

        def chosen(chance: float) -> Tensor:
            return draw(0, 1) < chance

        kind, blurred = draw(0, 1), chosen(share)
        gaussian = torch.where(kind < 0.4, draw(0.4, 2.5), draw(0.2, 0.8)) * blurred
        radius = draw(0.8, 4.5) * ((kind >= 0.4) & (kind < 0.75)) * blurred
        length = draw(1.5, 11) * ((kind >= 0.75) | chosen(0.1)) * blurred
        gamma = torch.where(chosen(0.5), draw(1.0, 2.2), torch.ones_like(kind))
        return cls(gaussian.clamp(min=0.05), radius, length, draw(0, math.pi), gamma)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Blur pictures in [0, 1]."""
        side = pictures.shape[-1]
        light = pictures.clamp(min=1e-4) ** self.gamma
        spectrum = torch.fft.rfft2(light)
        for kernels in (
            gaussians(self.gaussian, side),
            disks(self.radius, side),
            lines(self.length, self.angle, side),
        ):
            spectrum = spectrum * torch.fft.rfft2(kernels)
        light = torch.fft.irfft2(spectrum, s=pictures.shape[-2:])
        return light.clamp(1e-6, 1) ** (1 / self.gamma)


def grain(pictures: Tensor, sigma: Tensor, size: Tensor) -> Tensor:
    """Grain for pictures, strongest in the middle tones; size: sigma of a grain in pixels."""
    noise = convolved(torch.randn_like(pictures), gaussians(size, pictures.shape[-1]))
    noise = noise / noise.std((2, 3), keepdim=True)
    return noise * sigma * (0.6 + 1.6 * pictures * (1 - pictures))


QUANTIZATION = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Of luma at quality 50: ITU-T T.81, table K.1."""


def compressed(pictures: Tensor, quality: Tensor) -> Tensor:
    """Quantize pictures in [0, 1] as JPEG does; quality: [n, 1, 1, 1] in 1 to 99."""
    count, _, height, width = pictures.shape
    device = pictures.device
    cosines = _cosines(device)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    steps = torch.tensor(QUANTIZATION, device=device, dtype=torch.float32) * scale[..., None, None]
    steps = steps.round().clamp(min=1)
    blocks = (pictures * 255 - 128).reshape(count, 1, height // 8, 8, width // 8, 8)
    blocks = blocks.transpose(3, 4)
    coefficients = cosines @ blocks @ cosines.T
    coefficients = (coefficients / steps).round() * steps
    blocks = (cosines.T @ coefficients @ cosines).transpose(3, 4)
    return ((blocks.reshape(pictures.shape) + 128) / 255).clamp(0, 1)


def _cosines(device: torch.device) -> Tensor:
    """The orthonormal DCT of 8 numbers, as a matrix."""
    number = torch.arange(8, device=device, dtype=torch.float32)
    matrix = torch.cos((2 * number + 1) * number[:, None] * math.pi / 16) / 2
    matrix[0] /= math.sqrt(2)
    return matrix
