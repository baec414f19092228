"""DeOldifyLite: a small colorization network that predicts chroma from luma.

It is a U-Net with global context, like DeOldify, at a hundredth of its cost. The output layers
follow Zhang, Isola and Efros, "Colorful Image Colorization", ECCV 2016: each pixel has a
distribution over some hundred chroma bins, and its chroma is the mean of their centers. Temperature
and saturation are part of the weights.
"""

from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn import functional


class DeOldifyLite(nn.Layer):
    """A U-Net from 1/2 to 1/16 of the size; colors are classified at 1/4.

    widths: channels at 1/2, 1/4, 1/8 and 1/16 of the size. detail: channels before the classifier.
    bins: number of chroma bins.
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
        """Predict the chroma of pictures.

        luma: [n, 1, h, w], BT.601 luma (gamma-encoded) in [0, 1]; h, w: multiples of 16.
        Returns [n, 2, h, w], a* and b* of CIE Lab, divided by 110.
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


class AsPublished(nn.Layer):
    """`DeOldifyLite`, called as the published network is."""

    def __init__(self, network: nn.Layer) -> None:
        """network: a `DeOldifyLite`."""
        super().__init__()
        self.network = network
        for name, values in _CONSTANTS.items():
            self.register_buffer(name, paddle.to_tensor(values, "float32"), persistable=False)

    def forward(self, image: Tensor) -> Tensor:
        """Color pictures.

        image: [n, 3, h, w], RGB, normalized with ImageNet's mean and deviation. h, w: multiples of
        16. Returns the same kind; the luma is nearly that of `image`.
        """
        rgb = image * self.deviation + self.mean
        luma = (rgb * self.luma_weights).sum(1, keepdim=True).clip(0, 1)
        chroma = 110 * self.network(luma)
        linear = paddle.where(luma <= 0.04045, luma / 12.92, ((luma + 0.055) / 1.055) ** 2.4)
        bright = (linear + 1e-8) ** (1 / 3)
        f = paddle.where(linear > 0.008856, bright, 7.787 * linear + 16 / 116)
        f = paddle.concat([f + chroma[:, :1] / 500, f, f - chroma[:, 1:] / 200], 1)
        xyz = paddle.where(f > 6 / 29, f**3, (f - 16 / 116) / 7.787)
        linear = functional.conv2d(xyz, self.rgb_of_xyz).clip(0, 1)
        gamma = 1.055 * (linear + 1e-8) ** (1 / 2.4) - 0.055
        color = paddle.where(linear <= 0.0031308, 12.92 * linear, gamma)
        color = color - (color * self.luma_weights).sum(1, keepdim=True) + luma
        return (color.clip(0, 1) - self.mean) / self.deviation


def _column(*values: float) -> np.ndarray:
    return np.array(values)[None, :, None, None]


_CONSTANTS = {
    "mean": _column(0.485, 0.456, 0.406),
    "deviation": _column(0.229, 0.224, 0.225),
    "luma_weights": _column(0.299, 0.587, 0.114),
    # XYZ over the white of D65, to linear sRGB
    "rgb_of_xyz": np.array(
        [
            [3.0799327, -1.5371500, -0.5427819],
            [-0.9212350, 1.8759900, 0.0452440],
            [0.0528909, -0.2040430, 1.1511520],
        ]
    )[:, :, None, None],
}


class Unit(nn.Layer):
    """A convolution and a ReLU; training folds batch normalization into the convolution."""

    def __init__(self, channels_in: int, channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2D(channels_in, channels, kernel, stride, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv(x))


class Residual(nn.Layer):
    """Two units with a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Unit(channels, channels)
        self.second = Unit(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=paddle.shape(like)[2:], mode="nearest")
