"""Train the lite PP-MSVSR: four times the size, from frames that are clean or look old.

A sample is a few consecutive frames of a clip, or of a camera pan over a photograph, made four
times smaller and, half of the time, aged. The target is the original with the same tones: flicker
and fading are another stage's work.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from oldfilm.imaging.color import LUMA_WEIGHTS
from oldfilm.imaging.flow import flow
from oldfilm.imaging.resample import matlab_bicubic
from oldfilm.training import data, loop
from oldfilm.training.ageing import Ageing, age, tone
from oldfilm.training.torch_networks import PPMSVSRLite

SCALE = 4

MARGIN = 8
"""Small pixels around a patch that only optical flow sees; DIS is poor at borders."""

SMALLEST_PHOTOGRAPH = 400
"""Pixels of the shorter side."""


@dataclass(frozen=True, kw_only=True)
class Recipe(loop.Recipe):
    """See configs/train/ppmsvsr-lite.yaml."""

    frames: int
    patch: int


def shrink(image: np.ndarray) -> np.ndarray:
    """Make float32 [h, w, c] four times smaller, as the benchmarks of super-resolution do."""
    return matlab_bicubic(image, 1 / SCALE)


class Samples:
    """Draws training samples.

    clips: uint8 [t, h, w, 3] each. photographs: uint8 [h, w, 3] each. overlays: film damage, uint8
    [h, w, 4] each. frames: per sample. patch: side of the small frames, in pixels.
    """

    def __init__(
        self,
        clips: Sequence[np.ndarray],
        photographs: Sequence[np.ndarray],
        overlays: Sequence[np.ndarray],
        frames: int,
        patch: int,
        seed: int = 0,
    ) -> None:
        self.clips, self.photographs, self.overlays = clips, photographs, overlays
        self.frames, self.patch = frames, patch
        self.rng = np.random.default_rng(seed)
        self.chances = np.array([len(clip) for clip in clips], float)
        self.chances /= self.chances.sum()

    def draw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Draw small frames, their flow to the next and to the previous one, and the target.

        Shapes: float32 [t, 3, patch, patch], [t - 1, 2, patch, patch] twice, and
        [t, 3, 4 patch, 4 patch].
        """
        rng = self.rng
        large = self._pan() if rng.random() < 0.25 else self._cut_from_clip()
        large = _turned(large, rng)
        if rng.random() < 0.4:
            large = np.repeat(large @ LUMA_WEIGHTS[:, None], 3, 3)
        if rng.random() < 0.5:
            small = np.stack([shrink(image) for image in large])
        else:
            large, small = self._aged(large)
            large = np.stack([_sharpened(image) for image in large])
        small = np.clip(small, 0, 1)
        pairs = list(zip(small[:-1], small[1:]))
        to_next = np.stack([flow(a, b) for a, b in pairs])
        to_previous = np.stack([flow(b, a) for a, b in pairs])
        inner = slice(MARGIN, MARGIN + self.patch)
        outer = slice(MARGIN * SCALE, (MARGIN + self.patch) * SCALE)
        return (
            small[:, inner, inner].transpose(0, 3, 1, 2),
            to_next[:, inner, inner].transpose(0, 3, 1, 2),
            to_previous[:, inner, inner].transpose(0, 3, 1, 2),
            np.clip(large[:, outer, outer], 0, 1).transpose(0, 3, 1, 2),
        )

    def _aged(self, large: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Age frames; return the target and the small frames, both with the same tones."""
        ageing = Ageing.draw(self.rng, strength=self.rng.uniform(0.3, 1.0))
        large = np.clip(tone(large, ageing, self.rng), 0, 1)
        small = np.stack([shrink(image) for image in large])
        # Old films are scanned at a much finer resolution than they have: blur spans pixels.
        blur = self.rng.uniform(0.0, 2.0)
        rest = dataclasses.replace(ageing, flicker=0.0, fading=0.0, blur=blur)
        return large, age(np.clip(small, 0, 1), rest, self.rng, [self._damage()])

    def _damage(self) -> np.ndarray:
        """Cut a piece out of an overlay, which covers a whole frame."""
        overlay = self.overlays[self.rng.integers(len(self.overlays))]
        side = min(overlay.shape[0], overlay.shape[1], 3 * self.patch)
        return _square(overlay, self._corner(overlay.shape[:2], side), side)

    def _side(self) -> int:
        return (self.patch + 2 * MARGIN) * SCALE

    def _corner(self, shape: Sequence[int], side: int) -> np.ndarray:
        """A random upper left corner of a square: row, column."""
        return self.rng.integers(0, np.array(shape) - side + 1)

    def _cut_from_clip(self) -> np.ndarray:
        """Consecutive frames of a clip, forward or backward, with or without gate weave."""
        rng, side = self.rng, self._side()
        clip = self.clips[rng.choice(len(self.clips), p=self.chances)]
        stride = 2 if len(clip) > 2 * self.frames and rng.random() < 0.2 else 1
        start = rng.integers(len(clip) - (self.frames - 1) * stride)
        shown = clip[start : start + self.frames * stride : stride]
        corner = self._corner(clip.shape[1:3], side)
        weave = rng.normal(0, 2.0, (len(shown), 2)) if rng.random() < 0.3 else 0
        corners = np.clip(corner + np.zeros((len(shown), 2)) + weave, 0, _last(clip[0], side))
        cut = [_square(f, c, side) for f, c in zip(shown, corners.astype(int))]
        return np.stack(cut[:: rng.choice([-1, 1])]).astype(np.float32) / 255

    def _pan(self) -> np.ndarray:
        """A camera pan over a photograph with gate weave, or three times in ten a still."""
        rng, side = self.rng, self._side()
        photograph = self.photographs[rng.integers(len(self.photographs))]
        steps = np.arange(self.frames)[:, None]
        path = steps * rng.normal(0, 4, 2) + rng.normal(0, 2, (self.frames, 2))
        if rng.random() < 0.3:
            path[:] = 0
        corner = self._corner(photograph.shape[:2], side)
        corners = np.clip(corner + path, 0, _last(photograph, side)).astype(int)
        return np.stack([_square(photograph, c, side) for c in corners]).astype(np.float32) / 255


def _last(image: np.ndarray, side: int) -> np.ndarray:
    """The last corner of a square of this side: row, column."""
    return np.array(image.shape[:2]) - side


def _square(image: np.ndarray, corner: np.ndarray, side: int) -> np.ndarray:
    return image[corner[0] : corner[0] + side, corner[1] : corner[1] + side]


def _sharpened(image: np.ndarray, amount: float = 0.15) -> np.ndarray:
    """Unsharp masking of a target: where ageing removed detail, the mean of guesses is soft."""
    return image + amount * (image - cv2.GaussianBlur(image, (0, 0), 1.5))


def _turned(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flip and transpose at random."""
    frames = frames[:, :: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    return frames.transpose(0, 2, 1, 3) if rng.random() < 0.5 else frames


class SuperResolution(loop.Training):
    """Trains the lite PP-MSVSR."""

    recipe: Recipe
    network: PPMSVSRLite

    def __init__(self, recipe: Recipe, samples: Samples, device: str = "cpu") -> None:
        super().__init__(recipe, device)
        self.samples = samples
        self.network = PPMSVSRLite(**recipe.settings)
        _start_small(self.network)
        self.network.to(self.device)

    @classmethod
    def from_folder(cls, recipe: Recipe, root: Path, device: str = "cpu") -> SuperResolution:
        """root: see `oldfilm.training.data`."""
        clips = [clip for _, clip in data.clips(root, data.TRAIN)]
        smallest = max((recipe.patch + 2 * MARGIN) * SCALE, SMALLEST_PHOTOGRAPH)
        photographs = data.large_photographs(root, data.TRAIN, smallest)
        overlays = data.overlays(root, data.TRAIN)
        samples = Samples(clips, photographs, overlays, recipe.frames, recipe.patch, recipe.seed)
        return cls(recipe, samples, device)

    def losses(self) -> dict[str, Tensor]:
        batch = [self.samples.draw() for _ in range(self.recipe.batch)]
        small, to_next, to_previous, target = (
            torch.from_numpy(np.stack(part).astype(np.float32)).to(self.device)
            for part in zip(*batch)
        )
        return {"loss": _charbonnier(self.network(small, to_next, to_previous) - target)}


@torch.no_grad()
def _start_small(network: PPMSVSRLite) -> None:
    """Start residual branches near zero, so that the first steps already refine the base."""
    for name, parameter in network.named_parameters():
        if name.endswith(("second.weight", "enlarge.weight")):
            parameter.mul_(0.1)
        if name.endswith("bias"):
            parameter.zero_()


def _charbonnier(difference: Tensor) -> Tensor:
    return torch.sqrt(difference.square() + 1e-6).mean()
