"""PP-MSVSR and PP-MSVSR-L: multi-stage video super-resolution.

Jiang et al., "PP-MSVSR: Multi-Stage Video Super-Resolution", 2021. Parameter names and outputs
match PaddleGAN's `MSVSR` (ppgan/models/generators/msvsr.py). Stage 1 fuses each frame with its two
neighbors. Stage 2 propagates features through the clip, backward and then forward. Stage 3
propagates both ways again, guided by an auxiliary picture, and refines the alignment of stage 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional
from paddle.vision.ops import DeformConv2D

from oldfilm.networks import propagation
from oldfilm.networks.ops import convolved, warp

SCALE = 4
SLOPE = 0.1
"""Negative slope of every leaky ReLU."""

TINY_FLOW = (16, 16, 32, 32, 32, 32, 16, 16, 16, 8, 8, 2)
LARGE_FLOW = (16, 16, 32, 32, 32, 64, 32, 32, 32, 16, 16, 16, 16, 16, 2)
"""Output channels of the convolutions in one level of the flow network."""


class PPMSVSR(nn.Layer):
    """The network; by default PP-MSVSR.

    Arguments are PaddleGAN's, without those that are the same in all published models.

    mid_channels: channels of the features.
    num_init_blocks, num_blocks, num_reconstruction_blocks, aux_reconstruction_blocks: residual
    blocks for feature extraction, for each propagation, for the result, for the auxiliary picture.
    only_last: omit the convolution before the last one.
    use_tiny_spynet: whether the flow network is the small one.
    deform_groups, stage1_groups: groups of the deformable convolutions.
    """

    def __init__(
        self,
        mid_channels: int = 32,
        num_init_blocks: int = 2,
        num_blocks: int = 3,
        num_reconstruction_blocks: int = 2,
        only_last: bool = True,
        use_tiny_spynet: bool = True,
        deform_groups: int = 4,
        stage1_groups: int = 8,
        aux_reconstruction_blocks: int = 1,
    ) -> None:
        super().__init__()
        c = mid_channels
        self.only_last = only_last
        self.spynet = ModifiedSPyNet(*((3, TINY_FLOW) if use_tiny_spynet else (6, LARGE_FLOW)))
        self.feat_extract = ResidualBlocks(3, c, num_init_blocks)
        self.stage1_align = PlainAlignment(c, stage1_groups)
        self.stage1_blocks = ResidualBlocks(3 * c, c, 3)
        self.deform_align = _alignments(c, deform_groups)
        self.backbone = _backbones(c, num_blocks)
        self.aux_reconstruction = ResidualBlocks(4 * c, c, aux_reconstruction_blocks)
        self.aux_upsample1 = Enlarging(c)
        self.aux_upsample2 = Enlarging(c)
        self.aux_conv_last = nn.Conv2D(c, 3, 3, padding=1)
        self.aux_block_down1 = halving(3 + c, c)
        self.aux_block_down2 = halving(2 * c, c)
        self.aux_fusion = nn.Conv2D(2 * c, c, 3, padding=1)
        self.reconstruction = ResidualBlocks(6 * c, c, num_reconstruction_blocks)
        self.upsample1 = Enlarging(c)
        self.upsample2 = Enlarging(c)
        if not only_last:
            self.conv_hr = nn.Conv2D(c, c, 3, padding=1)
        self.conv_last = nn.Conv2D(c, 3, 3, padding=1)
        self.hybrid_conv_last = nn.Conv2D(c, 3, 3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        """Enlarge one clip.

        frames: [n, t, 3, h, w], RGB in [0, 1]; t at least 1, h and w at least 64.
        Returns [n, t, 3, 4h, 4w], not clipped. (PaddleGAN also returns the auxiliary pictures.)
        """
        clip = paddle.unbind(frames, 1)
        return paddle.stack([*propagation.ppmsvsr(propagation.steps_of(self), clip)], 1)

    @property
    def guide(self) -> Guide:
        """The step that makes the guide of stage 3."""
        return Guide(self)

    @property
    def enlargement(self) -> Enlargement:
        """The last step."""
        return Enlargement(self)


class Guide(nn.Layer):
    """The features of an auxiliary picture, downsampled. It shares the network's layers."""

    def __init__(self, network: PPMSVSR) -> None:
        super().__init__()
        self.aux_reconstruction = network.aux_reconstruction
        self.aux_upsample1 = network.aux_upsample1
        self.aux_upsample2 = network.aux_upsample2
        self.aux_conv_last = network.aux_conv_last
        self.aux_block_down1 = network.aux_block_down1
        self.aux_block_down2 = network.aux_block_down2
        self.aux_fusion = network.aux_fusion

    def forward(
        self, image: Tensor, spatial: Tensor, fused: Tensor, later: Tensor, earlier: Tensor
    ) -> Tensor:
        """image: [n, 3, h, w]. The others: features [n, c, h, w] of the frame, of stages 1 and 2.

        Returns [n, c, h, w].
        """
        low = self.aux_reconstruction(spatial, fused, later, earlier)
        middle = leaky(self.aux_upsample1(low))
        high = leaky(self.aux_upsample2(middle))
        picture = self.aux_conv_last(high) + enlarged_plainly(image)
        first, *others = self.aux_block_down1
        down = nn.Sequential(*others)(convolved(first, picture, high, stride=2))
        down = self.aux_block_down2(paddle.concat([down, middle], 1))
        return self.aux_fusion(paddle.concat([down, low], 1))


