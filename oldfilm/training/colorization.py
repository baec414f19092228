"""Train the lite DeOldify: chroma from luma, as a choice among colors.

The average of all colors that a gray could have had is sepia. So the network chooses, for every
pixel, among some hundred colors, rare ones weighted up; the picture's chroma is the mean of the
sharpened choice (Zhang, Isola and Efros, "Colorful Image Colorization", 2016). Where the class of a
photograph is known, naming it is a second task that teaches the scene branch (Iizuka, Simo-Serra
and Ishikawa, "Let there be Color!", 2016).
"""

from __future__ import annotations

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
from oldfilm.training.torch_networks import DeOldifyLite

AB_SCALE = 110.0
"""The network's chroma is a* and b* over this."""

WARM_UP = 0.03
"""Share of the run in which the learning rate rises."""

TEMPERATURES = (1.25, 1.0, 0.8, 0.65, 0.5)
"""Divisors of the logits to try; smaller ones sharpen the choice among colors."""

UNFOLDING_BATCHES = 30
"""Batches that measure the normalization of weights that have none."""


@dataclass(frozen=True, kw_only=True)
class Recipe(loop.Recipe):
    """See configs/train/deoldify-lite.yaml."""

    weight_decay: float
    rebalance: float
    regression: float
    subject: float
    spread: float
    crops: int


class NamingDeOldifyLite(DeOldifyLite):
    """DeOldifyLite with batch normalization, and a layer that names what a picture shows."""

    def __init__(self, classes: int, settings: dict) -> None:
        super().__init__(**settings, norm=True)
        self.centres.requires_grad_(False)
        self.naming = nn.Linear(settings["widths"][-1], classes)


class Colorization(loop.Training):
    """Trains the lite DeOldify."""

    recipe: Recipe
    network: NamingDeOldifyLite

    def __init__(
        self,
        recipe: Recipe,
        pictures: Pictures,
        look: OldLook,
        validation: Validation,
        device: str = "cpu",
    ) -> None:
        super().__init__(recipe, device)
        torch.set_num_threads(1)  # `backward` has threads of its own.
        self.threads = ThreadPoolExecutor(recipe.threads)
        self.pictures, self.look, self.validation = pictures, look, validation
        self.chroma_samples = _chroma_samples(pictures.rgb)
        centers = find_centers(self.chroma_samples, recipe.settings["bins"], recipe.seed)
        classes = max(int(pictures.subject.max()) + 1, 1)
        self.network = NamingDeOldifyLite(classes, recipe.settings)
        self._choose_among(centers)
        self.network.to(self.device, memory_format=torch.channels_last)

    @classmethod
    def from_folder(
        cls, recipe: Recipe, root: Path, device: str = "cpu", extra: Path | None = None
    ) -> Colorization:
        """root: see `oldfilm.training.data`. extra: see `gather_pictures`."""
        pictures = gather_pictures(root, recipe.crops, recipe.seed, extra)
        print(f"{len(pictures.rgb)} pictures", flush=True)
        validation = gather_validation(root, recipe.crops, recipe.seed)
        look = OldLook(data.overlays(root, data.TRAIN))
        return cls(recipe, pictures, look, validation, device)

    def _choose_among(self, centers: Tensor) -> None:
        """centers: a* and b*, [bins, 2]."""
        palette = Palette(self.chroma_samples, centers, self.recipe.rebalance)
        self.palette = palette.to(self.device)
        self.network.centres.weight.copy_(centers.T[:, :, None, None] / AB_SCALE)

    def load(self, weights: loop.Weights) -> None:
        """Start from weights with or without normalization; keep the colors they choose among."""

        def show_samples(plain: nn.Module) -> None:
            for _ in range(UNFOLDING_BATCHES):
                luma, _, _ = draw_batch(self.pictures, self.recipe.batch, self.look)
                plain.features(luma.to(self.device))

        plain = DeOldifyLite(**self.recipe.settings).to(self.device)
        load_with_norm(self.network, plain, weights, show_samples)
        centers = self.network.centres.weight.detach()[:, :, 0, 0].T.float().cpu() * AB_SCALE
        self._choose_among(centers.contiguous())

    def parts(self) -> list[list[nn.Parameter]]:
        return [[p for p in self.network.parameters() if p.requires_grad]]

    def optimizer(self) -> torch.optim.Optimizer:
        decay = self.recipe.weight_decay
        return torch.optim.AdamW(*self.parts(), weight_decay=decay, foreach=True)

    def learning_rate(self, step: int, progress: float) -> float:
        """Warm up over the first WARM_UP of the run, and fall along a cosine in the rest."""
        if progress < WARM_UP:
            return self.recipe.learning_rate * (0.02 + progress / WARM_UP * 0.98)
        return loop.cosine(self.recipe, (progress - WARM_UP) / (1 - WARM_UP))

    def average_share(self, step: int) -> float:
        return max(1 - self.recipe.average, 1 / (1 + (step - 1) / 4))

    def losses(self) -> dict[str, Tensor]:
        return self._losses(self.recipe.batch)

    def backward(self) -> dict[str, float]:
        """Compute parts of the batch in threads, then average their gradients.

        On a machine that is shared with other work this is faster than OpenMP's threads.
        """
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
        drawn = draw_batch(self.pictures, count, self.look)
        luma, rgb, subject = (part.to(self.device) for part in drawn)
        with torch.autocast(self.device.type, torch.bfloat16):
            features, scene = self.network.features(luma)
            logits = self.network.head(features)
            named = self.network.naming(scene).float()
        entropy, error = self.palette.losses(logits, chroma(rgb))
        naming = functional.cross_entropy(named, subject, ignore_index=-1, reduction="sum") / count
        recipe = self.recipe
        return {
            "entropy": entropy,
            "error": recipe.regression * error,
            "naming": recipe.subject * naming,
        }

    def write(self, weights: loop.Weights, output: Path) -> None:
        """Write the network folded, with the decoding that suits the validation pictures best.

        Half precision is half the size, and changes a* and b* by less than a hundredth.
        """
        network = DeOldifyLite(**self.recipe.settings)
        colorizer = {k: v for k, v in weights.items() if not k.startswith("naming.")}
        network.load_state_dict(folded(colorizer))
        choose_decoding(network, self.validation, self.recipe.spread)
        halves = {name: value.half() for name, value in network.state_dict().items()}
        loop.write_weights(halves, output)


