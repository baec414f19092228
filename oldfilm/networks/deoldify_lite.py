"""DeOldifyLite: a small colorization network that predicts chroma from luma.

It is a U-Net with a pretrained encoder and global context, like DeOldify, at a hundredth of its
cost. The output layers follow Zhang, Isola and Efros, "Colorful Image Colorization", ECCV 2016:
each pixel has a distribution over some hundred chroma bins, and its chroma is the mean of their
centers.
"""

from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn import functional

from oldfilm.networks.efficientnet_lite import EfficientNetLite0


class DeOldifyLite(nn.Layer):
    """EfficientNet-Lite0 and a decoder from 1/32 to 1/4 of the size, where colors are classified.

    widths: channels of the decoder at 1/32, 1/16, 1/8 and 1/4 of the size. bins: number of chroma
    bins.
    """

    def __init__(
        self, widths: tuple[int, int, int, int] = (320, 192, 128, 96), bins: int = 160
    ) -> None:
        super().__init__()
        deep, sixteenth, eighth, quarter = widths
        self.encoder = EfficientNetLite0()
        self.deep = nn.Conv2D(320, deep, 1)
        self.scene1 = nn.Conv2D(deep, deep // 2, 1)
        self.scene2 = nn.Conv2D(deep // 2, deep, 1)
        self.bottom = Unit(deep)
        self.up16 = Up(deep, 112, sixteenth)
        self.up8 = Up(sixteenth, 40, eighth)
        self.up4 = Up(eighth, 24, quarter)
        self.head = nn.Conv2D(quarter, bins, 1)
        self.centers = nn.Conv2D(bins, 2, 1, bias_attr=False)

    def forward(self, luma: Tensor) -> Tensor:
        """Predict the chroma of pictures.

        luma: [n, 1, h, w], BT.601 luma (gamma-encoded) in [0, 1]; h, w: multiples of 32.
        Returns [n, 2, h, w], a* and b* of CIE Lab, divided by 110.
        """
        quarter, eighth, sixteenth, deep = self.encoder(luma)
        deep = functional.relu(self.deep(deep))
        scene = functional.relu(self.scene1(deep.mean([2, 3], keepdim=True)))
        deep = functional.relu(deep + self.scene2(scene))
        deep = deep + self.bottom(deep)
        decoded = self.up4(self.up8(self.up16(deep, sixteenth), eighth), quarter)
        belief = functional.softmax(self.head(decoded), 1)
        size = paddle.shape(luma)[2:]
        return functional.interpolate(self.centers(belief), size=size, mode="bilinear")


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

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2D(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv(x))


class Up(nn.Layer):
    """Doubles the size of what is decoded, adds the encoder's features and refines the sum."""

    def __init__(self, channels_below: int, features: int, channels: int) -> None:
        super().__init__()
        self.lift = nn.Conv2D(channels_below, channels, 1)
        self.lateral = nn.Conv2D(features, channels, 1)
        self.first = Unit(channels)
        self.second = Unit(channels)

    def forward(self, below: Tensor, features: Tensor) -> Tensor:
        size = paddle.shape(features)[2:]
        below = functional.interpolate(self.lift(below), size=size, mode="nearest")
        x = functional.relu(below + self.lateral(features))
        return x + self.second(self.first(x))
