"""Global restoration of "Bringing Old Photos Back to Life" (Wan et al., CVPR 2020).

One VAE encodes old photographs, another decodes clean ones; between the two a mapping takes the
first one's features to the second one's. Layers and the names of weights are those of
`GlobalGenerator_DCDCv2`, `Mapping_Model`, `Mapping_Model_with_mask` and `Mapping_Model_with_mask_2`
in microsoft/Bringing-Old-Photos-Back-to-Life, with the options of its `test.py`.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

ATTENTION_VALUES = 1 << 25
"""How many values of an attention map are held at once: 128 MiB of them."""

HOLE = 0.6
"""A patch of which more than this is damaged is a hole."""


class VAE(nn.Layer):
    """Encoder and decoder of one domain; of both, one half is used.

    channels: of all layers.
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Pad2D(3, mode="reflect"),
            nn.Conv2D(3, channels, 7),
            *_normalized(channels),
            nn.Conv2D(channels, channels, 4, stride=2, padding=1),
            *_normalized(channels),
            nn.Conv2D(channels, channels, 4, stride=2, padding=1),
            *_normalized(channels),
            *_residuals(4, channels),
        )
        self.decoder = nn.Sequential(
            *_residuals(4, channels),
            nn.Conv2DTranspose(channels, channels, 4, stride=2, padding=1),
            *_normalized(channels),
            nn.Conv2DTranspose(channels, channels, 4, stride=2, padding=1),
            *_normalized(channels),
            nn.Pad2D(3, mode="reflect"),
            nn.Conv2D(channels, 3, 7),
            nn.Tanh(),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Encode and decode: the picture as this domain knows it, without sampling.

        image: [n, 3, h, w], RGB in [-1, 1]; h and w multiples of 4, and at least 16.
        Returns the same. Between the two lie [n, channels, h / 4, w / 4].
        """
        return self.decoder(self.encoder(image))


class Mapping(nn.Layer):
    """From the features of an old photograph to those of a clean one; without scratches.

    channels: that the features have, and the most that there are between.
    """

    def __init__(self, channels: int = 64, most: int = 512) -> None:
        super().__init__()
        self.model = nn.Sequential(
            *_widening(channels, most), *_residuals(6, most), *_narrowing(channels, most)
        )

    def forward(self, features: Tensor) -> Tensor:
        """features: [n, channels, h, w]. Returns the same."""
        return self.model(features)


class ScratchMapping(nn.Layer):
    """The same, where what is scratched is made of what is not: the partial non-local block."""

    def __init__(self, channels: int = 64, most: int = 512) -> None:
        super().__init__()
        self.before_NL = nn.Sequential(*_widening(channels, most))
        self.NL = PartialNonLocal(most)
        self.after_NL = nn.Sequential(*_residuals(6, most), *_narrowing(channels, most))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features: [n, channels, h, w]. mask: [n, 1, H, W], 1 where the picture is scratched.

        Returns [n, channels, h, w].
        """
        return self.after_NL(self.NL(self.before_NL(features), mask))


class PatchMapping(nn.Layer):
    """The same for large pictures: whole patches are taken, of three sizes, from one place each."""

    def __init__(self, channels: int = 64, most: int = 512) -> None:
        super().__init__()
        self.before_NL = nn.Sequential(*_widening(channels, most), *_residuals(2, most))
        self.NL_scale_1 = PatchAttention(most, patch=8)
        self.res_block_1 = nn.Sequential(*_residuals(2, most))
        self.NL_scale_2 = PatchAttention(most, patch=4)
        self.res_block_2 = nn.Sequential(*_residuals(2, most))
        self.NL_scale_3 = PatchAttention(most, patch=2)
        self.after_NL = nn.Sequential(*_residuals(2, most), *_narrowing(channels, most))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features: [1, channels, h, w]. mask: [1, 1, H, W], 1 where the picture is scratched.

        Returns [1, channels, h, w].
        """
        x = self.NL_scale_1(self.before_NL(features), mask)
        x = self.NL_scale_2(self.res_block_1(x), mask)
        x = self.NL_scale_3(self.res_block_2(x), mask)
        return self.after_NL(x)


class PartialNonLocal(nn.Layer):
    """Every place looks at all undamaged ones; the damaged become what they see."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Conv2D(channels, channels, 1)
        self.W = nn.Conv2D(channels, channels, 1)
        self.theta = nn.Conv2D(channels, channels, 1)
        self.phi = nn.Conv2D(channels, channels, 1)
        self.res_block = nn.Sequential(*_residuals(3, channels))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: [n, c, h, w]. mask: [n, 1, H, W], 1 where the picture is damaged."""
        size = x.shape[2:]
        untouched = 1 - (functional.interpolate(mask, size=size, mode="bilinear") > 0).astype(
            x.dtype
        )
        valid = untouched * functional.interpolate(1 - mask, size=size, mode="nearest")
        query, key, value = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))
        seen = self._seen(query.transpose([0, 2, 1]), key, value, valid.flatten(2))
        made = self.res_block(self.W(seen.reshape(x.shape)))
        return valid * x + (1 - valid) * made

    def _seen(self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor) -> Tensor:
        """[n, c, places]; for some of the places at a time, as the map has places^2 values."""
        places = key.shape[2]
        at_once = max(1, ATTENTION_VALUES // places)
        seen = []
        for start in range(0, places, at_once):
            energy = paddle.bmm(query[:, start : start + at_once], key)
            attention = functional.normalize(
                functional.softmax(energy, axis=2) * valid, p=1, axis=2
            )
            seen.append(paddle.bmm(value, attention.transpose([0, 2, 1])))
        return paddle.concat(seen, 2)


class PatchAttention(nn.Layer):
    """Patches that are damaged become the undamaged ones that are most like them.

    patch: side of a patch, in places of the features.
    """

    def __init__(self, channels: int, patch: int) -> None:
        super().__init__()
        self.F_Combine = nn.Conv2D(2 * channels + 1, channels, 3, padding=1)
        self.res_block = nn.Sequential(*_residuals(1, channels))
        self._patch = patch

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: [1, c, h, w]. mask: [1, 1, H, W], 1 where the picture is damaged."""
        mask = functional.interpolate(mask, size=x.shape[2:], mode="bilinear")
        damaged = (mask > 0).astype(x.dtype)
        composed = self._composed(self.res_block(x), damaged)
        return self.F_Combine(paddle.concat([x, composed, damaged], 1))

    def _composed(self, x: Tensor, damaged: Tensor) -> Tensor:
        """[1, c, h, w], of undamaged patches alone; x where there are no holes, or nothing else.

        Where there are holes, what is left of the sides beyond whole patches is 0, as the authors
        have it.
        """
        patch = self._patch
        if min(x.shape[2:]) < patch:
            return x
        hole = functional.avg_pool2d(damaged, patch).flatten() > HOLE
        holes, others = paddle.nonzero(hole).flatten(), paddle.nonzero(~hole).flatten()
        if not len(holes) or not len(others):
            return x
        patches = functional.unfold(x, patch, strides=patch)[0].transpose([1, 0])
        kept = patches[others]
        likeness = paddle.matmul(
            functional.normalize(patches[holes]), functional.normalize(kept), transpose_y=True
        )
        patches = paddle.scatter(patches, holes, kept[likeness.argmax(1)])
        return functional.fold(
            patches.transpose([1, 0]).unsqueeze(0), x.shape[2:], patch, strides=patch
        )


class Residual(nn.Layer):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.Pad2D(1, mode="reflect"),
            nn.Conv2D(channels, channels, 3),
            *_normalized(channels),
            nn.Pad2D(1, mode="reflect"),
            nn.Conv2D(channels, channels, 3),
            _norm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def _residuals(count: int, channels: int) -> list[nn.Layer]:
    return [Residual(channels) for _ in range(count)]


def _widening(channels: int, most: int) -> list[nn.Layer]:
    """Four convolutions, each to twice the channels as long as there are fewer than `most`."""
    widths = [min(channels << level, most) for level in range(5)]
    return [
        layer
        for given, made in zip(widths, widths[1:])
        for layer in (nn.Conv2D(given, made, 3, padding=1), *_normalized(made))
    ]


def _narrowing(channels: int, most: int) -> list[nn.Layer]:
    """The way back, whose last convolution stands alone."""
    widths = [min(channels << level, most) for level in range(4, 0, -1)]
    layers = [
        layer
        for given, made in zip(widths, widths[1:])
        for layer in (nn.Conv2D(given, made, 3, padding=1), *_normalized(made))
    ]
    return [*layers, nn.Conv2D(2 * channels, channels, 3, padding=1)]


def _normalized(channels: int) -> list[nn.Layer]:
    return [_norm(channels), nn.ReLU()]


def _norm(channels: int) -> nn.Layer:
    """Every channel of every picture to mean 0 and deviation 1; without weights."""
    return nn.InstanceNorm2D(channels, weight_attr=False, bias_attr=False)
