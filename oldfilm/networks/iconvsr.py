"""IconVSR: BasicVSR with information refill at keyframes and coupled propagation.

Chan et al., "BasicVSR: The Search for Essential Components in Video Super-Resolution and Beyond",
CVPR 2021. Layers and parameter names match PaddleGAN's `IconVSR`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

from oldfilm.networks.basicvsr import PixelShufflePack, ResidualBlock, ResidualBlocks, enlarge
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
        keyframes = self.keyframes(len(frames), 0 if number is None else int(number))
        refills = self._refills(frames, keyframes)
        later = self._from_later_frames(frames, refills)
        enlarged = []
        hidden = paddle.zeros_like(later[0])
        for i, frame in enumerate(frames):
            if i:
                hidden = warp(hidden, self.spynet(frame, frames[i - 1]))
            if i in refills:
                hidden = self.forward_fusion(paddle.concat([hidden, refills[i]], 1))
            hidden = self.forward_resblocks(paddle.concat([frame, later[i], hidden], 1))
            enlarged.append(enlarge(self, hidden, frame))
        return paddle.stack(enlarged, 1)

    def keyframes(self, count: int, number: int) -> set[int]:
        """Return the indices of the keyframes among `count` frames.

        They are the first and the last frame, and those whose number in the shot is a multiple of
        the stride. number: number of the first frame in its shot.
        """
        regular = {i for i in range(count) if (number + i) % self.keyframe_stride == 0}
        return {0, count - 1} | regular

    def _from_later_frames(
        self, frames: Sequence[Tensor], refills: dict[int, Tensor]
    ) -> list[Tensor]:
        """Return features [n, mid_channels, h, w] of every frame and those after it."""
        later = []
        hidden = paddle.zeros_like(frames[0][:, :1]).tile([1, self.mid_channels, 1, 1])
        for i in reversed(range(len(frames))):
            if i + 1 < len(frames):
                hidden = warp(hidden, self.spynet(frames[i], frames[i + 1]))
            if i in refills:
                hidden = self.backward_fusion(paddle.concat([hidden, refills[i]], 1))
            hidden = self.backward_resblocks(paddle.concat([frames[i], hidden], 1))
            later.append(hidden)
        return later[::-1]

    def _refills(self, frames: Sequence[Tensor], keyframes: Collection[int]) -> dict[int, Tensor]:
        """Return features [n, mid_channels, h, w] of every keyframe and its neighbors."""
        reach, last = self.padding, len(frames) - 1
        # Pad the clip with frames that are not in the window of its end: 4, 3 | 0, 1, 2, ... and
        # ... | -4, -5. A clip that is too short for that repeats its other end.
        before = [min(2 * reach - i, last) for i in range(reach)]
        after = [max(last - reach - 1 - i, 0) for i in range(reach)]
        padded = [frames[i] for i in (*before, *range(last + 1), *after)]
        return {i: self.edvr(padded[i : i + 2 * reach + 1]) for i in keyframes}


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

    def forward(self, frames: Sequence[Tensor]) -> Tensor:
        """frames: [n, 3, h, w] each; h, w: multiples of 4. Returns [n, channels, h, w]."""
        levels = [self._levels(frame) for frame in frames]
        return self.fusion([self.pcd_alignment(level, levels[self.center]) for level in levels])

    def _levels(self, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features of a frame at 1/1, 1/2 and 1/4 of its size."""
        first = self.feature_extraction(_leaky(self.conv_first(frame)))
        second = _leaky(self.feat_l2_conv2(_leaky(self.feat_l2_conv1(first))))
        third = _leaky(self.feat_l3_conv2(_leaky(self.feat_l3_conv1(second))))
        return first, second, third


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)
