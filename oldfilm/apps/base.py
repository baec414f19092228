"""The base of all predictors: weights, network, engine, frames; a model adds only its own part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oldfilm.engine import DynamicGraph, Graph, InputShape, choose_device, open_graph
from oldfilm.errors import WeightsError
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo, FingerprintValue, Frame, Option
from oldfilm.weights import (
    ResolvedWeights,
    load_strictly,
    model,
    read_weights,
    resolve,
)

if TYPE_CHECKING:
    import paddle

WEIGHT_PATH = Option(
    "weight_path", str, help="weight file that replaces the variant's own", metavar="FILE"
)
VARIANT = Option(
    "variant",
    str,
    "auto",
    "weights to use: lite, full, ...; auto takes the published ones (full) if they are available, "
    "else lite",
    metavar="NAME",
)
DEVICE = Option(
    "device", str, help="cpu, gpu, gpu:1, ...; by default a GPU if there is one", metavar="DEVICE"
)

_ENGINES = ("paddlepaddle", "paddlepaddle-gpu", "onnxruntime", "onnxruntime-gpu")


def build_network(name: str, settings: dict[str, Any]) -> paddle.nn.Layer:
    """A network, without weights.

    name: module and class in `oldfilm.networks`, as in `configs/`; settings: its constructor's.
    """
    from oldfilm.engine.device import import_paddle

    import_paddle()
    module, _, layer = name.rpartition(".")
    return getattr(import_module(f"oldfilm.networks.{module}"), layer)(**settings)


class Predictor(RunnableStage):
    """A stage that owns a network, and the class that notebooks import.

    A subclass states facts as class attributes and writes `restore`. A network that has a method
    `fold()` is folded once its weights are loaded (spectral norm, for one).
    """

    options: tuple[Option, ...] = (WEIGHT_PATH, VARIANT, DEVICE)

    config: str
    """`configs/<config>.yaml` lists the variants."""

    published: str = "full"
    """The published variant that "auto" means."""

    scale: int = 1
    """How many times larger a frame comes out."""

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        *,
        variant: str = "auto",
        device: str | None = None,
    ) -> None:
        """Find the weights; the network itself is built when it is needed.

        output: folder that `run` writes to. weight_path: weights that replace the variant's own.
        variant: a variant of `configs/`, or "auto": the published one where it is here, or where
        there is a GPU and a network; else "lite". device: "cpu", "gpu", "gpu:1"; by default a
        GPU where Paddle has one.

        Raises:
            WeightsError: no such variant or weights, or a `weight_path` that does not fit.
            OptionError, NetworkError: no such device.
        """
        super().__init__(output)
        self.weight_path = weight_path
        self.device = choose_device(device)
        self.weights: ResolvedWeights = resolve(
            model(self.config),
            variant,
            weight_path,
            device=self.device,
            published=self.published,
        )
        self._graphs: dict[str, Graph] = {}
        if weight_path is not None:
            # A file that does not fit is to be told now, not after the analysis of a long film.
            self._load_given(any_variant=variant == "auto")

    @property
    def variant(self) -> str:
        """The name of the variant in use."""
        return self.weights.variant.name

    @property
    def label(self) -> str:
        """As `RunnableStage.label`."""
        return f"{self.name} ({self.variant})"

    @property
    def settings(self) -> dict[str, Any]:
        """What `configs/` says to the predictor about the variant in use."""
        return self.weights.variant.predictor

    def build(self, settings: dict[str, Any]) -> paddle.nn.Layer:
        """The variant's network, without weights; settings: its constructor's, from `configs/`."""
        return build_network(self.weights.variant.network, settings)

    def restore(self, frames: np.ndarray, core: slice) -> Iterable[np.ndarray]:
        """Restore one window of one shot.

        frames: float32 [t, h, w, c], c 3 (RGB) or 1 (luma), in [0, 1]; neighbors included.
        core: which of the t frames to restore.
        Returns float32 [len(core), scale*h, scale*w, c'], as one array or image by image.
        """
        raise TypeError(f"{type(self).__name__} has neither restore() nor process()")

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """The variant, its weights, and what runs them; a subclass adds its own options."""
        return {
            "variant": self.variant,
            "weights": self.weights.sha256,
            "device": self.device.partition(":")[0],
            "engine": _engine(),
        }

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film, `scale` times as large."""
        return replace(info, width=info.width * self.scale, height=info.height * self.scale)

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Restore the core; every frame keeps its time."""
        restored = self.restore(np.stack([frame.image for frame in frames]), core)
        for frame, image in zip(frames[core], restored):
            yield replace(frame, image=image)

    def graph(self, part: str = "", *, export: bool = True, **inputs: InputShape) -> Graph:
        """The network, or a part of it, ready to run on float32 arrays.

        part: the attribute path of a sub-layer; "" is the whole network. export: False for a part
        that is known not to export: it runs on Paddle's dynamic graph. inputs: name and shape of
        each argument of its `forward`, in order; None for a height or width that varies.
        """
        if part not in self._graphs:
            self._graphs[part] = self._opened(part, inputs) if export else self._dynamic(part)
        return self._graphs[part]

    def _opened(self, part: str, inputs: dict[str, InputShape]) -> Graph:
        key = f"{self.config}/{self._fingerprint}/{part}"
        return open_graph(lambda: self._part(part), inputs, key, self.device)

    def _dynamic(self, part: str) -> Graph:
        return DynamicGraph(self._part(part), self.device)

    def _part(self, part: str) -> paddle.nn.Layer:
        layer = self._network
        for name in part.split(".") if part else ():
            layer = getattr(layer, name)
        return layer

    def _load_given(self, any_variant: bool) -> None:
        """Load `weight_path` as the resolved variant, or as the first one that it fits."""
        given = self.weights
        others = model(self.config).variants.values() if any_variant else ()
        try:
            self._network  # noqa: B018
        except WeightsError:
            for other in others:
                self.weights = replace(given, variant=other)
                with suppress(WeightsError):
                    self._network  # noqa: B018
                    return
            raise

    @cached_property
    def _network(self) -> paddle.nn.Layer:
        from oldfilm.engine.device import import_paddle

        import_paddle()
        network = self.build(self.weights.variant.settings)
        weights = read_weights(self.weights.path, self.weights.variant.layout)
        load_strictly(network, weights, str(self.weights.path))
        if hasattr(network, "fold"):
            network.fold()
        network.eval()
        return network

    @cached_property
    def _fingerprint(self) -> str:
        """Changes with the weights, the settings and the code of the networks."""
        code = hashlib.sha256()
        for source in sorted((Path(__file__).parent.parent / "networks").glob("*.py")):
            code.update(source.read_bytes())
        settings = json.dumps(self.weights.variant.settings, sort_keys=True)
        return f"{self.weights.sha256}/{settings}/{code.hexdigest()}"


def _engine() -> str:
    """What runs networks here, with versions."""
    found = []
    for name in _ENGINES:
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return " ".join(found)


def as_input(frame: np.ndarray) -> np.ndarray:
    """float32 [1, 3, h, w] of RGB [h, w, 3], or of luma [h, w, 1] as gray."""
    colored = np.broadcast_to(frame, (*frame.shape[:2], 3))
    return np.ascontiguousarray(colored.transpose(2, 0, 1)[None], np.float32)


def as_output(image: np.ndarray, channels: int) -> np.ndarray:
    """[h, w, channels] in [0, 1] of [1, 3, h, w]; one channel is the mean of the three."""
    picture = image[0] if channels == 3 else image[0].mean(axis=0, keepdims=True)
    return np.ascontiguousarray(np.clip(picture, 0, 1).transpose(1, 2, 0))
