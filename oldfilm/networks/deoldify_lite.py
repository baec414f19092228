"""A small network that colors: chroma from luma, as the mean of a choice among colors.

It takes DeOldify's place (a U-Net with a view of the whole picture) at a hundredth of its cost. The
last layers are those of "Colorful Image Colorization" (Zhang, Isola and Efros, 2016): every pixel
spreads its belief over some hundred chromas, and gets their mean. How far that belief is sharpened,
and saturation, are part of the weights.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional


class DeOldifyLite(nn.Layer):
    """Four levels, from half the size to a sixteenth; the choice is made at a quarter.

    widths: channels at 1/2, 1/4, 1/8 and 1/16 of the size. detail: channels before the choice.
    bins: how many colors there are to choose from.
    """

    def __init__(
        self, widths: tuple[int, ...] = (32, 64, 128, 192), detail: int = 96, bins: int = 128
    ) -> None:
        super().__init__()
        half, quarter, eighth, deep = widths
        self.stem = Unit(1, half, kernel=5, stride=2)
        self.down2 = Unit(half, quarter, stride=2)
        self.down3 = Unit(quarter, eighth, stride=2)
        self.encode3 = Residual(eighth)
        self.down4 = Unit(eighth, deep, stride=2)
        self.encode4a = Residual(deep)
        self.encode4b = Residual(deep)
        self.scene1 = nn.Conv2D(deep, deep, 1)
        self.scene2 = nn.Conv2D(deep, deep, 1)
        self.up3 = nn.Conv2D(deep, eighth, 1)
        self.decode3 = Residual(eighth)
        self.up2 = nn.Conv2D(eighth, quarter, 1)
        self.decode2 = Unit(quarter, detail)
        self.head = nn.Conv2D(detail, bins, 1)
        self.centres = nn.Conv2D(bins, 2, 1, bias_attr=False)

    def forward(self, luma: Tensor) -> Tensor:
        """Color a picture.

        luma: [n, 1, h, w], BT.601 luma (gamma-encoded) in [0, 1]; h and w multiples of 16.
        Returns [n, 2, h, w], a* and b* of CIE Lab over 110.
        """
        quarter = self.down2(self.stem(luma))
        eighth = self.encode3(self.down3(quarter))
        deep = self.encode4b(self.encode4a(self.down4(eighth)))
        scene = functional.relu(self.scene1(deep.mean([2, 3], keepdim=True)))
        deep = deep + self.scene2(scene)
        eighth = self.decode3(eighth + _enlarged(self.up3(deep), eighth))
        quarter = functional.relu(quarter + _enlarged(self.up2(eighth), quarter))
        belief = functional.softmax(self.head(self.decode2(quarter)), 1)
        size = paddle.shape(luma)[2:]
        return functional.interpolate(self.centres(belief), size=size, mode="bilinear")


class Unit(nn.Layer):
    """A convolution and a ReLU; in training there is batch normalization between them."""

    def __init__(self, channels_in: int, channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2D(channels_in, channels, kernel, stride, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv(x))


class Residual(nn.Layer):
    """Two units beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Unit(channels, channels)
        self.second = Unit(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=paddle.shape(like)[2:], mode="nearest")
