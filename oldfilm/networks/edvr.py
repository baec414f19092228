"""EDVR: multi-frame super-resolution with deformable alignment and attention.

Wang et al., "EDVR: Video Restoration with Enhanced Deformable Convolutional Networks", CVPR
workshops 2019: pyramid, cascading and deformable alignment (PCD), temporal and spatial attention
(TSA). Layers and parameter names match PaddleGAN's `EDVRNet`.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional
from paddle.vision.ops import DeformConv2D

from oldfilm.networks import propagation
from oldfilm.networks.basicvsr import ResidualBlock

SLOPE = 0.1
"""Negative slope of every leaky ReLU."""


class EDVRNet(nn.Layer):
    """Four-fold super-resolution of the center frame of a window.

    nf: channels of the features. nframes: frames in the window. groups: groups of the deformable
    convolutions. front_RBs, back_RBs: residual blocks before and after the alignment.
    """

    def __init__(
        self,
        nf: int = 128,
        nframes: int = 5,
        groups: int = 8,
        front_RBs: int = 5,  # noqa: N803 (PaddleGAN's names)
        back_RBs: int = 40,  # noqa: N803
    ) -> None:
        super().__init__()
        self.conv_first = nn.Conv2D(3, nf, 3, padding=1)
        self.feature_extractor = _blocks(front_RBs, nf)
        self.fea_L2_conv1 = nn.Conv2D(nf, nf, 3, stride=2, padding=1)
        self.fea_L2_conv2 = nn.Conv2D(nf, nf, 3, padding=1)
        self.fea_L3_conv1 = nn.Conv2D(nf, nf, 3, stride=2, padding=1)
        self.fea_L3_conv2 = nn.Conv2D(nf, nf, 3, padding=1)
        self.PCDModule = PCDAlign(nf, groups)
        self.TSAModule = TSAFusion(nf, nframes, nframes // 2)
        self.reconstructor = _blocks(back_RBs, nf)
        self.upconv1 = nn.Conv2D(nf, 4 * nf, 3, padding=1)
        self.upconv2 = nn.Conv2D(nf, 4 * 64, 3, padding=1)
        self.HRconv = nn.Conv2D(64, 64, 3, padding=1)
        self.conv_last = nn.Conv2D(64, 3, 3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        """Enlarge the center frame.

        frames: [n, nframes, 3, h, w], RGB in [0, 1]; h, w: multiples of 4.
        Returns [n, 3, 4h, 4w], not clipped.
        """
        clip = paddle.unstack(frames, 1)
        return next(propagation.edvr(propagation.steps_of(self), clip, [range(len(clip))]))

    @property
    def levels(self) -> Levels:
        """The first step, of one frame."""
        return Levels(self)

    @property
    def enlargement(self) -> Enlargement:
        """The last step, of the aligned features of all frames."""
        return Enlargement(self)


class Levels(nn.Layer):
    """The features of a frame at 1/1, 1/2 and 1/4 of its size. It shares the network's layers."""

    def __init__(self, network: EDVRNet) -> None:
        super().__init__()
        self.conv_first = network.conv_first
        self.feature_extractor = network.feature_extractor
        self.fea_L2_conv1 = network.fea_L2_conv1
        self.fea_L2_conv2 = network.fea_L2_conv2
        self.fea_L3_conv1 = network.fea_L3_conv1
        self.fea_L3_conv2 = network.fea_L3_conv2

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """frame: [n, 3, h, w]; h, w: multiples of 4. Returns [n, nf, h, w] and smaller ones."""
        first = self.feature_extractor(_leaky(self.conv_first(frame)))
        second = _leaky(self.fea_L2_conv2(_leaky(self.fea_L2_conv1(first))))
        third = _leaky(self.fea_L3_conv2(_leaky(self.fea_L3_conv1(second))))
        return first, second, third


