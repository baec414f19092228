"""Operations that several networks use."""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional


def convolved(conv: nn.Conv2D, *parts: Tensor, stride: int = 1) -> Tensor:
    """Convolve features without concatenating them, as the sum of one convolution for each part.

    This is faster where the channels of a part are not a multiple of 8.

    conv: 3x3, with a padding of 1. parts: [n, c, h, w], together with as many channels as `conv`
    takes. stride: that of `conv`.
    """
    counts = [part.shape[1] for part in parts]
    weights = paddle.split(conv.weight, counts, 1)
    biases = [conv.bias, *[None] * (len(parts) - 1)]
    made = [functional.conv2d(*one, stride, 1) for one in zip(parts, weights, biases)]
    return sum(made[1:], made[0])


def warp(image: Tensor, flow: Tensor, beyond: str = "zeros") -> Tensor:
    """Backward warp with bilinear interpolation: the result at p is `image` at p + flow(p).

    image: float32 [n, c, h, w]. flow: float32 [n, 2, h, w], x and y in pixels.
    beyond: padding outside the image: "zeros", or "border" for the nearest pixel inside.
    Returns float32 [n, c, h, w].
    """
    # Running sums of ones number rows and columns: `arange` of a dynamic length does not export.
    ones = paddle.ones_like(flow[:, :1])
    columns, rows = paddle.cumsum(ones, 3), paddle.cumsum(ones, 2)
    at = paddle.concat([columns - 1, rows - 1], 1) + flow
    last = paddle.concat([columns[:, :, -1:, -1:], rows[:, :, -1:, -1:]], 1) - 1
    grid = at * 2 / paddle.clip(last, min=1) - 1
    return functional.grid_sample(
        image, grid.transpose([0, 2, 3, 1]), padding_mode=beyond, align_corners=True
    )
