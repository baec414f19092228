"""Super SloMo: frame interpolation with one U-Net for flow and one for its refinement.

Jiang et al., "Super SloMo: High Quality Estimation of Multiple Intermediate Frames for Video
Interpolation", CVPR 2018. Layers and parameter names match avinashpaliwal/Super-SloMo, with the
prefixes `flow.` for its `state_dictFC.` and `interpolation.` for its `state_dictAT.`.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

SLOPE = 0.1
"""Negative slope of every leaky ReLU."""

MEAN = (0.429, 0.431, 0.397)
"""Mean of RGB frames, which the networks subtract."""


class SuperSloMo(nn.Layer):
    """Both networks.

    channels: channels at the finest level of the U-Nets; the coarsest has sixteen times as many.
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.flow = FlowNetwork(channels)
        self.interpolation = InterpolationNetwork(channels)

    def forward(self, first: Tensor, second: Tensor, time: Tensor) -> Tensor:
        """Interpolate the frame at `time`; shapes as in `InterpolationNetwork.forward`."""
        return self.interpolation(first, second, self.flow(first, second), time)


class UNet(nn.Layer):
    """A U-Net with six levels; h, w: multiples of 32."""

    def __init__(self, channels_in: int, channels_out: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(channels_in, channels, 7, padding=3)
        self.conv2 = nn.Conv2D(channels, channels, 7, padding=3)
        self.down1 = Down(channels, 2 * channels, 5)
        self.down2 = Down(2 * channels, 4 * channels, 3)
        self.down3 = Down(4 * channels, 8 * channels, 3)
        self.down4 = Down(8 * channels, 16 * channels, 3)
        self.down5 = Down(16 * channels, 16 * channels, 3)
        self.up1 = Up(16 * channels, 16 * channels)
        self.up2 = Up(16 * channels, 8 * channels)
        self.up3 = Up(8 * channels, 4 * channels)
        self.up4 = Up(4 * channels, 2 * channels)
        self.up5 = Up(2 * channels, channels)
        self.conv3 = nn.Conv2D(channels, channels_out, 3, padding=1)
        self.lrelu = nn.LeakyReLU(SLOPE)

    def translated(self, x: Tensor) -> Tensor:
        """x: [n, channels_in, h, w]. Returns [n, channels_out, h, w]."""
        levels = [self.lrelu(self.conv2(self.lrelu(self.conv1(x))))]
        for down in (self.down1, self.down2, self.down3, self.down4):
            levels.append(down(levels[-1]))
        x = self.down5(levels[-1])
        for up in (self.up1, self.up2, self.up3, self.up4, self.up5):
            x = up(x, levels.pop())
        return self.lrelu(self.conv3(x))


class FlowNetwork(UNet):
    """Flow between two frames, in both directions."""

    def __init__(self, channels: int) -> None:
        super().__init__(6, 4, channels)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate flow from the first frame to the second, and back.

        first, second: float32 [n, 3, h, w], RGB in [0, 1]; h, w: multiples of 32.
        Returns [n, 4, h, w], x and y of both flows, in pixels.
        """
        mean = _mean()
        return self.translated(paddle.concat([first - mean, second - mean], 1))


class InterpolationNetwork(UNet):
    """Interpolation at any time, given two frames and the flow between them."""

    def __init__(self, channels: int) -> None:
        super().__init__(20, 5, channels)

    def forward(self, first: Tensor, second: Tensor, flows: Tensor, time: Tensor) -> Tensor:
        """Interpolate the frame at `time`.

        first, second: float32 [n, 3, h, w], RGB in [0, 1]; h, w: multiples of 32.
        flows: [n, 4, h, w], the output of `FlowNetwork`. time: [n, 1, 1, 1], in (0, 1).
        Returns [n, 3, h, w], not clipped.
        """
        mean = _mean()
        first, second = first - mean, second - mean
        forth, back = flows[:, :2], flows[:, 2:]
        to_first = time * time * back - time * (1 - time) * forth
        to_second = (1 - time) * (1 - time) * forth - time * (1 - time) * back
        warped = [_warped(second, to_second), _warped(first, to_first)]
        seen = [first, second, forth, back, to_second, to_first, *warped]
        made = self.translated(paddle.concat(seen, 1))
        from_first = _warped(first, to_first + made[:, :2])
        from_second = _warped(second, to_second + made[:, 2:4])
        visible = functional.sigmoid(made[:, 4:])
        first_share, second_share = (1 - time) * visible, time * (1 - visible)
        blend = first_share * from_first + second_share * from_second
        return blend / (first_share + second_share) + mean


class Down(nn.Layer):
    """Downsample by two, then convolve twice."""

    def __init__(self, channels_in: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(channels_in, channels, kernel, padding=kernel // 2)
        self.conv2 = nn.Conv2D(channels, channels, kernel, padding=kernel // 2)
        self.lrelu = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lrelu(self.conv1(functional.avg_pool2d(x, 2)))
        return self.lrelu(self.conv2(x))


class Up(nn.Layer):
    """Upsample by two, then convolve twice; the second time with the skip connection."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(channels_in, channels, 3, padding=1)
        self.conv2 = nn.Conv2D(2 * channels, channels, 3, padding=1)
        self.lrelu = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = functional.interpolate(x, size=paddle.shape(skip)[2:], mode="bilinear")
        x = self.lrelu(self.conv1(x))
        return self.lrelu(self.conv2(paddle.concat([x, skip], 1)))


def _mean() -> Tensor:
    return paddle.to_tensor(MEAN, "float32").reshape([1, 3, 1, 1])


def _warped(image: Tensor, flow: Tensor) -> Tensor:
    """Warp `image` by `flow`, exactly as in the training of the published weights.

    The published code maps pixel x of W to 2x / W - 1, and was written for PyTorch 0.4.1, whose
    `grid_sample` corresponds to align_corners=True today. It therefore samples at x (W - 1) / W,
    up to one pixel off.
    """
    ones = paddle.ones_like(flow[:, :1])
    columns, rows = paddle.cumsum(ones, 3), paddle.cumsum(ones, 2)
    sides = paddle.concat([columns[:, :, -1:, -1:], rows[:, :, -1:, -1:]], 1)
    grid = (paddle.concat([columns, rows], 1) - 1 + flow) * 2 / sides - 1
    return functional.grid_sample(
        image, grid.transpose([0, 2, 3, 1]), padding_mode="zeros", align_corners=True
    )
