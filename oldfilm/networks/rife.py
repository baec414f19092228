"""RIFE 4.25: frame interpolation by intermediate flow estimation (IFNet).

Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", ECCV 2022.
Layers and parameter names match the authors' Practical-RIFE, whose version 4.25 has five blocks,
features of both frames, and the time as an input. Version 4.26 has the same network.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

from oldfilm.networks.ops import warp

SLOPE = 0.2
"""Negative slope of every leaky ReLU."""

ENCODED = 4
"""Feature channels of a frame."""

CARRIED = 8
"""Feature channels that a block passes to the next."""

SHRINKS = (16, 8, 4, 2, 1)
"""Downscaling factor of each block."""


class IFNet(nn.Layer):
    """Estimate flow from coarse to fine, warp both frames, and blend them.

    channels: channels of each block. flow_scale: size of flow estimation relative to the frames;
    0.5 for very large frames.
    """

    def __init__(
        self, channels: tuple[int, ...] = (192, 128, 96, 64, 32), flow_scale: float = 1.0
    ) -> None:
        super().__init__()
        self.flow_scale = flow_scale
        seen = 2 * 3 + 2 * ENCODED + 1
        self.block0 = IFBlock(seen, channels[0])
        seen += 4 + 1 + CARRIED
        self.block1 = IFBlock(seen, channels[1])
        self.block2 = IFBlock(seen, channels[2])
        self.block3 = IFBlock(seen, channels[3])
        self.block4 = IFBlock(seen, channels[4])
        self.encode = Head()

    def forward(
        self,
        first: Tensor,
        second: Tensor,
        first_features: Tensor,
        second_features: Tensor,
        time: Tensor,
    ) -> Tensor:
        """Interpolate the frame at `time`.

        first, second: float32 [n, 3, h, w], RGB in [0, 1]; h, w: multiples of 64 and of
        64 / flow_scale. first_features, second_features: [n, 4, h, w], the output of `encode`.
        time: [n, 1, 1, 1], in (0, 1).
        Returns [n, 3, h, w] in [0, 1].
        """
        time = time * paddle.ones_like(first[:, :1])
        seen = [first, second, first_features, second_features, time]
        flow, mask, carried = self.block0(paddle.concat(seen, 1), SHRINKS[0] / self.flow_scale)
        blocks = (self.block1, self.block2, self.block3, self.block4)
        for block, shrink in zip(blocks, SHRINKS[1:]):
            to_first, to_second = flow[:, :2], flow[:, 2:]
            seen = [
                warp(first, to_first, "border"),
                warp(second, to_second, "border"),
                warp(first_features, to_first, "border"),
                warp(second_features, to_second, "border"),
                time,
                mask,
                carried,
            ]
            change, mask, carried = block(paddle.concat(seen, 1), shrink / self.flow_scale, flow)
            flow = flow + change
        mask = functional.sigmoid(mask)
        from_first = warp(first, flow[:, :2], "border")
        return mask * from_first + (1 - mask) * warp(second, flow[:, 2:], "border")


class Head(nn.Layer):
    """Feature encoder of a frame."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn0 = nn.Conv2D(3, 16, 3, stride=2, padding=1)
        self.cnn1 = nn.Conv2D(16, 16, 3, padding=1)
        self.cnn2 = nn.Conv2D(16, 16, 3, padding=1)
        self.cnn3 = nn.Conv2DTranspose(16, ENCODED, 4, stride=2, padding=1)
        self.relu = nn.LeakyReLU(SLOPE)

    def forward(self, frame: Tensor) -> Tensor:
        """frame: [n, 3, h, w]; h, w: even. Returns [n, 4, h, w]."""
        features = self.relu(self.cnn0(frame))
        features = self.relu(self.cnn1(features))
        features = self.relu(self.cnn2(features))
        return self.cnn3(features)


class IFBlock(nn.Layer):
    """Refine the flow at one size.

    seen: input channels, including the flow.
    """

    def __init__(self, seen: int, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(_halving(seen, channels // 2), _halving(channels // 2, channels))
        self.convblock = nn.Sequential(*[ResConv(channels) for _ in range(8)])
        made = 4 + 1 + CARRIED
        self.lastconv = nn.Sequential(
            nn.Conv2DTranspose(channels, 4 * made, 4, stride=2, padding=1), nn.PixelShuffle(2)
        )

    def forward(
        self, seen: Tensor, shrink: float, flow: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return a correction [n, 4, h, w] of the flow, a mask logit, and features to pass on."""
        size = paddle.shape(seen)[2:]
        small = _resized(seen, _shrunk(size, shrink))
        if flow is not None:
            small = paddle.concat([small, _resized(flow, _shrunk(size, shrink)) / shrink], 1)
        made = _resized(self.lastconv(self.convblock(self.conv0(small))), size)
        return made[:, :4] * shrink, made[:, 4:5], made[:, 5:]


class ResConv(nn.Layer):
    """A convolution, scaled by `beta`, with a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2D(channels, channels, 3, padding=1)
        one = nn.initializer.Constant(1.0)
        self.beta = self.create_parameter([1, channels, 1, 1], default_initializer=one)
        self.relu = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x) * self.beta + x)


def _halving(channels_in: int, channels: int) -> nn.Sequential:
    conv = nn.Conv2D(channels_in, channels, 3, stride=2, padding=1)
    return nn.Sequential(conv, nn.LeakyReLU(SLOPE))


def _shrunk(size: Tensor, shrink: float) -> Tensor:
    """Divide height and width by `shrink`, a power of two, possibly below 1."""
    return size // int(shrink) if shrink >= 1 else size * int(1 / shrink)


def _resized(x: Tensor, size: Tensor) -> Tensor:
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
