"""BasicVSR++: second-order grid propagation with flow-guided deformable alignment.

Chan et al., "BasicVSR++: Improving Video Super-Resolution with Enhanced Propagation and Alignment",
CVPR 2022. Layers and parameter names match PaddleGAN's `BasicVSRPlusPlus`.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional
from paddle.vision.ops import DeformConv2D

from oldfilm.networks import propagation
from oldfilm.networks.basicvsr import Enlargement, PixelShufflePack, ResidualBlocks
from oldfilm.networks.ops import warp
from oldfilm.networks.spynet import SPyNet

SLOPE = 0.1
"""Negative slope of every leaky ReLU."""

LARGEST_RESIDUE = 10
"""Largest offset of a deformable convolution from the flow, in pixels (equation 6)."""


class BasicVSRPlusPlus(nn.Layer):
    """Four-fold super-resolution of a clip.

    mid_channels: channels of the features. num_blocks: residual blocks per branch.
    """

    def __init__(self, mid_channels: int = 64, num_blocks: int = 7) -> None:
        super().__init__()
        self.spynet = SPyNet()
        self.feat_extract = ResidualBlocks(3, mid_channels, 5)
        for known, branch in enumerate(propagation.BRANCHES, 2):
            setattr(self, f"deform_align_{branch}", SecondOrderDeformableAlignment(mid_channels))
            blocks = Backbone(known * mid_channels, mid_channels, num_blocks)
            setattr(self, f"backbone_{branch}", blocks)
        self.reconstruction = ResidualBlocks(5 * mid_channels, mid_channels, 5)
        self.upsample1 = PixelShufflePack(mid_channels, mid_channels)
        self.upsample2 = PixelShufflePack(mid_channels, 64)
        self.conv_hr = nn.Conv2D(64, 64, 3, padding=1)
        self.conv_last = nn.Conv2D(64, 3, 3, padding=1)

    def forward(self, clip: Tensor) -> Tensor:
        """Enlarge a clip.

        clip: [n, t, 3, h, w], RGB in [0, 1]. Returns [n, t, 3, 4h, 4w], not clipped.
        """
        frames = paddle.unstack(clip, 1)
        steps = propagation.steps_of(self)
        return paddle.stack([*propagation.basicvsr_plus_plus(steps, frames)], 1)

    @property
    def far_flow(self) -> FarFlow:
        """The step that chains the flow of two frames."""
        return FarFlow()

    @property
    def enlargement(self) -> Reconstruction:
        """The last step."""
        return Reconstruction(self)


class Backbone(ResidualBlocks):
    """The features of a frame from those it has so far, and those propagated to it."""

    def forward(self, *parts: Tensor) -> Tensor:
        """parts: features, of which the last are those propagated to the frame."""
        return parts[-1] + self.merged(*parts)


class FarFlow(nn.Layer):
    """The flow to the frame before last."""

    def forward(self, flow: Tensor, before: Tensor) -> Tensor:
        """flow: to the last frame. before: from there to the one before. All [n, 2, h, w]."""
        return flow + warp(before, flow)


class Reconstruction(Enlargement):
    """The enlarged frame from the features of all branches. It shares the network's layers."""

    def __init__(self, network: BasicVSRPlusPlus) -> None:
        super().__init__(network)
        self.reconstruction = network.reconstruction

    def forward(self, frame: Tensor, *features: Tensor) -> Tensor:
        """frame: [n, 3, h, w]. features: [n, c, h, w] each. Returns [n, 3, 4h, 4w]."""
        return self.enlarged(self.reconstruction(*features), frame)


class SecondOrderDeformableAlignment(nn.Layer):
    """Align the features of the last two frames with the current one."""

    def __init__(self, channels: int, groups: int = 16) -> None:
        super().__init__()
        self.conv_offset = nn.Sequential(
            nn.Conv2D(3 * channels + 4, channels, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2D(channels, channels, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2D(channels, channels, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2D(channels, 27 * groups, 3, padding=1),
        )
        self.dcn = DeformConv2D(2 * channels, channels, 3, padding=1, deformable_groups=groups)

    def forward(
        self, current: Tensor, near: Tensor, far: Tensor, near_flow: Tensor, far_flow: Tensor
    ) -> Tensor:
        """Return aligned features [n, channels, h, w].

        current, near, far: [n, channels, h, w], features of this frame, of the frame before it,
        and of the frame before that.
        near_flow, far_flow: [n, 2, h, w], flow (x, y) from this frame to those two, in pixels.
        """
        seen = [warp(near, near_flow), current, warp(far, far_flow), near_flow, far_flow]
        residue_1, residue_2, mask = paddle.chunk(self.conv_offset(paddle.concat(seen, 1)), 3, 1)
        # Deformable convolutions expect (y, x), for each group and each of the nine taps.
        times = residue_1.shape[1] // 2
        guide_1 = near_flow.flip(1).tile([1, times, 1, 1])
        guide_2 = far_flow.flip(1).tile([1, times, 1, 1])
        offsets = [
            LARGEST_RESIDUE * paddle.tanh(residue_1) + guide_1,
            LARGEST_RESIDUE * paddle.tanh(residue_2) + guide_2,
        ]
        features = paddle.concat([near, far], 1)
        return self.dcn(features, paddle.concat(offsets, 1), functional.sigmoid(mask))
