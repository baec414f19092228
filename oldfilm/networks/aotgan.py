"""AOT-GAN: filling of holes.

Zeng et al., "Aggregated Contextual Transformations for High-Resolution Image Inpainting", TVCG
2022. Layers and parameter names match PaddleGAN's `InpaintGenerator`.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional


class InpaintGenerator(nn.Layer):
    """Fills holes in single frames.

    rates: dilations inside each block. block_num: number of blocks. width: channels at full size.
    """

    def __init__(
        self, rates: Sequence[int] = (1, 2, 4, 8), block_num: int = 8, width: int = 64
    ) -> None:
        super().__init__()
        most = 4 * width
        self.encoder = nn.Sequential(
            nn.Pad2D(3, mode="reflect"),
            nn.Conv2D(4, width, 7),
            nn.ReLU(),
            nn.Conv2D(width, 2 * width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2D(2 * width, most, 4, stride=2, padding=1),
            nn.ReLU(),
        )
        self.middle = nn.Sequential(*[AOTBlock(most, rates) for _ in range(block_num)])
        self.decoder = nn.Sequential(
            UpConv(most, 2 * width),
            nn.ReLU(),
            UpConv(2 * width, width),
            nn.ReLU(),
            nn.Conv2D(width, 3, 3, padding=1),
        )

    def forward(self, frame: Tensor, mask: Tensor) -> Tensor:
        """Paint frames.

        frame: float32 [n, 3, h, w], RGB in [-1, 1], white in the holes; h, w: multiples of 4, at
        least 64. mask: [n, 1, h, w], 1 in the holes, else 0.
        Returns [n, 3, h, w] in [-1, 1]; only the holes are of use.
        """
        features = self.middle(self.encoder(paddle.concat([frame, mask], 1)))
        return functional.tanh(self.decoder(features))


class AOTBlock(nn.Layer):
    """Convolutions of several dilations; a gate chooses between them and the input."""

    def __init__(self, channels: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = [f"block{number:02d}" for number in range(len(rates))]
        for name, rate in zip(self.branches, rates):
            conv = nn.Conv2D(channels, channels // 4, 3, dilation=rate)
            branch = nn.Sequential(nn.Pad2D(rate, mode="reflect"), conv, nn.ReLU())
            setattr(self, name, branch)
        self.fuse = _reflected(channels)
        self.gate = _reflected(channels)

    def forward(self, x: Tensor) -> Tensor:
        made = self.fuse(paddle.concat([getattr(self, name)(x) for name in self.branches], 1))
        gate = functional.sigmoid(_normalized(self.gate(x)))
        return x * (1 - gate) + made * gate


class UpConv(nn.Layer):
    """Double the size, then a convolution."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2D(channels_in, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        size = paddle.shape(x)[2:] * 2
        return self.conv(functional.interpolate(x, size=size, mode="bilinear", align_corners=True))


def _reflected(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Pad2D(1, mode="reflect"), nn.Conv2D(channels, channels, 3))


def _normalized(x: Tensor) -> Tensor:
    """Normalize every channel: 95 % of a normal distribution is then in [-25, 15]."""
    centered = x - x.mean([2, 3], keepdim=True)
    count = paddle.ones_like(x).sum([2, 3], keepdim=True)
    variance = (centered * centered).sum([2, 3], keepdim=True) / (count - 1)
    return 5 * (2 * centered / (variance.sqrt() + 1e-9) - 1)
