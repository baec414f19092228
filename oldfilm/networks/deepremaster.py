"""DeepRemaster: restoration and reference-based colorization of old film.

Iizuka and Simo-Serra, "DeepRemaster: Temporal Source-Reference Attention Networks for Comprehensive
Video Enhancement", SIGGRAPH Asia 2019. Layers and parameter names match the authors'
`remasternet.py` and PaddleGAN's `remaster.py`. They convolve blocks [n, c, t, h, w] in three
dimensions; here, the frames of one block are a batch [t, c, h, w], with the same sums. Paddle's
three-dimensional convolution takes five times the memory on a CPU, 6 GB for a block of 480x352.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

from oldfilm.networks import propagation

LUMA_MEAN = 0.4462414
REFERENCE_MEAN = 0.48

ENERGY_VALUES = 1 << 25
"""Number of values of an attention map that are computed at once (128 MiB)."""


class DeepRemaster(nn.Layer):
    """Both networks, which are published in one file with two entries.

    narrowing: divisor of all channel counts; 1 for the published network.
    """

    def __init__(self, narrowing: int = 1) -> None:
        super().__init__()
        self.modelR = NetworkR(narrowing)
        self.modelC = NetworkC(narrowing)


class NetworkR(nn.Layer):
    """Restoration: removes grain, blur, scratches and dust from gray frames."""

    def __init__(self, narrowing: int = 1) -> None:
        super().__init__()
        c16, c64, c128, c256 = (channels // narrowing for channels in (16, 64, 128, 256))
        self.layers = nn.Sequential(
            nn.Identity(),  # The published network pads here; our next layer does so itself.
            TempConv(1, c64, kernel=3, stride=2, replicate=True),
            TempConv(c64, c128, kernel=3),
            TempConv(c128, c128, kernel=3),
            TempConv(c128, c256, kernel=3, stride=2),
            TempConv(c256, c256, kernel=3),
            TempConv(c256, c256, kernel=3),
            TempConv(c256, c256, kernel=3),
            TempConv(c256, c256, kernel=3),
            Upsample(c256, c128),
            TempConv(c128, c64, kernel=3),
            TempConv(c64, c64, kernel=3),
            Upsample(c64, c16),
            TemporalConv(c16, 1, kernel=3),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Restore the frames of one block.

        frames: [t, 1, h, w], luma in [0, 1]; h, w: multiples of 4.
        Returns [t, 1, h, w] in [0, 1].
        """
        change = functional.tanh(self.layers(frames - LUMA_MEAN))
        return paddle.clip(frames + change, 0, 1)


class NetworkC(nn.Layer):
    """Colorization of gray frames, guided by reference pictures if there are any."""

    def __init__(self, narrowing: int = 1) -> None:
        super().__init__()
        c8, c16, c32, c64, c128, c256, c512 = (
            channels // narrowing for channels in (8, 16, 32, 64, 128, 256, 512)
        )
        self.down1 = nn.Sequential(
            nn.Identity(),
            TempConv(1, c64, stride=2, replicate=True),
            *_eighth(c64, c128, c256, c512),
        )
        self.flat = nn.Sequential(TempConv(c512, c512), TempConv(c512, c512))
        self.down2 = nn.Sequential(TempConv(c512, c512, stride=2), TempConv(c512, c512))
        self.stattn1 = SourceReferenceAttention(c512)
        self.stattn2 = SourceReferenceAttention(c512)
        self.selfattn1 = SourceReferenceAttention(c512)
        self.conv1 = TempConv(c512, c512)
        self.up1 = UpsampleConcat(c512, c512, c512)
        self.selfattn2 = SourceReferenceAttention(c512)
        self.conv2 = TempConv(c512, c256, kernel=3)
        self.up2 = nn.Sequential(Upsample(c256, c128), TempConv(c128, c64, kernel=3))
        self.up3 = nn.Sequential(Upsample(c64, c32), TempConv(c32, c16, kernel=3))
        self.up4 = nn.Sequential(Upsample(c16, c8), TemporalConv(c8, 2, kernel=3))
        self.reffeatnet1 = ReferenceFeatures(
            TempConv(3, c64, stride=2), *_eighth(c64, c128, c256, c512)
        )
        self.reffeatnet2 = nn.Sequential(
            TempConv(c512, c512, stride=2), TempConv(c512, c512), TempConv(c512, c512)
        )

    def forward(
        self, luma: Tensor, near: Tensor | None = None, far: Tensor | None = None
    ) -> Tensor:
        """Color the frames of one block.

        luma: [t, 1, h, w] in [0, 1]; h, w: multiples of 16.
        near, far: features of any number of references: the output of `reffeatnet1`, and that of
        `reffeatnet2` for it; both or neither.
        Returns [t, 2, h, w] in [0, 1]: (a* + 128) / 255 and (b* + 128) / 255.
        """
        return propagation.deepremaster(propagation.steps_of(self), luma, near, far)

    @property
    def start(self) -> Start:
        """The first step."""
        return Start(self.down1)

    @property
    def coloring(self) -> Coloring:
        """The last step."""
        return Coloring(self)


class Start(nn.Layer):
    """Features of gray frames, at 1/8 of their size. It shares the network's layers."""

    def __init__(self, down1: nn.Layer) -> None:
        super().__init__()
        self.down1 = down1

    def forward(self, luma: Tensor) -> Tensor:
        """luma: [t, 1, h, w] in [0, 1]."""
        return self.down1(luma - LUMA_MEAN)


