"""EfficientNet-Lite0: an image classifier for small devices, here as an encoder of luma.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019;
the Lite models (Liu, 2020) have ReLU6 and no squeeze-and-excitation. Batch normalization is folded
into the convolutions, and the three input channels are summed to one.
"""

from __future__ import annotations

from paddle import Tensor, nn
from paddle.nn import functional

from oldfilm.networks.efficientnet_blocks import BLOCKS, TAPS


class EfficientNetLite0(nn.Layer):
    """The features of EfficientNet-Lite0 at four sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvReLU6(1, 32, kernel=3, stride=2)
        self.blocks = nn.LayerList([InvertedResidual(*block) for block in BLOCKS])

    def forward(self, luma: Tensor) -> list[Tensor]:
        """Encode pictures.

        luma: [n, 1, h, w] in [0, 1]; h, w: multiples of 32.
        Returns 24, 40, 112 and 320 channels at 1/4, 1/8, 1/16 and 1/32 of the size.
        """
        x = self.stem((luma * 255 - 127) / 128)
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in TAPS:
                features.append(x)
        return features


class ConvReLU6(nn.Layer):
    """A convolution with TensorFlow's SAME padding, and a ReLU6 unless it is linear."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        before = (kernel - stride) // 2
        after = kernel - stride - before
        padding = [before, after, before, after]
        self.conv = nn.Conv2D(channels_in, channels, kernel, stride, padding, groups=groups)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x if self.linear else functional.relu6(x)


class InvertedResidual(nn.Layer):
    """An expansion, a depthwise convolution and a projection (Sandler et al., CVPR 2018)."""

    def __init__(
        self, kernel: int, stride: int, expansion: int, channels_in: int, channels: int
    ) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.expand = ConvReLU6(channels_in, wide) if expansion > 1 else nn.Identity()
        self.depthwise = ConvReLU6(wide, wide, kernel, stride, groups=wide)
        self.project = ConvReLU6(wide, channels, linear=True)
        self.has_skip = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.has_skip else y
