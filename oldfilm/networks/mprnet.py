"""MPRNet: deblurring, denoising and deraining in three stages.

Zamir et al., "Multi-Stage Progressive Image Restoration", CVPR 2021. The first stage sees quarters
of the frame, the second sees halves, and the third sees all of it. Layers and parameter names match
PaddleGAN's `MPRNet`.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional


class MPRNet(nn.Layer):
    """Restores single frames.

    n_feat: channels of the features. scale_unetfeats: channels that each level of the first two
    stages adds. scale_orsnetfeats: channels that the last stage adds. num_cab: attention blocks in
    each block of the last stage. reduction: of the channels inside an attention.
    """

    def __init__(
        self,
        n_feat: int = 96,
        scale_unetfeats: int = 48,
        scale_orsnetfeats: int = 32,
        num_cab: int = 8,
        reduction: int = 4,
    ) -> None:
        super().__init__()
        act = nn.PReLU()  # All blocks share it; the state dict lists it once for each.
        wide = n_feat + scale_orsnetfeats
        widths = [n_feat + level * scale_unetfeats for level in range(3)]
        self.shallow_feat1 = nn.Sequential(_conv(3, n_feat), CAB(n_feat, reduction, act))
        self.shallow_feat2 = nn.Sequential(_conv(3, n_feat), CAB(n_feat, reduction, act))
        self.shallow_feat3 = nn.Sequential(_conv(3, n_feat), CAB(n_feat, reduction, act))
        self.stage1_encoder = Encoder(widths, reduction, act, csff=False)
        self.stage1_decoder = Decoder(widths, reduction, act)
        self.stage2_encoder = Encoder(widths, reduction, act, csff=True)
        self.stage2_decoder = Decoder(widths, reduction, act)
        self.stage3_orsnet = ORSNet(widths, wide, reduction, act, num_cab)
        self.sam12 = SAM(n_feat)
        self.sam23 = SAM(n_feat)
        self.concat12 = _conv(2 * n_feat, n_feat)
        self.concat23 = _conv(2 * n_feat, wide)
        self.tail = _conv(wide, 3)

    def forward(self, frame: Tensor) -> Tensor:
        """Restore frames.

        frame: float32 [n, 3, h, w], RGB in [0, 1]; h, w: multiples of 8.
        Returns [n, 3, h, w], not clipped.
        """
        height = paddle.shape(frame)[2] // 2
        halves = [frame[:, :, :height], frame[:, :, height:]]
        first = [self._first(half) for half in halves]
        second = [self._second(half, *seen) for half, seen in zip(halves, first)]
        encoded = _joined(second, 2)
        decoded = self.stage2_decoder(encoded)
        attended = self.sam23(decoded[0], frame)
        shallow = self.shallow_feat3(frame)
        features = self.concat23(paddle.concat([shallow, attended], 1))
        return self.tail(self.stage3_orsnet(features, encoded, decoded)) + frame

    def _first(self, half: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Encode the left and right part of a half separately, and decode the half."""
        width = paddle.shape(half)[3] // 2
        quarters = [half[:, :, :, :width], half[:, :, :, width:]]
        encoded = _joined([self.stage1_encoder(self.shallow_feat1(q)) for q in quarters], 3)
        return encoded, self.stage1_decoder(encoded)

    def _second(
        self, half: Tensor, encoded: Sequence[Tensor], decoded: Sequence[Tensor]
    ) -> list[Tensor]:
        """Encode a half with the features of the first stage."""
        attended = self.sam12(decoded[0], half)
        features = self.concat12(paddle.concat([self.shallow_feat2(half), attended], 1))
        return self.stage2_encoder(features, encoded, decoded)


