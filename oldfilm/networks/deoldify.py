"""DeOldify: colorization with a U-Net on a ResNet, with self-attention (Antic, 2018 to 2020).

Layers, their numbers and parameter names match PaddleGAN's `deoldify.py`, and those
of jantic/DeOldify's `unet.py` except for the names of its spectral norms. Two networks are
published: `Stable` (ResNet-101 and a wide decoder; also the video model) and `Artistic` (ResNet-34
and a deep decoder).
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional
from paddle.vision.models.resnet import BasicBlock, BottleneckBlock

RANGE = 3.0
"""Outputs are in [-3, 3], which covers all colors after normalization."""


class UNet(nn.Layer):
    """The common part of both networks. Call `fold` after loading weights."""

    def __init__(
        self,
        block: type[BasicBlock | BottleneckBlock],
        blocks: Sequence[int],
        width: int,
        decoders: Sequence[nn.Layer],
        channels: int,
    ) -> None:
        """Build the network.

        block, blocks, width: block type, block counts and base width of the ResNet.
        decoders: from coarse to fine. channels: output channels of the last decoder.
        """
        super().__init__()
        deepest = 8 * width * block.expansion
        self.layers = nn.LayerDict(
            {
                "0": _resnet(block, blocks, width),
                "1": nn.BatchNorm2D(deepest),
                "3": nn.Sequential(
                    _unit(deepest, 2 * deepest),
                    _unit(2 * deepest, deepest),
                ),
                **{str(4 + i): decoder for i, decoder in enumerate(decoders)},
                "8": Enlargement(nn.Sequential(WeightNormConv(channels, 4 * channels))),
                "10": Residual(channels + 3),
                "11": nn.Sequential(SpectralConv(channels + 3, 3, bias=True)),
            }
        )

    def fold(self) -> None:
        """Fold weight and spectral norms into the weights, in place; idempotent."""
        for layer in self.sublayers():
            if isinstance(layer, (SpectralConv, WeightNormConv)):
                layer.fold()

    def forward(self, image: Tensor) -> Tensor:
        """Colorize pictures.

        image: [n, 3, h, w], gray RGB normalized with ImageNet's mean and standard deviation; h and
        w even. Returns [n, 3, h, w], RGB with the same normalization.
        """
        layers = self.layers
        stem, norm, relu, pool, *stages = layers["0"]
        skips = [relu(norm(stem(image)))]
        x = pool(skips[0])
        for stage in stages:
            x = stage(x)
            skips.append(x)
        x = layers["3"](functional.relu(layers["1"](x)))
        for i, skip in enumerate(reversed(skips[:-1])):
            x = layers[str(4 + i)](x, skip)
        x = paddle.concat([layers["8"](x), image], 1)
        x = layers["11"](layers["10"](x))
        return functional.sigmoid(x) * (2 * RANGE) - RANGE


class Stable(UNet):
    """ResNet-101 and a decoder with one wide convolution per level: calm colors.

    blocks, width: block counts and base width of the ResNet. channels: twice the channels of a
    decoder level.
    """

    def __init__(
        self, blocks: Sequence[int] = (3, 4, 23, 3), width: int = 64, channels: int = 1024
    ) -> None:
        stages = width * BottleneckBlock.expansion
        half = channels // 2
        decoders = [
            WideDecoder(8 * stages, 4 * stages, half),
            WideDecoder(half, 2 * stages, half, attention=True),
            WideDecoder(half, stages, half),
            WideDecoder(half, width, half // 2),
        ]
        super().__init__(BottleneckBlock, blocks, width, decoders, half // 2)


class Artistic(UNet):
    """ResNet-34 and a decoder with two convolutions per level: vivid colors.

    blocks, width: block counts and base width of the ResNet. growth: ratio of output to input
    channels of a decoder level.
    """

    def __init__(
        self, blocks: Sequence[int] = (3, 4, 6, 3), width: int = 64, growth: float = 1.5
    ) -> None:
        decoders, given = [], 8 * width
        for level, skip in enumerate([4 * width, 2 * width, width, width]):
            taken = given // 2 + skip
            made = int((taken // 2 if level == 3 else taken) * growth)
            decoders.append(DeepDecoder(given, skip, made, attention=level == 1))
            given = made
        super().__init__(BasicBlock, blocks, width, decoders, given)


class WideDecoder(nn.Layer):
    """Upsample by two, concatenate the encoder's features, and convolve once."""

    def __init__(self, coarse: int, skip: int, channels: int, attention: bool = False) -> None:
        super().__init__()
        self.shuf = Enlargement(_unit(coarse, 4 * channels, kernel=1, relu=False))
        self.bn = nn.BatchNorm2D(skip)
        self.conv = _unit(channels + skip, channels, attention=attention)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        return self.conv(_joined(self.shuf(coarse), self.bn(skip)))