class Enlargement(nn.Layer):
    """The enlarged frame from all its features. It shares the network's layers."""

    def __init__(self, network: PPMSVSR) -> None:
        super().__init__()
        self.only_last = network.only_last
        self.reconstruction = network.reconstruction
        self.upsample1 = network.upsample1
        self.upsample2 = network.upsample2
        if not self.only_last:
            self.conv_hr = network.conv_hr
        self.conv_last = network.conv_last
        self.aux_upsample1 = network.aux_upsample1
        self.aux_upsample2 = network.aux_upsample2
        self.hybrid_conv_last = network.hybrid_conv_last

    def forward(
        self,
        image: Tensor,
        spatial: Tensor,
        fused: Tensor,
        later: Tensor,
        earlier: Tensor,
        refined_later: Tensor,
        refined_earlier: Tensor,
    ) -> Tensor:
        """image: [n, 3, h, w]. The others: features of the frame, and of stages 1, 2 and 3.

        Returns [n, 3, 4h, 4w].
        """
        x = self.reconstruction(spatial, fused, later, earlier, refined_later, refined_earlier)
        x = leaky(self.upsample2(leaky(self.upsample1(x))))
        if not self.only_last:
            x = leaky(self.conv_hr(x))
        x = self.conv_last(x) + enlarged_plainly(image)
        local = leaky(self.aux_upsample2(leaky(self.aux_upsample1(fused))))
        return self.hybrid_conv_last(local) + x


def _alignments(channels: int, groups: int) -> nn.LayerDict:
    return nn.LayerDict(
        {
            "stage2_backward": Alignment(channels, groups),
            "stage2_forward": Alignment(channels, groups),
            "stage3_backward": Realignment(channels, groups),
            "stage3_forward": Realignment(channels, groups),
        }
    )


def _backbones(channels: int, blocks: int) -> nn.LayerDict:
    return nn.LayerDict(
        {
            "stage2_backward": Backbone(3 * channels, channels, blocks),
            "stage2_forward": Backbone(4 * channels, channels, blocks),
            "stage3_backward": Backbone(5 * channels, channels, blocks),
            "stage3_forward": Backbone(6 * channels, channels, blocks),
        }
    )


class Alignment(nn.Layer):
    """Flow-guided deformable alignment of a neighbor's features."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        c = channels
        self.conv_offset = nn.Sequential(
            nn.Conv2D(2 * c + 2, c, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2D(c, c, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2D(c, c, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2D(c, 27 * groups, 3, padding=1),
        )
        self.dcn = DeformConv2D(c, c, 3, padding=1, deformable_groups=groups)

    def forward(self, carried: Tensor, guide: Tensor, flow: Tensor) -> tuple[Tensor, ...]:
        """Align `carried` to `guide`, [n, c, h, w] both, along flow [n, 2, h, w].

        Returns the aligned features, offsets (y, x) [n, 18 * groups, h, w] and mask
        [n, 9 * groups, h, w].
        """
        return self.aligned(carried, guide, flow)

    def aligned(self, carried: Tensor, guide: Tensor, flow: Tensor) -> tuple[Tensor, ...]:
        """As `forward`, for subclasses: with Paddle 2, `super().forward` cannot be exported."""
        offset, mask = self._refinement(warp(carried, flow), guide, flow)
        offset = offset + flow.flip(1).tile([1, offset.shape[1] // 2, 1, 1])
        return self.dcn(carried, offset, mask), offset, mask

    def _refinement(self, near: Tensor, guide: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Return a correction of the offsets that aligned `near`, and a mask in (0, 1)."""
        made = self.conv_offset(paddle.concat([near, guide, flow], 1))
        first, second, mask = paddle.chunk(made, 3, 1)
        return 10 * paddle.tanh(paddle.concat([first, second], 1)), functional.sigmoid(mask)


class PlainAlignment(Alignment):
    """Alignment of which nothing but the features is needed."""

    def forward(self, carried: Tensor, guide: Tensor, flow: Tensor) -> Tensor:
        """As `Alignment.forward`."""
        return self.aligned(carried, guide, flow)[0]