def _chroma_samples(rgb: Tensor) -> Tensor:
    """a* and b* [n, 2] of some of the pictures."""
    some = rgb[torch.randint(len(rgb), (8000,))].float() / 255
    return chroma(functional.avg_pool2d(some, 4)).permute(0, 2, 3, 1).reshape(-1, 2)


@torch.no_grad()
def choose_decoding(network: DeOldifyLite, validation: Validation, spread: float) -> None:
    """Set how a folded network decodes its choice to chroma.

    The choice is sharpened by the temperature whose chroma correlates best with the truth. That
    chroma is moved to the truth's mean and scaled: its standard deviation over the truth's becomes
    `spread` times the correlation. Up to a spread of 2 its error stays below a constant tint's.
    """
    parts = validation.luma.split(64)
    logits = torch.cat([network.head(network.features(part)[0]) for part in parts])
    measured = {}
    for temperature in TEMPERATURES:
        decoded = network.centres(functional.softmax(logits / temperature, 1)) * AB_SCALE
        measured[temperature] = Moments.of(decoded, validation.chroma)
    chosen = max(measured, key=lambda temperature: measured[temperature].correlation.mean())
    found = measured[chosen]
    a, b = found.correlation.tolist()
    print(f"decoding: temperature {chosen}, correlation of a* {a:.3f}, of b* {b:.3f}", flush=True)
    network.head.weight /= chosen
    network.head.bias /= chosen
    gain = (spread * found.correlation / found.spread).reshape(2, 1, 1, 1)
    network.centres.weight -= found.mean.reshape(2, 1, 1, 1) / AB_SCALE
    network.centres.weight *= gain
    network.centres.weight += found.true_mean.reshape(2, 1, 1, 1) / AB_SCALE


@dataclass(frozen=True)
class Moments:
    """Statistics of predicted and true chroma; each is [2], for a* and b*.

    spread: standard deviation over the truth's.
    """

    mean: Tensor
    true_mean: Tensor
    spread: Tensor
    correlation: Tensor

    @classmethod
    def of(cls, predicted: Tensor, truth: Tensor) -> Moments:
        """predicted, truth: [n, 2, h, w]."""
        predicted, truth = (x.transpose(0, 1).flatten(1) for x in (predicted, truth))
        correlation = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(predicted, truth)]
        spread = predicted.std(1) / truth.std(1)
        return cls(predicted.mean(1), truth.mean(1), spread, torch.stack(correlation))
