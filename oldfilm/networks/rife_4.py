"""RIFE 4.0: frame interpolation by four flow blocks, and a U-Net that refines the blend.

Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", ECCV 2022.
Layers and parameter names match the authors' `IFNet_HDv3`, as in vs-rife 2.0.0.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

from oldfilm.networks import propagation
from oldfilm.networks.ops import warp

SHRINKS = (8, 4, 2, 1)
"""Downscaling factor of each block."""

CONTEXT = 16
"""Feature channels at half of a frame's size; they double at every further halving."""


class IFNet(nn.Layer):
    """Estimate flow from coarse to fine, warp both frames, blend them, and refine the result.

    channels: channels of each block. flow_scale: size of flow estimation relative to the frames;
    0.5 for very large frames. context: feature channels at half size.
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (192, 128, 96, 64),
        flow_scale: float = 1.0,
        context: int = CONTEXT,
    ) -> None:
        super().__init__()
        self.shrinks = tuple(shrink / flow_scale for shrink in SHRINKS)
        self.block0 = IFBlock(2 * 3 + 1, channels[0])
        seen = 2 * 3 + 1 + 1 + 4
        self.block1 = IFBlock(seen, channels[1])
        self.block2 = IFBlock(seen, channels[2])
        self.block3 = IFBlock(seen, channels[3])
        self.contextnet = ContextNet(context)
        self.unet = UNet(context)

    def forward(self, first: Tensor, second: Tensor, time: Tensor) -> Tensor:
        """Interpolate the frame at `time`.

        first, second: float32 [1, 3, h, w], RGB in [0, 1]; h, w: multiples of 128 and of
        128 / flow_scale. time: [1, 1, 1, 1], in (0, 1).
        Returns [1, 3, h, w] in [0, 1].
        """
        steps = propagation.steps_of(self)
        return propagation.rife_4(steps, first, second, time * paddle.ones_like(first[:, :1]))

    @property
    def coarse(self) -> Coarse:
        """The first blocks, at their usual size."""
        return Coarse(self, 1)

    @property
    def coarse_fast(self) -> Coarse:
        """The first blocks, for frames that move fast."""
        return Coarse(self, 2)

    @property
    def fine(self) -> Fine:
        """The other blocks and the refinement, at their usual size."""
        return Fine(self, 1)

    @property
    def fine_fast(self) -> Fine:
        """The other blocks and the refinement, for frames that move fast."""
        return Fine(self, 2)


class Coarse(nn.Layer):
    """The first two blocks, as a step. It shares the layers of the network.

    zoom: 2 if the blocks work at half of their size.
    """

    def __init__(self, network: IFNet, zoom: int) -> None:
        super().__init__()
        self.block0, self.block1 = network.block0, network.block1
        self.shrinks, self.zoom = network.shrinks, zoom

    def forward(
        self, first: Tensor, second: Tensor, time: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return flow [n, 4, h, w] and mask [n, 1, h, w], and the second block's changes of both.

        first, second: [n, 3, h, w]. time: [n, 1, h, w].
        """
        seen = paddle.concat([first, second, time], 1)
        flow, mask = self.block0(seen, self.shrinks[0], self.zoom)
        seen = paddle.concat([*_warped(first, second, flow), time, mask], 1)
        return flow, mask, *self.block1(seen, self.shrinks[1], self.zoom, flow)


