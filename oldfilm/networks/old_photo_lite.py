"""OldPhotoLite: small networks that detect damage in old photographs, and restore them.

All are U-Nets (Ronneberger et al., MICCAI 2015) that work from half the size down. In one pass, the
restorer does what Wan et al. ("Bringing Old Photos Back to Life", CVPR 2020) do with two
autoencoders and a mapping: it inpaints masked areas, and removes grain, blur and JPEG artifacts
elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

GAIN = 3.0
"""Factor on the (small) median residuals in the network's input."""


class OldPhotoLite(nn.Layer):
    """The three networks, which the predictor calls separately.

    `detector` finds damage that covers the picture or has removed it. `creases` finds folds, which
    are faint lines; a detector trained on both missed other damage. `restorer` restores.

    widths: channels of the detector and the restorer at 1/2, 1/4, 1/8, ... of the size.
    deeper: residual blocks of the detector at these sizes; none by default.
    creases: channels of the crease detector at these sizes.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 48, 64, 96, 128),
        deeper: Sequence[int] = (),
        creases: Sequence[int] = (32, 48, 64, 96, 128),
    ) -> None:
        super().__init__()
        self.detector = Detector(widths, deeper)
        self.creases = Detector(creases)
        self.restorer = PhotoRestorer(widths)


class Detector(nn.Layer):
    """Detect damage, or creases.

    Only a wide context shows whether a pale patch is a wall or a hole in the paper. Therefore,
    additional blocks are at the small sizes, where they see far at little cost.
    """

    def __init__(self, widths: Sequence[int], deeper: Sequence[int] = ()) -> None:
        super().__init__()
        self.body = UNet(6, 1, widths, deeper)

    def forward(self, image: Tensor, departures: Tensor) -> Tensor:
        """Detect damage.

        image: [n, 3, h, w], RGB in [0, 1]; h, w: as for `UNet.forward`.
        departures: [n, 3, h, w], differences of the luma from three medians around each pixel.
        Returns logits [n, 1, h, w].
        """
        return self.body(paddle.concat([image - 0.5, GAIN * departures], 1))


class PhotoRestorer(nn.Layer):
    """Restore a picture, given a mask of its damage."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.body = UNet(7, 3, widths)

    def forward(self, image: Tensor, filled: Tensor, mask: Tensor) -> Tensor:
        """Restore pictures.

        image: [n, 3, h, w], RGB in [0, 1]; h, w: as for `UNet.forward`.
        filled: [n, 3, h, w], the image with classically inpainted damage.
        mask: [n, 1, h, w], 1 where the image is damaged, 0 elsewhere.
        Returns [n, 3, h, w], not clipped.
        """
        return filled + self.body(paddle.concat([image - 0.5, filled - image, mask], 1))


class UNet(nn.Layer):
    """Map `channels_in` to `channels_out` channels at the same size."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        widths: Sequence[int],
        deeper: Sequence[int] = (),
    ) -> None:
        super().__init__()
        blocks = [*deeper, *[0] * (len(widths) - len(deeper))]
        self.enter = Unit(channels_in, widths[0], 5, 2)
        pairs = list(zip(widths[:-1], widths[1:]))
        self.down = nn.LayerList([Unit(wide, deep, 3, 2) for wide, deep in pairs])
        self.before = nn.LayerList([Unit(width, width, 3, 1) for width in widths])
        self.deeper = nn.LayerList(
            [
                nn.Sequential(*(Block(width) for _ in range(count)))
                for width, count in zip(widths, blocks)
            ]
        )
        self.up = nn.LayerList([Unit(wide + deep, wide, 3, 1) for wide, deep in pairs])
        self.after = nn.LayerList([Unit(wide, wide, 3, 1) for wide, _ in pairs])
        self.leave = nn.Conv2D(widths[0], 4 * channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, channels_in, h, w]; h, w: multiples of 2 ** len(widths)."""
        x = self.enter(x)
        x = self.deeper[0](x + self.before[0](x))
        skipped = []
        levels = zip(self.down, list(self.before)[1:], list(self.deeper)[1:])
        for down, before, deeper in levels:
            skipped.append(x)
            x = down(x)
            x = deeper(x + before(x))
        for skip, up, after in reversed(list(zip(skipped, self.up, self.after))):
            x = functional.interpolate(x, size=paddle.shape(skip)[2:], mode="nearest")
            x = up(paddle.concat([skip, x], 1))
            x = x + after(x)
        return functional.pixel_shuffle(self.leave(x), 2)


class Block(nn.Layer):
    """A residual block (He et al., CVPR 2016) without a ReLU after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Unit(channels, channels, 3, 1)
        self.second = Unit(channels, channels, 3, 1, active=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class Unit(nn.Layer):
    """A convolution and, if `active`, a ReLU; training folds batch normalization into it."""

    def __init__(
        self, channels_in: int, channels: int, kernel: int, stride: int, active: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2D(channels_in, channels, kernel, stride, kernel // 2)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return functional.relu(x) if self.active else x
