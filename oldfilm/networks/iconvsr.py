"""IconVSR: BasicVSR with information refill at keyframes and coupled propagation.

Chan et al., "BasicVSR: The Search for Essential Components in Video Super-Resolution and Beyond",
CVPR 2021. Layers and parameter names match PaddleGAN's `IconVSR`.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

from oldfilm.networks import propagation
from oldfilm.networks.basicvsr import Enlargement, PixelShufflePack, ResidualBlock, ResidualBlocks
from oldfilm.networks.edvr import PCDAlign, TSAFusion
from oldfilm.networks.ops import warp
from oldfilm.networks.spynet import SPyNet

SLOPE = 0.1
"""Negative slope of every leaky ReLU."""


class IconVSR(nn.Layer):
    """Four-fold super-resolution of a clip.

    mid_channels: channels of the features. num_blocks: residual blocks per propagation direction.
    padding: neighbors on each side of a keyframe. keyframe_stride: distance between keyframes.
    """

    def __init__(
        self,
        mid_channels: int = 64,
        num_blocks: int = 30,
        padding: int = 2,
        keyframe_stride: int = 5,
    ) -> None:
        super().__init__()
        self.mid_channels = mid_channels
        self.padding = padding
        self.keyframe_stride = keyframe_stride
        self.spynet = SPyNet()
        self.edvr = EDVRFeatureExtractor(mid_channels, 2 * padding + 1)
        self.backward_fusion = nn.Conv2D(2 * mid_channels, mid_channels, 3, padding=1)
        self.forward_fusion = nn.Conv2D(2 * mid_channels, mid_channels, 3, padding=1)
        self.backward_resblocks = ResidualBlocks(mid_channels + 3, mid_channels, num_blocks)
        self.forward_resblocks = ResidualBlocks(2 * mid_channels + 3, mid_channels, num_blocks)
        self.upsample1 = PixelShufflePack(mid_channels, mid_channels)
        self.upsample2 = PixelShufflePack(mid_channels, 64)
        self.conv_hr = nn.Conv2D(64, 64, 3, padding=1)
        self.conv_last = nn.Conv2D(64, 3, 3, padding=1)

    def forward(self, clip: Tensor, number: Tensor | None = None) -> Tensor:
        """Enlarge a clip.

        clip: [n, t, 3, h, w], RGB in [0, 1]; h, w: multiples of 4.
        number: number of the first frame in its shot, one integer, if the clip is part of a shot.
        Returns [n, t, 3, 4h, 4w], not clipped.
        """
        frames = paddle.unstack(clip, 1)
        first = 0 if number is None else int(number)
        keyframes = propagation.keyframes_of(len(frames), first, self.keyframe_stride)
        steps = propagation.steps_of(self)
        return paddle.stack([*propagation.iconvsr(steps, frames, keyframes, self.padding)], 1)

    @property
    def moved(self) -> Moved:
        """The step that takes features along the flow."""
        return Moved(self.spynet)

    @property
    def backward_refill(self) -> Refill:
        """The step that adds the features of a keyframe to those from later frames."""
        return Refill(self.backward_fusion)

    @property
    def forward_refill(self) -> Refill:
        """The step that adds the features of a keyframe to those from earlier frames."""
        return Refill(self.forward_fusion)

    @property
    def enlargement(self) -> Enlargement:
        """The last step."""
        return Enlargement(self)


class Moved(nn.Layer):
    """Features of a neighbor, moved to their place in a frame. It shares the network's layers."""

    def __init__(self, spynet: SPyNet) -> None:
        super().__init__()
        self.spynet = spynet

    def forward(self, hidden: Tensor, frame: Tensor, neighbor: Tensor) -> Tensor:
        """hidden: features of `neighbor`, [n, c, h, w]. frame, neighbor: [n, 3, h, w]."""
        return warp(hidden, self.spynet(frame, neighbor))


class Refill(nn.Layer):
    """Propagated features with those of a keyframe. It shares the network's layers."""

    def __init__(self, fusion: nn.Conv2D) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, hidden: Tensor, refill: Tensor) -> Tensor:
        """hidden, refill: [n, c, h, w]. Returns [n, c, h, w]."""
        return self.fusion(paddle.concat([hidden, refill], 1))


class EDVRFeatureExtractor(nn.Layer):
    """EDVR-M without its reconstruction: features of a frame and its neighbors."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.center = frames // 2
        self.conv_first = nn.Conv2D(3, channels, 3, padding=1)
        self.feature_extraction = nn.Sequential(*[ResidualBlock(channels) for _ in range(5)])
        self.feat_l2_conv1 = nn.Conv2D(channels, channels, 3, stride=2, padding=1)
        self.feat_l2_conv2 = nn.Conv2D(channels, channels, 3, padding=1)
        self.feat_l3_conv1 = nn.Conv2D(channels, channels, 3, stride=2, padding=1)
        self.feat_l3_conv2 = nn.Conv2D(channels, channels, 3, padding=1)
        self.pcd_alignment = PCDAlign(channels, groups=8)
        self.fusion = TSAFusion(channels, frames, self.center)

    def forward(self, *frames: Tensor) -> Tensor:
        """frames: [n, 3, h, w] each; h, w: multiples of 4. Returns [n, channels, h, w]."""
        levels = [self._levels(frame) for frame in frames]
        reference = levels[self.center]
        return self.fusion(*[self.pcd_alignment(*level, *reference) for level in levels])

    def _levels(self, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features of a frame at 1/1, 1/2 and 1/4 of its size."""
        first = self.feature_extraction(_leaky(self.conv_first(frame)))
        second = _leaky(self.feat_l2_conv2(_leaky(self.feat_l2_conv1(first))))
        third = _leaky(self.feat_l3_conv2(_leaky(self.feat_l3_conv1(second))))
        return first, second, third


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)
