"""DAIN: frames at any time between two others, with flow that knows what is in front."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from oldfilm.apps.interpolator import Interpolator
from oldfilm.engine.device import import_paddle
from oldfilm.errors import OptionError, WeightsError
from oldfilm.imaging.flow import WORKING_SIDE, Motion, resize_flow, warp
from oldfilm.stage import FilmInfo

CONTEXT_REACH = 17
"""Pixels on either side that a feature of the full network's context depends on."""

RECTIFY_REACH = 10
"""Pixels on either side that a pixel of its last step depends on."""


class DAINPredictor(Interpolator):
    """Brings a film to another rate, or stretches its time, with depth-aware interpolation.

    weight_path may also be the folder of PaddleGAN's exported program (`DAIN_weight`, a file
    *model* and a file *param*), which knows nothing but time_step 0.5.
    """

    name = "DAIN"
    config = "dain"
    tile = 192
    """Height and width in which the full network makes a frame: memory grows with its square."""

    _program: _Program | None = None

    def describe(self, info: FilmInfo) -> FilmInfo:
        """As `Interpolator.describe`.

        Raises:
            OptionError: PaddleGAN's program is to make frames at other times than half-way.
        """
        half = self.fps is None and self.time_step == Fraction(1, 2) and not self.remove_duplicates
        if self._program is not None and not half:
            raise OptionError(
                "PaddleGAN's exported DAIN only makes frames half-way: it takes `time_step=0.5`, "
                "without `fps` or `remove_duplicates`. Use other weights for other frames."
            )
        return super().describe(info)

    def prepare(self, first: np.ndarray, second: np.ndarray) -> Any:
        """As `Interpolator.prepare`."""
        if self._program is not None:
            return self._half_way(first, second)
        if self.variant == "lite":
            return _LitePair(first, second, Motion(_reduced(first), _reduced(second)))
        return self._full_pair(first, second)

    def between(self, prepared: Any, time: float) -> np.ndarray:
        """As `Interpolator.between`."""
        if self._program is not None:
            return prepared
        if self.variant == "lite":
            return self._lite_between(prepared, time)
        return self._full_between(prepared, time)

    def _lite_between(self, pair: _LitePair, time: float) -> np.ndarray:
        flows, trust, candidates = pair.motion.at(time)
        network = self.graph(
            candidates=(1, 12, None, None),
            flows=(1, 4, None, None),
            trust=(1, 2, None, None),
            time=(1, 1, None, None),
        )
        seen = (candidates, flows, trust, np.full_like(trust[..., :1], time))
        made = network(*[_planes(part) for part in seen])
        return synthesize(pair.first, pair.second, made[0][0].transpose(1, 2, 0))

    def _full_pair(self, first: np.ndarray, second: np.ndarray) -> _FullPair:
        """Flow, depth and kernels; flow and depth of large frames are found at a reduced size."""
        padded = [_padded(_colored(image)) for image in (first, second)]
        full_size = padded[0].shape[1::-1]
        size = _working_size(full_size, self.settings["motion_pixels"])
        small = [_planes(_resized(image, size)) for image in padded]
        flow = self.graph("flownets", first=(1, 3, None, None), second=(1, 3, None, None))
        depth = self.graph("depthNet", frame=(1, 3, None, None))
        # The network's unit is 20 pixels of its frame, of which one of its own is 4.
        flows = [
            resize_flow(5 * flow(one, other)[0][0].transpose(1, 2, 0), full_size)
            for one, other in (small, small[::-1])
        ]
        depths = [_resized(depth(image)[0][0, 0], full_size) for image in small]
        frames = [_planes(np.dstack(known)) for known in zip(padded, depths)]
        return _FullPair(frames, flows, self._kernels(frames), first.shape)

    def _kernels(self, frames: list[np.ndarray]) -> np.ndarray:
        """float32 [1, 32, h, w]: 4x4 weights for either frame."""
        trunk = self.graph("initScaleNets_filter", frames=(1, 6, None, None))
        (features,) = trunk(np.concatenate([frame[:, :3] for frame in frames], 1))
        heads = ("initScaleNets_filter1", "initScaleNets_filter2")
        shape = (1, 16, None, None)
        return np.concatenate([self.graph(head, features=shape)(features)[0] for head in heads], 1)

    def _full_between(self, pair: _FullPair, time: float) -> np.ndarray:
        """Project the flow of the whole frame, then make the frame tile by tile."""
        project = self.graph("project", export=False)
        flows, reads = [], []
        for field, way, frame in zip(pair.flows, (time, 1 - time), pair.frames):
            projected, read = project(_planes(field * np.float32(way)), frame[:, 3:])
            flows.append(projected)
            reads.append(read)
        rows, columns = _place(pair.shape)
        made = np.empty((rows.stop - rows.start, columns.stop - columns.start, 3), np.float32)
        motion = np.concatenate(flows, 1)
        for tall in _tiles(rows, self.tile):
            for wide in _tiles(columns, self.tile):
                place = _shifted(tall, -rows.start), _shifted(wide, -columns.start)
                made[place] = self._tile(pair, motion, reads, (tall, wide), time)
        made = np.clip(made, 0, 1, out=made)
        return made if pair.shape[2] == 3 else made.mean(axis=2, keepdims=True)

    def _tile(
        self,
        pair: _FullPair,
        flows: np.ndarray,
        reads: list[np.ndarray],
        place: tuple[slice, slice],
        time: float,
    ) -> np.ndarray:
        """One tile, [h, w, 3]: exactly what it would be in the whole frame."""
        around = [
            slice(max(side.start - RECTIFY_REACH, 0), min(side.stop + RECTIFY_REACH, length))
            for side, length in zip(place, flows.shape[2:])
        ]
        here = np.s_[:, :, around[0], around[1]]
        parts, local = [], []
        for frame, read in zip(pair.frames, reads):
            part, corner = _read_part(frame, read[here])
            parts.append(part)
            local.append(read[here] - corner)
        network = self.graph(
            first=(1, 4, None, None),
            second=(1, 4, None, None),
            reads=(1, 6, None, None),
            flows=(1, 4, None, None),
            kernels=(1, 32, None, None),
            time=(1, 1, 1, 1),
        )
        way = np.full((1, 1, 1, 1), time, np.float32)
        read_local = np.concatenate(local, 1)
        (made,) = network(*parts, read_local, flows[here], pair.kernels[here], way)
        inner = [_shifted(side, -outer.start) for side, outer in zip(place, around)]
        return made[0][:, inner[0], inner[1]].transpose(1, 2, 0)

    def _half_way(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The frame half-way, by PaddleGAN's program."""
        assert self._program is not None
        padded = [_planes(_padded(_colored(image))) for image in (first, second)]
        made = np.clip(self._program(np.stack(padded))[_place(first.shape)], 0, 1)
        return made if first.shape[2] == 3 else made.mean(axis=2, keepdims=True)

    def _load_given(self, any_variant: bool) -> None:
        if self.weights.path.is_dir():
            self._program = _Program(self.weights.path, self.device)
        else:
            super()._load_given(any_variant)


class _LitePair(NamedTuple):
    """Two frames, as they came, and the motion between them."""

    first: np.ndarray
    second: np.ndarray
    motion: Motion


class _FullPair(NamedTuple):
    """What the full network knows of two frames, padded.

    frames: float32 [1, 4, h, w] each, RGB and log depth. flows: float32 [h, w, 2] each, from either
    to the other, in pixels. kernels: float32 [1, 32, h, w]. shape: of the frames as they came.
    """

    frames: list[np.ndarray]
    flows: list[np.ndarray]
    kernels: np.ndarray
    shape: tuple[int, ...]


class _Program:
    """PaddleGAN's exported program: two frames in, the frame half-way out."""

    def __init__(self, folder: Path, device: str) -> None:
        inference = import_paddle().inference
        config = inference.Config(*_program_files(folder))
        if device != "cpu":
            config.enable_use_gpu(256, int(device.partition(":")[2] or 0))
        # What optimizes a program on a CPU has given wrong numbers.
        config.switch_ir_optim(False)
        self._predictor = inference.create_predictor(config)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """frames: float32 [2, 1, 3, h, w]. Returns [h, w, 3], not clipped."""
        (name,) = self._predictor.get_input_names()
        self._predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(frames))
        self._predictor.run()
        output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])
        return output.copy_to_cpu().reshape(-1, *frames.shape[2:])[0].transpose(1, 2, 0)


