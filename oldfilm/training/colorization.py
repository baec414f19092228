"""Trains the lite DeOldify: chroma from luma, as a choice among colors.

Averaging all colors that a gray could have had gives sepia. So the network chooses: a soft class a
pixel among some hundred colors, rare ones weighted up, and the picture's chroma is the mean of the
sharpened choice (Zhang, Isola and Efros, "Colorful Image Colorization", 2016). Where the classes of
photographs are known, naming them is a second task, which teaches the scene branch what it looks at
(Iizuka, Simo-Serra and Ishikawa, "Let there be Color!", 2016).
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from torch import Tensor
from torch.nn import functional

from oldfilm.training import data
from oldfilm.training.fold import folded
from oldfilm.training.snapshot import write_weights
from oldfilm.training.torch_networks import DeOldifyLite

SIDE = 64
"""Pictures are squares of this many pixels while training."""

AB_SCALE = 110.0
"""The network's chroma is a* and b* over this."""

CHECKPOINT = "checkpoint.pt"
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Recipe:
    """What a training run is made of; see configs/train/deoldify-lite.yaml."""

    settings: dict
    seconds: float
    batch: int
    rate: float
    weight_decay: float
    rebalance: float
    regression: float
    subject: float
    spread: float
    crops: int
    threads: int
    seed: int


@dataclass(frozen=True)
class Pictures:
    """rgb: uint8 [n, 3, SIDE, SIDE]. subject: int64 [n], the class shown, -1 where unknown."""

    rgb: Tensor
    subject: Tensor

    def keep(self, chosen: Tensor) -> Pictures:
        return Pictures(self.rgb[chosen], self.subject[chosen])


def is_validation(name: str) -> bool:
    """Whether a photograph of the training part is kept for choosing how to decode."""
    return int(name.rsplit("/", 1)[1]) % 20 == 5


