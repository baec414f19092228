"""DAIN: depth-aware video frame interpolation.

Bao et al., "Depth-Aware Video Frame Interpolation", CVPR 2019. Parameter names and outputs match
the published implementation, baowenbo/DAIN. The predictor runs four steps separately:

1. `flownets` and `depthNet` estimate flow in both directions and the log depth of both frames;
   `initScaleNets_filter`, `..1` and `..2` estimate 4x4 kernels for every pixel of both frames.
2. `project` computes flow from the new frame to both frames; nearer objects win.
3. `warp` samples both frames and their context features (`ctxNet`) by flow and kernels.
4. `rectifyNet` corrects the blend of the two samples.

`DAIN.forward` covers steps 3 and 4. Given parts of the frames, it returns a part of the new frame.
"""

from __future__ import annotations

import itertools

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

from oldfilm.networks import ops

FLOW_UNIT = 20.0
"""Pixels of flow per unit of `PWCNet`'s output."""

REACH = 4
"""Search radius of `PWCNet`'s correlation, in pixels of a pyramid level."""


class DAIN(nn.Layer):
    """The whole network, with the layer names of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.initScaleNets_filter = KernelTrunk()
        self.initScaleNets_filter1 = _kernel_head()
        self.initScaleNets_filter2 = _kernel_head()
        self.ctxNet = Context()
        self.rectifyNet = Rectify()
        self.flownets = PWCNet()
        self.depthNet = depth_network()
        self.project = Projection()

    def forward(
        self,
        first: Tensor,
        second: Tensor,
        reads: Tensor,
        flows: Tensor,
        kernels: Tensor,
        time: Tensor,
    ) -> Tensor:
        """Return the frame between two others, or a part of it.

        first, second: [1, 4, h', w'], RGB in [0, 1] and log depth, of the parts of both frames
        that are sampled; their sizes may differ.
        reads: [1, 6, h, w], output of `Projection.reads` for the first frame and the second, in
        pixels of these parts.
        flows: [1, 4, h, w], flow from the new frame to the first and to the second, in pixels.
        kernels: [1, 32, h, w], kernels of the first frame and the second.
        time: [1, 1, 1, 1], in (0, 1).
        Returns [1, 3, h, w], RGB, not clipped.
        """
        from_first = warp(self._context(first), reads[:, :3], kernels[:, :16])
        from_second = warp(self._context(second), reads[:, 3:], kernels[:, 16:])
        warped = [from_first[:, :3], from_second[:, :3]]
        blended = (1 - time) * warped[0] + time * warped[1]
        seen = [blended, *warped, flows, kernels, from_first, from_second]
        return blended + self.rectifyNet(paddle.concat(seen, 1))

    def _context(self, part: Tensor) -> Tensor:
        """Extend [1, 4, h, w] to [1, 196, h, w]: RGB (3), context features (192), log depth (1)."""
        image = part[:, :3]
        return paddle.concat([image, self.ctxNet(image), part[:, 3:]], 1)


def warp(image: Tensor, reads: Tensor, kernels: Tensor) -> Tensor:
    """Adaptive warping: each pixel is a learned sum of the 4x4 pixels around its source position.

    image: [1, c, h', w'].
    reads: [1, 3, h, w], source position x and y, and whether (1 or 0) the kernel applies;
    otherwise the pixel at (x, y) is copied.
    kernels: [1, 16, h, w], row by row; each weight is multiplied by the bilinear weight of its
    quadrant. Beyond the image, the border is repeated.
    Returns [1, c, h, w].
    """
    channels = image.shape[1]
    height, width = paddle.shape(image)[2], paddle.shape(image)[3]
    pixels = image.reshape([channels, -1]).transpose([1, 0])
    x, y, fetched = reads[:, :1], reads[:, 1:2], reads[:, 2:]
    left, top = paddle.floor(x), paddle.floor(y)
    right_share, lower_share = x - left, y - top
    total = 0
    for i, (down, across) in enumerate(itertools.product(range(-1, 3), range(-1, 3))):
        share = lower_share if down > 0 else 1 - lower_share
        share = share * (right_share if across > 0 else 1 - right_share)
        weight = fetched * kernels[:, i : i + 1] * share
        if down == across == 0:
            weight = weight + (1 - fetched)
        row = _within(top + down, height)
        at = row * width.astype("int64") + _within(left + across, width)
        total = total + paddle.gather(pixels, at.flatten()) * weight.reshape([-1, 1])
    rows, columns = paddle.shape(reads)[2], paddle.shape(reads)[3]
    return total.transpose([1, 0]).reshape([1, channels, rows, columns])


def _within(position: Tensor, length: Tensor) -> Tensor:
    """Clamp integer positions to [0, length - 1]; returns int64."""
    last = (length - 1).astype("float32")
    return paddle.minimum(functional.relu(position), last).astype("int64")


class Projection(nn.Layer):
    """Depth-aware flow projection: flow from the new frame back to the frame where `flow` starts.

    Each vector is splatted to the four pixels around its end, weighted by inverse depth. Holes are
    filled with the mean of the nearest vectors to the left, right, top and bottom.
    """

    def forward(self, flow: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Project the flow of one whole frame.

        flow: [1, 2, h, w], from this frame to the new one, in pixels. depth: [1, 1, h, w], log.
        Returns the projected flow [1, 2, h, w], 0 where unknown, and its `reads`.
        """
        projected = _filled(*_carried(flow[0], 1e-6 + 1 / paddle.exp(depth[0, 0]))).unsqueeze(0)
        return projected, self.reads(projected)

    def reads(self, projected: Tensor) -> Tensor:
        """Return [1, 3, h, w]: each pixel's source position (x, y) and 1.

        If that position is outside, or half a frame away, the pixel's own position and 0.
        """
        own, last = _places(projected.shape[2:])
        place = own + projected[0]
        near = projected[0].abs() < (last + 1) / 2
        fetched = ((place >= 0) & (place <= last) & near).all(0, keepdim=True)
        place = paddle.where(fetched.expand(place.shape), place, own)
        return paddle.concat([place, fetched.astype("float32")]).unsqueeze(0)


