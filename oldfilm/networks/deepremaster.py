"""DeepRemaster: restores old film, and colors it after reference pictures.

Iizuka and Simo-Serra, "DeepRemaster: Temporal Source-Reference Attention Networks for Comprehensive
Video Enhancement", SIGGRAPH Asia 2019. Layers and keys are those of their `remasternet.py`, and of
PaddleGAN's `remaster.py`. Theirs convolves blocks [n, c, t, h, w] in three dimensions; here the
frames of one block are a batch [t, c, h, w], which gives the same sums: Paddle's three-dimensional
convolution takes five times the memory on a CPU, 6 GB for a block of 480x352.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

LUMA_MEAN = 0.4462414
REFERENCE_MEAN = 0.48

ENERGY_VALUES = 1 << 25
"""How many values of an attention map are held at once: 128 MiB of them."""


class DeepRemaster(nn.Layer):
    """Both networks, as they are published: one file, two entries.

    narrowing: divides every number of channels; 1 is the published network.
    """

    def __init__(self, narrowing: int = 1) -> None:
        super().__init__()
        self.modelR = NetworkR(narrowing)
        self.modelC = NetworkC(narrowing)


class NetworkR(nn.Layer):
    """Takes grain, blur, scratches and dust out of gray frames."""

    def __init__(self, narrowing: int = 1) -> None:
        super().__init__()
        c16, c64, c128, c256 = (channels // narrowing for channels in (16, 64, 128, 256))
        self.layers = nn.Sequential(
            nn.Identity(),  # Theirs pads here; the next layer does it.
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

        frames: [t, 1, h, w], luma in [0, 1]; h and w multiples of 4. Returns the same, restored.
        """
        change = functional.tanh(self.layers(frames - LUMA_MEAN))
        return paddle.clip(frames + change, 0, 1)


class NetworkC(nn.Layer):
    """Colors gray frames, with the colors of reference pictures where there are some."""

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

        luma: [t, 1, h, w] in [0, 1]; h and w multiples of 16. near, far: features of any number of
        references, by `reffeatnet1` and, of those, by `reffeatnet2`; both or neither.
        Returns [t, 2, h, w] in [0, 1]: a* and b* plus 128, over 255.
        """
        eighth = self.down1(luma - LUMA_MEAN)
        if near is not None:
            eighth = self.stattn1(eighth, near)
        sixteenth = self.down2(eighth)
        if far is not None:
            sixteenth = self.stattn2(sixteenth, far)
        sixteenth = self.conv1(sixteenth)
        sixteenth = self.selfattn1(sixteenth, sixteenth)
        eighth = self.up1(sixteenth, self.flat(eighth))
        eighth = self.selfattn2(eighth, eighth)
        return functional.sigmoid(self.up4(self.up3(self.up2(self.conv2(eighth)))))


class ReferenceFeatures(nn.Sequential):
    """Features of references, at an eighth of their size."""

    def forward(self, references: Tensor) -> Tensor:
        """references: [r, 3, h, w], RGB in [0, 1]."""
        return super().forward(references - REFERENCE_MEAN)


class TemporalConv(nn.Layer):
    """A convolution 3x3 wide and `kernel` (1 or 3) frames deep; of the published Conv3d's weights.

    replicate: whether the first and last frame, row and column stand beside themselves, not zeros.
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
        """x: [t, c, h, w]."""
        padding = 1
        if self._replicate:
            x, padding = functional.pad(x, [1, 1, 1, 1], mode="replicate"), 0
        # One after the other: all three at once would take most of the network's memory.
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
        """[t, c, h, w] with every frame in its follower's place."""
        first = x[:1] if self._replicate else paddle.zeros_like(x[:1])
        return paddle.concat([first, x])[:-1]

    def _earlier(self, x: Tensor) -> Tensor:
        """[t, c, h, w] with every frame in its predecessor's place."""
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
    """Twice the height and width, then a convolution."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__(channels_in, channels, kernel=3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_enlarged(x))


class UpsampleConcat(nn.Layer):
    """Enlarges the first, puts the second beside it, and convolves both."""

    def __init__(self, coarse: int, fine: int, channels: int) -> None:
        super().__init__()
        self.conv3d = TempConv(coarse + fine, channels, kernel=3)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return self.conv3d(paddle.concat([_enlarged(coarse), fine], 1))


class SourceReferenceAttention(nn.Layer):
    """Adds to every place of every source frame what is alike in any reference.

    The attention map is made some rows at a time: as a whole it grows with the square of the
    picture, to 100 GB for a block of 1920x1080.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = Projection(channels, channels // 8)
        self.key_conv = Projection(channels, channels // 8)
        self.value_conv = Projection(channels, channels)
        self.gamma = self.create_parameter([1], default_initializer=nn.initializer.Constant(0.0))

    def forward(self, source: Tensor, reference: Tensor) -> Tensor:
        """source: [t, c, h, w]; reference: [r, c, h', w']. Returns what source is."""
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
    """A linear map of the channels at every place: [t, c, h, w] to [c', t h w]."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.weight = self.create_parameter([channels, channels_in, 1, 1, 1])
        self.bias = self.create_parameter([channels], is_bias=True)

    def forward(self, x: Tensor) -> Tensor:
        places = x.transpose([1, 0, 2, 3]).flatten(1)
        return paddle.matmul(self.weight.flatten(1), places) + self.bias.unsqueeze(1)


def _eighth(c64: int, c128: int, c256: int, c512: int) -> list[TempConv]:
    """From half the size to an eighth."""
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
    """[t, c, h, w] at twice the height and width."""
    return functional.interpolate(x, size=2 * paddle.shape(x)[2:], mode="bilinear")
