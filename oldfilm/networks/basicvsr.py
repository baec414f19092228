"""BasicVSR: recurrent video super-resolution with features propagated along optical flow.

Chan et al., "BasicVSR: The Search for Essential Components in Video Super-Resolution and Beyond",
CVPR 2021. Layers and parameter names match PaddleGAN's `BasicVSRNet`.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

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
        later = self._from_later_frames(frames)
        enlarged = []
        hidden = paddle.zeros_like(later[0])
        for i, frame in enumerate(frames):
            if i:
                hidden = warp(hidden, self.spynet(frame, frames[i - 1]))
            hidden = self.forward_resblocks(paddle.concat([frame, hidden], 1))
            fused = self.fusion(paddle.concat([later[i], hidden], 1))
            enlarged.append(enlarge(self, functional.leaky_relu(fused, SLOPE), frame))
        return paddle.stack(enlarged, 1)

    def _from_later_frames(self, frames: list[Tensor]) -> list[Tensor]:
        """Return features [n, mid_channels, h, w] of every frame and those after it."""
        later = []
        hidden = paddle.zeros_like(frames[0][:, :1]).tile([1, self.mid_channels, 1, 1])
        for i in reversed(range(len(frames))):
            if i + 1 < len(frames):
                hidden = warp(hidden, self.spynet(frames[i], frames[i + 1]))
            hidden = self.backward_resblocks(paddle.concat([frames[i], hidden], 1))
            later.append(hidden)
        return later[::-1]


def enlarge(network: nn.Layer, features: Tensor, frame: Tensor) -> Tensor:
    """Upsample features [n, c, h, w] and add them to the enlarged frame [n, 3, h, w].

    network: provides `upsample1`, `upsample2`, `conv_hr` and `conv_last`.
    Returns [n, 3, 4h, 4w].
    """
    x = functional.leaky_relu(network.upsample1(features), SLOPE)
    x = functional.leaky_relu(network.upsample2(x), SLOPE)
    x = network.conv_last(functional.leaky_relu(network.conv_hr(x), SLOPE))
    size = [4 * side for side in frame.shape[2:]]
    return x + functional.interpolate(frame, size, mode="bilinear", align_corners=False)


class ResidualBlocks(nn.Layer):
    """An input convolution followed by residual blocks."""

    def __init__(self, in_channels: int, channels: int, num_blocks: int) -> None:
        super().__init__()
        # "covn1" is the spelling in published weights.
        self.covn1 = nn.Conv2D(in_channels, channels, 3, padding=1)
        blocks = [(f"block{i}", ResidualBlock(channels)) for i in range(num_blocks)]
        self.ResidualBlocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.ResidualBlocks(functional.leaky_relu(self.covn1(x), SLOPE))


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
