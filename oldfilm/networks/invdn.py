"""InvDN: denoising with an invertible network.

Liu et al., "Invertible Denoising Network: A Light Solution for Real Noise Removal", CVPR 2021. The
network turns a noisy frame into a small clean one and high frequencies, which also hold the noise.
It is run backward with random high frequencies in their place. Layers and parameter names match
PaddleGAN's `InvDN`.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

KEPT = 3
"""Channels of the small, clean frame."""


class InvDN(nn.Layer):
    """Denoises single frames.

    block_num: invertible blocks after each halving of the size. features: channels inside them.
    """

    def __init__(self, block_num: Sequence[int] = (8, 8), features: int = 64) -> None:
        super().__init__()
        self.block_num = block_num
        operations, channels = [], 3
        for count in block_num:
            operations.append(Haar(channels))
            channels *= 4
            operations += [InvertibleBlock(channels, features) for _ in range(count)]
        self.operations = nn.LayerList(operations)

    def forward(self, frame: Tensor, noise: Tensor) -> Tensor:
        """Denoise frames.

        frame: float32 [n, 3, h, w], RGB in [0, 1]; h, w: multiples of 4.
        noise: [n, 3, h, w], normally distributed. It stands for the high frequencies, 45 channels
        of a quarter of the size.
        Returns [n, 3, h, w], not clipped.
        """
        side = 2 ** len(self.block_num)
        parts = [noise[:, :, y::side, x::side] for y in range(side) for x in range(side)]
        for operation in self.operations:
            frame = operation(frame)
        high = paddle.concat(parts, 1)[:, : 3 * side**2 - KEPT]
        made = paddle.concat([frame[:, :KEPT], high], 1)
        for operation in reversed(list(self.operations)):
            made = operation.inverse(made)
        return made


class InvertibleBlock(nn.Layer):
    """Affine coupling of the clean frame and the high frequencies."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.F = ConvBlock(channels - KEPT, KEPT, features)
        self.G = ConvBlock(KEPT, channels - KEPT, features)
        self.H = ConvBlock(KEPT, channels - KEPT, features)

    def forward(self, x: Tensor) -> Tensor:
        low, high = x[:, :KEPT], x[:, KEPT:]
        low = low + self.F(high)
        return paddle.concat([low, high * self._scale(low) + self.G(low)], 1)

    def inverse(self, x: Tensor) -> Tensor:
        low, high = x[:, :KEPT], x[:, KEPT:]
        high = (high - self.G(low)) / self._scale(low)
        return paddle.concat([low - self.F(high), high], 1)

    def _scale(self, low: Tensor) -> Tensor:
        return paddle.exp(functional.sigmoid(self.H(low)) * 2 - 1)


class ConvBlock(nn.Layer):
    """Three convolutions; the last one also takes the input."""

    def __init__(self, channels_in: int, channels: int, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(channels_in, features, 3, padding=1)
        self.relu1 = nn.LeakyReLU(0.2)
        self.conv2 = nn.Conv2D(features, features, 3, padding=1)
        self.conv3 = nn.Conv2D(features + channels_in, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        inside = self.relu1(self.conv2(self.relu1(self.conv1(x))))
        return self.conv3(paddle.concat([x, inside], 1))


class Haar(nn.Layer):
    """The Haar transform: half the size, four times the channels.

    The result holds the means of all channels, then the details in three directions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        filters = paddle.to_tensor(
            [[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], "float32"
        )
        weights = paddle.tile(filters.reshape([4, 1, 2, 2]), [channels, 1, 1, 1])
        self.haar_weights = self.create_parameter(
            weights.shape, default_initializer=nn.initializer.Assign(weights)
        )
        self.haar_weights.stop_gradient = True

    def forward(self, x: Tensor) -> Tensor:
        parts = functional.conv2d(x, self.haar_weights, stride=2, groups=self.channels) / 4
        return paddle.concat([parts[:, k::4] for k in range(4)], 1)

    def inverse(self, x: Tensor) -> Tensor:
        parts = paddle.concat([x[:, c :: self.channels] for c in range(self.channels)], 1)
        return functional.conv2d_transpose(parts, self.haar_weights, stride=2, groups=self.channels)
