"""RIFE 4.0: frame interpolation by four flow blocks, and a U-Net that refines the blend.

Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", ECCV 2022.
Layers and parameter names match the authors' `IFNet_HDv3`, as in vs-rife 2.0.0.
"""

from __future__ import annotations

from typing import Any

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

from oldfilm.networks import propagation
from oldfilm.networks.ops import convolved, warp

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
        levels = zip(self.contextnet(first), self.contextnet(second))
        features = [paddle.concat(pair, 1) for pair in levels]
        both = paddle.concat([first, second], 1)
        everywhere = time * paddle.ones_like(first[:, :1])
        return propagation.rife_4(propagation.steps_of(self), both, features, everywhere)

    @property
    def usual(self) -> nn.LayerList:
        """The blocks as steps, at their usual size."""
        return nn.LayerList([FlowStep(self, number, 1) for number in range(4)])

    @property
    def fast(self) -> nn.LayerList:
        """The blocks as steps, at half of their size, for frames that move fast."""
        return nn.LayerList([FlowStep(self, number, 2) for number in range(4)])

    @property
    def warp(self) -> Warp:
        """The warps of both frames, as a step."""
        return Warp()

    @property
    def refinement(self) -> Refinement:
        """The blend and its refinement, as a step."""
        return Refinement(self.unet)


class FlowStep(nn.Layer):
    """A flow block, as a step. It shares the layers of the network.

    zoom: 2 if the block works at half of its size.
    """

    def __init__(self, network: IFNet, number: int, zoom: int) -> None:
        super().__init__()
        self.block = getattr(network, f"block{number}")
        self.shrink, self.zoom = network.shrinks[number], zoom

    def forward(self, both: Tensor, time: Tensor, motion: Tensor | None = None) -> Tensor:
        """Return the change of the motion, [n, 5, h, w].

        both: both frames, warped if there is a motion, [n, 6, h, w]. time: [n, 1, h, w]. motion:
        the logit of the mask, and the flow to the first and the second frame, [n, 5, h, w].
        """
        size = paddle.shape(both)[2:].astype("int32")
        small_size = size * max(1, int(1 / self.shrink)) // (self.zoom * max(1, int(self.shrink)))
        factor = self.shrink * self.zoom
        whole = factor == 1
        seen = paddle.concat([both, time], 1)
        parts = [seen if whole else _resized(seen, small_size)]
        if motion is not None:
            small = motion if whole else _resized(motion, small_size)
            parts.append(small * _scales(1 / factor))
        made = self.block(parts)
        made = paddle.concat([made[:, 4:], made[:, :4]], 1) * _scales(2 * factor)
        return _resized(made, size)


def _scales(factor: float) -> Tensor:
    """Return factors of a motion that scale its flow."""
    return paddle.to_tensor([1.0] + [factor] * 4).reshape([1, 5, 1, 1])


class Warp(nn.Layer):
    """Warp two images along a flow each, as a step."""

    def forward(self, both: Tensor, flow: Tensor) -> Tensor:
        """both: two images [n, c, h, w], concatenated. flow: [n, 4, h, w]."""
        first, second = paddle.chunk(both, 2, 1)
        moved = warp(first, flow[:, :2], "border"), warp(second, flow[:, 2:], "border")
        return paddle.concat(moved, 1)


class Refinement(nn.Layer):
    """The blend of the warped frames, refined by a U-Net. It shares the layers of that network."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, both: Tensor, warped: Tensor, motion: Tensor, *features: Tensor) -> Tensor:
        """Return the frame [n, 3, h, w].

        both, warped: both frames, and both warped along the motion, [n, 6, h, w]. motion: as of
        `FlowStep`. features: of both frames, warped: [n, 2 c, h / 2, w / 2] and smaller.
        """
        weight = functional.sigmoid(motion[:, :1])
        blend = weight * warped[:, :3] + (1 - weight) * warped[:, 3:]
        refinement = self.unet([both, warped, motion], features)
        return paddle.clip(blend + 2 * refinement - 1, 0, 1)


class IFBlock(nn.Layer):
    """Refine the motion at one size.

    seen: input channels, including the flow.
    """

    def __init__(self, seen: int, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(_conv(seen, channels // 2, 2), _conv(channels // 2, channels, 2))
        self.convblock = nn.Sequential(*[_conv(channels, channels) for _ in range(8)])
        self.lastconv = nn.Conv2DTranspose(channels, 4 + 1, 4, stride=2, padding=1)

    def forward(self, parts: list[Tensor]) -> Tensor:
        """Return a correction of the flow, and one of the mask's logit: [n, 5, h / 2, w / 2].

        parts: frames, time, mask and flow in this order: [n, c, h, w], concatenated or not.
        """
        first: Any = self.conv0[0]
        features = self.conv0[1](first[1](convolved(first[0], *parts, stride=2)))
        return self.lastconv(self.convblock(features) + features)


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

    def forward(self, parts: list[Tensor], features: tuple[Tensor, ...]) -> Tensor:
        """parts: what `down0` sees, [n, c, h, w]. features: warped, of both frames, large to small.
        Returns [n, 3, h, w] in [0, 1]; 0.5 changes nothing.
        """
        first: Any = self.down0.conv1
        half = self.down0.conv2(first[1](convolved(first[0], *parts, stride=2)))
        quarter = self.down1(paddle.concat([half, features[0]], 1))
        eighth = self.down2(paddle.concat([quarter, features[1]], 1))
        small = self.down3(paddle.concat([eighth, features[2]], 1))
        x = self.up0(paddle.concat([small, features[3]], 1))
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


def _resized(x: Tensor, size: Tensor) -> Tensor:
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