class Fine(nn.Layer):
    """The other blocks, the blend and its refinement, as a step. It shares the network's layers.

    zoom: as for `Coarse`.
    """

    def __init__(self, network: IFNet, zoom: int) -> None:
        super().__init__()
        self.block2, self.block3 = network.block2, network.block3
        self.contextnet, self.unet = network.contextnet, network.unet
        self.shrinks, self.zoom = network.shrinks, zoom

    def forward(
        self,
        first: Tensor,
        second: Tensor,
        time: Tensor,
        flow: Tensor,
        mask: Tensor,
        change: Tensor,
        mask_change: Tensor,
    ) -> Tensor:
        """Return the frame [n, 3, h, w]; the arguments are those and the results of `Coarse`."""
        for block, shrink in ((self.block2, self.shrinks[2]), (self.block3, self.shrinks[3])):
            flow, mask = flow + change, mask + mask_change
            seen = paddle.concat([*_warped(first, second, flow), time, mask], 1)
            change, mask_change = block(seen, shrink, self.zoom, flow)
        return self._blended(first, second, flow + change, mask + mask_change)

    def _blended(self, first: Tensor, second: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
        """Warp and blend the frames, and refine the result."""
        warped = _warped(first, second, flow)
        weight = functional.sigmoid(mask)
        blend = weight * warped[0] + (1 - weight) * warped[1]
        first_features = _moved(self.contextnet(first), flow[:, :2])
        second_features = _moved(self.contextnet(second), flow[:, 2:])
        seen = paddle.concat([first, second, *warped, mask, flow], 1)
        refinement = self.unet(seen, first_features, second_features)
        return paddle.clip(blend + 2 * refinement - 1, 0, 1)


class IFBlock(nn.Layer):
    """Refine the flow at one size.

    seen: input channels, including the flow.
    """

    def __init__(self, seen: int, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(_conv(seen, channels // 2, 2), _conv(channels // 2, channels, 2))
        self.convblock = nn.Sequential(*[_conv(channels, channels) for _ in range(8)])
        self.lastconv = nn.Conv2DTranspose(channels, 4 + 1, 4, stride=2, padding=1)

    def forward(
        self, seen: Tensor, shrink: float, zoom: int, flow: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return a correction [n, 4, h, w] of the flow, and one of the mask's logit.

        The block works at 1 / (shrink * zoom) of the size.
        """
        size = paddle.shape(seen)[2:].astype("int32")
        small_size = (size * max(1, int(1 / shrink))) // (zoom * max(1, int(shrink)))
        factor = shrink * zoom
        small = _resized(seen, small_size)
        if flow is not None:
            small = paddle.concat([small, _resized(flow, small_size) / factor], 1)
        features = self.conv0(small)
        features = self.convblock(features) + features
        made = _resized(self.lastconv(features), size)
        return made[:, :4] * factor * 2, made[:, 4:]


class ContextNet(nn.Layer):
    """Feature encoder of a frame: four levels, each half as large as the one before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Conv2(3, channels)
        self.conv2 = Conv2(channels, 2 * channels)
        self.conv3 = Conv2(2 * channels, 4 * channels)
        self.conv4 = Conv2(4 * channels, 8 * channels)

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        """frame: [n, 3, h, w]; h, w: multiples of 16. Returns [n, c, h / 2, w / 2], ...,
        [n, 8 c, h / 16, w / 16].
        """
        half = self.conv1(frame)
        quarter = self.conv2(half)
        eighth = self.conv3(quarter)
        return half, quarter, eighth, self.conv4(eighth)


class UNet(nn.Layer):
    """Compute the refinement from frames, warped frames, mask, flow and warped features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down0 = Conv2(4 * 3 + 1 + 4, 2 * channels)
        self.down1 = Conv2(4 * channels, 4 * channels)
        self.down2 = Conv2(8 * channels, 8 * channels)
        self.down3 = Conv2(16 * channels, 16 * channels)
        self.up0 = _deconv(32 * channels, 8 * channels)
        self.up1 = _deconv(16 * channels, 4 * channels)
        self.up2 = _deconv(8 * channels, 2 * channels)
        self.up3 = _deconv(4 * channels, channels)
        self.conv = nn.Conv2D(channels, 3, 3, padding=1)

    def forward(self, seen: Tensor, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """seen: [n, 17, h, w]. first, second: warped features of each frame, large to small.
        Returns [n, 3, h, w] in [0, 1]; 0.5 changes nothing.
        """
        half = self.down0(seen)
        quarter = self.down1(paddle.concat([half, first[0], second[0]], 1))
        eighth = self.down2(paddle.concat([quarter, first[1], second[1]], 1))
        small = self.down3(paddle.concat([eighth, first[2], second[2]], 1))
        x = self.up0(paddle.concat([small, first[3], second[3]], 1))
        x = self.up1(paddle.concat([x, eighth], 1))
        x = self.up2(paddle.concat([x, quarter], 1))
        x = self.up3(paddle.concat([x, half], 1))
        return functional.sigmoid(self.conv(x))


class Conv2(nn.Layer):
    """Two convolutions; the first halves the size."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels_in, channels, 2)
        self.conv2 = _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


def _conv(channels_in: int, channels: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2D(channels_in, channels, 3, stride=stride, padding=1)
    return nn.Sequential(conv, nn.PReLU(channels))


def _deconv(channels_in: int, channels: int) -> nn.Sequential:
    conv = nn.Conv2DTranspose(channels_in, channels, 4, stride=2, padding=1)
    return nn.Sequential(conv, nn.PReLU(channels))


def _warped(first: Tensor, second: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    return warp(first, flow[:, :2], "border"), warp(second, flow[:, 2:], "border")


def _moved(levels: tuple[Tensor, ...], flow: Tensor) -> list[Tensor]:
    """Warp features of all levels along the flow of the frame."""
    moved = []
    for features in levels:
        flow = _resized(flow, paddle.shape(features)[2:]) / 2
        moved.append(warp(features, flow, "border"))
    return moved


def _resized(x: Tensor, size: Tensor) -> Tensor:
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