class Enlargement(nn.Layer):
    """The enlarged frame from the features of all frames. It shares the network's layers."""

    def __init__(self, network: EDVRNet) -> None:
        super().__init__()
        self.TSAModule = network.TSAModule
        self.reconstructor = network.reconstructor
        self.upconv1 = network.upconv1
        self.upconv2 = network.upconv2
        self.HRconv = network.HRconv
        self.conv_last = network.conv_last

    def forward(self, *seen: Tensor) -> Tensor:
        """seen: aligned features [n, nf, h, w] of each frame, and the center frame [n, 3, h, w].

        Returns [n, 3, 4h, 4w].
        """
        *aligned, frame = seen
        x = self.reconstructor(self.TSAModule(*aligned))
        x = _leaky(functional.pixel_shuffle(self.upconv1(x), 2))
        x = _leaky(functional.pixel_shuffle(self.upconv2(x), 2))
        return self.conv_last(_leaky(self.HRconv(x))) + _resized(frame, 4)


class PCDAlign(nn.Layer):
    """PCD: align the features of a neighbor with the reference frame, from coarse to fine."""

    def __init__(self, nf: int, groups: int) -> None:
        super().__init__()
        self.PCD_Align_L3_offset_conv1 = nn.Conv2D(2 * nf, nf, 3, padding=1)
        self.PCD_Align_L3_offset_conv2 = nn.Conv2D(nf, nf, 3, padding=1)
        self.PCD_Align_L3_dcn = DCNPack(nf, groups)
        self.PCD_Align_L2_offset_conv1 = nn.Conv2D(2 * nf, nf, 3, padding=1)
        self.PCD_Align_L2_offset_conv2 = nn.Conv2D(2 * nf, nf, 3, padding=1)
        self.PCD_Align_L2_offset_conv3 = nn.Conv2D(nf, nf, 3, padding=1)
        self.PCD_Align_L2_dcn = DCNPack(nf, groups)
        self.PCD_Align_L2_fea_conv = nn.Conv2D(2 * nf, nf, 3, padding=1)
        self.PCD_Align_L1_offset_conv1 = nn.Conv2D(2 * nf, nf, 3, padding=1)
        self.PCD_Align_L1_offset_conv2 = nn.Conv2D(2 * nf, nf, 3, padding=1)
        self.PCD_Align_L1_offset_conv3 = nn.Conv2D(nf, nf, 3, padding=1)
        self.PCD_Align_L1_dcn = DCNPack(nf, groups)
        self.PCD_Align_L1_fea_conv = nn.Conv2D(2 * nf, nf, 3, padding=1)
        self.PCD_Align_cas_offset_conv1 = nn.Conv2D(2 * nf, nf, 3, padding=1)
        self.PCD_Align_cas_offset_conv2 = nn.Conv2D(nf, nf, 3, padding=1)
        self.PCD_Align_cascade_dcn = DCNPack(nf, groups)

    def forward(self, *levels: Tensor) -> Tensor:
        """Return aligned features [n, nf, h, w].

        levels: features at 1/1, 1/2 and 1/4 of the size, the first [n, nf, h, w]: three of the
        neighbor, then three of the reference.
        """
        neighbor, reference = levels[:3], levels[3:]
        offset = _joined(self.PCD_Align_L3_offset_conv1, neighbor[2], reference[2])
        offset = _leaky(self.PCD_Align_L3_offset_conv2(offset))
        aligned = _leaky(self.PCD_Align_L3_dcn(neighbor[2], offset))

        below = _resized(offset, 2) * 2  # Offsets are in pixels, which are half as large here.
        offset = _joined(self.PCD_Align_L2_offset_conv1, neighbor[1], reference[1])
        offset = _joined(self.PCD_Align_L2_offset_conv2, offset, below)
        offset = _leaky(self.PCD_Align_L2_offset_conv3(offset))
        found = self.PCD_Align_L2_dcn(neighbor[1], offset)
        aligned = _joined(self.PCD_Align_L2_fea_conv, found, _resized(aligned, 2))

        below = _resized(offset, 2) * 2
        offset = _joined(self.PCD_Align_L1_offset_conv1, neighbor[0], reference[0])
        offset = _joined(self.PCD_Align_L1_offset_conv2, offset, below)
        offset = _leaky(self.PCD_Align_L1_offset_conv3(offset))
        found = self.PCD_Align_L1_dcn(neighbor[0], offset)
        aligned = self.PCD_Align_L1_fea_conv(paddle.concat([found, _resized(aligned, 2)], 1))

        offset = _joined(self.PCD_Align_cas_offset_conv1, aligned, reference[0])
        offset = _leaky(self.PCD_Align_cas_offset_conv2(offset))
        return _leaky(self.PCD_Align_cascade_dcn(aligned, offset))


