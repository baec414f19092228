"""MiDaS 2.1: depth from a single picture.

Ranftl et al., "Towards Robust Monocular Depth Estimation", TPAMI 2020. A ResNeXt-101 (32x8d) and a
decoder that joins its four scales. Layers and parameter names match PaddleGAN's `MidasNet`.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional


class MidasNet(nn.Layer):
    """Estimates depth.

    blocks: bottleneck blocks of each scale. groups, width: groups of their convolutions, and
    channels of each group at the first scale. features: channels of the decoder.
    """

    def __init__(
        self,
        blocks: Sequence[int] = (3, 4, 23, 3),
        groups: int = 32,
        width: int = 8,
        features: int = 256,
    ) -> None:
        super().__init__()
        self.pretrained = Encoder(blocks, groups, width)
        self.scratch = Decoder(features)

    def forward(self, frame: Tensor) -> Tensor:
        """Estimate depth.

        frame: float32 [n, 3, h, w], RGB, normalized with the mean and deviation of ImageNet; h, w:
        multiples of 32.
        Returns [n, 1, h, w]: inverse depth up to a scale and a shift, at least 0.
        """
        return self.scratch(self.pretrained(frame))


class Encoder(nn.Layer):
    """ResNeXt without its classifier."""

    def __init__(self, blocks: Sequence[int], groups: int, width: int) -> None:
        super().__init__()
        first = _layer(64, 64, blocks[0], 1, groups, width)
        self.layer1 = nn.Sequential(
            nn.Conv2D(3, 64, 7, stride=2, padding=3, bias_attr=False),
            nn.BatchNorm2D(64),
            nn.ReLU(),
            nn.MaxPool2D(3, stride=2, padding=1),
            first,
        )
        self.layer2 = _layer(256, 128, blocks[1], 2, groups, width)
        self.layer3 = _layer(512, 256, blocks[2], 2, groups, width)
        self.layer4 = _layer(1024, 512, blocks[3], 2, groups, width)

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            found.append(x)
        return found


class Bottleneck(nn.Layer):
    """Three convolutions, the second one in groups, with a skip connection."""

    def __init__(self, channels_in: int, planes: int, stride: int, groups: int, width: int) -> None:
        super().__init__()
        inside = planes * width // 64 * groups
        self.conv1 = nn.Conv2D(channels_in, inside, 1, bias_attr=False)
        self.bn1 = nn.BatchNorm2D(inside)
        self.conv2 = nn.Conv2D(
            inside, inside, 3, stride=stride, padding=1, groups=groups, bias_attr=False
        )
        self.bn2 = nn.BatchNorm2D(inside)
        self.conv3 = nn.Conv2D(inside, 4 * planes, 1, bias_attr=False)
        self.bn3 = nn.BatchNorm2D(4 * planes)
        self.relu = nn.ReLU()
        self.downsample = None
        if stride != 1 or channels_in != 4 * planes:
            self.downsample = nn.Sequential(
                nn.Conv2D(channels_in, 4 * planes, 1, stride=stride, bias_attr=False),
                nn.BatchNorm2D(4 * planes),
            )

    def forward(self, x: Tensor) -> Tensor:
        made = self.relu(self.bn1(self.conv1(x)))
        made = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(made)))))
        return self.relu(made + (self.downsample(x) if self.downsample else x))


class Decoder(nn.Layer):
    """From the smallest scale to the picture's size."""

    def __init__(self, features: int) -> None:
        super().__init__()
        for scale, channels in enumerate((256, 512, 1024, 2048), 1):
            conv = nn.Conv2D(channels, features, 3, padding=1, bias_attr=False)
            setattr(self, f"layer{scale}_rn", conv)
            setattr(self, f"refinenet{scale}", Fusion(features))
        self.output_conv = nn.Sequential(
            nn.Conv2D(features, 128, 3, padding=1),
            Doubled(),
            nn.Conv2D(128, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2D(32, 1, 1),
            nn.ReLU(),
        )

    def forward(self, scales: Sequence[Tensor]) -> Tensor:
        x = self.refinenet4(self.layer4_rn(scales[3]))
        x = self.refinenet3(x, self.layer3_rn(scales[2]))
        x = self.refinenet2(x, self.layer2_rn(scales[1]))
        x = self.refinenet1(x, self.layer1_rn(scales[0]))
        return self.output_conv(x)


class Fusion(nn.Layer):
    """Add the features of a scale, refine them, and double the size."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.resConfUnit1 = Residual(features)
        self.resConfUnit2 = Residual(features)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        if scale is not None:
            x = x + self.resConfUnit1(scale)
        return _doubled(self.resConfUnit2(x), align_corners=True)


class Residual(nn.Layer):
    """Two convolutions. The skip connection starts after the first activation, as published."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(features, features, 3, padding=1)
        self.conv2 = nn.Conv2D(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(x)
        return x + self.conv2(functional.relu(self.conv1(x)))


class Doubled(nn.Layer):
    """Bilinear resizing to twice the size."""

    def forward(self, x: Tensor) -> Tensor:
        return _doubled(x, align_corners=False)


def _layer(
    channels_in: int, planes: int, count: int, stride: int, groups: int, width: int
) -> nn.Sequential:
    first = Bottleneck(channels_in, planes, stride, groups, width)
    others = [Bottleneck(4 * planes, planes, 1, groups, width) for _ in range(count - 1)]
    return nn.Sequential(first, *others)


def _doubled(x: Tensor, align_corners: bool) -> Tensor:
    size = paddle.shape(x)[2:] * 2
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)
