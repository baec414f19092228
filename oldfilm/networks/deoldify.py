"""DeOldify: a U-Net that colors, on a ResNet, with self-attention (Antic, 2018 to 2020).

The layers, their numbers and the names of their weights are those of PaddleGAN's `deoldify.py`, and
so those of jantic/DeOldify's `unet.py` (its spectral norms are named otherwise). Two kinds are
published: `Stable` (ResNet-101 and a wide decoder; the video model is the same network) and
`Artistic` (ResNet-34 and a deep decoder).
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional
from paddle.vision.models.resnet import BasicBlock, BottleneckBlock

RANGE = 3.0
"""Results lie in -3 to 3: more than any color needs, once normalized."""


class UNet(nn.Layer):
    """What both kinds share. Weights that are normalized must be folded once they are loaded."""

    def __init__(
        self,
        block: type[BasicBlock | BottleneckBlock],
        blocks: Sequence[int],
        width: int,
        decoders: Sequence[nn.Layer],
        channels: int,
    ) -> None:
        """block, blocks, width: of the ResNet. decoders: from the coarsest to the finest.
        channels: that the last of them gives.
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
        """Turn normalized weights into plain ones, in place; once or more is the same."""
        for layer in self.sublayers():
            if isinstance(layer, (SpectralConv, WeightNormConv)):
                layer.fold()

    def forward(self, image: Tensor) -> Tensor:
        """Color a picture.

        image: [n, 3, h, w], gray RGB less ImageNet's mean, over its deviation; h and w even.
        Returns [n, 3, h, w], RGB, normalized in the same way.
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
    """ResNet-101 and a decoder of one wide convolution a level: calm colors.

    blocks, width: of the ResNet. channels: of the decoder; half of them at each level.
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
    """ResNet-34 and a decoder of two convolutions a level: vivid colors.

    blocks, width: of the ResNet. growth: how many more channels a level gives than it takes.
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
    """Enlarges by two, puts the encoder's features beside, and convolves once."""

    def __init__(self, coarse: int, skip: int, channels: int, attention: bool = False) -> None:
        super().__init__()
        self.shuf = Enlargement(_unit(coarse, 4 * channels, kernel=1, relu=False))
        self.bn = nn.BatchNorm2D(skip)
        self.conv = _unit(channels + skip, channels, attention=attention)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        return self.conv(_joined(self.shuf(coarse), self.bn(skip)))


class DeepDecoder(nn.Layer):
    """Enlarges by two, puts the encoder's features beside, and convolves twice."""

    def __init__(self, coarse: int, skip: int, channels: int, attention: bool = False) -> None:
        super().__init__()
        self.shuf = Enlargement(_unit(coarse, 2 * coarse, kernel=1, relu=False))
        self.bn = nn.BatchNorm2D(skip)
        self.conv1 = _unit(coarse // 2 + skip, channels)
        self.conv2 = _unit(channels, channels, attention=attention)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        return self.conv2(self.conv1(_joined(self.shuf(coarse), self.bn(skip))))


class Enlargement(nn.Layer):
    """Twice the size by pixel shuffle, blurred so that no checkerboard shows."""

    def __init__(self, conv: nn.Layer) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pixel_shuffle(functional.relu(self.conv(x)), 2)
        x = functional.pad(x, [1, 0, 1, 0], mode="replicate")
        return functional.avg_pool2d(x, 2, stride=1)


class Residual(nn.Layer):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.LayerList(
            nn.Sequential(SpectralConv(channels, channels, kernel=3, bias=True)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.layers
        return x + functional.relu(second(functional.relu(first(x))))


class SelfAttention(nn.Layer):
    """Every place looks at every other (Zhang et al., 2019)."""

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
    """A convolution whose weight is divided by its spectral norm, once `fold` was called.

    The norm is that of the stored vectors, u^T W v, as PaddleGAN and PyTorch have it outside of
    training. Once divided the weight's norm is 1, so that folding it again changes nothing.
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
    """The same for [n, channels, places], without neighbors."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__(channels_in, channels, axes=1)

    def forward(self, x: Tensor) -> Tensor:
        return paddle.matmul(self.weight_orig.squeeze(2), x)


class WeightNormConv(nn.Layer):
    """A 1x1 convolution with weight g v / |v|, once `fold` was called (in place of v)."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.weight_v = self.create_parameter([channels, channels_in, 1, 1])
        self.weight_g = self.create_parameter([channels])
        self.bias = self.create_parameter([channels], is_bias=True)

    def fold(self) -> None:
        with paddle.no_grad():
            norm = self.weight_v.square().sum([1, 2, 3]).sqrt()
            self.weight_v.set_value(self.weight_v * (self.weight_g / norm).reshape([-1, 1, 1, 1]))
            self.weight_g.set_value(self.weight_g.abs())  # The norm of what v is now.

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight_v, self.bias)


def _resnet(
    block: type[BasicBlock | BottleneckBlock], blocks: Sequence[int], width: int
) -> nn.Sequential:
    """A ResNet without its classifier."""
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
    """Convolution, ReLU, batch normalization, attention."""
    layers: list[nn.Layer] = [SpectralConv(channels_in, channels, kernel)]
    if relu:
        layers.append(nn.ReLU())
    layers.append(nn.BatchNorm2D(channels))
    if attention:
        layers.append(SelfAttention(channels))
    return nn.Sequential(*layers)


def _joined(fine: Tensor, skip: Tensor) -> Tensor:
    """The two beside each other; where the encoder rounded a side up, `fine` is larger."""
    fine = functional.interpolate(fine, size=paddle.shape(skip)[2:], mode="nearest")
    return functional.relu(paddle.concat([fine, skip], 1))
