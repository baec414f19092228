"""GPEN: face restoration with a generator of faces.

Yang et al., "GAN Prior Embedded Network for Blind Face Restoration in the Wild", CVPR 2021. An
encoder turns a face into a style and into features of all sizes, from which StyleGAN2's generator
(Karras et al., CVPR 2020) paints a face. Layers and parameter names match PaddleGAN's
`GPENGenerator`.
"""

from __future__ import annotations

import math

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

SMALLEST = 4
"""Side of the smallest features."""

GAIN = math.sqrt(2)
"""Factor after every activation, which keeps the variance."""


class GPENGenerator(nn.Layer):
    """Restores faces.

    size: side of a face, in pixels. style_dim: length of a style. n_mlp: layers that map it.
    channel_multiplier: of the channels at 64 pixels and above. narrow: of all channels. noises:
    whether the file holds noise, as PaddleGAN's does; it is not used.
    """

    def __init__(
        self,
        size: int = 256,
        style_dim: int = 512,
        n_mlp: int = 8,
        channel_multiplier: int = 1,
        narrow: float = 0.5,
        noises: bool = True,
    ) -> None:
        super().__init__()
        sides = [SMALLEST * 2**n for n in range(int(math.log2(size)) - 1)]
        channels = [_channels(side, channel_multiplier, narrow) for side in sides]
        self.generator = Generator(sides, channels, style_dim, n_mlp, noises)
        self.ecd0 = nn.Sequential(nn.Sequential(EqualConv(3, channels[-1], 1), Act(channels[-1])))
        self.encoders = [f"ecd{number}" for number in range(len(sides))]
        larger_first = channels[::-1]
        for name, wide, narrower in zip(self.encoders[1:], larger_first, larger_first[1:]):
            layer = nn.Sequential(Blur(2), EqualConv(wide, narrower, 3, 2), Act(narrower))
            setattr(self, name, nn.Sequential(layer))
        features = channels[0] * SMALLEST**2
        self.final_linear = nn.Sequential(EqualLinear(features, style_dim, activated=True))

    def forward(self, face: Tensor) -> Tensor:
        """Restore faces.

        face: float32 [n, 3, size, size], RGB in [-1, 1], aligned.
        Returns [n, 3, size, size], not clipped.
        """
        features = []
        for name in self.encoders:
            face = getattr(self, name)(face)
            features.append(face)
        style = self.final_linear(face.flatten(1))
        return self.generator(style, features[::-1])