class DeepDecoder(nn.Layer):
    """Upsample by two, concatenate the encoder's features, and convolve twice."""

    def __init__(self, coarse: int, skip: int, channels: int, attention: bool = False) -> None:
        super().__init__()
        self.shuf = Enlargement(_unit(coarse, 2 * coarse, kernel=1, relu=False))
        self.bn = nn.BatchNorm2D(skip)
        self.conv1 = _unit(coarse // 2 + skip, channels)
        self.conv2 = _unit(channels, channels, attention=attention)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        return self.conv2(self.conv1(_joined(self.shuf(coarse), self.bn(skip))))


class Enlargement(nn.Layer):
    """Two-fold upsampling by pixel shuffle, blurred to avoid checkerboard artifacts."""

    def __init__(self, conv: nn.Layer) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pixel_shuffle(functional.relu(self.conv(x)), 2)
        x = functional.pad(x, [1, 0, 1, 0], mode="replicate")
        return functional.avg_pool2d(x, 2, stride=1)


class Residual(nn.Layer):
    """Two convolutions with a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.LayerList(
            nn.Sequential(SpectralConv(channels, channels, kernel=3, bias=True)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.layers
        return x + functional.relu(second(functional.relu(first(x))))


class SelfAttention(nn.Layer):
    """Self-attention over all positions (Zhang et al., SAGAN, ICML 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = SpectralProjection(channels, channels // 8)
        self.key = SpectralProjection(channels, channels // 8)
        self.value = SpectralProjection(channels, channels)
        self.gamma = self.create_parameter([1], default_initializer=nn.initializer.Constant(0.0))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        energy = paddle.bmm(self.query(flat).transpose([0, 2, 1]), self.key(flat))
        attended = paddle.bmm(self.value(flat), functional.softmax(energy, 1))
        return x + self.gamma * attended.reshape(paddle.shape(x))


class SpectralConv(nn.Layer):
    """A convolution whose weight `fold` divides by its spectral norm.

    The norm is u^T W v with the stored vectors u and v, as in PaddleGAN and PyTorch outside of
    training. The folded weight has norm 1, so folding again changes nothing.
    """

    def __init__(
        self, channels_in: int, channels: int, kernel: int = 1, bias: bool = False, axes: int = 2
    ) -> None:
        super().__init__()
        shape = [channels, channels_in, *[kernel] * axes]
        self.weight_orig = self.create_parameter(shape)
        self.spectral_norm = nn.SpectralNorm(shape, power_iters=0)
        self.layer = nn.Layer()
        self.layer.bias = self.layer.create_parameter([channels], is_bias=True) if bias else None

    def fold(self) -> None:
        with paddle.no_grad():
            self.weight_orig.set_value(self.spectral_norm(self.weight_orig))

    def forward(self, x: Tensor) -> Tensor:
        padding = self.weight_orig.shape[-1] // 2
        return functional.conv2d(x, self.weight_orig, self.layer.bias, padding=padding)


class SpectralProjection(SpectralConv):
    """A spectral convolution of kernel size 1, for [n, channels, positions]."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__(channels_in, channels, axes=1)

    def forward(self, x: Tensor) -> Tensor:
        return paddle.matmul(self.weight_orig.squeeze(2), x)


class WeightNormConv(nn.Layer):
    """A 1x1 convolution with weight norm; `fold` replaces v by g v / |v|."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.weight_v = self.create_parameter([channels, channels_in, 1, 1])
        self.weight_g = self.create_parameter([channels])
        self.bias = self.create_parameter([channels], is_bias=True)

    def fold(self) -> None:
        with paddle.no_grad():
            norm = self.weight_v.square().sum([1, 2, 3]).sqrt()
            self.weight_v.set_value(self.weight_v * (self.weight_g / norm).reshape([-1, 1, 1, 1]))
            self.weight_g.set_value(self.weight_g.abs())  # The norm of the new v.

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight_v, self.bias)


def _resnet(
    block: type[BasicBlock | BottleneckBlock], blocks: Sequence[int], width: int
) -> nn.Sequential:
    """Build a ResNet without its classifier."""
    stages, given = [], width
    for level, count in enumerate(blocks):
        stages.append(_stage(block, given, width << level, count, stride=2 if level else 1))
        given = (width << level) * block.expansion
    return nn.Sequential(
        nn.Conv2D(3, width, 7, stride=2, padding=3, bias_attr=False),
        nn.BatchNorm2D(width),
        nn.ReLU(),
        nn.MaxPool2D(3, stride=2, padding=1),
        *stages,
    )


def _stage(
    block: type[BasicBlock | BottleneckBlock], given: int, width: int, count: int, stride: int
) -> nn.Sequential:
    channels = width * block.expansion
    shortcut = None
    if stride > 1 or given != channels:
        shortcut = nn.Sequential(
            nn.Conv2D(given, channels, 1, stride=stride, bias_attr=False),
            nn.BatchNorm2D(channels),
        )
    first = block(given, width, stride, shortcut)
    return nn.Sequential(first, *[block(channels, width) for _ in range(count - 1)])


def _unit(
    channels_in: int, channels: int, kernel: int = 3, relu: bool = True, attention: bool = False
) -> nn.Sequential:
    """Build a unit: convolution, ReLU, batch normalization, self-attention."""
    layers: list[nn.Layer] = [SpectralConv(channels_in, channels, kernel)]
    if relu:
        layers.append(nn.ReLU())
    layers.append(nn.BatchNorm2D(channels))
    if attention:
        layers.append(SelfAttention(channels))
    return nn.Sequential(*layers)


def _joined(fine: Tensor, skip: Tensor) -> Tensor:
    """Resize `fine` (the encoder may have rounded a side up), concatenate, and apply ReLU."""
    fine = functional.interpolate(fine, size=paddle.shape(skip)[2:], mode="nearest")
    return functional.relu(paddle.concat([fine, skip], 1))
