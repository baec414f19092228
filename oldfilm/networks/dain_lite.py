"""DAINLite: a small network for frame interpolation on a CPU, modeled on DAIN.

DAIN (Bao et al., "Depth-Aware Video Frame Interpolation", CVPR 2019) projects flow to the time of
the new frame, warps both neighbors, and corrects the blend with a network. Here, flow, projection
and the warps at full size are classical. This network works at a reduced size: it corrects the
flow, weights the two neighbors, and replaces both with a softer picture where neither is reliable.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

FLOW_UNIT = 8.0
"""Pixels of flow per unit of the network's input."""

CONTRAST = 10.0
"""Factor on the differences between pictures in the network's input."""

COLOR_UNIT = 0.02
"""Color per unit of the network's output; it keeps corrections, and training steps, small."""


class DAINLite(nn.Layer):
    """A U-Net with three levels; its last layer starts at zero, which gives the classical result.

    channels: at 1/2, 1/4 and 1/8 of the input size.
    """

    def __init__(self, channels: tuple[int, int, int] = (32, 48, 64)) -> None:
        super().__init__()
        half, quarter, eighth = channels
        self.enter = nn.Conv2D(22, half, 3, stride=2, padding=1)
        self.at_half = nn.Conv2D(half, half, 3, padding=1)
        self.down_quarter = nn.Conv2D(half, quarter, 3, stride=2, padding=1)
        self.at_quarter = nn.Conv2D(quarter, quarter, 3, padding=1)
        self.down_eighth = nn.Conv2D(quarter, eighth, 3, stride=2, padding=1)
        self.at_eighth = nn.Conv2D(eighth, eighth, 3, padding=1)
        self.deepest = nn.Conv2D(eighth, eighth, 3, padding=1)
        self.up_quarter = nn.Conv2D(eighth + quarter, quarter, 3, padding=1)
        self.up_half = nn.Conv2D(quarter + half, half, 3, padding=1)
        zero = paddle.ParamAttr(initializer=nn.initializer.Constant(0.0))
        self.leave = nn.Conv2D(half, 11, 3, padding=1, weight_attr=zero)

    def forward(self, candidates: Tensor, flows: Tensor, trust: Tensor, time: Tensor) -> Tensor:
        """Estimate how to compose the frame at `time` from its two neighbors.

        candidates: [n, 12, h, w], four RGB pictures in [0, 1]: the first neighbor and the second,
        warped by `flows`, then both warped by unprojected flow.
        flows: [n, 4, h, w], flow (x, y) from `time` to the first neighbor, then to the second, in
        pixels.
        trust: [n, 2, h, w], confidence in [0, 1] of both flows.
        time: [n, 1, h, w], in (0, 1), constant.
        Returns [n, 9, h, w]: corrected flows (4), weight of the first neighbor in the blend, weight
        of the soft picture in the result (both in [0, 1]), and the soft picture (RGB).
        """
        pictures = paddle.split(candidates, 4, axis=1)
        mean = sum(pictures) / 4
        differences = [CONTRAST * (picture - mean) for picture in pictures]
        known = [mean - 0.5, *differences, flows / FLOW_UNIT, trust - 0.5, time - 0.5]
        seen = paddle.concat(known, axis=1)
        half = functional.relu(self.at_half(functional.relu(self.enter(seen))))
        quarter = functional.relu(self.at_quarter(functional.relu(self.down_quarter(half))))
        eighth = functional.relu(self.at_eighth(functional.relu(self.down_eighth(quarter))))
        eighth = functional.relu(self.deepest(eighth))
        joined = paddle.concat([_enlarge(eighth, quarter), quarter], axis=1)
        quarter = functional.relu(self.up_quarter(joined))
        joined = paddle.concat([_enlarge(quarter, half), half], axis=1)
        half = functional.relu(self.up_half(joined))
        change = _enlarge(self.leave(half), seen)

        likely = paddle.log((1 - time) / time)
        first = functional.sigmoid(likely + trust[:, :1] - trust[:, 1:] + change[:, 4:5])
        straight_first = functional.sigmoid(likely + change[:, 5:6])
        straight = functional.sigmoid(change[:, 6:7])
        projected = _mix(pictures[0], pictures[1], first)
        unprojected = _mix(pictures[2], pictures[3], straight_first)
        soft = _mix(unprojected, projected, straight) + COLOR_UNIT * change[:, 8:11]
        # Where the candidates disagree, the soft picture hides the ghosts.
        spread = sum((picture - soft).abs() for picture in pictures).mean(axis=1, keepdim=True) / 4
        doubt = functional.sigmoid(60 * spread - 4 + change[:, 7:8])
        return paddle.concat([flows + change[:, :4], first, doubt, soft], axis=1)


def _mix(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return other + share * (one - other)


def _enlarge(small: Tensor, large: Tensor) -> Tensor:
    """Resize `small` to the height and width of `large`."""
    size = paddle.shape(large)[2:]
    return functional.interpolate(small, size=size, mode="bilinear", align_corners=False)
