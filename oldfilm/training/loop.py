"""The training loop, shared by all networks.

A `Training` supplies what differs: the network, the data, the losses and the file that ships.
`fit` takes the steps: a learning rate that falls along a cosine after a warm-up, gradient clipping,
a running average of the weights, progress reports and snapshots.
"""

from __future__ import annotations

import abc
import math
import pickle
import time
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import cv2
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from oldfilm.errors import NetworkError, OptionError, WeightsError, from_os
from oldfilm.system import files

WARM_UP_STEPS = 100

REPORT_STEPS = 50
"""Steps between two lines of progress."""

CHECKPOINT_SUFFIX = ".checkpoint"

Weights = dict[str, Tensor]
"""A state dict."""

R = TypeVar("R", bound="Recipe")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The keys that every file in configs/train/ has; each training adds its own.

    settings: arguments of the network.
    batch: samples per step.
    learning_rate, last_learning_rate: where the cosine starts and ends.
    clip: largest norm of the gradient.
    average: share of itself that the running average keeps in every step.
    minutes, steps: length of the run; one of the two.
    save_minutes: time between snapshots.
    threads: CPU threads.
    seed: of the weights and of all samples.
    mix: which weights are written: those at the start (0), those learned (1), or a mixture, which
        keeps abilities of the starting weights (Wortsman et al., "Robust fine-tuning of zero-shot
        models", CVPR 2022).
    """

    settings: dict[str, Any]
    batch: int
    learning_rate: float
    last_learning_rate: float
    clip: float
    average: float
    save_minutes: float
    threads: int
    seed: int
    minutes: float | None = None
    steps: int | None = None
    mix: float = 1.0

    @classmethod
    def read(cls: type[R], path: Path) -> R:
        """Read a recipe from a YAML file.

        Raises:
            OptionError: it cannot be read, or has missing or unknown keys.
        """
        try:
            stated = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise from_os(str(path), error) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise OptionError(f"{path}: not YAML: {error}") from error
        if not isinstance(stated, dict):
            raise OptionError(f"{path}: not a recipe: it must map keys to values")
        required = {field.name for field in fields(cls) if field.default is MISSING}
        if missing := required - stated.keys():
            raise OptionError(f"{path}: missing keys: {', '.join(sorted(missing))}")
        if unknown := stated.keys() - {field.name for field in fields(cls)}:
            raise OptionError(f"{path}: unknown keys: {', '.join(sorted(map(str, unknown)))}")
        if ("minutes" in stated) == ("steps" in stated):
            raise OptionError(f"{path}: give either `minutes` or `steps`")
        return cls(**stated)

    def progress(self, step: int, seconds: float) -> float:
        """The completed share of the run: 0 at its start, 1 at its end."""
        if self.steps is not None:
            return step / self.steps if self.steps else 1.0
        return seconds / 60 / self.minutes


class Training(abc.ABC):
    """One network, its data and its losses.

    network: what is trained; its weights are averaged.
    device: where it is trained. Samples are always drawn on the CPU.
    """

    network: nn.Module

    def __init__(self, recipe: Recipe, device: str = "cpu") -> None:
        """Set the threads and the seed; build data and network after this.

        Raises:
            NetworkError: this machine, or this PyTorch, does not have the device.
        """
        self.recipe, self.device = recipe, open_device(device)
        torch.set_num_threads(recipe.threads)
        cv2.setNumThreads(recipe.threads)
        torch.manual_seed(recipe.seed)

    @abc.abstractmethod
    def losses(self) -> dict[str, Tensor]:
        """Draw a batch and return its losses by name; their sum is minimized."""

    def load(self, weights: Weights) -> None:
        """Start from weights: shipped ones, or a checkpoint's."""
        self.network.load_state_dict(weights)

    def write(self, weights: Weights, output: Path) -> None:
        """Write the file that ships; `weights` are those of the network, on the CPU."""
        write_weights(weights, output)

    def parts(self) -> list[list[nn.Parameter]]:
        """The trained parameters. The gradient of each part is clipped on its own."""
        return [list(self.network.parameters())]

    def optimizer(self) -> torch.optim.Optimizer:
        """A group of its parameters may have a `rate_factor`, which the learning rate is times."""
        return torch.optim.Adam(sum(self.parts(), []), betas=(0.9, 0.99))

    def backward(self) -> dict[str, float]:
        """Put the gradient of one batch into the parameters; return the losses by name."""
        losses = self.losses()
        sum(losses.values()).backward()
        return {name: loss.item() for name, loss in losses.items()}

    def learning_rate(self, step: int, progress: float) -> float:
        """Warm up linearly over the first steps, and fall along a cosine of the progress."""
        return cosine(self.recipe, progress) * min(1.0, (step + 1) / WARM_UP_STEPS)

    def average_share(self, step: int) -> float:
        """The share of the newest weights in the running average, after `step` steps."""
        return 1 - min(self.recipe.average, step / (step + 10))


def open_device(name: str) -> torch.device:
    """A device by name, such as cpu or cuda.

    Raises:
        NetworkError: it does not exist, or cannot be used.
    """
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch raises both.
        reason = str(error).partition("\n")[0]
        raise NetworkError(f"`device={name}`: cannot be used: {reason}") from error


def cosine(recipe: Recipe, progress: float) -> float:
    """The learning rate at a progress in [0, 1]."""
    falling = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    last = recipe.last_learning_rate
    return last + (recipe.learning_rate - last) * falling


def fit(training: Training, output: Path, start: Path | None = None) -> int:
    """Train, and write snapshots and the result to `output`.

    The state of the run is written next to it, with the suffix .checkpoint. `start` is such a
    checkpoint, to resume its run, or a weights file, to start a new run from it.

    Returns the number of steps, including those before the run was resumed.

    Raises:
        WeightsError: `start` is damaged, or is of another network.
        MediaError: a file cannot be read or written.
    """
    run = _Run(training, start)
    saved, shown, count = run.seconds, dict[str, float](), 0
    while (progress := training.recipe.progress(run.step, run.seconds)) < 1:
        losses = run.take_step(progress)
        count += 1
        for name, loss in losses.items():
            before = shown.get(name, 0.0)
            shown[name] = before + (loss - before) * max(0.01, 1 / count)
        if run.step % REPORT_STEPS == 0:
            report(run.step, run.seconds, shown)
        if run.seconds - saved > 60 * training.recipe.save_minutes:
            run.save(output)
            saved = run.seconds
    report(run.step, run.seconds, shown)
    run.save(output)
    return run.step


def report(step: int, seconds: float, losses: dict[str, float]) -> None:
    """Print a line of progress."""
    parts = [f"{name} {loss:.5f}" for name, loss in losses.items()]
    print("  ".join([f"{seconds / 60:6.1f} min  step {step}", *parts]), flush=True)


class _Run:
    """The state of a run, which a checkpoint stores.

    seconds: time spent in steps; reading data and writing snapshots do not count.
    """

    def __init__(self, training: Training, start: Path | None) -> None:
        self.training = training
        state = read_checkpoint(start) if start and is_checkpoint(start) else None
        if start:
            load_into(training, state["network"] if state else read_weights(start), start)
        self.optimizer = training.optimizer()
        self.begun = _copied(training.network.state_dict())
        self.average = _copied(self.begun)
        self.step, self.seconds = 0, 0.0
        if state:
            self.optimizer.load_state_dict(state["optimizer"])
            for name in ("begun", "average"):
                setattr(self, name, {k: v.to(training.device) for k, v in state[name].items()})
            self.step, self.seconds = state["step"], state["seconds"]

    def take_step(self, progress: float) -> dict[str, float]:
        """Update the weights and their average; return the losses by name."""
        training, began = self.training, time.monotonic()
        for group in self.optimizer.param_groups:
            rate = training.learning_rate(self.step, progress)
            group["lr"] = rate * group.get("rate_factor", 1.0)
        self.optimizer.zero_grad()
        losses = training.backward()
        for part in training.parts():
            nn.utils.clip_grad_norm_(part, training.recipe.clip)
        self.optimizer.step()
        self.step += 1
        share = training.average_share(self.step)
        for name, value in training.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, share)
        self.seconds += time.monotonic() - began
        return losses

    def save(self, output: Path) -> None:
        """Write the weights that ship, and the checkpoint."""
        weights = mixed(self.begun, self.average, self.training.recipe.mix)
        weights = {name: value.cpu() for name, value in weights.items()}
        state = {
            "network": self.training.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **{name: getattr(self, name) for name in ("begun", "average", "step", "seconds")},
        }
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            with torch.random.fork_rng():  # A snapshot must not change what is drawn after it.
                self.training.write(weights, output)
            with files.replacing(output.with_suffix(CHECKPOINT_SUFFIX)) as unfinished:
                torch.save(state, unfinished)
        except OSError as error:
            raise from_os(str(output), error) from error


