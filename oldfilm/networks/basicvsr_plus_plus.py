"""BasicVSR++: second-order grid propagation with flow-guided deformable alignment.

Chan et al., "BasicVSR++: Improving Video Super-Resolution with Enhanced Propagation and Alignment",
CVPR 2022. Layers and parameter names match PaddleGAN's `BasicVSRPlusPlus`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional
from paddle.vision.ops import DeformConv2D

from oldfilm.networks.basicvsr import PixelShufflePack, ResidualBlocks, enlarge
from oldfilm.networks.ops import warp
from oldfilm.networks.spynet import SPyNet

SLOPE = 0.1
"""Negative slope of every leaky ReLU."""

BRANCHES = ("backward_1", "forward_1", "backward_2", "forward_2")
"""Propagation branches, in order; each takes the features of all branches before it."""

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
        for known, branch in enumerate(BRANCHES, 2):
            setattr(self, f"deform_align_{branch}", SecondOrderDeformableAlignment(mid_channels))
            blocks = ResidualBlocks(known * mid_channels, mid_channels, num_blocks)
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
        pairs = list(zip(frames, frames[1:]))
        to_next = [self.spynet(frame, later) for frame, later in pairs]
        to_previous = [self.spynet(later, frame) for frame, later in pairs]
        known = [[self.feat_extract(frame)] for frame in frames]
        for branch in BRANCHES:
            if branch.startswith("backward"):
                found = self._propagated(branch, known[::-1], to_next[::-1])[::-1]
            else:
                found = self._propagated(branch, known, to_previous)
            known = [[*features, new] for features, new in zip(known, found)]
        enlarged = [
            enlarge(self, self.reconstruction(paddle.concat(features, 1)), frame)
            for features, frame in zip(known, frames)
        ]
        return paddle.stack(enlarged, 1)

    def _propagated(
        self, branch: str, known: Sequence[Sequence[Tensor]], flows: Sequence[Tensor]
    ) -> list[Tensor]:
        """Propagate features through the clip along one branch.

        known: for each frame, in the branch's order, its own features and those of earlier
        branches. flows: from each frame but the first to the frame before it in that order.
        Returns features [n, mid_channels, h, w] of each frame.
        """
        align: Callable[..., Tensor] = getattr(self, f"deform_align_{branch}")
        backbone: Callable[[Tensor], Tensor] = getattr(self, f"backbone_{branch}")
        no_features = paddle.zeros_like(known[0][0])
        no_flow = paddle.zeros_like(no_features[:, :2])
        found: list[Tensor] = []
        for i, features in enumerate(known):
            hidden = no_features
            if i:
                flow = flows[i - 1]
                before, far_flow = no_features, no_flow
                if i > 1:
                    before = found[-2]
                    far_flow = flow + warp(flows[i - 2], flow)
                hidden = align(features[0], found[-1], before, flow, far_flow)
            found.append(hidden + backbone(paddle.concat([*features, hidden], 1)))
        return found


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
