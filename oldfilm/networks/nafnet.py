"""NAFNet: denoising and deblurring with a U-Net without nonlinear activations.

Chen et al., "Simple Baselines for Image Restoration", ECCV 2022. Layers and parameter names match
PaddleGAN's `NAFNet`.
"""

from __future__ import annotations

from collections.abc import Sequence

from paddle import Tensor, nn
from paddle.nn.initializer import Constant


class NAFNet(nn.Layer):
    """Restores single frames.

    width: channels at full size; each level doubles them. enc_blk_nums, middle_blk_num,
    dec_blk_nums: blocks of each level on the way down, at the smallest size, and on the way up.
    """

    def __init__(
        self,
        width: int = 64,
        enc_blk_nums: Sequence[int] = (2, 2, 4, 8),
        middle_blk_num: int = 12,
        dec_blk_nums: Sequence[int] = (2, 2, 2, 2),
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(len(enc_blk_nums) + 1)]
        self.intro = nn.Conv2D(3, width, 3, padding=1)
        self.ending = nn.Conv2D(width, 3, 3, padding=1)
        self.encoders = nn.LayerList(_blocks(w, n) for w, n in zip(widths, enc_blk_nums))
        self.downs = nn.LayerList(nn.Conv2D(w, 2 * w, 2, stride=2) for w in widths[:-1])
        self.middle_blks = _blocks(widths[-1], middle_blk_num)
        self.ups = nn.LayerList(
            nn.Sequential(nn.Conv2D(2 * w, 4 * w, 1, bias_attr=False), nn.PixelShuffle(2))
            for w in widths[-2::-1]
        )
        self.decoders = nn.LayerList(_blocks(w, n) for w, n in zip(widths[-2::-1], dec_blk_nums))

    def forward(self, frame: Tensor) -> Tensor:
        """Restore frames.

        frame: float32 [n, 3, h, w], RGB in [0, 1]; h, w: multiples of 2 ** levels, which is 16.
        Returns [n, 3, h, w], not clipped.
        """
        x = self.intro(frame)
        skipped = []
        for encoder, down in zip(self.encoders, self.downs):
            skipped.append(encoder(x))
            x = down(skipped[-1])
        x = self.middle_blks(x)
        for decoder, up in zip(self.decoders, self.ups):
            x = decoder(up(x) + skipped.pop())
        return self.ending(x) + frame


class NAFBlock(nn.Layer):
    """Gated convolutions with channel attention, then a gated feed-forward layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        double = 2 * channels
        self.conv1 = nn.Conv2D(channels, double, 1)
        self.conv2 = nn.Conv2D(double, double, 3, padding=1, groups=double)
        self.conv3 = nn.Conv2D(channels, channels, 1)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2D(1), nn.Conv2D(channels, channels, 1))
        self.conv4 = nn.Conv2D(channels, double, 1)
        self.conv5 = nn.Conv2D(channels, channels, 1)
        self.norm1 = ChannelNorm(channels)
        self.norm2 = ChannelNorm(channels)
        shape = [1, channels, 1, 1]
        self.beta = self.create_parameter(shape, default_initializer=Constant(0.0))
        self.gamma = self.create_parameter(shape, default_initializer=Constant(0.0))

    def forward(self, x: Tensor) -> Tensor:
        change = _gated(self.conv2(self.conv1(self.norm1(x))))
        x = x + self.conv3(change * self.sca(change)) * self.beta
        return x + self.conv5(_gated(self.conv4(self.norm2(x)))) * self.gamma


class ChannelNorm(nn.Layer):
    """Layer normalization over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = self.create_parameter([channels], default_initializer=Constant(1.0))
        self.bias = self.create_parameter([channels], is_bias=True)

    def forward(self, x: Tensor) -> Tensor:
        centered = x - x.mean(1, keepdim=True)
        deviation = ((centered * centered).mean(1, keepdim=True) + 1e-6).sqrt()
        weight, bias = self.weight.reshape([1, -1, 1, 1]), self.bias.reshape([1, -1, 1, 1])
        return weight * (centered / deviation) + bias


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[NAFBlock(channels) for _ in range(count)])


def _gated(x: Tensor) -> Tensor:
    """Multiply the first half of the channels by the second half."""
    channels = x.shape[1] // 2
    return x[:, :channels] * x[:, channels:]
