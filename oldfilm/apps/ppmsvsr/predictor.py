"""PP-MSVSR: four times the size; the published networks, and one that also takes away age."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from oldfilm.apps.base import as_input, as_output
from oldfilm.apps.recurrent import RecurrentPredictor
from oldfilm.engine import InputShape
from oldfilm.imaging.flow import flow, warp
from oldfilm.stage import FilmInfo, SizeRequirement, Tiling


class PPMSVSRPredictor(RecurrentPredictor):
    """Enlarges a film or a photograph four times; recurrent in both directions of time.

    The published variants are one network that sees a whole clip. `lite` is a pair of cells that
    are called step by step, with flow from outside: it needs the memory of one frame, and exports.
    """

    name = "PPMSVSR"
    config = "ppmsvsr"
    tiling = Tiling(max_pixels=20_000)
    kept = 444  # 7 features of 32 channels, flow and deformable sampling (27 x 4) both ways

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        num_frames: int = 10,
        *,
        variant: str = "auto",
        device: str | None = None,
    ) -> None:
        """As `RecurrentPredictor`."""
        super().__init__(output, weight_path, num_frames, variant=variant, device=device)
        self._step_by_step: bool = self.settings.get("step_by_step", False)
        if self._step_by_step:
            self.size = SizeRequirement(minimum=32)
            self.tiling = Tiling(max_pixels=450_000)

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """What one more frame in the window keeps until the window is done.

        In float32, a pixel of the source has with `lite`: the frame, once as it came, once in the
        window's array and once as the network takes it (3 values each), and the features that came
        back in time (`channels`). Results are handed on one by one, except those of tiles, which
        wait for their neighbors (`scale` squared times 3 values). The network's own memory is that
        of one frame, however long the window.
        """
        if not self._step_by_step:
            return super().bytes_per_frame(info)
        pixels = info.width * info.height
        waiting = 3 * self.scale**2 if pixels > self.tiling.max_pixels else 0
        return 4 * (3 * 3 + self._channels + waiting) * pixels

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """As `Predictor.restore`; luma is enlarged as gray RGB, and comes back as luma."""
        if self._step_by_step:
            return self._restore_step_by_step(frames, core)
        return super().restore(frames, core)

    def _restore_step_by_step(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        images = [as_input(frame) for frame in frames]
        later = self._back_in_time(frames, images)
        height, width, channels = frames.shape[1:]
        forward_cell = self.graph("forward_cell", export=True, **self._inputs("hidden", "later"))
        hidden = self._unknown(height, width)
        for i in range(core.stop):
            before = max(i - 1, 0)
            motion = _flow(frames, i, before)
            hidden, image = forward_cell(images[i], images[before], motion, hidden, later[i])
            later[i] = _DONE_WITH  # It was as large as all else.
            if i >= core.start:
                moved = warp(frames[before], motion[0].transpose(1, 2, 0))
                yield _without_overshoot(as_output(image, channels), [frames[i], moved])

    def _back_in_time(self, frames: np.ndarray, images: list[np.ndarray]) -> list[np.ndarray]:
        """For every frame the features that its followers give: [1, channels, h, w]."""
        backward_cell = self.graph("backward_cell", export=True, **self._inputs("hidden"))
        hidden = self._unknown(*frames.shape[1:3])
        later = []
        for i in reversed(range(len(frames))):
            after = min(i + 1, len(frames) - 1)
            (hidden,) = backward_cell(images[i], images[after], _flow(frames, i, after), hidden)
            later.append(hidden)
        return later[::-1]

    def _unknown(self, height: int, width: int) -> np.ndarray:
        return np.zeros((1, self._channels, height, width), np.float32)

    def _inputs(self, *features: str) -> dict[str, InputShape]:
        """Names and shapes of what a cell takes."""
        picture, motion = (1, 3, None, None), (1, 2, None, None)
        known = dict.fromkeys(features, (1, self._channels, None, None))
        return {"frame": picture, "neighbor": picture, "flow": motion, **known}

    @property
    def _channels(self) -> int:
        return self.weights.variant.settings["channels"]


class PPMSVSRLargePredictor(RecurrentPredictor):
    """PP-MSVSR-L: the same network with five times the weights."""

    name = "PPMSVSRLarge"
    config = "ppmsvsr_large"
    tiling = Tiling(max_pixels=20_000)
    kept = 884  # 7 features of 64 channels, flow and deformable sampling (27 x 8) both ways


_OVERSHOOT, _LEAST = 0.1, 0.02
"""How far a result may lie outside what its sources hold there: a part of their range, and more."""

_DONE_WITH = np.empty(0, np.float32)


def _without_overshoot(large: np.ndarray, sources: Sequence[np.ndarray]) -> np.ndarray:
    """`large`, limited to what the sources hold around each place, and hardly more.

    Edges that are softer than those it learned from get a light line and a dark one from the
    network: hard lights on a forehead. sources: the frame that was enlarged, and the one before,
    which does not have its dust, moved to its place: float32 [h, w, c].
    """
    around = np.ones((3, 3), np.uint8)
    low = functools.reduce(np.minimum, (cv2.erode(source, around) for source in sources))
    high = functools.reduce(np.maximum, (cv2.dilate(source, around) for source in sources))
    more = _OVERSHOOT * (high - low) + _LEAST
    # One limit in memory at a time, as each is as large as the result.
    np.maximum(large, _enlarged(low - more, large), out=large)
    return np.minimum(large, _enlarged(high + more, large), out=large)


def _enlarged(small: np.ndarray, like: np.ndarray) -> np.ndarray:
    large = cv2.resize(small, like.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return large.reshape(like.shape)


def _flow(frames: np.ndarray, start: int, stop: int) -> np.ndarray:
    """float32 [1, 2, h, w]: flow between two frames, in pixels; none from a frame to itself."""
    if start == stop:
        return np.zeros((1, 2, *frames.shape[1:3]), np.float32)
    return np.ascontiguousarray(flow(frames[start], frames[stop]).transpose(2, 0, 1)[None])
