"""PyTorch twins of the lite networks, for training: one state dict fits both.

PyTorch trains several times faster than Paddle on a CPU; oldfilm runs the Paddle networks in
`oldfilm.networks`. The repetition is intended: tests hold each pair equal.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class PPMSVSRLite(nn.Module):
    """Twin of `oldfilm.networks.ppmsvsr_lite.PPMSVSRLite`."""

    def __init__(
        self, channels: int = 32, backward_blocks: int = 3, forward_blocks: int = 5
    ) -> None:
        super().__init__()
        self.backward_cell = _BackwardCell(channels, backward_blocks)
        self.forward_cell = _ForwardCell(channels, forward_blocks)
        self.channels = channels

    def forward(self, frames: Tensor, to_next: Tensor, to_previous: Tensor) -> Tensor:
        count = frames.shape[1]
        still = torch.zeros_like(frames[:, 0, :2])
        hidden = still[:, :1].repeat(1, self.channels, 1, 1)
        later = [hidden] * count
        state = hidden
        for i in reversed(range(count)):
            last = i == count - 1
            flow = still if last else to_next[:, i]
            state = self.backward_cell(frames[:, i], frames[:, i if last else i + 1], flow, state)
            later[i] = state
        enlarged, state = [], hidden
        for i in range(count):
            flow = to_previous[:, i - 1] if i else still
            before = frames[:, i - 1 if i else 0]
            state, image = self.forward_cell(frames[:, i], before, flow, state, later[i])
            enlarged.append(image)
        return torch.stack(enlarged, 1)


class _BackwardCell(nn.Module):
    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.trunk = _Trunk(6 + channels, channels, blocks)

    def forward(self, frame: Tensor, neighbor: Tensor, flow: Tensor, hidden: Tensor) -> Tensor:
        seen = warp(torch.cat([neighbor, hidden], 1), flow)
        return self.trunk(torch.cat([frame, seen], 1))


class _ForwardCell(nn.Module):
    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.trunk = _Trunk(6 + 2 * channels, channels, blocks)
        self.detail = nn.Conv2d(channels, channels, 3, padding=1)
        self.enlarge = nn.Conv2d(channels, 3 * 16, 3, padding=1)

    def forward(
        self, frame: Tensor, neighbor: Tensor, flow: Tensor, hidden: Tensor, later: Tensor
    ) -> tuple[Tensor, Tensor]:
        seen = warp(torch.cat([neighbor, hidden], 1), flow)
        hidden = self.trunk(torch.cat([frame, seen, later], 1))
        detail = functional.pixel_shuffle(self.enlarge(functional.relu(self.detail(hidden))), 4)
        base = functional.interpolate(frame, scale_factor=4, mode="bilinear", align_corners=False)
        return hidden, base + detail


class _Trunk(nn.Module):
    def __init__(self, channels_in: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.blocks = nn.ModuleList(_Residual(channels) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.enter(x))
        for block in self.blocks:
            x = block(x)
        return x


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.relu(self.first(x)))


class DAINLite(nn.Module):
    """Twin of `oldfilm.networks.dain_lite.DAINLite`."""

    flow_unit, contrast, color_unit = 8.0, 10.0, 0.02

    def __init__(self, channels: tuple[int, int, int] = (32, 48, 64)) -> None:
        super().__init__()
        half, quarter, eighth = channels
        self.enter = nn.Conv2d(22, half, 3, stride=2, padding=1)
        self.at_half = nn.Conv2d(half, half, 3, padding=1)
        self.down_quarter = nn.Conv2d(half, quarter, 3, stride=2, padding=1)
        self.at_quarter = nn.Conv2d(quarter, quarter, 3, padding=1)
        self.down_eighth = nn.Conv2d(quarter, eighth, 3, stride=2, padding=1)
        self.at_eighth = nn.Conv2d(eighth, eighth, 3, padding=1)
        self.deepest = nn.Conv2d(eighth, eighth, 3, padding=1)
        self.up_quarter = nn.Conv2d(eighth + quarter, quarter, 3, padding=1)
        self.up_half = nn.Conv2d(quarter + half, half, 3, padding=1)
        self.leave = nn.Conv2d(half, 11, 3, padding=1)
        for name, parameter in self.named_parameters():
            if name.endswith("bias") or name.startswith("leave"):
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")

    def forward(self, candidates: Tensor, flows: Tensor, trust: Tensor, time: Tensor) -> Tensor:
        relu = functional.relu
        pictures = candidates.split(3, 1)
        mean = sum(pictures) / 4
        differences = [self.contrast * (picture - mean) for picture in pictures]
        known = [mean - 0.5, *differences, flows / self.flow_unit, trust - 0.5, time - 0.5]
        seen = torch.cat(known, 1)
        half = relu(self.at_half(relu(self.enter(seen))))
        quarter = relu(self.at_quarter(relu(self.down_quarter(half))))
        eighth = relu(self.at_eighth(relu(self.down_eighth(quarter))))
        eighth = relu(self.deepest(eighth))
        quarter = relu(self.up_quarter(torch.cat([_bilinear(eighth, quarter), quarter], 1)))
        half = relu(self.up_half(torch.cat([_bilinear(quarter, half), half], 1)))
        change = _bilinear(self.leave(half), seen)

        likely = torch.log((1 - time) / time)
        first = torch.sigmoid(likely + trust[:, :1] - trust[:, 1:] + change[:, 4:5])
        straight_first = torch.sigmoid(likely + change[:, 5:6])
        straight = torch.sigmoid(change[:, 6:7])
        projected = torch.lerp(pictures[1], pictures[0], first)
        unprojected = torch.lerp(pictures[3], pictures[2], straight_first)
        soft = torch.lerp(projected, unprojected, straight) + self.color_unit * change[:, 8:11]
        spread = sum((picture - soft).abs() for picture in pictures).mean(1, keepdim=True) / 4
        doubt = torch.sigmoid(60 * spread - 4 + change[:, 7:8])
        return torch.cat([flows + change[:, :4], first, doubt, soft], 1)


def _bilinear(small: Tensor, large: Tensor) -> Tensor:
    size = large.shape[2:]
    return functional.interpolate(small, size=size, mode="bilinear", align_corners=False)


def warp(image: Tensor, flow: Tensor, margin: int = 0, padding: str = "zeros") -> Tensor:
    """Warp the part of `image` inside its margin backward, bilinearly.

    image: [n, c, h + 2 margin, w + 2 margin]. flow: [n, 2, h, w] in pixels, x then y. padding: the
    mode of `grid_sample` for places outside the image. Returns [n, c, h, w].
    """
    rows, columns = flow.shape[2:]
    x = torch.arange(columns, dtype=flow.dtype, device=flow.device) + flow[:, 0] + margin
    y = torch.arange(rows, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 1] + margin
    height, width = image.shape[2:]
    grid = torch.stack([x * 2 / max(width - 1, 1) - 1, y * 2 / max(height - 1, 1) - 1], 3)
    return functional.grid_sample(image, grid, padding_mode=padding, align_corners=True)


class _Unit(nn.Module):
    def __init__(
        self,
        channels_in: int,
        channels: int,
        kernel: int,
        stride: int,
        norm: bool,
        active: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=not norm)
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return functional.relu(x) if self.active else x


class _Block(nn.Module):
    def __init__(self, channels: int, norm: bool) -> None:
        super().__init__()
        self.first = _Unit(channels, channels, 3, 1, norm)
        self.second = _Unit(channels, channels, 3, 1, norm, active=False)
        if norm:
            nn.init.zeros_(self.second.norm.weight)  # An identity at first.

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


def _nearest(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[2:], mode="nearest")


class OldPhotoLite(nn.Module):
    """Twin of `oldfilm.networks.old_photo_lite.OldPhotoLite`.

    norm: with batch normalization, for training; `fold.folded` removes it.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 48, 64, 96, 128),
        deeper: Sequence[int] = (),
        creases: Sequence[int] = (32, 48, 64, 96, 128),
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.detector = _Detector(widths, deeper, norm)
        self.creases = _Detector(creases, (), norm)
        self.restorer = _PhotoRestorer(widths, norm)


