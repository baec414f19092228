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

    def fold(self) -> None:
        """Fold the scales of all residuals into weights. Call it once, with the final weights.

        Without products between the convolutions, ONNX Runtime keeps features in blocks of channels
        throughout, which saves it more than 600 conversions.
        """
        for block in self.RRDB_trunk:
            block.fold()


class RRDB(nn.Layer):
    """Three dense blocks with a skip connection."""

    def __init__(self, nf: int, gc: int) -> None:
        super().__init__()
        self.RDB1 = DenseBlock(nf, gc)
        self.RDB2 = DenseBlock(nf, gc)
        self.RDB3 = DenseBlock(nf, gc)
        self.residual = RESIDUAL

    def forward(self, x: Tensor) -> Tensor:
        return x + _scaled(self.residual, self.RDB3(self.RDB2(self.RDB1(x))))

    def fold(self) -> None:
        """Fold both scales into weights: all features inside are scaled by `RESIDUAL` then."""
        for block in (self.RDB1, self.RDB2, self.RDB3):
            block.fold()
        self.RDB1.fold_input()
        self.residual = 1.0


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
        self.residual = RESIDUAL
        self.skips = True

    def forward(self, x: Tensor) -> Tensor:
        known = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            known = paddle.concat([known, self.lrelu(conv(known))], axis=1)
        change = _scaled(self.residual, self.conv5(known))
        return x + change if self.skips else change

    @paddle.no_grad()
    def fold(self) -> None:
        """Fold `RESIDUAL` into the last convolution, for an input that is scaled by it too."""
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            conv.bias.set_value(RESIDUAL * conv.bias)
        self.conv5.weight.set_value(RESIDUAL * self.conv5.weight)
        self.conv5.bias.set_value(RESIDUAL * self.conv5.bias)
        self.residual = 1.0

    @paddle.no_grad()
    def fold_input(self) -> None:
        """After `fold`, also fold the scale of the input, and the skip connection with it."""
        nf = self.conv1.weight.shape[1]
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            weight = conv.weight.numpy()
            weight[:, :nf] *= RESIDUAL
            if conv is self.conv5:
                weight[range(nf), range(nf), 1, 1] += RESIDUAL
            conv.weight.set_value(weight)
        self.skips = False


def _scaled(factor: float, x: Tensor) -> Tensor:
    return x if factor == 1 else factor * x


def _conv(channels_in: int, channels: int) -> nn.Conv2D:
    return nn.Conv2D(channels_in, channels, 3, padding=1)


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, size=paddle.shape(x)[2:] * 2, mode="nearest")