def _places(size: list[int]) -> tuple[Tensor, Tensor]:
    """Return x and y of every pixel, [2, h, w], and their maxima, [2, 1, 1]."""
    height, width = size
    columns = paddle.arange(width, dtype="float32").expand(size)
    rows = paddle.arange(height, dtype="float32").unsqueeze(1).expand(size)
    last = paddle.to_tensor([width - 1.0, height - 1.0]).reshape([2, 1, 1])
    return paddle.stack([columns, rows]), last


def _carried(flow: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Splat reversed flow; return its weighted mean [2, h, w] and where it is known [h, w]."""
    height, width = weight.shape
    own, last = _places(weight.shape)
    place = own + flow
    weight = weight * ((place >= 0) & (place <= last)).all(0).astype("float32")
    x, y = paddle.minimum(functional.relu(place), last).astype("int64")
    carried = paddle.concat([-flow * weight, weight.unsqueeze(0)]).reshape([3, -1])
    carried = carried.transpose([1, 0])
    sums = paddle.zeros([height * width, 3])
    for below, across in itertools.product((0, 1), (0, 1)):
        row = paddle.clip(y + below, max=height - 1)
        at = row * width + paddle.clip(x + across, max=width - 1)
        sums = paddle.scatter_nd_add(sums, at.reshape([-1, 1]), carried)
    sums = sums.transpose([1, 0]).reshape([3, height, width])
    known = sums[2] > 0
    return sums[:2] / paddle.where(known, sums[2], paddle.ones_like(weight)), known


def _filled(flow: Tensor, known: Tensor) -> Tensor:
    """Fill holes with the mean of the nearest known vectors in four directions; 0 if none."""
    total, found = paddle.zeros_like(flow), paddle.zeros_like(flow)
    for axis in (0, 1):
        length = known.shape[axis]
        position = paddle.arange(length).reshape([-1, 1] if axis == 0 else [1, -1])
        position = position.expand(known.shape)
        before = paddle.where(known, position, paddle.full_like(position, -1))
        after = paddle.where(known, position, paddle.full_like(position, length))
        last_before = paddle.cummax(before, axis)[0]
        first_after = paddle.cummin(after.flip(axis), axis)[0].flip(axis)
        for nearest in (last_before, first_after):
            hit = ((nearest >= 0) & (nearest < length)).astype("float32")
            at = paddle.clip(nearest, 0, length - 1).expand(flow.shape)
            total = total + paddle.take_along_axis(flow, at, axis + 1) * hit
            found = found + hit
    return paddle.where(known.expand(flow.shape), flow, total / paddle.clip(found, min=1))


class Enlarge(nn.Layer):
    """Two-fold upsampling."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, image: Tensor) -> Tensor:
        """image: [n, c, h, w]. Returns [n, c, 2h, 2w]."""
        return functional.interpolate(image, size=paddle.shape(image)[2:] * 2, mode=self.mode)


class KernelTrunk(nn.LayerList):
    """The U-Net that estimates kernels, with additive skip connections."""

    def __init__(self) -> None:
        layers = _conv_relu(6, 16)
        for width in (16, 32, 64, 128, 256):
            layers += [*_conv_relu(width, 2 * width), nn.MaxPool2D(2)]
        layers += _conv_relu(512, 512)
        for width in (512, 256, 128, 64, 32):
            layers += [Enlarge("bilinear"), *_conv_relu(width, width // 2)]
        super().__init__(layers)

    def forward(self, frames: Tensor) -> Tensor:
        """frames: [n, 6, h, w], two RGB frames; h, w: multiples of 32. Returns [n, 16, h, w]."""
        features, skips = frames, []
        for layer in self:
            if isinstance(layer, nn.MaxPool2D):
                skips.append(features)
            features = layer(features)
            if isinstance(layer, Enlarge):
                features = features + skips.pop()
        return features


def _kernel_head() -> nn.Sequential:
    return nn.Sequential(*_conv_relu(16, 16), nn.Conv2D(16, 16, 3, padding=1))


def _conv_relu(inputs: int, outputs: int) -> list[nn.Layer]:
    return [nn.Conv2D(inputs, outputs, 3, padding=1), nn.ReLU()]


class Residual(nn.Layer):
    """Two 3x3 convolutions without bias, with a skip connection."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        around = {"padding": dilation, "dilation": dilation}
        self.conv1 = nn.Conv2D(channels, channels, 3, **around, bias_attr=False)
        self.conv2 = nn.Conv2D(channels, channels, 3, padding=1, bias_attr=False)

    def forward(self, features: Tensor) -> Tensor:
        change = self.conv2(functional.relu(self.conv1(features)))
        return functional.relu(features + change)


class Context(nn.Layer):
    """Context features of one frame."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2D(3, 64, 7, padding=3, bias_attr=False), nn.ReLU())
        self.block2 = Residual(64, dilation=4)
        self.block3 = Residual(64, dilation=8)

    def forward(self, image: Tensor) -> Tensor:
        """image: [n, 3, h, w], RGB in [0, 1]. Returns [n, 192, h, w]."""
        near = self.block1(image)
        wider = self.block2(near)
        return paddle.concat([near, wider, self.block3(wider)], 1)


class Rectify(nn.Sequential):
    """The network that estimates a correction [n, 3, h, w] of the blended frame."""

    def __init__(self) -> None:
        super().__init__(
            ("block1", nn.Sequential(nn.Conv2D(437, 128, 7, padding=3), nn.ReLU())),
            ("block2", Residual(128)),
            ("block3", Residual(128)),
            ("block4", Residual(128)),
            ("block5", nn.Sequential(nn.Conv2D(128, 3, 3, padding=1))),
        )


class PWCNet(nn.Layer):
    """PWC-DC net (Sun et al., "PWC-Net", CVPR 2018): coarse-to-fine optical flow."""

    def __init__(self) -> None:
        super().__init__()
        pyramid = (3, 16, 32, 64, 96, 128, 196)
        for level, (inputs, outputs) in enumerate(zip(pyramid, pyramid[1:]), 1):
            first, *others = _pyramid_names(level)
            self.add_sublayer(first, _leaky(inputs, outputs, stride=2))
            for name in others:
                self.add_sublayer(name, _leaky(outputs, outputs))
        self.leakyRELU = nn.LeakyReLU(0.1)
        compared = (2 * REACH + 1) ** 2
        for level in (6, 5, 4, 3, 2):
            inputs = compared if level == 6 else compared + pyramid[level] + 4
            for i, width in enumerate((128, 128, 96, 64, 32)):
                self.add_sublayer(f"conv{level}_{i}", _leaky(inputs, width))
                inputs += width
            self.add_sublayer(f"predict_flow{level}", nn.Conv2D(inputs, 2, 3, padding=1))
            # deconv2 is unused, but part of the published weights.
            self.add_sublayer(f"deconv{level}", nn.Conv2DTranspose(2, 2, 4, stride=2, padding=1))
            if level > 2:
                upfeat = nn.Conv2DTranspose(inputs, 2, 4, stride=2, padding=1)
                self.add_sublayer(f"upfeat{level}", upfeat)
        for i, (width, dilation) in enumerate(
            ((128, 1), (128, 2), (128, 4), (96, 8), (64, 16), (32, 1)), 1
        ):
            self.add_sublayer(f"dc_conv{i}", _leaky(inputs, width, dilation=dilation))
            inputs = width
        self.dc_conv7 = nn.Conv2D(inputs, 2, 3, padding=1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate flow from the first frame to the second.

        first, second: [n, 3, h, w], RGB in [0, 1]; h and w should be multiples of 64.
        Returns [n, 2, h / 4, w / 4]: x and y, in pixels of the frames divided by `FLOW_UNIT`.
        """
        firsts, seconds = self._pyramid(first), self._pyramid(second)
        features = self._dense(6, self.correlate(firsts[6], seconds[6]))
        flow = self.predict_flow6(features)
        for level in (5, 4, 3, 2):
            known = firsts[level]
            flow = _cropped(getattr(self, f"deconv{level + 1}")(flow), known)
            upfeat = _cropped(getattr(self, f"upfeat{level + 1}")(features), known)
            fetched = _masked_warp(seconds[level], flow * (FLOW_UNIT / 2**level))
            seen = [self.correlate(known, fetched), known, flow, upfeat]
            features = self._dense(level, paddle.concat(seen, 1))
            flow = getattr(self, f"predict_flow{level}")(features)
        for i in range(1, 8):
            features = getattr(self, f"dc_conv{i}")(features)
        return flow + features

    def _pyramid(self, image: Tensor) -> list[Tensor]:
        """Return features at all levels; level n is 2^n times smaller, level 0 is the image."""
        levels = [image]
        for level in range(1, 7):
            features = levels[-1]
            for name in _pyramid_names(level):
                features = getattr(self, name)(features)
            levels.append(features)
        return levels

    def correlate(self, one: Tensor, other: Tensor) -> Tensor:
        """Correlate features [n, c, h, w] at all displacements of up to `REACH` pixels.

        Returns [n, 81, h, w], row by row; beyond the border, features are zero.
        """
        around = other
        for axis in (2, 3):
            # `pad` exports garbage in place of zeros.
            edge = [paddle.zeros_like(around[:, :, :1] if axis == 2 else around[..., :1])] * REACH
            around = paddle.concat([*edge, around, *edge], axis)
        costs = []
        for top in range(2 * REACH + 1):
            band = around[:, :, top : top - 2 * REACH or None]
            for left in range(2 * REACH + 1):
                moved = band[:, :, :, left : left - 2 * REACH or None]
                costs.append((one * moved).mean(1, keepdim=True))
        return self.leakyRELU(paddle.concat(costs, 1))

    def _dense(self, level: int, features: Tensor) -> Tensor:
        """Apply a dense block: each layer takes the outputs of all layers before it."""
        for i in range(5):
            made = getattr(self, f"conv{level}_{i}")(features)
            features = paddle.concat([made, features], 1)
        return features


def _pyramid_names(level: int) -> list[str]:
    """Return the published names of a level's three convolutions, in their order of use."""
    parts = ("aa", "a", "b") if level == 6 else ("a", "aa", "b")
    return [f"conv{level}{part}" for part in parts]


def _leaky(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    conv = nn.Conv2D(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation)
    return nn.Sequential(conv, nn.LeakyReLU(0.1))


def _cropped(features: Tensor, like: Tensor) -> Tensor:
    """Crop the extra row or column that doubling a rounded-up size adds."""
    height, width = paddle.shape(like)[2], paddle.shape(like)[3]
    return features[:, :, :height, :width]


def _masked_warp(features: Tensor, flow: Tensor) -> Tensor:
    """Warp, with 0 wherever one of the four source pixels is outside."""
    inside = ops.warp(paddle.ones_like(features[:, :1]), flow) >= 0.9999
    return ops.warp(features, flow) * inside.astype("float32")


_Unit = tuple[int, tuple[int, ...]]
"""Reduced channels and kernel sizes of an `Inception`."""


def depth_network() -> nn.Sequential:
    """Build MegaDepth's hourglass (Li and Snavely, CVPR 2018; Chen et al., NIPS 2016).

    It maps [n, 3, h, w], RGB in [0, 1], h and w multiples of 16, to log depth [n, 1, h, w].
    """
    small, large = (3, 5, 7), (3, 7, 11)
    narrow, wide = (32, small), (64, large)
    second = Both(
        nn.Sequential(
            nn.MaxPool2D(2),
            *_units(128, (128, *narrow), (256, *narrow)),
            _inner_levels(narrow, wide),
            *_units(256, (256, *narrow), (128, *narrow)),
            Enlarge("nearest"),
        ),
        nn.Sequential(*_units(128, (128, *narrow), (128, *wide))),
    )
    first = Both(
        nn.Sequential(
            nn.MaxPool2D(2),
            *_units(128, (128, *narrow), (128, *narrow)),
            second,
            *_units(128, (128, 64, small), (64, 32, large)),
            Enlarge("nearest"),
        ),
        nn.Sequential(*_units(128, (64, *wide))),
    )
    stem = (nn.Conv2D(3, 128, 7, padding=3), nn.BatchNorm2D(128), nn.ReLU())
    return nn.Sequential(*stem, first, nn.Conv2D(64, 1, 3, padding=1))


def _inner_levels(narrow: _Unit, wide: _Unit) -> Both:
    """Build the two innermost levels of the hourglass, at 1/4 and 1/8 of the size."""
    fourth = Both(
        nn.Sequential(*_units(256, (256, *narrow), (256, *narrow))),
        nn.Sequential(
            nn.AvgPool2D(2),
            *_units(256, (256, *narrow), (256, *narrow), (256, *narrow)),
            Enlarge("nearest"),
        ),
    )
    return Both(
        nn.Sequential(*_units(256, (256, *narrow), (256, *wide))),
        nn.Sequential(
            nn.AvgPool2D(2),
            *_units(256, (256, *narrow), (256, *narrow)),
            fourth,
            *_units(256, (256, *narrow), (256, *wide)),
            Enlarge("nearest"),
        ),
    )


class Both(nn.Layer):
    """The sum of two branches."""

    def __init__(self, *branches: nn.Layer) -> None:
        super().__init__()
        self.add_sublayer("0", nn.LayerList(branches))

    def forward(self, features: Tensor) -> Tensor:
        one, other = self._sub_layers["0"]
        return one(features) + other(features)


class Inception(nn.LayerList):
    """A 1x1 convolution and three larger ones in parallel, concatenated."""

    def __init__(self, inputs: int, outputs: int, reduced: int, sizes: tuple[int, ...]) -> None:
        share = outputs // 4
        branches = [nn.Sequential(*_normalized(inputs, share, 1))]
        for size in sizes:
            layers = [*_normalized(inputs, reduced, 1), *_normalized(reduced, share, size)]
            branches.append(nn.Sequential(*layers))
        super().__init__(branches)

    def forward(self, features: Tensor) -> Tensor:
        return paddle.concat([branch(features) for branch in self], 1)


def _units(inputs: int, *shapes: tuple[int, int, tuple[int, ...]]) -> list[nn.Layer]:
    """Build a sequence of inceptions; shapes: (outputs, reduced, sizes) of each."""
    units = []
    for outputs, reduced, sizes in shapes:
        units.append(Inception(inputs, outputs, reduced, sizes))
        inputs = outputs
    return units


def _normalized(inputs: int, outputs: int, size: int) -> list[nn.Layer]:
    conv = nn.Conv2D(inputs, outputs, size, padding=size // 2)
    return [conv, Normalization(outputs), nn.ReLU()]


class Normalization(nn.Layer):
    """Batch normalization without scale and bias.

    In some versions, Paddle's own layer keeps both in its state regardless.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("_mean", paddle.zeros([channels]))
        self.register_buffer("_variance", paddle.ones([channels]))
        self.register_buffer("scale", paddle.ones([channels]), persistable=False)
        self.register_buffer("bias", paddle.zeros([channels]), persistable=False)

    def forward(self, features: Tensor) -> Tensor:
        return functional.batch_norm(features, self._mean, self._variance, self.scale, self.bias)