class Generator(nn.Layer):
    """StyleGAN2's generator; every layer also takes features of its size."""

    def __init__(
        self, sides: list[int], channels: list[int], style_dim: int, n_mlp: int, noises: bool
    ) -> None:
        super().__init__()
        layers = [EqualLinear(style_dim, style_dim, 0.01, activated=True) for _ in range(n_mlp)]
        self.style = nn.Sequential(PixelNorm(), *layers)
        self.input = nn.Layer()
        self.input.input = self.create_parameter([1, channels[0], SMALLEST, SMALLEST])
        self.conv1 = StyledConv(channels[0], channels[0], style_dim)
        self.to_rgb1 = ToRGB(2 * channels[0], style_dim, enlarges=False)
        self.convs, self.to_rgbs = nn.LayerList(), nn.LayerList()
        for smaller, larger in zip(channels, channels[1:]):
            self.convs.append(StyledConv(2 * smaller, larger, style_dim, enlarges=True))
            self.convs.append(StyledConv(2 * larger, larger, style_dim))
            self.to_rgbs.append(ToRGB(2 * larger, style_dim))
        if noises:  # The features take their place.
            self.noises = nn.Layer()
            for number in range(2 * len(sides) - 1):
                side = sides[(number + 1) // 2]
                self.noises.register_buffer(f"noise_{number}", paddle.zeros([1, 1, side, side]))

    def forward(self, style: Tensor, features: list[Tensor]) -> Tensor:
        """style: [n, style_dim]. features: of all sizes, the smallest first."""
        style = self.style(style)
        x = self.input.input.tile([style.shape[0], 1, 1, 1])
        x = self.conv1(x, style, features[0])
        image = self.to_rgb1(x, style)
        for number, to_rgb in enumerate(self.to_rgbs):
            x = self.convs[2 * number](x, style, features[number + 1])
            x = self.convs[2 * number + 1](x, style, features[number + 1])
            image = to_rgb(x, style, image)
        return image


class StyledConv(nn.Layer):
    """A convolution modulated by the style, next to features of the encoder."""

    def __init__(
        self, channels_in: int, channels: int, style_dim: int, enlarges: bool = False
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(channels_in, channels, 3, style_dim, enlarges)
        self.noise = nn.Layer()
        self.noise.weight = self.create_parameter([1])
        self.activate = Act(2 * channels)

    def forward(self, x: Tensor, style: Tensor, features: Tensor) -> Tensor:
        x = self.conv(x, style)
        return self.activate(paddle.concat([x, self.noise.weight * features], 1))


class ToRGB(nn.Layer):
    """The colors of a layer, added to the enlarged colors of the smaller ones."""

    def __init__(self, channels_in: int, style_dim: int, enlarges: bool = True) -> None:
        super().__init__()
        self.conv = ModulatedConv(channels_in, 3, 1, style_dim, demodulates=False)
        self.bias = self.create_parameter([1, 3, 1, 1], is_bias=True)
        if enlarges:
            self.upsample = nn.Layer()
            self.upsample.register_buffer("kernel", 4 * _blur_kernel())

    def forward(self, x: Tensor, style: Tensor, smaller: Tensor | None = None) -> Tensor:
        image = self.conv(x, style) + self.bias
        if smaller is None:
            return image
        kernel = self.upsample.kernel.reshape([1, 1, 4, 4]).tile([3, 1, 1, 1])
        return image + functional.conv2d_transpose(smaller, kernel, stride=2, padding=1, groups=3)


class ModulatedConv(nn.Layer):
    """A convolution of input channels that the style scales.

    enlarges: doubles the size. demodulates: scales the result as if the weights, times the style,
    had the length 1.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        kernel: int,
        style_dim: int,
        enlarges: bool = False,
        demodulates: bool = True,
    ) -> None:
        super().__init__()
        self.weight = self.create_parameter([1, channels, channels_in, kernel, kernel])
        self.modulation = EqualLinear(style_dim, channels_in)
        self.scale = 1 / math.sqrt(channels_in * kernel**2)
        self.demodulates = demodulates
        self.padding = kernel // 2
        self.smooth = Blur(1, gain=4) if enlarges else None

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        weight = self.weight[0] * self.scale
        modulation = self.modulation(style)
        x = x * modulation.unsqueeze([2, 3])
        if self.smooth:
            weight_in_out = weight.transpose([1, 0, 2, 3])
            x = self.smooth(functional.conv2d_transpose(x, weight_in_out, stride=2))
        else:
            x = functional.conv2d(x, weight, padding=self.padding)
        if not self.demodulates:
            return x
        power = paddle.matmul(modulation**2, (weight**2).sum([2, 3]), transpose_y=True)
        return x * paddle.rsqrt(power + 1e-8).unsqueeze([2, 3])


class EqualConv(nn.Layer):
    """A convolution whose weights are scaled when they are used."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.weight = self.create_parameter([channels, channels_in, kernel, kernel])
        self.scale = 1 / math.sqrt(channels_in * kernel**2)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight * self.scale, stride=self.stride)


class EqualLinear(nn.Layer):
    """A linear layer whose weights, [out, in] as in PyTorch, are scaled when they are used."""

    def __init__(self, size_in: int, size: int, rate: float = 1.0, activated: bool = False) -> None:
        super().__init__()
        self.weight = self.create_parameter([size, size_in])
        self.bias = self.create_parameter([size], is_bias=True)
        self.scale = rate / math.sqrt(size_in)
        self.rate = rate
        self.activated = activated

    def forward(self, x: Tensor) -> Tensor:
        made = paddle.matmul(x, self.weight * self.scale, transpose_y=True) + self.bias * self.rate
        return functional.leaky_relu(made, 0.2) * GAIN if self.activated else made


class Act(nn.Layer):
    """A bias and a leaky ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = self.create_parameter([channels], is_bias=True)
        self.lrelu = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.lrelu(x + self.bias.reshape([1, -1, 1, 1])) * GAIN


class Blur(nn.Layer):
    """A small binomial blur. padding: zeros on every side."""

    def __init__(self, padding: int, gain: float = 1) -> None:
        super().__init__()
        self.padding = padding
        self.register_buffer("kernel", gain * _blur_kernel(), persistable=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.reshape([1, 1, 4, 4]).tile([channels, 1, 1, 1])
        return functional.conv2d(x, kernel, padding=self.padding, groups=channels)


class PixelNorm(nn.Layer):
    """Scale every vector to the length that its entries have on average."""

    def forward(self, x: Tensor) -> Tensor:
        return x * paddle.rsqrt((x * x).mean(1, keepdim=True) + 1e-8)


def _channels(side: int, multiplier: int, narrow: float) -> int:
    most = 512 if side <= 32 else 16384 // side * multiplier
    return int(most * narrow)


def _blur_kernel() -> Tensor:
    line = paddle.to_tensor([1.0, 3.0, 3.0, 1.0])
    return line.unsqueeze(0) * line.unsqueeze(1) / 64
