"""RRDBNet: four-fold super-resolution with residual-in-residual dense blocks.

Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCVW 2018.
RealSR (Ji et al., CVPRW 2020) and Real-ESRGAN's `RealESRGAN_x4plus` (Wang et al., ICCVW 2021) are
the same network with other weights. Layers and parameter names match PaddleGAN's `RRDBNet`.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

RESIDUAL = 0.2
"""Scale of every residual."""

SLOPE = 0.2
"""Negative slope of every leaky ReLU."""


class RRDBNet(nn.Layer):
    """Four-fold super-resolution of single frames.

    in_nc, out_nc: input and output channels. nf: channels of the features. nb: number of blocks.
    gc: channels that each convolution of a dense block adds.
    """

    def __init__(
        self, in_nc: int = 3, out_nc: int = 3, nf: int = 64, nb: int = 23, gc: int = 32
    ) -> None:
        super().__init__()
        self.conv_first = _conv(in_nc, nf)
        self.RRDB_trunk = nn.Sequential(*[RRDB(nf, gc) for _ in range(nb)])
        self.trunk_conv = _conv(nf, nf)
        self.upconv1 = _conv(nf, nf)
        self.upconv2 = _conv(nf, nf)
        self.HRconv = _conv(nf, nf)
        self.conv_last = _conv(nf, out_nc)
        self.lrelu = nn.LeakyReLU(SLOPE)

    def forward(self, frame: Tensor) -> Tensor:
        """Enlarge frames.

        frame: float32 [n, in_nc, h, w], RGB in [0, 1].
        Returns [n, out_nc, 4h, 4w], not clipped.
        """
        features = self.conv_first(frame)
        features = features + self.trunk_conv(self.RRDB_trunk(features))
        features = self.lrelu(self.upconv1(_doubled(features)))
        features = self.lrelu(self.upconv2(_doubled(features)))
        return self.conv_last(self.lrelu(self.HRconv(features)))


class RRDB(nn.Layer):
    """Three dense blocks with a skip connection."""

    def __init__(self, nf: int, gc: int) -> None:
        super().__init__()
        self.RDB1 = DenseBlock(nf, gc)
        self.RDB2 = DenseBlock(nf, gc)
        self.RDB3 = DenseBlock(nf, gc)

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL * self.RDB3(self.RDB2(self.RDB1(x)))


class DenseBlock(nn.Layer):
    """Five densely connected convolutions with a skip connection."""

    def __init__(self, nf: int, gc: int) -> None:
        super().__init__()
        self.conv1 = _conv(nf, gc)
        self.conv2 = _conv(nf + gc, gc)
        self.conv3 = _conv(nf + 2 * gc, gc)
        self.conv4 = _conv(nf + 3 * gc, gc)
        self.conv5 = _conv(nf + 4 * gc, nf)
        self.lrelu = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        known = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            known = paddle.concat([known, self.lrelu(conv(known))], axis=1)
        return x + RESIDUAL * self.conv5(known)


def _conv(channels_in: int, channels: int) -> nn.Conv2D:
    return nn.Conv2D(channels_in, channels, 3, padding=1)


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, size=paddle.shape(x)[2:] * 2, mode="nearest")
