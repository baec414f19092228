"""SPyNet: the optical flow of BasicVSR, IconVSR and BasicVSR++.

Ranjan and Black, "Optical Flow Estimation using a Spatial Pyramid Network", CVPR 2017. Six levels
without batch normalization, as in MMEditing and PaddleGAN.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

from oldfilm.networks.ops import warp

LEVELS = 6
MULTIPLE = 2 ** (LEVELS - 1)
"""Sides are resized to multiples of this, so that every level is half the next finer one."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class SPyNet(nn.Layer):
    """Coarse-to-fine optical flow between two frames."""

    def __init__(self) -> None:
        super().__init__()
        for level in range(LEVELS):
            setattr(self, f"basic_module{level}", Refinement())
        self.register_buffer("mean", paddle.to_tensor(MEAN).reshape([1, 3, 1, 1]))
        self.register_buffer("std", paddle.to_tensor(STD).reshape([1, 3, 1, 1]))

    def forward(self, reference: Tensor, other: Tensor) -> Tensor:
        """Estimate flow from `reference` to `other`.

        reference, other: [n, 3, h, w], RGB in [0, 1].
        Returns flow [n, 2, h, w], x and y in pixels.
        """
        height, width = reference.shape[2:]
        tall, wide = (-(-side // MULTIPLE) * MULTIPLE for side in (height, width))
        flow = self._flow(_resized(reference, tall, wide), _resized(other, tall, wide))
        stretch = paddle.to_tensor([width / wide, height / tall], "float32")
        return _resized(flow, height, width) * stretch.reshape([1, 2, 1, 1])

    def _flow(self, reference: Tensor, other: Tensor) -> Tensor:
        references = self._pyramid(reference)
        others = self._pyramid(other)
        flow = paddle.zeros_like(references[0][:, :2])
        for level in range(LEVELS):
            if level:
                size = references[level].shape[2:]
                flow = functional.interpolate(flow, size, mode="bilinear", align_corners=True) * 2
            seen = [references[level], warp(others[level], flow, "border"), flow]
            refinement = getattr(self, f"basic_module{level}")
            flow = flow + refinement(paddle.concat(seen, 1))
        return flow

    def _pyramid(self, picture: Tensor) -> list[Tensor]:
        """Return the normalized picture at all levels, coarsest first."""
        levels = [(picture - self.mean) / self.std]
        while len(levels) < LEVELS:
            levels.append(functional.avg_pool2d(levels[-1], 2, 2))
        return levels[::-1]


class Refinement(nn.Layer):
    """The correction of the flow at one level."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(8, 32, 7, padding=3)
        self.conv2 = nn.Conv2D(32, 64, 7, padding=3)
        self.conv3 = nn.Conv2D(64, 32, 7, padding=3)
        self.conv4 = nn.Conv2D(32, 16, 7, padding=3)
        self.conv5 = nn.Conv2D(16, 2, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, 8, h, w], reference, warped other frame and flow. Returns [n, 2, h, w]."""
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = functional.relu(conv(x))
        return self.conv5(x)


def _resized(x: Tensor, height: int, width: int) -> Tensor:
    return functional.interpolate(x, [height, width], mode="bilinear", align_corners=False)