class DCNPack(nn.Layer):
    """A deformable convolution with offsets and masks predicted from other features."""

    def __init__(self, nf: int, groups: int) -> None:
        super().__init__()
        self.conv_offset_mask = nn.Conv2D(nf, 27 * groups, 3, padding=1)
        self.dcn = DeformConv2D(nf, nf, 3, padding=1, deformable_groups=groups)

    def forward(self, features: Tensor, offset_features: Tensor) -> Tensor:
        across, down, mask = paddle.chunk(self.conv_offset_mask(offset_features), 3, 1)
        return self.dcn(features, paddle.concat([across, down], 1), functional.sigmoid(mask))


class TSAFusion(nn.Layer):
    """TSA: fuse the features of all frames with temporal and spatial attention."""

    def __init__(self, nf: int, nframes: int, center: int) -> None:
        super().__init__()
        self.center = center
        self.tAtt_2 = nn.Conv2D(nf, nf, 3, padding=1)
        self.tAtt_1 = nn.Conv2D(nf, nf, 3, padding=1)
        self.fea_fusion = nn.Conv2D(nf * nframes, nf, 1)
        self.sAtt_1 = nn.Conv2D(nf * nframes, nf, 1)
        self.sAtt_2 = nn.Conv2D(2 * nf, nf, 1)
        self.sAtt_3 = nn.Conv2D(nf, nf, 3, padding=1)
        self.sAtt_4 = nn.Conv2D(nf, nf, 1)
        self.sAtt_5 = nn.Conv2D(nf, nf, 3, padding=1)
        self.sAtt_add_1 = nn.Conv2D(nf, nf, 1)
        self.sAtt_add_2 = nn.Conv2D(nf, nf, 1)
        self.sAtt_L1 = nn.Conv2D(nf, nf, 1)
        self.sAtt_L2 = nn.Conv2D(2 * nf, nf, 3, padding=1)
        self.sAtt_L3 = nn.Conv2D(nf, nf, 3, padding=1)

    def forward(self, *aligned: Tensor) -> Tensor:
        """aligned: features [n, nf, h, w] of every frame. Returns [n, nf, h, w]."""
        reference = self.tAtt_2(aligned[self.center])
        likeness = [(self.tAtt_1(x) * reference).sum(1, keepdim=True) for x in aligned]
        weighed = [x * functional.sigmoid(like) for x, like in zip(aligned, likeness)]
        together = paddle.concat(weighed, 1)
        attention = self._attention(_leaky(self.sAtt_1(together)))
        more = self.sAtt_add_2(_leaky(self.sAtt_add_1(attention)))
        return _leaky(self.fea_fusion(together)) * functional.sigmoid(attention) * 2 + more

    def _attention(self, x: Tensor) -> Tensor:
        x = _leaky(self.sAtt_2(_pooled(x)))
        coarse = _leaky(self.sAtt_L2(_pooled(_leaky(self.sAtt_L1(x)))))
        coarse = _resized(_leaky(self.sAtt_L3(coarse)), 2)
        x = _leaky(self.sAtt_4(_leaky(self.sAtt_3(x)) + coarse))
        return self.sAtt_5(_resized(x, 2))


def _blocks(count: int, channels: int) -> nn.Sequential:
    return nn.Sequential(*[(f"block{i}", ResidualBlock(channels)) for i in range(count)])


def _joined(conv: nn.Conv2D, *features: Tensor) -> Tensor:
    return _leaky(conv(paddle.concat(features, 1)))


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)


def _pooled(x: Tensor) -> Tensor:
    """Halve the size; concatenate maximum and mean (over zero padding, too)."""
    means = functional.avg_pool2d(x, 3, 2, 1, exclusive=False)
    return paddle.concat([functional.max_pool2d(x, 3, 2, 1), means], 1)


def _resized(x: Tensor, times: int) -> Tensor:
    size = [times * side for side in x.shape[2:]]
    return functional.interpolate(x, size, mode="bilinear", align_corners=False)
