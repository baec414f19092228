"""PPMSVSRLite: small recurrent super-resolution that also removes grain and small damage.

Modeled on PP-MSVSR (Jiang et al., 2021) and BasicVSR (Chan et al., CVPR 2021): features are
propagated along optical flow, backward in time, then forward. Unlike those networks, it takes the
flow as input, and each frame sees its warped neighbor along with the warped features, which
separates grain, damage and occlusion from the picture.

A shot may not fit into memory, so the network is a pair of cells, and the caller loops over time.
`PPMSVSRLite.forward` is that loop for a short sequence.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

from oldfilm.networks.ops import warp

SCALE = 4


class PPMSVSRLite(nn.Layer):
    """Both cells.

    channels: channels of the propagated features. backward_blocks, forward_blocks: residual blocks
    of each cell.
    """

    def __init__(
        self, channels: int = 32, backward_blocks: int = 3, forward_blocks: int = 5
    ) -> None:
        super().__init__()
        self.channels = channels
        self.backward_cell = BackwardCell(channels, backward_blocks)
        self.forward_cell = ForwardCell(channels, forward_blocks)

    def forward(self, frames: Tensor, to_next: Tensor, to_previous: Tensor) -> Tensor:
        """Enlarge one short sequence.

        frames: [n, t, 3, h, w], RGB in [0, 1].
        to_next, to_previous: [n, t - 1, 2, h, w], flow in pixels from each frame but the last to
        the next, and from each but the first to the one before.
        Returns [n, t, 3, 4h, 4w], not clipped.
        """
        images = paddle.unstack(frames, 1)
        last = len(images) - 1
        still = paddle.zeros_like(images[0][:, :2])
        unknown = paddle.zeros_like(images[0][:, :1]).tile([1, self.channels, 1, 1])
        later = [unknown] * len(images)
        for i in reversed(range(len(images))):
            neighbor = min(i + 1, last)
            flow = to_next[:, i] if i < last else still
            later[i] = self.backward_cell(images[i], images[neighbor], flow, later[neighbor])
        enlarged, hidden = [], unknown
        for i, image in enumerate(images):
            flow = to_previous[:, i - 1] if i else still
            before = images[max(i - 1, 0)]
            hidden, large = self.forward_cell(image, before, flow, hidden, later[i])
            enlarged.append(large)
        return paddle.stack(enlarged, 1)


class BackwardCell(nn.Layer):
    """One step backward in time."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.trunk = Trunk(6 + channels, channels, blocks)

    def forward(self, frame: Tensor, neighbor: Tensor, flow: Tensor, hidden: Tensor) -> Tensor:
        """Return features [n, channels, h, w] of a frame and all frames after it.

        frame, neighbor: [n, 3, h, w], the frame and the next one. flow: [n, 2, h, w], from `frame`
        to `neighbor`. hidden: [n, channels, h, w], the result for `neighbor`.
        The last frame of a shot is its own neighbor, with zero flow and zero hidden features.
        """
        seen = warp(paddle.concat([neighbor, hidden], 1), flow)
        return self.trunk(paddle.concat([frame, seen], 1))


class ForwardCell(nn.Layer):
    """One step forward in time, which also enlarges the frame."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.trunk = Trunk(6 + 2 * channels, channels, blocks)
        self.detail = nn.Conv2D(channels, channels, 3, padding=1)
        self.enlarge = nn.Conv2D(channels, 3 * SCALE**2, 3, padding=1)

    def forward(
        self, frame: Tensor, neighbor: Tensor, flow: Tensor, hidden: Tensor, later: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return features [n, channels, h, w] to propagate, and the enlarged frame [n, 3, 4h, 4w].

        frame, neighbor, flow, hidden: as for `BackwardCell.forward`, with the previous frame as
        neighbor. later: [n, channels, h, w], the result of `BackwardCell` for this frame.
        """
        seen = warp(paddle.concat([neighbor, hidden], 1), flow)
        hidden = self.trunk(paddle.concat([frame, seen, later], 1))
        detail = self.enlarge(functional.relu(self.detail(hidden)))
        size = paddle.shape(frame)[2:] * SCALE
        base = functional.interpolate(frame, size=size, mode="bilinear", align_corners=False)
        return hidden, base + functional.pixel_shuffle(detail, SCALE)


class Trunk(nn.Layer):
    """An input convolution followed by residual blocks."""

    def __init__(self, channels_in: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Conv2D(channels_in, channels, 3, padding=1)
        self.blocks = nn.LayerList([Residual(channels) for _ in range(blocks)])

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.enter(x))
        for block in self.blocks:
            x = block(x)
        return x


class Residual(nn.Layer):
    """Two convolutions with a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2D(channels, channels, 3, padding=1)
        self.second = nn.Conv2D(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.relu(self.first(x)))
