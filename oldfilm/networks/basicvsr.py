"""BasicVSR: recurrent video super-resolution with features propagated along optical flow.

Chan et al., "BasicVSR: The Search for Essential Components in Video Super-Resolution and Beyond",
CVPR 2021. Layers and parameter names match PaddleGAN's `BasicVSRNet`.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

from oldfilm.networks import propagation
from oldfilm.networks.ops import warp
from oldfilm.networks.spynet import SPyNet

SLOPE = 0.1
"""Negative slope of every leaky ReLU."""


class BasicVSRNet(nn.Layer):
    """Four-fold super-resolution of a clip.

    mid_channels: channels of the features. num_blocks: residual blocks per propagation direction.
    """

    def __init__(self, mid_channels: int = 64, num_blocks: int = 30) -> None:
        super().__init__()
        self.mid_channels = mid_channels
        self.spynet = SPyNet()
        self.backward_resblocks = ResidualBlocks(mid_channels + 3, mid_channels, num_blocks)
        self.forward_resblocks = ResidualBlocks(mid_channels + 3, mid_channels, num_blocks)
        self.fusion = nn.Conv2D(2 * mid_channels, mid_channels, 1)
        self.upsample1 = PixelShufflePack(mid_channels, mid_channels)
        self.upsample2 = PixelShufflePack(mid_channels, 64)
        self.conv_hr = nn.Conv2D(64, 64, 3, padding=1)
        self.conv_last = nn.Conv2D(64, 3, 3, padding=1)

    def forward(self, clip: Tensor) -> Tensor:
        """Enlarge a clip.

        clip: [n, t, 3, h, w], RGB in [0, 1]. Returns [n, t, 3, 4h, 4w], not clipped.
        """
        frames = paddle.unstack(clip, 1)
        nothing = paddle.zeros_like(frames[0][:, :1]).tile([1, self.mid_channels, 1, 1])
        steps = propagation.steps_of(self)
        return paddle.stack([*propagation.basicvsr(steps, frames, nothing)], 1)

    @property
    def backward_step(self) -> Propagation:
        """The step from a frame to the one before it."""
        return Propagation(self.spynet, self.backward_resblocks)

    @property
    def forward_step(self) -> Propagation:
        """The step from a frame to the next."""
        return Propagation(self.spynet, self.forward_resblocks)

    @property
    def reconstruction(self) -> Reconstruction:
        """The step from the features of both directions to an enlarged frame."""
        return Reconstruction(self)


class Propagation(nn.Layer):
    """One step of propagation. It shares the layers of the network."""

    def __init__(self, spynet: SPyNet, blocks: ResidualBlocks) -> None:
        super().__init__()
        self.spynet = spynet
        self.blocks = blocks

    def forward(self, frame: Tensor, neighbor: Tensor, hidden: Tensor) -> Tensor:
        """Return the features of `frame`.

        frame, neighbor: [n, 3, h, w]. hidden: the features of `neighbor`, [n, c, h, w].
        """
        moved = warp(hidden, self.spynet(frame, neighbor))
        return self.blocks(frame, moved)


class Enlargement(nn.Layer):
    """The enlarged frame from its features. It shares the network's layers."""

    def __init__(self, network: nn.Layer) -> None:
        super().__init__()
        self.upsample1 = network.upsample1
        self.upsample2 = network.upsample2
        self.conv_hr = network.conv_hr
        self.conv_last = network.conv_last

    def forward(self, features: Tensor, frame: Tensor) -> Tensor:
        """features: [n, c, h, w]. frame: [n, 3, h, w]. Returns [n, 3, 4h, 4w]."""
        return self.enlarged(features, frame)

    def enlarged(self, features: Tensor, frame: Tensor) -> Tensor:
        """As `forward`, for subclasses: with Paddle 2, `super().forward` cannot be exported."""
        x = functional.leaky_relu(self.upsample1(features), SLOPE)
        x = functional.leaky_relu(self.upsample2(x), SLOPE)
        x = self.conv_last(functional.leaky_relu(self.conv_hr(x), SLOPE))
        size = [4 * side for side in frame.shape[2:]]
        return x + functional.interpolate(frame, size, mode="bilinear", align_corners=False)


class Reconstruction(Enlargement):
    """The enlarged frame from the features of both directions."""

    def __init__(self, network: BasicVSRNet) -> None:
        super().__init__(network)
        self.fusion = network.fusion

    def forward(self, later: Tensor, earlier: Tensor, frame: Tensor) -> Tensor:
        """later, earlier: [n, c, h, w]. frame: [n, 3, h, w]. Returns [n, 3, 4h, 4w]."""
        features = self.fusion(paddle.concat([later, earlier], 1))
        return self.enlarged(functional.leaky_relu(features, SLOPE), frame)


class ResidualBlocks(nn.Layer):
    """An input convolution followed by residual blocks."""

    def __init__(self, in_channels: int, channels: int, num_blocks: int) -> None:
        super().__init__()
        # "covn1" is the spelling in published weights.
        self.covn1 = nn.Conv2D(in_channels, channels, 3, padding=1)
        self.lrelu = nn.LeakyReLU(SLOPE)
        blocks = [(f"block{i}", ResidualBlock(channels)) for i in range(num_blocks)]
        self.ResidualBlocks = nn.Sequential(*blocks)

    def forward(self, *parts: Tensor) -> Tensor:
        """parts: features, which are concatenated."""
        return self.merged(*parts)

    def merged(self, *parts: Tensor) -> Tensor:
        """As `forward`, for subclasses."""
        return self.ResidualBlocks(self.lrelu(self.covn1(paddle.concat(parts, 1))))


class ResidualBlock(nn.Layer):
    """Two convolutions with a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2D(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(functional.relu(self.conv1(x)))


class PixelShufflePack(nn.Layer):
    """Two-fold upsampling by a convolution and a pixel shuffle."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.upsample_conv = nn.Conv2D(in_channels, 4 * out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(self.upsample_conv(x), 2)
