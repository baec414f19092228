"""PPMSVSRLite: small recurrent super-resolution that also removes grain and small damage.

Modeled on PP-MSVSR (Jiang et al., 2021) and BasicVSR (Chan et al., CVPR 2021): features are
propagated along optical flow, backward in time, then forward. Unlike those networks, it takes the
flow as input, and each frame sees its warped neighbor along with the warped features, which
separates grain, damage and occlusion from the picture.

A shot may not fit into memory, so the network is a pair of cells, and the caller loops over time
and warps. `PPMSVSRLite.forward` is that loop for a short sequence. What a cell takes and returns
has channels last, the order in which OpenCV warps ten times as fast as ONNX Runtime.
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
        unknown = unknown.transpose([0, 2, 3, 1])
        later = [unknown] * len(images)
        for i in reversed(range(len(images))):
            neighbor = min(i + 1, last)
            flow = to_next[:, i] if i < last else still
            seen = _seen(images[neighbor], later[neighbor], flow)
            later[i] = self.backward_cell(images[i], seen)
        enlarged, hidden = [], unknown
        for i, image in enumerate(images):
            flow = to_previous[:, i - 1] if i else still
            before = images[max(i - 1, 0)]
            seen = _seen(before, hidden, flow)
            hidden, large = self.forward_cell(image, seen, later[i])
            enlarged.append(large)
        return paddle.stack(enlarged, 1)


class BackwardCell(nn.Layer):
    """One step backward in time."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.trunk = Trunk(6 + channels, channels, blocks)

    def forward(self, frame: Tensor, seen: Tensor) -> Tensor:
        """Return features [n, h, w, channels] of a frame and all frames after it.

        frame: [n, 3, h, w]. seen: [n, h, w, 3 + channels], the next frame and the result for it,
        warped to `frame`.
        The last frame of a shot sees itself, and features of 0.
        """
        features = self.trunk(paddle.concat([frame, _channels_first(seen)], 1))
        return _channels_last(features)


class ForwardCell(nn.Layer):
    """One step forward in time, which also enlarges the frame."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.trunk = Trunk(6 + 2 * channels, channels, blocks)
        self.detail = nn.Conv2D(channels, channels, 3, padding=1)
        self.enlarge = nn.Conv2D(channels, 3 * SCALE**2, 3, padding=1)

    def forward(self, frame: Tensor, seen: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
        """Return features [n, h, w, channels] to propagate, and the enlarged frame [n, 3, 4h, 4w].

        frame, seen: as for `BackwardCell.forward`, with the previous frame. later: [n, h, w,
        channels], the result of `BackwardCell` for this frame.
        """
        known = [frame, _channels_first(seen), _channels_first(later)]
        hidden = self.trunk(paddle.concat(known, 1))
        detail = self.enlarge(functional.relu(self.detail(hidden)))
        size = paddle.shape(frame)[2:] * SCALE
        base = functional.interpolate(frame, size=size, mode="bilinear", align_corners=False)
        return _channels_last(hidden), base + functional.pixel_shuffle(detail, SCALE)


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


def _seen(neighbor: Tensor, features: Tensor, flow: Tensor) -> Tensor:
    """Warp a neighbor [n, 3, h, w] and its features [n, h, w, c]: [n, h, w, 3 + c]."""
    together = paddle.concat([neighbor, _channels_first(features)], 1)
    return _channels_last(warp(together, flow))


def _channels_first(x: Tensor) -> Tensor:
    return x.transpose([0, 3, 1, 2])


def _channels_last(x: Tensor) -> Tensor:
    return x.transpose([0, 2, 3, 1])
