"""SRVGGNetCompact: super-resolution with plain convolutions at the input size.

The network of Real-ESRGAN's small models, `realesr-animevideov3` and `realesr-general-x4v3` (Wang
et al., ICCVW 2021). Layers and parameter names match the published implementation, except for the
slopes of PReLU, which Paddle calls `_weight`.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional


class SRVGGNetCompact(nn.Layer):
    """Super-resolution of single frames.

    num_feat: channels of the features. num_conv: convolutions between the first and the last.
    upscale: enlargement.
    """

    def __init__(self, num_feat: int = 64, num_conv: int = 16, upscale: int = 4) -> None:
        super().__init__()
        self.upscale = upscale
        layers = [_conv(3, num_feat), nn.PReLU(num_feat)]
        for _ in range(num_conv):
            layers += [_conv(num_feat, num_feat), nn.PReLU(num_feat)]
        self.body = nn.Sequential(*layers, _conv(num_feat, 3 * upscale**2))

    def forward(self, frame: Tensor) -> Tensor:
        """Enlarge frames.

        frame: float32 [n, 3, h, w], RGB in [0, 1].
        Returns [n, 3, upscale * h, upscale * w], not clipped.
        """
        change = functional.pixel_shuffle(self.body(frame), self.upscale)
        size = paddle.shape(frame)[2:] * self.upscale
        return functional.interpolate(frame, size=size, mode="nearest") + change


def _conv(channels_in: int, channels: int) -> nn.Conv2D:
    return nn.Conv2D(channels_in, channels, 3, padding=1)
