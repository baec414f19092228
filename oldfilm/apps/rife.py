"""RIFE: fast interpolation of frames at any time between two others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from oldfilm.apps.base import as_input, as_output
from oldfilm.apps.interpolator import Interpolator
from oldfilm.engine import Graph
from oldfilm.imaging.flow import warp_planes
from oldfilm.networks import propagation
from oldfilm.stage import FingerprintValue, Option, SizeRequirement

if TYPE_CHECKING:
    import paddle

FLOW_SCALE = Option(
    "flow_scale",
    float,
    1.0,
    "scale at which motion is estimated: 0.5 for 4K, 2 for small films",
    choices=(0.25, 0.5, 1.0, 2.0, 4.0),
    metavar="S",
)


class RIFEPredictor(Interpolator):
    """Changes the frame rate of a film, or slows it down (Huang et al., 2022; Practical-RIFE)."""

    name = "RIFE"
    config = "rife"
    # At the size at which flow is estimated. The published code pads with black; the pipeline, by
    # reflection.
    size = SizeRequirement(minimum=64, multiple_of=64)
    options = (*Interpolator.options, FLOW_SCALE)

    def __init__(self, *arguments: Any, flow_scale: float = 1.0, **options: Any) -> None:
        """As `Interpolator`. flow_scale: scale of the copies on which flow is estimated.

        The authors recommend 0.5 for 3840x2160.

        Raises:
            OptionError: flow_scale is not 0.25, 0.5, 1, 2 or 4.
        """
        self.flow_scale = FLOW_SCALE.check(flow_scale)
        super().__init__(*arguments, **options)
        multiple = round(self.size.multiple_of * max(1, 1 / flow_scale))
        self.size = SizeRequirement(minimum=multiple, multiple_of=multiple)

    def build(self, settings: dict[str, Any]) -> paddle.nn.Layer:
        """As `Predictor.build`."""
        return super().build({**settings, "flow_scale": self.flow_scale})

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Interpolator.fingerprint`, with the scale of the flow."""
        return {**super().fingerprint(), "flow_scale": self.flow_scale}

    @cached_property
    def _fingerprint(self) -> str:
        return f"{super()._fingerprint}/{self.flow_scale}"

    def prepare(self, first: np.ndarray, second: np.ndarray) -> _Pair:
        """As `Interpolator.prepare`."""
        frames = as_input(first), as_input(second)
        if not self._encodes:
            if not self.exports:
                return _Pair(frames, first.shape[2])
            contexts = [self.step("contextnet")(frame) for frame in frames]
            joined = [np.concatenate(pair, 1) for pair in (frames, *zip(*contexts))]
            return _Pair(tuple(joined), first.shape[2])
        encode = self.graph("encode", frame=(1, 3, None, None))
        features = [encode(frame)[0] for frame in frames]
        return _Pair((*frames, *features), first.shape[2])

    def between(self, prepared: _Pair, time: float) -> np.ndarray:
        """As `Interpolator.between`."""
        if not self._encodes and self.exports:
            both, *features = prepared.inputs
            times = np.full_like(both[:, :1], time)
            made = propagation.rife_4(self._step, both, features, times)
        else:
            whole = self._interpolation if self._encodes else self.graph(export=False)
            (made,) = whole(*prepared.inputs, np.full((1, 1, 1, 1), time, np.float32))
        return as_output(made, prepared.channels)

    def _step(self, part: str) -> Callable[..., Any]:
        """Return a step of RIFE 4.0. On a CPU, the engines take longer than NumPy for warps."""
        return _warp_both if part == "warp" and self.device == "cpu" else self.step(part)

    @property
    def _encodes(self) -> bool:
        """Whether the variant's network takes features of the frames, which it encodes once."""
        return self.settings.get("encodes_frames", True)

    @property
    def _interpolation(self) -> Graph:
        picture, features = (1, 3, None, None), (1, 4, None, None)
        return self.graph(
            first=picture,
            second=picture,
            first_features=features,
            second_features=features,
            time=(1, 1, 1, 1),
        )


class _Pair(NamedTuple):
    """Two frames and their features, if the network takes them; channels: of the film."""

    inputs: tuple[np.ndarray, ...]
    channels: int


def _warp_both(images: np.ndarray, flows: np.ndarray) -> np.ndarray:
    """As `rife_4.Warp`, for one pair."""
    half = images.shape[1] // 2
    parts = (images[0, :half], flows[0, :2]), (images[0, half:], flows[0, 2:])
    return np.concatenate([warp_planes(*part) for part in parts])[None]