def gather(root: Path, recipe: Recipe, extra: Path | None) -> Pictures:
    """All training pictures as squares, in memory; gray ones are left out.

    extra: a tar of small JPEGs, `.../<class>_<number>.JPEG`. Those of it that are in root's own
    tars too, byte by byte or pixel by pixel, are left out: some of them are held out. So is, from
    wherever it comes, what looks like a held-out photograph: archives show the same one in
    different sizes.
    """
    rng = np.random.default_rng(recipe.seed)
    squares = []
    for name, photograph in data.photographs(root, data.TRAIN):
        if not is_validation(name):
            squares += _squares(photograph, recipe.crops, rng)
    for _, clip in data.clips(root, data.TRAIN):
        for frame in clip[::8]:
            squares += _squares(frame, recipe.crops // 2, rng)
    subjects = [-1] * len(squares)
    if extra is not None:
        more, more_subjects = _extra_squares(root, extra)
        squares += more
        subjects += more_subjects
    rgb = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()
    pictures = Pictures(rgb, torch.tensor(subjects))
    wanted = _is_colored(rgb) & ~_looks_held_out(rgb, root)
    return pictures.keep(wanted)


def _squares(photograph: np.ndarray, crops: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Random squares of half to all of the shorter side; a picture as small as SIDE stays whole."""
    short = min(photograph.shape[:2])
    if short <= SIDE:
        return [cv2.resize(photograph, (SIDE, SIDE), interpolation=cv2.INTER_AREA)]
    found = []
    for _ in range(crops):
        side = int(rng.uniform(0.5, 1.0) * short)
        top, left = (int(rng.integers(n - side + 1)) for n in photograph.shape[:2])
        square = photograph[top : top + side, left : left + side]
        found.append(cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    return found


def _extra_squares(root: Path, extra: Path) -> tuple[list[np.ndarray], list[int]]:
    known = set()
    for archive in sorted((root / "photos").glob("*.tar")):
        for _, stored in data.tar_members(archive):
            known |= {_digest(stored), _digest(data.decode_photograph(stored).tobytes())}
    squares, subjects, classes = [], [], {}
    for member, stored in data.tar_members(extra):
        if member.suffix.lower() not in (".jpeg", ".jpg") or _digest(stored) in known:
            continue
        photograph = data.decode_photograph(stored)
        if _digest(photograph.tobytes()) in known:
            continue
        square = cv2.resize(photograph, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        squares.append(square)
        name = member.stem.split("_")[0]
        subjects.append(classes.setdefault(name, len(classes)))
    return squares, subjects


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _looks_held_out(rgb: Tensor, root: Path) -> Tensor:
    """Whether thumbnails [n] of 8x8 pixels, of the whole or of the middle, correlate above 0.98."""
    squares = []
    for _, photograph in data.photographs(root, data.HELD_OUT):
        for part in (photograph, _middle(photograph)):
            squares.append(cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    held_out = _thumbnails(torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2))
    likeness = [(_thumbnails(part) @ held_out.T).amax(1) for part in rgb.split(4096)]
    return torch.cat(likeness) > 0.98


def _thumbnails(rgb: Tensor) -> Tensor:
    small = functional.avg_pool2d(rgb.float(), SIDE // 8).flatten(1)
    return functional.normalize(small - small.mean(1, keepdim=True))


def _middle(photograph: np.ndarray) -> np.ndarray:
    side = min(photograph.shape[:2])
    top, left = ((n - side) // 2 for n in photograph.shape[:2])
    return photograph[top : top + side, left : left + side]


def _is_colored(rgb: Tensor) -> Tensor:
    spread = rgb.amax(1).short() - rgb.amin(1).short()
    return spread.float().mean((1, 2)) > 6


def chroma(rgb: Tensor) -> Tensor:
    """a* and b* [n, 2, h, w] of sRGB [n, 3, h, w] in [0, 1]; CIE 1976 with the white point D65."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    to_xyz = linear.new_tensor(
        [
            [0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456],
            [0.212671, 0.715160, 0.072169],
            [0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754],
        ]
    )
    xyz = torch.einsum("ij,njhw->nihw", to_xyz, linear)
    x, y, z = torch.where(
        xyz > 0.008856, xyz.clamp(min=1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116
    ).unbind(1)
    return torch.stack([500 * (x - y), 200 * (y - z)], 1)


class Colors:
    """The colors to choose from, and every chroma's share in them.

    centers: float32 [bins, 2], a* and b*. Shares are read from a table over the a*b* plane, one
    entry every two units, of which the five nearest centers get a Gaussian share (sigma 5).
    """

    STEP = 2
    CELLS = 112

    def __init__(self, samples: Tensor, bins: int, rebalance: float, seed: int) -> None:
        """samples: a* and b* [n, 2] of the pictures to train on."""
        counts = torch.bincount(self._cell(samples), minlength=self.CELLS**2).float()
        axis = (torch.arange(self.CELLS).float() + 0.5 - self.CELLS / 2) * self.STEP
        plane = torch.cartesian_prod(axis, axis)
        # The square root spreads the centers over rare colors too.
        self.centres = _centroids(plane, counts.sqrt(), bins, seed)
        squared, nearest = torch.cdist(plane, self.centres).square().topk(5, largest=False)
        share = torch.softmax(-squared / (2 * 5.0**2), 1)
        self.shares = torch.zeros(len(plane), bins).scatter_(1, nearest, share)
        prior = (counts[:, None] * self.shares).sum(0) / counts.sum()
        weight = 1 / ((1 - rebalance) * prior + rebalance / bins)
        weight /= (prior * weight).sum()
        self.weights = self.shares @ weight

    def losses(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """How wrong logits [n, bins, h, w] are about a*, b* [n, 2, h, w].

        Returns the cross entropy, rare colors weighted, and the mean square error of the chroma
        that the logits decode to, in units of 20.
        """
        target = target.permute(0, 2, 3, 1).reshape(-1, 2)
        cells = self._cell(target)
        belief = functional.log_softmax(logits.permute(0, 2, 3, 1).flatten(0, 2).float(), 1)
        entropy = (self.weights[cells] * -(self.shares[cells] * belief).sum(1)).mean()
        return entropy, ((belief.exp() @ self.centres - target) / 20).square().mean()

    def _cell(self, chroma: Tensor) -> Tensor:
        index = (chroma / self.STEP + self.CELLS / 2).long().clamp(0, self.CELLS - 1)
        return index[:, 0] * self.CELLS + index[:, 1]


def _centroids(points: Tensor, weights: Tensor, count: int, seed: int) -> Tensor:
    """Weighted k-means: [count, 2] centers of [n, 2] points."""
    points, weights = points[weights > 0], weights[weights > 0]
    generator = torch.Generator().manual_seed(seed)
    centers = points[torch.multinomial(weights, count, generator=generator)]
    for _ in range(40):
        nearest = torch.cdist(points, centers).argmin(1)
        mass = torch.zeros(count).index_add_(0, nearest, weights)
        moment = torch.zeros(count, 2).index_add_(0, nearest, points * weights[:, None])
        centers = torch.where(mass[:, None] > 0, moment / mass[:, None].clamp(min=1e-9), centers)
    return centers


class OldLook:
    """Makes a batch of luma look like old film; half of it stays clean.

    The figures are those of `ageing.Ageing` where it has them, for pictures of SIDE pixels.
    """

    def __init__(self, overlays: list[np.ndarray]) -> None:
        small = [
            cv2.resize(o, (SIDE, SIDE), interpolation=cv2.INTER_AREA)[..., 3] for o in overlays
        ]
        self.damage = torch.from_numpy(np.stack(small)).float()[:, None] / 255

    def __call__(self, luma: Tensor) -> Tensor:
        """luma: [n, 1, SIDE, SIDE] in [0, 1]; so is the result."""
        count = len(luma)

        def draw(low: float, high: float) -> Tensor:
            return torch.rand(count, 1, 1, 1) * (high - low) + low

        aged = _blurred(luma, draw(0.05, 1.0))
        aged = aged.clamp(min=1e-4) ** torch.exp(draw(-0.4, 0.4))
        black, white = draw(0.0, 0.15), draw(0.8, 1.0)
        aged = black + aged * (white - black)
        coarse = functional.interpolate(torch.randn(count, 1, SIDE // 2, SIDE // 2), scale_factor=2)
        aged = aged + draw(0.0, 0.05) * torch.randn_like(luma) + draw(0.0, 0.03) * coarse
        damage = self.damage[torch.randint(len(self.damage), (count,))]
        damage = damage * (draw(0.0, 1.0) < 0.25) * draw(0.3, 1.0)
        aged = aged + damage * ((draw(0.0, 1.0) < 0.5).float() * 0.9 + 0.05 - aged)
        return torch.where(draw(0.0, 1.0) < 0.5, luma, aged.clamp(0, 1))


def _blurred(luma: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of [n, 1, h, w], each with a sigma of its own [n, 1, 1, 1]."""
    offsets = torch.arange(-2, 3).float()
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum(-1, keepdim=True)
    rows = functional.pad(luma.transpose(0, 1), (2, 2, 2, 2), mode="replicate")
    rows = functional.conv2d(rows, kernel, groups=len(luma))
    return functional.conv2d(rows, kernel.transpose(2, 3), groups=len(luma)).transpose(0, 1)


def draw_batch(pictures: Pictures, count: int, look: OldLook) -> tuple[Tensor, Tensor, Tensor]:
    """Random squares of random pictures.

    Returns aged luma [n, 1, SIDE, SIDE], RGB at a quarter of the size, and the class shown [n].
    """
    chosen = torch.randint(len(pictures.rgb), (count,))
    zoom = 1 - 0.5 * torch.rand(count) * (torch.rand(count) < 0.4)
    shift = (torch.rand(count, 2) * 2 - 1) * (1 - zoom)[:, None]
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = zoom * (torch.randint(2, (count,)) * 2 - 1)
    theta[:, 1, 1] = zoom
    theta[:, :, 2] = shift
    grid = functional.affine_grid(theta, [count, 3, SIDE, SIDE], align_corners=False)
    rgb = pictures.rgb[chosen].float() / 255
    rgb = functional.grid_sample(rgb, grid, padding_mode="border", align_corners=False)
    return look(_emulsion(rgb)), functional.avg_pool2d(rgb, 4), pictures.subject[chosen]


def _emulsion(rgb: Tensor) -> Tensor:
    """Luma [n, 1, h, w] as some film would see it: early stock hardly sees red."""
    usual = rgb.new_tensor(LUMA).expand(len(rgb), 3)
    blue_sensitive = rgb.new_tensor((0.1, 0.5, 0.4))
    amount = torch.rand(len(rgb), 1) * (torch.rand(len(rgb), 1) < 0.4)
    weights = usual + amount * (blue_sensitive - usual)
    return torch.einsum("nc,nchw->nhw", weights, rgb)[:, None]


class Run:
    """A training run that can be stopped and gone on with from its last checkpoint."""

    def __init__(self, recipe: Recipe, pictures: Pictures, look: OldLook, folder: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.pictures, self.look = recipe, pictures, look
        self.path = folder / CHECKPOINT
        self.colors = Colors(
            _chroma_samples(pictures.rgb), recipe.settings["bins"], recipe.rebalance, recipe.seed
        )
        self.network = DeOldifyLite(**recipe.settings, norm=True)
        self.network.centers.requires_grad_(False)
        self.network.centres.weight.copy_(self.colors.centers.T[:, :, None, None] / AB_SCALE)
        self.network.to(memory_format=torch.channels_last)
        classes = max(int(pictures.subject.max()) + 1, 1)
        self.naming = torch.nn.Linear(recipe.settings["widths"][-1], classes)
        trained = [p for p in self.network.parameters() if p.requires_grad]
        self.trained = [*trained, *self.naming.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.trained, recipe.rate, weight_decay=recipe.weight_decay, foreach=True
        )
        self.average = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.step, self.spent = 0, 0.0
        if self.path.exists():
            self._resume()

    def _resume(self) -> None:
        state = torch.load(self.path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.naming.load_state_dict(state["naming"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step, self.spent = state["average"], state["step"], state["spent"]
        torch.manual_seed(self.recipe.seed + self.step)

    def save(self) -> None:
        """Write the checkpoint, all or nothing."""
        state = {
            "network": self.network.state_dict(),
            "naming": self.naming.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
            "spent": self.spent,
        }
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)

    def train(self) -> Iterator[dict[str, float]]:
        """Train until the recipe's seconds are spent; a report every hundred steps."""
        losses = []
        started = time.monotonic() - self.spent
        with ThreadPoolExecutor(self.recipe.threads) as pool:
            while self.spent < self.recipe.seconds:
                losses.append(self._take_step(pool))
                self.step += 1
                self.spent = time.monotonic() - started
                if self.step % 100 == 0:
                    means = dict(zip(("entropy", "error", "subject"), np.mean(losses, 0)))
                    yield {"step": self.step, "spent": self.spent, **means}
                    losses = []

    def _take_step(self, pool: ThreadPoolExecutor) -> np.ndarray:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate * _schedule(self.spent / self.recipe.seconds)
        # Threads with a part of the batch each share cores with other work better than OpenMP's do.
        count = self.recipe.batch // self.recipe.threads
        parts = list(pool.map(self._gradients, [count] * self.recipe.threads))
        for parameter, *gradients in zip(self.trained, *(part[0] for part in parts)):
            parameter.grad = sum(gradients) / len(gradients)
        torch.nn.utils.clip_grad_norm_(self.trained, 5.0)
        self.optimizer.step()
        self._follow()
        return np.mean([part[1] for part in parts], 0)

    def _gradients(self, count: int) -> tuple[tuple[Tensor, ...], list[float]]:
        """Of one batch: the gradient of every trained parameter, and the losses."""
        luma, rgb, subject = draw_batch(self.pictures, count, self.look)
        with torch.autocast("cpu", torch.bfloat16):
            features, scene = self.network.features(luma)
            logits = self.network.head(features)
            named = self.naming(scene).float()
        entropy, error = self.colors.losses(logits, chroma(rgb))
        naming = functional.cross_entropy(named, subject, ignore_index=-1, reduction="sum") / count
        loss = entropy + self.recipe.regression * error + self.recipe.subject * naming
        gradients = torch.autograd.grad(loss, self.trained)
        return gradients, [float(part.detach()) for part in (entropy, error, naming)]

    def _follow(self) -> None:
        """The average that is shipped: recent weights count more, the first ones are forgotten."""
        share = max(0.001, 1 / (1 + self.step / 4))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, share)


def _schedule(progress: float) -> float:
    """Share of the peak learning rate: a linear warm-up, then a cosine."""
    if progress < 0.03:
        return 0.02 + progress / 0.03 * 0.98
    return 0.5 + 0.5 * math.cos(math.pi * min((progress - 0.03) / 0.97, 1.0))


def _chroma_samples(rgb: Tensor) -> Tensor:
    some = rgb[torch.randint(len(rgb), (8000,))].float() / 255
    return chroma(functional.avg_pool2d(some, 4)).permute(0, 2, 3, 1).reshape(-1, 2)


def shipped(average: dict[str, Tensor], recipe: Recipe, root: Path) -> dict[str, Tensor]:
    """The state dict to ship: folded, and decoding as suits the validation photographs best.

    The belief is sharpened by the temperature whose chroma correlates best with the truth. That
    chroma is then moved to the truth's mean, and scaled to a spread (its standard deviation over
    the truth's) of `recipe.spread` times the correlation; up to 2 its error stays below that of a
    constant tint.
    """
    network = DeOldifyLite(**recipe.settings)
    network.load_state_dict(folded(average))
    luma, truth = _validation(root, recipe)
    with torch.no_grad():
        logits = torch.cat([network.head(network.features(part)[0]) for part in luma.split(64)])
        judged = {}
        for temperature in (1.25, 1.0, 0.8, 0.65, 0.5):
            decoded = network.centers(functional.softmax(logits / temperature, 1)) * AB_SCALE
            judged[temperature] = _moments(decoded, truth)
            print(f"temperature {temperature}: correlation {judged[temperature].correlation}")
        chosen = max(judged, key=lambda temperature: judged[temperature].correlation.mean())
        found = judged[chosen]
        network.head.weight /= chosen
        network.head.bias /= chosen
        gain = (recipe.spread * found.correlation / found.spread).reshape(2, 1, 1, 1)
        network.centres.weight -= found.mean.reshape(2, 1, 1, 1) / AB_SCALE
        network.centres.weight *= gain
        network.centres.weight += found.true_mean.reshape(2, 1, 1, 1) / AB_SCALE
    return {name: value.contiguous() for name, value in network.state_dict().items()}


def _validation(root: Path, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Luma [n, 1, SIDE, SIDE] and a*, b* [n, 2, SIDE / 4, SIDE / 4] to choose the decoding by."""
    rng = np.random.default_rng(recipe.seed)
    squares = []
    for name, photograph in data.photographs(root, data.TRAIN):
        if is_validation(name):
            squares += _squares(photograph, recipe.crops, rng)
    rgb = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255
    luma = torch.einsum("c,nchw->nhw", rgb.new_tensor(LUMA), rgb)[:, None]
    return luma, chroma(functional.avg_pool2d(rgb, 4))


@dataclass(frozen=True)
class Moments:
    """Of predicted and true chroma; each is [2], for a* and b*."""

    mean: Tensor
    true_mean: Tensor
    spread: Tensor
    correlation: Tensor


def _moments(predicted: Tensor, truth: Tensor) -> Moments:
    """predicted, truth: [n, 2, h, w]."""
    predicted, truth = (x.transpose(0, 1).flatten(1) for x in (predicted, truth))
    correlation = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(predicted, truth)]
    spread = predicted.std(1) / truth.std(1)
    return Moments(predicted.mean(1), truth.mean(1), spread, torch.stack(correlation))


def main(arguments: list[str]) -> None:
    """Train, or go on training, and write the weights; see --help."""
    parser = argparse.ArgumentParser(prog="oldfilm.training colorization")
    parser.add_argument("recipe", type=Path, help="configs/train/deoldify-lite.yaml")
    parser.add_argument("--data", type=Path, required=True, help="folder with photos/ and video/")
    parser.add_argument("--extra", type=Path, help="tar of more photographs, <class>_<n>.JPEG each")
    parser.add_argument("--output", type=Path, default=Path("output/deoldify-lite"))
    parser.add_argument("--snapshot", action="store_true", help="ship the checkpoint as it is")
    options = parser.parse_args(arguments)
    recipe = Recipe(**yaml.safe_load(options.recipe.read_text(encoding="utf-8")))
    options.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if not options.snapshot:
        _train(recipe, options.data, options.extra, options.output)
    state = torch.load(options.output / CHECKPOINT, weights_only=True)
    print(f"step {state['step']}, {state['spent']:.0f} s")
    weights = shipped(state["average"], recipe, options.data)
    # Half precision is half the size, and changes a* and b* by less than a hundredth.
    halves = {name: value.half() for name, value in weights.items()}
    write_weights(halves, options.output / "deoldify-lite.safetensors")


def _train(recipe: Recipe, root: Path, extra: Path | None, output: Path) -> None:
    pictures = gather(root, recipe, extra)
    print(f"{len(pictures.rgb)} pictures", flush=True)
    run = Run(recipe, pictures, OldLook(data.overlays(root, data.TRAIN)), output)
    for report in run.train():
        print(" ".join(f"{name} {value:.4g}" for name, value in report.items()), flush=True)
        if run.step % 500 == 0:
            run.save()
    run.save()
