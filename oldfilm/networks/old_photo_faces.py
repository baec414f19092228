"""Face enhancement of "Bringing Old Photos Back to Life" (Wan et al., CVPR 2020).

The generator starts from a small copy of the face. At every size, spatially adaptive normalization
(SPADE; Park et al., CVPR 2019) conditions it on the degraded face. Layers and parameter names match
`SPADEGenerator` in microsoft/Bringing-Old-Photos-Back-to-Life without a parsing map, as configured
by its `run.py`.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

SMALLEST = 32
"""Downscaling factor of the initial copy of the face."""


class FaceGenerator(nn.Layer):
    """Generate an enhanced face. Call `fold` after loading weights.

    Separate weights are published for faces of 256x256 and of 512x512.

    width: channels at full size; the smallest size has sixteen times as many.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        most = 16 * width
        self.fc = nn.Conv2D(3, most, 3, padding=1)
        self.head_0 = SPADEBlock(most, most)
        self.G_middle_0 = SPADEBlock(most, most)
        self.G_middle_1 = SPADEBlock(most, most)
        self.up_0 = SPADEBlock(most, 8 * width)
        self.up_1 = SPADEBlock(8 * width, 4 * width)
        self.up_2 = SPADEBlock(4 * width, 2 * width)
        self.up_3 = SPADEBlock(2 * width, width)
        self.activation = nn.LeakyReLU(0.2)
        self.conv_img = nn.Conv2D(width, 3, 3, padding=1)

    def fold(self) -> None:
        """Divide weights by their spectral norms, in place; idempotent."""
        for layer in self.sublayers():
            if isinstance(layer, SpectralConv):
                layer.fold()

    def forward(self, face: Tensor) -> Tensor:
        """Enhance faces.

        face: [n, 3, h, w], RGB in [-1, 1], aligned; h, w: multiples of 32.
        Returns [n, 3, h, w], RGB in [-1, 1].
        """
        height, width = face.shape[2] // SMALLEST, face.shape[3] // SMALLEST
        x = self.head_0(self.fc(_resized(face, height, width)), face)
        x = self.G_middle_0(_enlarged(x), face)
        x = self.G_middle_1(x, face)
        for block in (self.up_0, self.up_1, self.up_2, self.up_3):
            x = block(_enlarged(x), face)
        return functional.tanh(self.conv_img(self.activation(x)))


class SPADEBlock(nn.Layer):
    """Two normalized convolutions with a skip connection; the skip projects to new channels."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        between = min(channels_in, channels)
        self.conv_0 = SpectralConv(channels_in, between)
        self.conv_1 = SpectralConv(between, channels)
        self.norm_0 = SPADE(channels_in)
        self.norm_1 = SPADE(between)
        self.activation = nn.LeakyReLU(0.2)
        self._projects = channels_in != channels
        if self._projects:
            self.conv_s = SpectralConv(channels_in, channels, kernel=1, bias=False)
            self.norm_s = SPADE(channels_in)

    def forward(self, x: Tensor, face: Tensor) -> Tensor:
        face = _resized(face, x.shape[2], x.shape[3])
        change = self.conv_0(self.activation(self.norm_0(x, face)))
        change = self.conv_1(self.activation(self.norm_1(change, face)))
        shortcut = self.conv_s(self.norm_s(x, face)) if self._projects else x
        return shortcut + change


class SPADE(nn.Layer):
    """Normalization with stored statistics, then a scale and shift predicted from the face.

    channels: channels to normalize. hidden: channels of the hidden layer.
    """

    def __init__(self, channels: int, hidden: int = 128) -> None:
        super().__init__()
        self.param_free_norm = StoredNorm(channels)
        self.mlp_shared = nn.Sequential(nn.Conv2D(3, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2D(hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2D(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, face: Tensor) -> Tensor:
        """x: [n, channels, h, w]. face: [n, 3, h, w]. Returns [n, channels, h, w]."""
        seen = self.mlp_shared(face)
        return self.param_free_norm(x) * (1 + self.mlp_gamma(seen)) + self.mlp_beta(seen)


class StoredNorm(nn.Layer):
    """Batch normalization with the statistics of training, without scale and bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", paddle.zeros([channels]))
        self.register_buffer("running_var", paddle.ones([channels]))

    def forward(self, x: Tensor) -> Tensor:
        scale = (self.running_var + 1e-5).rsqrt()
        return (x - self.running_mean.reshape([1, -1, 1, 1])) * scale.reshape([1, -1, 1, 1])


class SpectralConv(nn.Layer):
    """A convolution whose weight `fold` divides by its spectral norm.

    The norm is u^T W v with the stored vectors u and v, as in PyTorch outside of training. The
    folded weight has norm 1, so folding again changes nothing.
    """

    def __init__(self, channels_in: int, channels: int, kernel: int = 3, bias: bool = True) -> None:
        super().__init__()
        self.weight_orig = self.create_parameter([channels, channels_in, kernel, kernel])
        self.register_buffer("weight_u", paddle.ones([channels]))
        self.register_buffer("weight_v", paddle.ones([channels_in * kernel * kernel]))
        self.bias = self.create_parameter([channels], is_bias=True) if bias else None

    def fold(self) -> None:
        with paddle.no_grad():
            norm = paddle.dot(self.weight_u, paddle.mv(self.weight_orig.flatten(1), self.weight_v))
            self.weight_orig.set_value(self.weight_orig / norm)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(
            x, self.weight_orig, self.bias, padding=self.weight_orig.shape[-1] // 2
        )


def _resized(face: Tensor, height: int, width: int) -> Tensor:
    return functional.interpolate(face, size=[height, width], mode="bilinear")


def _enlarged(x: Tensor) -> Tensor:
    return functional.interpolate(x, size=[2 * x.shape[2], 2 * x.shape[3]], mode="nearest")
