"""PPMSVSRLite: small recurrent super-resolution that also removes grain and small damage.

Modeled on PP-MSVSR (Jiang et al., 2021) and BasicVSR (Chan et al., CVPR 2021): features are
propagated along optical flow, backward in time, then forward. Unlike those networks, it takes the
flow as input, and each frame sees its warped neighbor along with the warped features, which
separates grain, damage and occlusion from the picture.

A shot may not fit into memory, so the network is a pair of cells. The caller loops over time,
warps, and adds the detail that the second cell estimates to the enlarged frame: OpenCV does both
several times as fast as ONNX Runtime. Features have channels last, as OpenCV takes them.
`PPMSVSRLite.forward` is that loop for a short sequence.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

from oldfilm.networks.ops import convolved, warp

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
            known = _known(images[i], images[neighbor], later[neighbor], flow)
            later[i] = self.backward_cell(*known)
        enlarged, hidden = [], unknown
        for i, image in enumerate(images):
            flow = to_previous[:, i - 1] if i else still
            known = _known(image, images[max(i - 1, 0)], hidden, flow)
            hidden, detail = self.forward_cell(*known, later[i])
            enlarged.append(_enlarged(image) + _large_picture(detail))
        return paddle.stack(enlarged, 1)


class BackwardCell(nn.Layer):
    """One step backward in time."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.trunk = Trunk(6 + channels, channels, blocks)

    def forward(self, pictures: Tensor, seen: Tensor) -> Tensor:
        """Return features [n, h, w, channels] of a frame and all frames after it.

        pictures: [n, 6, h, w], the frame, and the next one warped to it. seen: [n, h, w, channels],
        the result for the next frame, warped likewise.
        The last frame of a shot sees itself, and features of 0.
        """
        return _channels_last(self.trunk(pictures, _channels_first(seen)))


class ForwardCell(nn.Layer):
    """One step forward in time, which also enlarges the frame."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.trunk = Trunk(6 + 2 * channels, channels, blocks)
        self.detail = nn.Conv2D(channels, channels, 3, padding=1)
        self.enlarge = nn.Conv2D(channels, 3 * SCALE**2, 3, padding=1)

    def forward(self, pictures: Tensor, seen: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
        """Return features [n, h, w, channels] to propagate, and detail [n, h, w, 4 * 4 * 3].

        The detail is what the enlarged frame has beyond bilinear interpolation. A pixel holds its
        4 x 4 pixels of the enlarged frame row by row, each in RGB.
        pictures, seen: as for `BackwardCell.forward`, with the previous frame. later: [n, h, w,
        channels], the result of `BackwardCell` for this frame.
        """
        hidden = self.trunk(pictures, _channels_first(seen), _channels_first(later))
        enlarge = self.enlarge
        # The weights have all pixels of a color together; the result, all colors of a pixel.
        weight = enlarge.weight.reshape([3, SCALE**2, -1, 3, 3]).transpose([1, 0, 2, 3, 4])
        bias = enlarge.bias.reshape([3, SCALE**2]).transpose([1, 0])
        detail = functional.conv2d(
            functional.relu(self.detail(hidden)),
            weight.reshape(enlarge.weight.shape),
            bias.reshape(enlarge.bias.shape),
            padding=1,
        )
        return _channels_last(hidden), _channels_last(detail)


class Trunk(nn.Layer):
    """An input convolution followed by residual blocks.

    channels_in: of all inputs together.
    """

    def __init__(self, channels_in: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Conv2D(channels_in, channels, 3, padding=1)
        self.blocks = nn.LayerList([Residual(channels) for _ in range(blocks)])

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return features [n, channels, h, w] of inputs [n, c, h, w]."""
        x = functional.relu(convolved(self.enter, *inputs))
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


def _known(
    frame: Tensor, neighbor: Tensor, features: Tensor, flow: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the first two inputs of a cell. neighbor: [n, 3, h, w]. features: of `neighbor`."""
    pictures = paddle.concat([frame, warp(neighbor, flow)], 1)
    return pictures, _channels_last(warp(_channels_first(features), flow))


def _enlarged(frame: Tensor) -> Tensor:
    size = paddle.shape(frame)[2:] * SCALE
    return functional.interpolate(frame, size=size, mode="bilinear", align_corners=False)


def _large_picture(detail: Tensor) -> Tensor:
    """Return detail [n, h, w, 4 * 4 * 3] as [n, 3, 4h, 4w]."""
    batch, height, width, _ = detail.shape
    pixels = detail.reshape([batch, height, width, SCALE, SCALE, 3]).transpose([0, 5, 1, 3, 2, 4])
    return pixels.reshape([batch, 3, SCALE * height, SCALE * width])


def _channels_first(x: Tensor) -> Tensor:
    return x.transpose([0, 3, 1, 2])


def _channels_last(x: Tensor) -> Tensor:
    return x.transpose([0, 2, 3, 1])
