"""SwinIR: denoising with shifted-window attention.

Liang et al., "SwinIR: Image Restoration Using Swin Transformer", ICCVW 2021. Layers and parameter
names match PaddleGAN's `SwinIR` without an upsampler.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional
from paddle.nn.initializer import TruncatedNormal

MEAN = (0.4488, 0.4371, 0.4040)
"""Mean color of DIV2K, which is subtracted."""

BLOCKED = -100.0
"""Added to the attention between pixels that are next to each other only because of the shift."""


class SwinIR(nn.Layer):
    """Restores single frames.

    img_size: side of the frames in training; the published files hold attention masks of this size.
    embed_dim: channels. depths, num_heads: attention blocks of each group, and their heads.
    window_size: side of the windows, in pixels. mlp_ratio: of the hidden channels after attention.
    """

    def __init__(
        self,
        img_size: int = 128,
        embed_dim: int = 180,
        depths: Sequence[int] = (6, 6, 6, 6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6, 6, 6, 6),
        window_size: int = 8,
        mlp_ratio: float = 2,
    ) -> None:
        super().__init__()
        self.window = window_size
        self.conv_first = nn.Conv2D(3, embed_dim, 3, padding=1)
        self.patch_embed = nn.Sequential(("norm", nn.LayerNorm(embed_dim)))
        self.layers = nn.LayerList(
            Group(embed_dim, depth, heads, window_size, mlp_ratio, img_size)
            for depth, heads in zip(depths, num_heads)
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.conv_after_body = nn.Conv2D(embed_dim, embed_dim, 3, padding=1)
        self.conv_last = nn.Conv2D(embed_dim, 3, 3, padding=1)
        mean = paddle.to_tensor(MEAN, "float32").reshape([1, 3, 1, 1])
        self.register_buffer("mean", mean, persistable=False)

    def forward(self, frame: Tensor) -> Tensor:
        """Restore frames.

        frame: float32 [n, 3, h, w], RGB in [0, 1]; h, w: multiples of `window_size`.
        Returns [n, 3, h, w], not clipped.
        """
        first = self.conv_first(frame - self.mean)
        x = self.patch_embed(first.transpose([0, 2, 3, 1]))
        mask = shifted_mask(x, self.window)
        for layer in self.layers:
            x = layer(x, mask)
        body = self.conv_after_body(self.norm(x).transpose([0, 3, 1, 2])) + first
        return frame + self.conv_last(body)


class Group(nn.Layer):
    """Attention blocks, alternately shifted, with a convolution and a skip connection."""

    def __init__(
        self, dim: int, depth: int, heads: int, window: int, mlp_ratio: float, img_size: int
    ) -> None:
        super().__init__()
        self.residual_group = nn.Layer()
        self.residual_group.blocks = nn.LayerList(
            Block(dim, heads, window, index % 2 == 1, mlp_ratio, img_size) for index in range(depth)
        )
        self.conv = nn.Conv2D(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        made = x
        for block in self.residual_group.blocks:
            made = block(made, mask)
        return self.conv(made.transpose([0, 3, 1, 2])).transpose([0, 2, 3, 1]) + x


class Block(nn.Layer):
    """Attention inside windows, which may be shifted by half a window, and two linear layers."""

    def __init__(
        self, dim: int, heads: int, window: int, shifted: bool, mlp_ratio: float, img_size: int
    ) -> None:
        super().__init__()
        self.window = window
        self.shift = window // 2 if shifted else 0
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Layer()
        self.mlp.fc1 = nn.Linear(dim, int(dim * mlp_ratio))
        self.mlp.fc2 = nn.Linear(int(dim * mlp_ratio), dim)
        if shifted:  # The published files hold the mask; it is computed for the frame's own size.
            self.register_buffer(
                "attn_mask", paddle.zeros([(img_size // window) ** 2, window**2, window**2])
            )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: [n, h, w, dim]. mask: see `shifted_mask`."""
        normal = rolled(self.norm1(x), self.shift)
        attended = self.attn(windows(normal, self.window), mask if self.shift else None)
        x = x + rolled(joined(attended, x, self.window), -self.shift)
        hidden = functional.gelu(self.mlp.fc1(self.norm2(x)))
        return x + self.mlp.fc2(hidden)


