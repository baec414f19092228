"""PP-MSVSR: four times the size, with less grain, blur and damage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from oldfilm.apps.base import Predictor
from oldfilm.engine import InputShape
from oldfilm.errors import OptionError
from oldfilm.flow import flow
from oldfilm.stage import FilmInfo, SizeRequirement, Tiling, Window


class PPMSVSRPredictor(Predictor):
    """Enlarges a film or a photograph four times; recurrent in both directions of time."""

    name = "PPMSVSR"
    config = "ppmsvsr"
    scale = 4
    window = Window(core=10, before=3, after=3)
    size = SizeRequirement(minimum=32)
    tiling = Tiling(max_pixels=450_000)

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        num_frames: int = 10,
        *,
        variant: str = "auto",
        device: str | None = None,
    ) -> None:
        """As `Predictor`; num_frames: how many frames are enlarged at once, memory allowing."""
        super().__init__(output, weight_path, variant=variant, device=device)
        if num_frames < 1:
            raise OptionError(f"num_frames is {num_frames}; it must be 1 or more.")
        self.window = replace(self.window, core=num_frames)

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """What one more frame in the window keeps until the window is done.

        In float32, a pixel of the source has: the frame, once as it came, once in the window's
        array and once as the network takes it (3 values each), and the features that came back in
        time (`channels`). Results are handed on one by one, except those of tiles, which wait for
        their neighbours (`scale` squared times 3 values). The network's own memory is that of one
        frame, however long the window.
        """
        pixels = info.width * info.height
        waiting = 3 * self.scale**2 if pixels > self.tiling.max_pixels else 0
        return 4 * (3 * 3 + self._channels + waiting) * pixels

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """As `Predictor.restore`; luma is enlarged as grey RGB, and comes back as luma."""
        images = [_as_input(frame) for frame in frames]
        later = self._back_in_time(frames, images)
        height, width, channels = frames.shape[1:]
        forward_cell = self.graph("forward_cell", **self._inputs("hidden", "later"))
        hidden = self._unknown(height, width)
        for i in range(core.stop):
            before = max(i - 1, 0)
            step = images[i], images[before], _flow(frames, i, before), hidden, later[i]
            hidden, image = forward_cell(*step)
            later[i] = _DONE_WITH  # It was as large as all else.
            if i >= core.start:
                yield _as_output(image, channels)

    def _back_in_time(self, frames: np.ndarray, images: list[np.ndarray]) -> list[np.ndarray]:
        """For every frame the features that its followers give: [1, channels, h, w]."""
        backward_cell = self.graph("backward_cell", **self._inputs("hidden"))
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
        return {"frame": picture, "neighbour": picture, "flow": motion, **known}

    @property
    def _channels(self) -> int:
        return self.weights.variant.settings["channels"]


_DONE_WITH = np.empty(0, np.float32)


def _as_input(frame: np.ndarray) -> np.ndarray:
    """float32 [1, 3, h, w] of [h, w, 3] or [h, w, 1]."""
    coloured = np.broadcast_to(frame, (*frame.shape[:2], 3))
    return np.ascontiguousarray(coloured.transpose(2, 0, 1)[None])


def _as_output(image: np.ndarray, channels: int) -> np.ndarray:
    """[h, w, channels] in [0, 1] of [1, 3, h, w]."""
    picture = image[0] if channels == 3 else image[0].mean(axis=0, keepdims=True)
    return np.ascontiguousarray(np.clip(picture, 0, 1).transpose(1, 2, 0))


def _flow(frames: np.ndarray, start: int, stop: int) -> np.ndarray:
    """float32 [1, 2, h, w]: flow between two frames, in pixels; none from a frame to itself."""
    if start == stop:
        return np.zeros((1, 2, *frames.shape[1:3]), np.float32)
    return np.ascontiguousarray(flow(frames[start], frames[stop]).transpose(2, 0, 1)[None])
