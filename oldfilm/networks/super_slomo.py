"""Super SloMo: two U-Nets, one that finds flow, and one that mends it at the time wanted.

Jiang et al., "Super SloMo: High Quality Estimation of Multiple Intermediate Frames for Video
Interpolation", CVPR 2018, as avinashpaliwal/Super-SloMo has it. Its keys are these behind
`state_dictFC.` (here `flow.`) and `state_dictAT.` (here `interpolation.`).
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

SLOPE = 0.1
"""Of LeakyReLU."""

MEAN = (0.429, 0.431, 0.397)
"""Of RGB frames; the networks see what is left without it."""


class SuperSloMo(nn.Layer):
    """Both networks.

    channels: of the finest level of the U-Nets; the deepest has sixteen times as many.
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.flow = FlowNetwork(channels)
        self.interpolation = InterpolationNetwork(channels)

    def forward(self, first: Tensor, second: Tensor, time: Tensor) -> Tensor:
        """The frame at `time` between two; shapes as `InterpolationNetwork.forward` has them."""
        return self.interpolation(first, second, self.flow(first, second), time)


class UNet(nn.Layer):
    """Six levels of size; h and w are multiples of 32."""

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
        """[n, channels_out, h, w] of [n, channels_in, h, w]."""
        levels = [self.lrelu(self.conv2(self.lrelu(self.conv1(x))))]
        for down in (self.down1, self.down2, self.down3, self.down4):
            levels.append(down(levels[-1]))
        x = self.down5(levels[-1])
        for up in (self.up1, self.up2, self.up3, self.up4, self.up5):
            x = up(x, levels.pop())
        return self.lrelu(self.conv3(x))


class FlowNetwork(UNet):
    """Flow between two frames."""

    def __init__(self, channels: int) -> None:
        super().__init__(6, 4, channels)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Flow from the first to the second and back: [n, 4, h, w], in pixels, x before y.

        first, second: float32 [n, 3, h, w], RGB in [0, 1].
        """
        mean = _mean()
        return self.translated(paddle.concat([first - mean, second - mean], 1))


class InterpolationNetwork(UNet):
    """The frame at any time, of two frames and the flow between them."""

    def __init__(self, channels: int) -> None:
        super().__init__(20, 5, channels)

    def forward(self, first: Tensor, second: Tensor, flows: Tensor, time: Tensor) -> Tensor:
        """The frame at `time` between two.

        first, second: float32 [n, 3, h, w], RGB in [0, 1]; h and w multiples of 32.
        flows: [n, 4, h, w], what `FlowNetwork` says of them. time: [n, 1, 1, 1], in (0, 1).
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
    """Half the size, then two convolutions."""

    def __init__(self, channels_in: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(channels_in, channels, kernel, padding=kernel // 2)
        self.conv2 = nn.Conv2D(channels, channels, kernel, padding=kernel // 2)
        self.lrelu = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lrelu(self.conv1(functional.avg_pool2d(x, 2)))
        return self.lrelu(self.conv2(x))


class Up(nn.Layer):
    """Twice the size, then two convolutions; the second also sees what went down."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(channels_in, channels, 3, padding=1)
        self.conv2 = nn.Conv2D(2 * channels, channels, 3, padding=1)
        self.lrelu = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        x = functional.interpolate(x, size=paddle.shape(beside)[2:], mode="bilinear")
        x = self.lrelu(self.conv1(x))
        return self.lrelu(self.conv2(paddle.concat([x, beside], 1)))


def _mean() -> Tensor:
    return paddle.to_tensor(MEAN, "float32").reshape([1, 3, 1, 1])


def _warped(image: Tensor, flow: Tensor) -> Tensor:
    """`image` where `flow` points, as the published weights were trained.

    The published code takes pixel x of W to 2x / W - 1, and was written for PyTorch 0.4.1, whose
    `grid_sample` is today's with align_corners=True: the picture is read at x (W - 1) / W, up to
    one pixel beside where the flow points.
    """
    ones = paddle.ones_like(flow[:, :1])
    columns, rows = paddle.cumsum(ones, 3), paddle.cumsum(ones, 2)
    sides = paddle.concat([columns[:, :, -1:, -1:], rows[:, :, -1:, -1:]], 1)
    grid = (paddle.concat([columns, rows], 1) - 1 + flow) * 2 / sides - 1
    return functional.grid_sample(
        image, grid.transpose([0, 2, 3, 1]), padding_mode="zeros", align_corners=True
    )
