"""Pads frames to the sizes that a stage accepts, and divides large frames into blended tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from oldfilm.imaging.resample import pad_to_multiple, padded_side
from oldfilm.stage import Frame, SizeRequirement, Stage, Tiling


def process_window(stage: Stage, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
    """Run `stage.process` on frames of any size.

    Frames are padded, tiled if they are too large, blended and cropped. Without tiles, yields each
    frame as soon as the stage returns it, since a window may become many frames.
    """
    height, width = frames[0].image.shape[:2]
    padded = _pad(frames, stage.size)
    padded_size = padded[0].image.shape[:2]
    tiling = stage.tiling
    if tiling is None or math.prod(padded_size) <= tiling.max_pixels:
        restored = stage.process(padded, core)
    else:
        restored = _process_tiles(stage, tiling, padded, core)
    for frame in restored:
        fits = padded_size == (height, width)
        yield frame if fits else _crop(frame, padded_size, (height, width))


def _pad(frames: Sequence[Frame], size: SizeRequirement) -> Sequence[Frame]:
    return [
        replace(f, image=pad_to_multiple(f.image, size.multiple_of, size.minimum)) for f in frames
    ]


def _crop(frame: Frame, padded: tuple[int, int], original: tuple[int, int]) -> Frame:
    height, width = frame.image.shape[:2]
    kept_height = height * original[0] // padded[0]
    kept_width = width * original[1] // padded[1]
    return replace(frame, image=frame.image[:kept_height, :kept_width])


def _process_tiles(
    stage: Stage, tiling: Tiling, frames: Sequence[Frame], core: slice
) -> list[Frame]:
    height, width = frames[0].image.shape[:2]
    rows, columns = _grid(height, width, tiling, stage.size)
    outputs: list[Frame] = []
    canvases: list[np.ndarray] = []
    weights: np.ndarray | None = None
    for top, bottom in rows:
        for left, right in columns:
            tile = [replace(f, image=f.image[top:bottom, left:right]) for f in frames]
            restored = list(stage.process(tile, core))
            scale = restored[0].image.shape[0] // (bottom - top)
            if weights is None:
                outputs = restored
                shape = (height * scale, width * scale)
                canvases = [np.zeros((*shape, f.image.shape[2]), np.float32) for f in restored]
                weights = np.zeros((*shape, 1), np.float32)
            place = np.s_[top * scale : bottom * scale, left * scale : right * scale]
            overlap = tiling.overlap * scale
            down = _ramp(bottom - top, top > 0, bottom < height, scale, overlap)
            across = _ramp(right - left, left > 0, right < width, scale, overlap)
            blend = (down[:, None] * across)[..., None]
            weights[place] += blend
            for canvas, frame in zip(canvases, restored):
                canvas[place] += frame.image * blend
    return [replace(f, image=canvas / weights) for f, canvas in zip(outputs, canvases)]


def _grid(
    height: int, width: int, tiling: Tiling, size: SizeRequirement
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Divide a frame into the fewest tiles of at most `max_pixels`.

    Returns start and stop of each row, and of each column.
    """
    rows = columns = 1
    while True:
        tall = _tile_side(height, rows, tiling.overlap, size)
        wide = _tile_side(width, columns, tiling.overlap, size)
        if tall * wide <= tiling.max_pixels:
            break
        if tall >= wide and tall > tiling.overlap * 3:
            rows += 1
        elif wide > tiling.overlap * 3:
            columns += 1
        else:
            break
    return list(_starts(height, tall, rows, size)), list(_starts(width, wide, columns, size))


def _tile_side(side: int, count: int, overlap: int, size: SizeRequirement) -> int:
    shared = math.ceil((side + (count - 1) * overlap) / count)
    return min(side, padded_side(shared, size.multiple_of, size.minimum))


def _starts(side: int, tile: int, count: int, size: SizeRequirement) -> Iterator[tuple[int, int]]:
    for index in range(count):
        exact = index * (side - tile) / max(count - 1, 1)
        start = int(exact) // size.multiple_of * size.multiple_of
        yield (start, start + tile) if index < count - 1 else (side - tile, side)


def _ramp(length: int, before: bool, after: bool, scale: int, overlap: int) -> np.ndarray:
    """Return weights along one side of a tile.

    In an overlap, the outer quarters are 0 and 1, and the weights rise linearly in between.
    before, after: whether there is a neighboring tile on that side.
    """
    ramp = np.ones(length * scale, np.float32)
    outer = overlap // 4
    rise = np.clip((np.arange(length * scale) - outer + 0.5) / max(overlap - 2 * outer, 1), 0, 1)
    if before:
        ramp *= rise
    if after:
        ramp *= rise[::-1]
    return ramp
