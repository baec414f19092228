"""Denoise: average grain and noise away along the motion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np

from oldfilm.imaging.content import is_flat
from oldfilm.imaging.flow import flow
from oldfilm.imaging.motion_compensation import motion_compensate
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo, Frame, Option, Window

REACH = 3
"""Frames on either side that a frame is averaged with."""

GRAIN = Option(
    "grain", float, 0.0, "how much of the grain to keep", minimum=0, maximum=1, metavar="X"
)


class Denoise(RunnableStage):
    """Removes as much grain and noise as it measures; edges and moving objects stay sharp."""

    name = "Denoise"
    options = (GRAIN,)
    window = Window(core=8, before=REACH, after=REACH)

    def __init__(self, output: str = "output", *, grain: float = 0.0) -> None:
        """output: folder that `run` writes to. grain: 0 removes all grain, 1 keeps it.

        Raises:
            OptionError: grain is outside [0, 1].
        """
        super().__init__(output)
        self.grain = GRAIN.check(grain)

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame, and its motion."""
        return 4 * info.width * info.height * (info.channels + 2)

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Denoise the core's frames, all with the median of their noise."""
        images = [frame.image for frame in frames]
        sigma = float(np.median([noise_sigma(images, i) for i in range(core.start, core.stop)]))
        flat = [is_flat(image) for image in images]
        for index in range(core.start, core.stop):
            around = range(max(index - REACH, 0), min(index + REACH + 1, len(images)))
            near = [images[i] for i in around if i != index and flat[i] == flat[index]]
            clean = denoised(images[index], near, sigma)
            mixed = clean + self.grain * (images[index] - clean)
            yield replace(frames[index], image=np.clip(mixed, 0, 1).astype(np.float32))


def noise_sigma(images: Sequence[np.ndarray], index: int) -> float:
    """Estimate the standard deviation of the noise of one frame, in [0, 1].

    images: float32 [h, w, c] each, consecutive frames of a shot.

    Method: the median absolute difference from a motion-compensated neighbor; the median ignores
    objects that the flow missed. For a single frame, Immerkaer's operator (1996), which detects
    fine noise only.
    """
    luma = images[index].mean(axis=2)
    estimates = []
    for other in (index - 1, index + 1):
        if 0 <= other < len(images):
            motion = flow(images[index], images[other])
            compensated = motion_compensate(images[index], images[other], motion)
            difference = luma - compensated.mean(axis=2)
            estimates.append(1.48 * float(np.median(np.abs(difference))) / 1.3)
    if estimates:
        return max(estimates)  # a repeated frame does not differ from one of its neighbors
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    return 1.48 * float(np.median(np.abs(cv2.filter2D(luma, -1, kernel))))


def denoised(image: np.ndarray, near: Sequence[np.ndarray], sigma: float) -> np.ndarray:
    """Denoise one frame: float32 [h, w, c], not clipped.

    image: float32 [h, w, c]. near: neighbors in the same shot. sigma: standard deviation of their
    noise.

    Method: a weighted mean of motion-compensated neighbors. A neighbor's weight falls where it
    differs by more than the noise. A local Wiener filter removes the noise that remains.
    """
    if sigma < 1e-4:
        return image
    luma = image.mean(axis=2)
    total = image.copy()
    weights = np.ones(luma.shape, np.float32)
    squares = np.ones(luma.shape, np.float32)
    for neighbor in near:
        moved = motion_compensate(image, neighbor, flow(image, neighbor))
        mismatch = np.square(cv2.blur(luma - moved.mean(axis=2), (3, 3))) / sigma**2
        weight = np.exp(-np.maximum(mismatch - 0.6, 0))
        total += weight[..., None] * moved
        weights += weight
        squares += weight * weight
    mean = total / weights[..., None]
    return _wiener(mean, sigma * np.sqrt(squares) / weights)


def _wiener(image: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Wiener filter over 5 x 5 pixels: flat areas become their mean, edges stay.

    image: float32 [h, w, c]. sigma: the noise of every pixel, float32 [h, w].
    """
    luma = image.mean(axis=2)
    mean = cv2.blur(luma, (5, 5))
    variance = np.maximum(cv2.blur(luma * luma, (5, 5)) - mean * mean, 1e-9)
    kept = (np.maximum(variance - sigma * sigma, 0) / variance)[..., None]
    local_mean = cv2.blur(image, (5, 5)).reshape(image.shape)
    return local_mean + kept * (image - local_mean)