class CALayer(nn.Layer):
    """Channel attention: scale every channel by a function of all means."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.conv_du = nn.Sequential(
            _conv(channels, channels // reduction, 1),
            nn.ReLU(),
            _conv(channels // reduction, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv_du(self.avg_pool(x))


class CAB(nn.Layer):
    """Two convolutions with channel attention and a skip connection."""

    def __init__(self, channels: int, reduction: int, act: nn.Layer) -> None:
        super().__init__()
        self.CA = CALayer(channels, reduction)
        self.body = nn.Sequential(_conv(channels, channels), act, _conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.CA(self.body(x)) + x


class Encoder(nn.Layer):
    """Three levels of two attention blocks; each level has half the size of the one before.

    csff: whether it takes the features of another stage (cross-stage feature fusion).
    """

    def __init__(self, widths: Sequence[int], reduction: int, act: nn.Layer, csff: bool) -> None:
        super().__init__()
        for level, width in enumerate(widths, 1):
            setattr(self, f"encoder_level{level}", _pair(width, reduction, act))
            if csff:
                setattr(self, f"csff_enc{level}", _conv(width, width, 1))
                setattr(self, f"csff_dec{level}", _conv(width, width, 1))
        self.down12 = Down(widths[0], widths[1])
        self.down23 = Down(widths[1], widths[2])

    def forward(
        self, x: Tensor, encoded: Sequence[Tensor] = (), decoded: Sequence[Tensor] = ()
    ) -> list[Tensor]:
        """Return the features of all levels. encoded, decoded: features of another stage."""
        levels = []
        for level in (1, 2, 3):
            x = getattr(self, f"encoder_level{level}")(x)
            if encoded:
                x = x + getattr(self, f"csff_enc{level}")(encoded[level - 1])
                x = x + getattr(self, f"csff_dec{level}")(decoded[level - 1])
            levels.append(x)
            if level < 3:
                x = (self.down12, self.down23)[level - 1](x)
        return levels


class Decoder(nn.Layer):
    """The way back from the smallest level, with skip connections."""

    def __init__(self, widths: Sequence[int], reduction: int, act: nn.Layer) -> None:
        super().__init__()
        for level, width in enumerate(widths, 1):
            setattr(self, f"decoder_level{level}", _pair(width, reduction, act))
        self.skip_attn1 = CAB(widths[0], reduction, act)
        self.skip_attn2 = CAB(widths[1], reduction, act)
        self.up21 = Up(widths[1], widths[0])
        self.up32 = Up(widths[2], widths[1])

    def forward(self, encoded: Sequence[Tensor]) -> list[Tensor]:
        third = self.decoder_level3(encoded[2])
        second = self.decoder_level2(self.up32(third) + self.skip_attn2(encoded[1]))
        first = self.decoder_level1(self.up21(second) + self.skip_attn1(encoded[0]))
        return [first, second, third]


class Down(nn.Layer):
    """Halve the size. Bilinear resizing to half the size is a mean of 2x2 pixels."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.AvgPool2D(2), _conv(channels_in, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.down(x)


class Up(nn.Layer):
    """Double the size."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.up = nn.Sequential(Doubled(), _conv(channels_in, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x)


class Doubled(nn.Layer):
    """Bilinear resizing to twice the size."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, size=paddle.shape(x)[2:] * 2, mode="bilinear")


class ORB(nn.Layer):
    """Attention blocks at the original resolution, with a skip connection."""

    def __init__(self, channels: int, reduction: int, act: nn.Layer, num_cab: int) -> None:
        super().__init__()
        blocks = [CAB(channels, reduction, act) for _ in range(num_cab)]
        self.body = nn.Sequential(*blocks, _conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + x


class ORSNet(nn.Layer):
    """The last stage: it keeps the resolution and takes the features of the second stage."""

    def __init__(
        self, widths: Sequence[int], wide: int, reduction: int, act: nn.Layer, num_cab: int
    ) -> None:
        super().__init__()
        for level in (1, 2, 3):
            setattr(self, f"orb{level}", ORB(wide, reduction, act, num_cab))
            setattr(self, f"conv_enc{level}", _conv(widths[0], wide, 1))
            setattr(self, f"conv_dec{level}", _conv(widths[0], wide, 1))
        self.up_enc1 = Up(widths[1], widths[0])
        self.up_dec1 = Up(widths[1], widths[0])
        self.up_enc2 = nn.Sequential(Up(widths[2], widths[1]), Up(widths[1], widths[0]))
        self.up_dec2 = nn.Sequential(Up(widths[2], widths[1]), Up(widths[1], widths[0]))

    def forward(self, x: Tensor, encoded: Sequence[Tensor], decoded: Sequence[Tensor]) -> Tensor:
        x = self.orb1(x) + self.conv_enc1(encoded[0]) + self.conv_dec1(decoded[0])
        enc, dec = self.up_enc1(encoded[1]), self.up_dec1(decoded[1])
        x = self.orb2(x) + self.conv_enc2(enc) + self.conv_dec2(dec)
        enc, dec = self.up_enc2(encoded[2]), self.up_dec2(decoded[2])
        return self.orb3(x) + self.conv_enc3(enc) + self.conv_dec3(dec)


class SAM(nn.Layer):
    """Supervised attention: weight features by the picture that a stage makes of them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels, 1)
        self.conv2 = _conv(channels, 3, 1)
        self.conv3 = _conv(3, channels, 1)

    def forward(self, x: Tensor, frame: Tensor) -> Tensor:
        restored = self.conv2(x) + frame
        return self.conv1(x) * functional.sigmoid(self.conv3(restored)) + x


def _conv(channels_in: int, channels: int, kernel: int = 3) -> nn.Conv2D:
    return nn.Conv2D(channels_in, channels, kernel, padding=kernel // 2, bias_attr=False)


def _pair(channels: int, reduction: int, act: nn.Layer) -> nn.Sequential:
    return nn.Sequential(*[CAB(channels, reduction, act) for _ in range(2)])


def _joined(parts: Sequence[Sequence[Tensor]], axis: int) -> list[Tensor]:
    """Put the features of neighboring parts side by side, level by level."""
    return [paddle.concat(level, axis) for level in zip(*parts)]