class Coloring(nn.Layer):
    """The colors of frames from their features. It shares the network's layers."""

    def __init__(self, network: NetworkC) -> None:
        super().__init__()
        self.layers = nn.Sequential(network.conv2, network.up2, network.up3, network.up4)

    def forward(self, eighth: Tensor) -> Tensor:
        """eighth: [t, c, h / 8, w / 8]. Returns [t, 2, h, w] in [0, 1]."""
        return functional.sigmoid(self.layers(eighth))


class ReferenceFeatures(nn.Sequential):
    """Features of references, at 1/8 of their size."""

    def forward(self, references: Tensor) -> Tensor:
        """references: [r, 3, h, w], RGB in [0, 1]."""
        features = references - REFERENCE_MEAN
        for layer in self._sub_layers.values():
            features = layer(features)
        return features


class TemporalConv(nn.Layer):
    """A convolution over 3x3 pixels and `kernel` (1 or 3) frames, with the weights of a Conv3d.

    replicate: pad time and space by repeating the border, in place of zeros.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        replicate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = self.create_parameter([channels, channels_in, kernel, 3, 3])
        self.bias = self.create_parameter([channels], is_bias=True)
        self._stride = stride
        self._replicate = replicate

    def forward(self, x: Tensor) -> Tensor:
        """x: [t, c, h, w]. Returns [t, channels, h / stride, w / stride]."""
        padding = 1
        if self._replicate:
            x, padding = functional.pad(x, [1, 1, 1, 1], mode="replicate"), 0
        # One plane at a time: all three at once would dominate the memory of the network.
        convolved = (
            functional.conv2d(x, plane, stride=self._stride, padding=padding)
            for plane in self.weight.unbind(2)
        )
        if self.weight.shape[2] == 1:
            total = next(convolved)
        else:
            total = self._later(next(convolved))
            total += next(convolved)
            total += self._earlier(next(convolved))
        return total + self.bias.reshape([1, -1, 1, 1])

    def _later(self, x: Tensor) -> Tensor:
        """Shift frames [t, c, h, w] by one to later times."""
        first = x[:1] if self._replicate else paddle.zeros_like(x[:1])
        return paddle.concat([first, x])[:-1]

    def _earlier(self, x: Tensor) -> Tensor:
        """Shift frames [t, c, h, w] by one to earlier times."""
        last = x[-1:] if self._replicate else paddle.zeros_like(x[-1:])
        return paddle.concat([x, last])[1:]


class TempConv(nn.Layer):
    """Convolution, batch normalization, ELU."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        replicate: bool = False,
    ) -> None:
        super().__init__()
        self.conv3d = TemporalConv(channels_in, channels, kernel, stride, replicate)
        self.bn = nn.BatchNorm2D(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.elu(self.bn(self.conv3d(x)))


class Upsample(TempConv):
    """Two-fold upsampling, then a convolution."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__(channels_in, channels, kernel=3)

    def forward(self, x: Tensor) -> Tensor:
        return functional.elu(self.bn(self.conv3d(_enlarged(x))))


class UpsampleConcat(nn.Layer):
    """Upsample coarse features, concatenate fine ones, and convolve."""

    def __init__(self, coarse: int, fine: int, channels: int) -> None:
        super().__init__()
        self.conv3d = TempConv(coarse + fine, channels, kernel=3)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return self.conv3d(paddle.concat([_enlarged(coarse), fine], 1))


class SourceReferenceAttention(nn.Layer):
    """Attention from every position of the source frames to all positions of the references.

    The attention map is computed some rows at a time: its size grows with the square of the number
    of pixels, to 100 GB for a block of 1920x1080.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = Projection(channels, channels // 8)
        self.key_conv = Projection(channels, channels // 8)
        self.value_conv = Projection(channels, channels)
        self.gamma = self.create_parameter([1], default_initializer=nn.initializer.Constant(0.0))

    def forward(self, source: Tensor, reference: Tensor) -> Tensor:
        """source: [t, c, h, w]. reference: [r, c, h', w']. Returns [t, c, h, w]."""
        query = self.query_conv(source).t()
        key = self.key_conv(reference)
        value = self.value_conv(reference).t()
        rows = max(1, ENERGY_VALUES // key.shape[1])
        attended = [
            paddle.matmul(
                functional.softmax(paddle.matmul(query[start : start + rows], key)), value
            )
            for start in range(0, query.shape[0], rows)
        ]
        frames, channels, height, width = source.shape
        found = paddle.concat(attended).reshape([frames, height, width, channels])
        return self.gamma * found.transpose([0, 3, 1, 2]) + source


class Projection(nn.Layer):
    """A linear map of the channels at every position: [t, c, h, w] to [c', t h w]."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.weight = self.create_parameter([channels, channels_in, 1, 1, 1])
        self.bias = self.create_parameter([channels], is_bias=True)

    def forward(self, x: Tensor) -> Tensor:
        places = x.transpose([1, 0, 2, 3]).flatten(1)
        return paddle.matmul(self.weight.flatten(1), places) + self.bias.unsqueeze(1)


def _eighth(c64: int, c128: int, c256: int, c512: int) -> list[TempConv]:
    """Build the layers from 1/2 to 1/8 of the size."""
    return [
        TempConv(c64, c128),
        TempConv(c128, c128),
        TempConv(c128, c256, stride=2),
        TempConv(c256, c256),
        TempConv(c256, c256),
        TempConv(c256, c512, stride=2),
        TempConv(c512, c512),
        TempConv(c512, c512),
    ]


def _enlarged(x: Tensor) -> Tensor:
    """Double the height and width of [t, c, h, w]."""
    return functional.interpolate(x, size=2 * paddle.shape(x)[2:], mode="bilinear")