def _program_files(folder: Path) -> tuple[str, str]:
    """The program and its parameters, found by their names as PaddleGAN does it."""
    names = sorted(path.name for path in folder.iterdir() if path.suffix != ".info")
    params = [name for name in names if "param" in name]
    programs = [name for name in names if "model" in name and name not in params]
    if len(params) != 1 or len(programs) != 1:
        raise WeightsError(
            f"{folder} is not the folder of PaddleGAN's exported DAIN, DAIN_weight.tar unpacked: "
            "that has one file *model* and one file *param*."
        )
    return str(folder / programs[0]), str(folder / params[0])


def _padded(image: np.ndarray) -> np.ndarray:
    """The image with its border repeated, as the authors and PaddleGAN do it.

    Every side becomes a multiple of 128, or gets 32 pixels at both ends where it is one.
    """
    return np.pad(image, (*map(_margins, image.shape[:2]), (0, 0)), mode="edge")


def _place(shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Where an image of this shape is in the padded one."""
    height, width = (slice(_margins(side)[0], _margins(side)[0] + side) for side in shape[:2])
    return height, width


def _margins(side: int) -> tuple[int, int]:
    missing = -side % 128
    return (missing // 2, missing - missing // 2) if missing else (32, 32)


def _working_size(size: tuple[int, ...], pixels: int) -> tuple[int, int]:
    """(width, height), in multiples of 64, of about as many pixels at most."""
    scale = min(1.0, (pixels / math.prod(size)) ** 0.5)
    width, height = (max(1, round(side * scale / 64)) * 64 for side in size)
    return width, height


def _resized(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    if size == image.shape[1::-1]:
        return image
    smaller = size[0] < image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _tiles(side: slice, length: int) -> Iterator[slice]:
    """A side in parts of at most `length`."""
    for start in range(side.start, side.stop, length):
        yield slice(start, min(start + length, side.stop))


def _shifted(side: slice, by: int) -> slice:
    return slice(side.start + by, side.stop + by)


def _read_part(frame: np.ndarray, read: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of a frame that `read` (x, y, ...) reads, with what its context depends on.

    Returns float32 [1, c, h, w], and its corner as it is to be subtracted from `read`.
    """
    starts, stops = [], []
    for places, length in zip(read[0], frame.shape[:1:-1]):
        starts.append(max(int(places.min()) - 1 - CONTEXT_REACH, 0))
        stops.append(min(int(places.max()) + 3 + CONTEXT_REACH, length))
    corner = np.array([*starts, 0], np.float32).reshape(1, 3, 1, 1)
    return frame[:, :, starts[1] : stops[1], starts[0] : stops[0]], corner


def _planes(image: np.ndarray) -> np.ndarray:
    """float32 [1, c, h, w] of [h, w, c]."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)


def synthesize(first: np.ndarray, second: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Warp and blend two frames as the lite network says.

    first, second: float32 [h, w, c], c 3 (RGB) or 1, in [0, 1]. made: float32 [h', w', 9], what
    `DAINLite` returns, at any size. Returns float32 [h, w, c] in [0, 1].
    """
    height, width, channels = first.shape
    size = (width, height)
    from_first = warp(first, resize_flow(made[..., :2], size))
    from_second = warp(second, resize_flow(made[..., 2:4], size))
    share, doubt = cv2.split(cv2.resize(made[..., 4:6], size))
    sharp = cv2.blendLinear(from_first, from_second, share, 1 - share, from_first)
    del from_second  # each is as large as a frame
    soft = made[..., 6:] if channels == 3 else made[..., 6:].mean(axis=2)
    result = cv2.blendLinear(cv2.resize(soft, size), sharp, doubt, 1 - doubt, sharp)
    return np.clip(result, 0, 1, out=result).reshape(first.shape)


def _reduced(image: np.ndarray) -> np.ndarray:
    """The image at the size at which the lite network's motion is sought, RGB."""
    height, width = image.shape[:2]
    shrink = min(1.0, WORKING_SIDE / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    return _colored(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _colored(image: np.ndarray) -> np.ndarray:
    """RGB, of RGB or luma."""
    luma = image.ndim == 2 or image.shape[2] == 1
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if luma else image