class _Detector(nn.Module):
    def __init__(self, widths: Sequence[int], deeper: Sequence[int], norm: bool) -> None:
        super().__init__()
        self.body = _UNet(6, 1, widths, norm, deeper)

    def forward(self, image: Tensor, departures: Tensor) -> Tensor:
        return self.body(torch.cat([image - 0.5, 3 * departures], 1))


class _PhotoRestorer(nn.Module):
    def __init__(self, widths: Sequence[int], norm: bool) -> None:
        super().__init__()
        self.body = _UNet(7, 3, widths, norm)

    def forward(self, image: Tensor, filled: Tensor, mask: Tensor) -> Tensor:
        return filled + self.body(torch.cat([image - 0.5, filled - image, mask], 1))


class _UNet(nn.Module):
    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        widths: Sequence[int],
        norm: bool,
        deeper: Sequence[int] = (),
    ) -> None:
        super().__init__()
        blocks = [*deeper, *[0] * (len(widths) - len(deeper))]
        self.enter = _Unit(channels_in, widths[0], 5, 2, norm)
        pairs = list(zip(widths[:-1], widths[1:]))
        self.down = nn.ModuleList(_Unit(a, b, 3, 2, norm) for a, b in pairs)
        self.before = nn.ModuleList(_Unit(a, a, 3, 1, norm) for a in widths)
        self.deeper = nn.ModuleList(
            nn.Sequential(*(_Block(width, norm) for _ in range(count)))
            for width, count in zip(widths, blocks)
        )
        self.up = nn.ModuleList(_Unit(a + b, a, 3, 1, norm) for a, b in pairs)
        self.after = nn.ModuleList(_Unit(a, a, 3, 1, norm) for a, _ in pairs)
        self.leave = nn.Conv2d(widths[0], 4 * channels_out, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        x = self.deeper[0](x + self.before[0](x))
        skipped = []
        for down, before, deeper in zip(self.down, self.before[1:], self.deeper[1:]):
            skipped.append(x)
            x = down(x)
            x = deeper(x + before(x))
        for skip, up, after in reversed(list(zip(skipped, self.up, self.after))):
            x = up(torch.cat([skip, _nearest(x, skip)], 1))
            x = x + after(x)
        return functional.pixel_shuffle(self.leave(x), 2)


class DeblurLite(nn.Module):
    """Twin of `oldfilm.networks.deblur_lite.DeblurLite`."""

    def __init__(
        self,
        widths: Sequence[int] = (40, 64, 96),
        blocks: Sequence[int] = (2, 2, 3),
        blocks_up: Sequence[int] = (2, 1),
    ) -> None:
        super().__init__()
        half, quarter, eighth = widths
        self.enter = nn.Conv2d(1, half, 6, stride=2, padding=2)
        self.down_half = _blocks(half, blocks[0])
        self.to_quarter = nn.Conv2d(half, quarter, 2, stride=2)
        self.down_quarter = _blocks(quarter, blocks[1])
        self.to_eighth = nn.Conv2d(quarter, eighth, 2, stride=2)
        self.deepest = _blocks(eighth, blocks[2])
        self.from_eighth = nn.Conv2d(eighth, 4 * quarter, 1)
        self.up_quarter = _blocks(quarter, blocks_up[1])
        self.from_quarter = nn.Conv2d(quarter, 4 * half, 1)
        self.up_half = _blocks(half, blocks_up[0])
        self.leave = nn.Conv2d(half, 4, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, luma: Tensor) -> Tensor:
        half = self.down_half(self.enter(luma - 0.5))
        quarter = self.down_quarter(self.to_quarter(half))
        eighth = self.deepest(self.to_eighth(quarter))
        quarter = quarter + functional.pixel_shuffle(self.from_eighth(eighth), 2)
        half = half + functional.pixel_shuffle(self.from_quarter(self.up_quarter(quarter)), 2)
        return functional.pixel_shuffle(self.leave(self.up_half(half)), 2)


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[_Residual(channels) for _ in range(count)])
