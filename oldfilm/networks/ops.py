"""Operations that several networks use."""

from __future__ import annotations

import paddle
from paddle import Tensor
from paddle.nn import functional


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
