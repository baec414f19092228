"""Small networks for old photographs: where the damage is, and what was there before.

All are U-Nets (Ronneberger et al. 2015) that begin at half the size; the last is what Wan et al.
("Bringing Old Photos Back to Life", 2020) do with two autoencoders and a mapping, in one pass:
it fills what is masked from what surrounds it, and takes grain, blur and the marks of JPEG out of
the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

GAIN = 3.0
"""Departures are small."""


class OldPhotoLite(nn.Layer):
    """The networks; each is called by itself.

    `detector` finds what covers a picture or has taken it away, `creases` where it was bent: faint
    lines; a detector that learned them too forgot other damage. `restorer` fills.

    widths: channels at 1/2, 1/4, 1/8, ... of the size, of the detector and the restorer. deeper:
    residual blocks there, of the detector; none unless given. creases: as widths, of that network.
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
    """Where a picture is damaged, or creased.

    Whether a pale patch is a wall or a hole in the paper is known from far around it: hence blocks
    at the small sizes, where they see far and cost little.
    """

    def __init__(self, widths: Sequence[int], deeper: Sequence[int] = ()) -> None:
        super().__init__()
        self.body = UNet(6, 1, widths, deeper)

    def forward(self, image: Tensor, departures: Tensor) -> Tensor:
        """image: [n, 3, h, w], RGB in [0, 1]; sides as `UNet.forward`. departures: the same, how
        far the luma lies from three medians around it. Returns logits [n, 1, h, w].
        """
        return self.body(paddle.concat([image - 0.5, GAIN * departures], 1))


class PhotoRestorer(nn.Layer):
    """What an old picture looked like."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.body = UNet(7, 3, widths)

    def forward(self, image: Tensor, filled: Tensor, mask: Tensor) -> Tensor:
        """Restore all of a picture.

        image: [n, 3, h, w], RGB in [0, 1]; sides as `UNet.forward`. filled: the same, with a first
        guess of what was where it is damaged. mask: [n, 1, h, w], 1 there, else 0.
        Returns [n, 3, h, w], not clipped.
        """
        return filled + self.body(paddle.concat([image - 0.5, filled - image, mask], 1))


class UNet(nn.Layer):
    """From `channels_in` to `channels_out` at the same size."""

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
        """x: [n, channels_in, h, w]; sides are multiples of two to the power of the widths."""
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
    """Two convolutions whose result is added (He et al. 2016, without a ReLU after the sum)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Unit(channels, channels, 3, 1)
        self.second = Unit(channels, channels, 3, 1, active=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class Unit(nn.Layer):
    """A convolution and, if `active`, ReLU; what training normalizes in between is folded into the
    convolution.
    """

    def __init__(
        self, channels_in: int, channels: int, kernel: int, stride: int, active: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2D(channels_in, channels, kernel, stride, kernel // 2)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return functional.relu(x) if self.active else x