def _copied(weights: Weights) -> Weights:
    return {name: value.clone() for name, value in weights.items()}


def mixed(begun: Weights, learned: Weights, share: float) -> Weights:
    """Weights between two others, `share` of the way from the first to the second."""
    return {
        name: begun[name].lerp(value, share) if value.is_floating_point() else value
        for name, value in learned.items()
    }


def is_checkpoint(path: Path) -> bool:
    """Whether a file holds the state of a run, rather than weights."""
    return path.suffix == CHECKPOINT_SUFFIX


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state of a run, on the CPU.

    Raises:
        WeightsError: it is damaged.
        MediaError: it cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise from_os(str(path), error) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise WeightsError(f"{path}: not a checkpoint, or damaged") from error


def read_weights(path: Path) -> Weights:
    """The weights of a safetensors file.

    Raises:
        WeightsError: it is damaged.
        MediaError: it cannot be read.
    """
    try:
        return load_file(path)
    except OSError as error:
        raise from_os(str(path), error) from error
    except SafetensorError as error:
        raise WeightsError(f"{path}: not safetensors, or damaged") from error


def load_into(training: Training, weights: Weights, path: Path) -> None:
    """Start a training from the weights of `path`."""
    try:
        training.load(weights)
    except RuntimeError as error:  # Keys or shapes do not match.
        raise WeightsError(f"{path}: not weights of this network: {error}") from error


def write_weights(weights: Weights, output: Path) -> None:
    """Write a safetensors file that is always complete, so that it can be read at any time."""
    with files.replacing(output) as unfinished:
        # safetensors itself creates files that only their owner can read.
        unfinished.write_bytes(save({name: value.contiguous() for name, value in weights.items()}))
