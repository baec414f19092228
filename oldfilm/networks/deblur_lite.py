"""DeblurLite: a small network that estimates the fine detail that blur took from a picture.

A residual U-Net of plain convolutions at 1/2, 1/4 and 1/8 of the picture's size, which a CPU
computes faster than depthwise ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from paddle import Tensor, nn
from paddle.nn import functional

MULTIPLE = 8
"""Heights and widths are multiples of this."""


class DeblurLite(nn.Layer):
    """Estimates what to add to a blurred picture.

    widths: channels at 1/2, 1/4 and 1/8 of the size. blocks: residual blocks at each size, on the
    way down. blocks_up: on the way up, at 1/2 and 1/4.
    """

    def __init__(
        self,
        widths: Sequence[int] = (40, 64, 96),
        blocks: Sequence[int] = (2, 2, 3),
        blocks_up: Sequence[int] = (2, 1),
    ) -> None:
        super().__init__()
        half, quarter, eighth = widths
        self.enter = nn.Conv2D(1, half, 6, stride=2, padding=2)
        self.down_half = _blocks(half, blocks[0])
        self.to_quarter = nn.Conv2D(half, quarter, 2, stride=2)
        self.down_quarter = _blocks(quarter, blocks[1])
        self.to_eighth = nn.Conv2D(quarter, eighth, 2, stride=2)
        self.deepest = _blocks(eighth, blocks[2])
        self.from_eighth = nn.Conv2D(eighth, 4 * quarter, 1)
        self.up_quarter = _blocks(quarter, blocks_up[1])
        self.from_quarter = nn.Conv2D(quarter, 4 * half, 1)
        self.up_half = _blocks(half, blocks_up[0])
        self.leave = nn.Conv2D(half, 4, 3, padding=1)

    def forward(self, luma: Tensor) -> Tensor:
        """Estimate the lost detail.

        luma: float32 [n, 1, h, w] in [0, 1]; h, w: multiples of MULTIPLE.
        Returns [n, 1, h, w], to be added to `luma`.
        """
        half = self.down_half(self.enter(luma - 0.5))
        quarter = self.down_quarter(self.to_quarter(half))
        eighth = self.deepest(self.to_eighth(quarter))
        quarter = quarter + functional.pixel_shuffle(self.from_eighth(eighth), 2)
        half = half + functional.pixel_shuffle(self.from_quarter(self.up_quarter(quarter)), 2)
        return functional.pixel_shuffle(self.leave(self.up_half(half)), 2)


class Residual(nn.Layer):
    """Two convolutions with a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2D(channels, channels, 3, padding=1)
        self.second = nn.Conv2D(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.relu(self.first(x)))


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[Residual(channels) for _ in range(count)])