class WindowAttention(nn.Layer):
    """Attention of all pixels of a window to each other, with a bias for relative positions."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.pixels = window**2
        self.scale = (dim // heads) ** -0.5
        self.relative_position_bias_table = self.create_parameter(
            [(2 * window - 1) ** 2, heads], default_initializer=TruncatedNormal(std=0.02)
        )
        self.register_buffer("relative_position_index", relative_positions(window))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x: [windows, pixels, dim]. mask: [windows, pixels, pixels]."""
        dim = x.shape[2]
        parts = self.qkv(x).reshape([-1, self.pixels, 3, self.heads, dim // self.heads])
        parts = parts.transpose([2, 0, 3, 1, 4])
        query, key, value = parts[0], parts[1], parts[2]
        table, index = self.relative_position_bias_table, self.relative_position_index
        bias = paddle.index_select(table, index.flatten())
        bias = bias.reshape([self.pixels, self.pixels, self.heads]).transpose([2, 0, 1])
        scores = paddle.matmul(query * self.scale, key, transpose_y=True) + bias.unsqueeze(0)
        if mask is not None:
            scores = scores + mask.unsqueeze(1)
        made = paddle.matmul(functional.softmax(scores), value).transpose([0, 2, 1, 3])
        return self.proj(made.reshape([-1, self.pixels, dim]))


def relative_positions(window: int) -> Tensor:
    """Return the row of the bias table for every pair of pixels of a window: int64 [p, p]."""
    at = paddle.arange(window**2)
    rows, columns = at // window, at % window
    down = rows.unsqueeze(1) - rows.unsqueeze(0) + window - 1
    across = columns.unsqueeze(1) - columns.unsqueeze(0) + window - 1
    return down * (2 * window - 1) + across


def windows(x: Tensor, window: int) -> Tensor:
    """Divide [n, h, w, c] into windows: [n * h * w / window ** 2, window ** 2, c]."""
    channels, across = x.shape[3], paddle.shape(x)[2] // window
    rows = x.reshape([-1, window, across, window, channels])
    return rows.transpose([0, 2, 1, 3, 4]).reshape([-1, window**2, channels])


def joined(parts: Tensor, like: Tensor, window: int) -> Tensor:
    """The inverse of `windows`; `like` has the shape of the result."""
    shape, channels = paddle.shape(like), like.shape[3]
    rows = parts.reshape([-1, shape[2] // window, window, window, channels])
    return rows.transpose([0, 2, 1, 3, 4]).reshape(shape)


def rolled(x: Tensor, shift: int) -> Tensor:
    """Move [n, h, w, c] up and left by `shift` pixels; what leaves comes in on the other side."""
    if not shift:
        return x
    x = paddle.concat([x[:, shift:], x[:, :shift]], 1)
    return paddle.concat([x[:, :, shift:], x[:, :, :shift]], 2)


def shifted_mask(x: Tensor, window: int) -> Tensor:
    """Return what is added to the attention in shifted windows.

    x: [n, h, w, c]. Returns [windows, window ** 2, window ** 2].
    """
    # Running sums of ones number rows and columns: `arange` of a dynamic length does not export.
    ones = paddle.ones_like(x[:, :, :, :1])
    region = paddle.zeros_like(ones)
    for axis, factor in ((1, 3.0), (2, 1.0)):
        number = paddle.cumsum(ones, axis)
        from_end = paddle.max(number, axis, keepdim=True) - number  # 0 for the last
        for width in (window, window // 2):
            region = region + factor * (from_end < width).astype("float32")
    inside = windows(region, window)
    apart = inside != inside.transpose([0, 2, 1])
    return BLOCKED * apart.astype("float32")