class Realignment(Alignment):
    """Alignment that refines a given sampling."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(channels, groups)
        self.mdconv = DeformConv2D(channels, channels, 3, padding=1, deformable_groups=groups)

    def forward(
        self, carried: Tensor, guide: Tensor, flow: Tensor, offset: Tensor, mask: Tensor
    ) -> Tensor:
        """Align `carried` to `guide`; offset, mask: the sampling to refine."""
        near = self.mdconv(carried, offset, mask)
        change, other_mask = self._refinement(near, guide, flow)
        return self.dcn(carried, offset + change, (other_mask + mask) / 2)


class ResidualBlocks(nn.Layer):
    """An input convolution followed by residual blocks, with PaddleGAN's spelling of the keys."""

    def __init__(self, channels_in: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.covn1 = nn.Conv2D(channels_in, channels, 3, padding=1)
        named = [(f"block{i}", Residual(channels)) for i in range(blocks)]
        self.ResidualBlocks = nn.Sequential(*named)

    def forward(self, *parts: Tensor) -> Tensor:
        """parts: features, which are concatenated."""
        return self.merged(*parts)

    def merged(self, *parts: Tensor) -> Tensor:
        """As `forward`, for subclasses."""
        return self.ResidualBlocks(leaky(self.covn1(paddle.concat(parts, 1))))


class Backbone(ResidualBlocks):
    """The features of a frame from those it has so far, and those carried to it."""

    def forward(self, *parts: Tensor) -> Tensor:
        """parts: features, of which the last are those carried to the frame."""
        return parts[-1] + self.merged(*parts)


class Residual(nn.Layer):
    """Two convolutions with a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2D(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(functional.relu(self.conv1(x)))


class Enlarging(nn.Layer):
    """Two-fold upsampling by a convolution and a pixel shuffle."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.upsample_conv = nn.Conv2D(channels, 4 * channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(self.upsample_conv(x), 2)


class ModifiedSPyNet(nn.Layer):
    """Coarse-to-fine optical flow (SPyNet; Ranjan and Black, CVPR 2017) with 3x3 kernels.

    levels: number of pyramid levels. channels: `TINY_FLOW` or `LARGE_FLOW`.
    """

    def __init__(self, levels: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.basic_module = nn.LayerList([FlowLevel(channels) for _ in range(levels)])
        mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        self.register_buffer("mean", paddle.to_tensor(mean).reshape([1, 3, 1, 1]))
        self.register_buffer("std", paddle.to_tensor(std).reshape([1, 3, 1, 1]))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return flow [n, 2, h, w] in pixels from `first` to `second`, [n, 3, h, w] in [0, 1]."""
        height, width = first.shape[2:]
        size = [-(-height // 32) * 32, -(-width // 32) * 32]
        flow = self._flow(self._pyramid(first, size), self._pyramid(second, size))
        flow = functional.interpolate(flow, size=[height, width], mode="bilinear")
        return flow * paddle.to_tensor([width / size[1], height / size[0]]).reshape([1, 2, 1, 1])

    def _pyramid(self, image: Tensor, size: list[int]) -> list[Tensor]:
        """Return the normalized image at every level, coarsest first."""
        image = functional.interpolate(image, size=size, mode="bilinear")
        levels = [(image - self.mean) / self.std]
        for _ in self.basic_module[1:]:
            levels.append(functional.avg_pool2d(levels[-1], 2, 2))
        return levels[::-1]

    def _flow(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        flow = paddle.zeros_like(first[0][:, :2])
        for level, one, other in zip(self.basic_module, first, second):
            if one is not first[0]:
                size = one.shape[2:]
                flow = functional.interpolate(flow, size=size, mode="bilinear", align_corners=True)
                flow = 2 * flow
            flow = flow + level(paddle.concat([one, warp(other, flow, "border"), flow], 1))
        return flow


class FlowLevel(nn.Layer):
    """One level of the flow network: [n, 8, h, w] to a correction [n, 2, h, w] of the flow."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        pairs = zip([8, *channels], channels)
        self.basic_module = nn.LayerList([FlowConv(*pair) for pair in pairs])

    def forward(self, x: Tensor) -> Tensor:
        *inner, last = self.basic_module
        for layer in inner:
            x = leaky(layer(x))
        return last(x)


class FlowConv(nn.Layer):
    """A convolution, nested as in the published keys."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2D(channels_in, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def halving(channels_in: int, channels: int) -> nn.Sequential:
    """Build a strided convolution, which halves the size, and a second one."""
    return nn.Sequential(
        nn.Conv2D(channels_in, channels, 3, stride=2, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2D(channels, channels, 3, padding=1),
    )


def leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)


def enlarged_plainly(image: Tensor) -> Tensor:
    """Enlarge [n, 3, h, w] to [n, 3, 4h, 4w] by bilinear interpolation."""
    size = [SCALE * side for side in image.shape[2:]]
    return functional.interpolate(image, size=size, mode="bilinear")
