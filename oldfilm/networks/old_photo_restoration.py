"""Global restoration of "Bringing Old Photos Back to Life" (Wan et al., CVPR 2020).

One VAE encodes old photographs, another decodes clean ones, and a mapping translates the features
of the first to those of the second. Layers and parameter names match `GlobalGenerator_DCDCv2`,
`Mapping_Model`, `Mapping_Model_with_mask` and `Mapping_Model_with_mask_2` in
microsoft/Bringing-Old-Photos-Back-to-Life, with the options of its `test.py`.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

ATTENTION_VALUES = 1 << 25
"""Number of values of an attention map that are computed at once (128 MiB)."""

HOLE = 0.6
"""Share of damaged pixels above which a patch is a hole."""


class VAE(nn.Layer):
    """Encoder and decoder of one domain; restoration uses one half of each VAE.

    channels: channels of all layers, and of the features.
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
        """Encode and decode pictures, without sampling.

        image: [n, 3, h, w], RGB in [-1, 1]; h, w: multiples of 4, at least 16.
        Returns [n, 3, h, w], RGB in [-1, 1]. The features are [n, channels, h / 4, w / 4].
        """
        return self.decoder(self.encoder(image))


class Mapping(nn.Layer):
    """Map the features of an old photograph to those of a clean one; not for scratches.

    channels: channels of the features. most: largest number of channels in between.
    """

    def __init__(self, channels: int = 64, most: int = 512) -> None:
        super().__init__()
        self.model = nn.Sequential(
            *_widening(channels, most), *_residuals(6, most), *_narrowing(channels, most)
        )

    def forward(self, features: Tensor) -> Tensor:
        """features: [n, channels, h, w]. Returns [n, channels, h, w]."""
        return self.model(features)


class ScratchMapping(nn.Layer):
    """The mapping for scratched photographs, with a partial non-local block."""

    def __init__(self, channels: int = 64, most: int = 512) -> None:
        super().__init__()
        self.before_NL = nn.Sequential(*_widening(channels, most))
        self.NL = PartialNonLocal(most)
        self.after_NL = nn.Sequential(*_residuals(6, most), *_narrowing(channels, most))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features: [n, channels, h, w]. mask: [n, 1, H, W], 1 where the picture is
        scratched, at the size of the picture.

        Returns [n, channels, h, w].
        """
        return self.after_NL(self.NL(self.before_NL(features), mask))


class PatchMapping(nn.Layer):
    """The mapping for scratched, large photographs, with patch attention at three sizes."""

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
        """features: [1, channels, h, w]. mask: [1, 1, H, W], 1 where the picture is
        scratched, at the size of the picture.

        Returns [1, channels, h, w].
        """
        x = self.NL_scale_1(self.before_NL(features), mask)
        x = self.NL_scale_2(self.res_block_1(x), mask)
        x = self.NL_scale_3(self.res_block_2(x), mask)
        return self.after_NL(x)


class PartialNonLocal(nn.Layer):
    """Attention from all positions to undamaged ones; replaces the damaged positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Conv2D(channels, channels, 1)
        self.W = nn.Conv2D(channels, channels, 1)
        self.theta = nn.Conv2D(channels, channels, 1)
        self.phi = nn.Conv2D(channels, channels, 1)
        self.res_block = nn.Sequential(*_residuals(3, channels))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: [n, c, h, w]. mask: [n, 1, H, W], 1 where damaged. Returns [n, c, h, w]."""
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
        """Attend; return [n, c, positions]. The map is computed some rows at a time."""
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
    """Replace damaged patches by the most similar undamaged ones.

    patch: side of a patch, in positions of the features.
    """

    def __init__(self, channels: int, patch: int) -> None:
        super().__init__()
        self.F_Combine = nn.Conv2D(2 * channels + 1, channels, 3, padding=1)
        self.res_block = nn.Sequential(*_residuals(1, channels))
        self._patch = patch

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: [1, c, h, w]. mask: [1, 1, H, W], 1 where damaged. Returns [1, c, h, w]."""
        mask = functional.interpolate(mask, size=x.shape[2:], mode="bilinear")
        damaged = (mask > 0).astype(x.dtype)
        composed = self._composed(self.res_block(x), damaged)
        return self.F_Combine(paddle.concat([x, composed, damaged], 1))

    def _composed(self, x: Tensor, damaged: Tensor) -> Tensor:
        """Fill holes with the most similar patches; return x if there are none, or only holes.

        If there are holes, rows and columns beyond the last whole patch are 0, as in the published
        implementation.
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
    """Two convolutions with a skip connection."""

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
    """Build four convolutions, each to twice the channels, up to `most`."""
    widths = [min(channels << level, most) for level in range(5)]
    return [
        layer
        for given, made in zip(widths, widths[1:])
        for layer in (nn.Conv2D(given, made, 3, padding=1), *_normalized(made))
    ]


def _narrowing(channels: int, most: int) -> list[nn.Layer]:
    """Build four convolutions back to `channels`; the last has no normalization."""
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
    """Build an instance normalization without scale and bias."""
    return nn.InstanceNorm2D(channels, weight_attr=False, bias_attr=False)
