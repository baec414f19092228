"""The scratch detector of "Bringing Old Photos Back to Life" (Wan et al., CVPR 2020).

A U-Net with antialiased downsampling (Zhang, "Making Convolutional Networks Shift-Invariant Again",
ICML 2019), so that thin scratches do not depend on the pixel grid. Layers and parameter names match
`UNet` in microsoft/Bringing-Old-Photos-Back-to-Life, as configured by its `detection.py`.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional


class ScratchDetector(nn.Layer):
    """Predict the probability of a scratch at every pixel.

    width: channels at full size. depth: number of levels; each halves the size and doubles the
    channels.
    """

    def __init__(self, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        widths = [width << level for level in range(depth + 1)]
        self.first = nn.Sequential(
            nn.Pad2D(3, mode="reflect"), nn.Conv2D(1, width, 7), nn.LeakyReLU(0.2)
        )
        self.down_sample = nn.LayerList(
            nn.Sequential(*_unit(channels, channels), BlurPool(channels))
            for channels in widths[:-1]
        )
        self.down_path = nn.LayerList(
            Block(fine, coarse) for fine, coarse in zip(widths[:-1], widths[1:])
        )
        self.up_path = nn.LayerList(
            Enlargement(coarse, fine) for fine, coarse in zip(widths[-2::-1], widths[:0:-1])
        )
        self.last = nn.Sequential(nn.Pad2D(1, mode="reflect"), nn.Conv2D(width, 1, 3))

    def forward(self, luma: Tensor) -> Tensor:
        """Detect scratches.

        luma: [n, 1, h, w] in [-1, 1]; h, w: multiples of 2 ** depth, at least twice that.
        Returns logits [n, 1, h, w].
        """
        x = self.first(luma)
        skips = []
        for down, block in zip(self.down_sample, self.down_path):
            skips.append(x)
            x = block(down(x))
        for up in self.up_path:
            x = up(x, skips.pop())
        return self.last(x)


class BlurPool(nn.Layer):
    """Blur with the stored filters, then take every second row and column."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = paddle.to_tensor([0.25, 0.5, 0.25])
        blur = row.reshape([1, 1, 3, 1]) * row.reshape([1, 1, 1, 3])
        self.register_buffer("filt", blur.tile([channels, 1, 1, 1]))

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, [1, 1, 1, 1], mode="reflect")
        return functional.conv2d(padded, self.filt, stride=2, groups=self.filt.shape[0])


class Block(nn.Layer):
    """Two convolutions."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(*_unit(channels_in, channels), *_unit(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class Enlargement(nn.Layer):
    """Upsample by two, concatenate the features of that size, and convolve."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.up = nn.Sequential(
            nn.Identity(),  # The published network upsamples here.
            nn.Pad2D(1, mode="reflect"),
            nn.Conv2D(channels_in, channels, 3),
        )
        self.conv_block = Block(2 * channels, channels)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        enlarged = functional.interpolate(coarse, size=paddle.shape(fine)[2:], mode="bilinear")
        return self.conv_block(paddle.concat([self.up(enlarged), fine], 1))


def _unit(channels_in: int, channels: int) -> list[nn.Layer]:
    return [
        nn.Pad2D(1, mode="reflect"),
        nn.Conv2D(channels_in, channels, 3),
        nn.BatchNorm2D(channels),
        nn.LeakyReLU(0.2),
    ]
