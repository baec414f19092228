"""The base class of predictors: weights, network, engine and frames."""

from __future__ import annotations

import gc
import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from importlib import import_module, metadata
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oldfilm.engine import (
    NETWORK_ENGINES,
    DynamicGraph,
    Graph,
    InputShape,
    choose_device,
    choose_engine,
    open_graph,
)
from oldfilm.engine.device import require_paddle
from oldfilm.errors import WeightsError
from oldfilm.imaging.color import as_rgb
from oldfilm.pipeline import RunnableStage
from oldfilm.stage import (
    FilmInfo,
    FingerprintValue,
    Frame,
    Option,
    SizeRequirement,
    Tiling,
    Window,
)
from oldfilm.weights import (
    Model,
    ResolvedWeights,
    fitting,
    load_strictly,
    model,
    owner,
    read_weights,
    resolve,
)
from oldfilm.weights.fetch import fetch, needs_conversion
from oldfilm.weights.progress import DownloadProgress
from oldfilm.weights.registry import Variant
from oldfilm.weights.search import find, find_standard, terms_of

if TYPE_CHECKING:
    import paddle
    from PIL import Image

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

NETWORK_ENGINE = Option(
    "network_engine",
    str,
    "auto",
    "what runs networks: onnx (ONNX Runtime), openvino, tensorrt or paddle; auto takes onnx on a "
    "CPU and paddle on a GPU",
    choices=("auto", *NETWORK_ENGINES),
    metavar="NAME",
)

LITE, PUBLISHED = "lite", "published"
"""Values of `implementation` under `predictor:` in a config."""

_ENGINE_PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "onnxruntime", "onnxruntime-gpu")
_ASKED_FOR = ("openvino", "tensorrt")
"""Packages of engines that run only if they are asked for."""

_PROPERTIES: dict[str, Callable[..., Any]] = {
    "scale": int,
    "window": Window,
    "size": SizeRequirement,
    "tiling": Tiling,
}


def build_network(name: str, settings: dict[str, Any]) -> paddle.nn.Layer:
    """Build a network without loading weights.

    name: module and class in `oldfilm.networks`, as in a config: "rrdbnet.RRDBNet".
    settings: arguments of its constructor.
    """
    from oldfilm.engine.device import import_paddle

    import_paddle()
    module, _, layer = name.rpartition(".")
    return getattr(import_module(f"oldfilm.networks.{module}"), layer)(**settings)


def fetch_published(known: Model, variant: Variant) -> Path:
    """Download weights, convert them where necessary, and return their file.

    Raises:
        NetworkError: Paddle, which the conversion needs, is missing; nothing was downloaded.
        WeightsError, TransferError: as `fetch`.
    """
    if needs_conversion(variant) and find(known, variant) is None:
        require_paddle()
    return fetch(known, variant, build_network).path


class Predictor(RunnableStage):
    """A stage with a network, and the class that notebooks import.

    A subclass sets class attributes and implements `restore`. The config of a variant may replace
    `scale`, `window`, `size` and `tiling` under `predictor:`, so that one model can have variants
    that enlarge two and four times. If the network has a method `fold()`, it is called once after
    loading, to fold spectral norm into weights, for example.
    """

    options: tuple[Option, ...] = (WEIGHT_PATH, VARIANT, DEVICE, NETWORK_ENGINE)

    config: str
    """Name of the config that lists the variants: `configs/<config>.yaml`."""

    published: str = "full"
    """The published variant that "auto" stands for."""

    keeps_flat_frames = True

    scale: int = 1
    """Factor by which frames are enlarged."""

    half: bool = False
    """Whether half precision changes the result by less than a step of 8 bits."""

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        *,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """Find the weights. The network is built on first use.

        output: folder that `run` writes to. weight_path: weight file that replaces the variant's
        own. variant: name of a variant in the config, or "auto": the published variant if its file
        is available, or if there is a GPU and the file can be downloaded; else "lite". A model
        without "lite" takes another variant that is available, or downloads the published one on
        any device, as PaddleGAN does.
        device: "cpu", "gpu" or "gpu:1"; by default a GPU if Paddle finds one. network_engine: what
        runs the network, see `oldfilm.engine.NETWORK_ENGINES`.

        Raises:
            WeightsError: the variant or its weights do not exist, or `weight_path` does not fit.
            OptionError, NetworkError: the device or the engine does not exist here.
        """
        super().__init__(output)
        self.weight_path = weight_path
        self.device = choose_device(device)
        self.network_engine = network_engine
        self._engine = choose_engine(network_engine, self.device)
        self.weights = self._resolved(variant)
        self._graphs: dict[str, Graph] = {}
        self._networks: dict[str, paddle.nn.Layer] = {}
        self._opening = threading.RLock()
        if weight_path is not None:  # A file that does not fit is reported before a long analysis.
            self._check_given(any_variant=variant == "auto")
        self._set_properties()

    def _resolved(self, variant: str) -> ResolvedWeights:
        """Find or download the weights of a variant, or check `weight_path`."""
        downloads = variant == "auto" and self.weight_path is None and self.missing_weights()
        return resolve(
            model(self.config),
            self.published if downloads else variant,
            self.weight_path,
            device=self.device,
            published=self.published,
            progress=DownloadProgress(self.name),
            build=build_network,
        )

    @classmethod
    def published_variant(cls, options: Mapping[str, Any]) -> str:
        """Return the name of the published variant that "auto" stands for with these options."""
        return cls.published

    @classmethod
    def missing_weights(cls, options: Mapping[str, Any] | None = None) -> Variant | None:
        """Return the published variant that "auto" must download; None if it need not.

        options: arguments of the constructor.
        """
        described = model(cls.config)
        wanted = described.get(cls.published_variant(options or {}))
        if wanted is None or described.get("lite") or find_standard(described, wanted):
            return None
        return wanted

    @property
    def variant(self) -> str:
        """Name of the variant in use."""
        return self.weights.variant.name

    @property
    def label(self) -> str:
        """Name and variant, for messages."""
        return f"{self.name} ({self.variant})"

    @property
    def model(self) -> paddle.nn.Layer:
        """The network with its weights, ready for inference."""
        return self._network

    def norm(self, image: Image.Image | np.ndarray) -> np.ndarray:
        """Convert a picture for `model`, as PaddleGAN does, without the batch dimension.

        image: RGB, 8 bits, as an image or [h, w, 3]. Returns float32 [3, h, w] in [0, 1].
        """
        return np.array(image).transpose(2, 0, 1).astype(np.float32) / np.float32(255)

    def denorm(self, array: np.ndarray) -> np.ndarray:
        """Convert a result of `model`, [3, h, w], to uint8 [h, w, 3], as PaddleGAN does.

        It truncates where `predict` rounds.
        """
        return (np.asarray(array).transpose(1, 2, 0) * 255).clip(0, 255).astype(np.uint8)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the predictor for the variant in use: `predictor:` in its config."""
        return self.weights.variant.predictor

    @property
    def implementation(self) -> str:
        """How the variant in use is run: "lite" or "published".

        Raises:
            WeightsError: the config has another value.
        """
        value = self.settings.get("implementation", PUBLISHED)
        if value not in (LITE, PUBLISHED):
            raise self._invalid_setting("implementation")
        return value

    def build(self, settings: dict[str, Any]) -> paddle.nn.Layer:
        """Build the variant's network without weights.

        settings: arguments of the network's constructor, from the config.
        """
        return build_network(self.weights.variant.network, settings)

    def restore(self, frames: np.ndarray, core: slice) -> Iterable[np.ndarray]:
        """Restore the core of one window.

        frames: float32 [t, h, w, c] in [0, 1], the core and its neighbors in the same shot; c is 3
        (RGB) or 1 (luma). core: the frames to restore.
        Returns float32 [len(core), scale * h, scale * w, c'], as one array or image by image.
        """
        raise TypeError(f"{type(self).__name__} implements neither restore() nor process()")

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """Return the variant, its settings, weights and engine; a subclass adds its own options."""
        chosen = self.weights.variant
        return {
            "variant": self.variant,
            "settings": json.dumps([chosen.settings, chosen.predictor], sort_keys=True),
            "weights": self.weights.sha256,
            "device": self.device.partition(":")[0],
            "engine": _engines(self.network_engine),
        }

    def terms(self) -> Mapping[str, str]:
        """Return the license and the source that the config states for the weights."""
        return terms_of(self.weights)

    def describe(self, info: FilmInfo) -> FilmInfo:
        """Return the film's properties with width and height times `scale`."""
        return replace(info, width=info.width * self.scale, height=info.height * self.scale)

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Restore the core with `restore`; every frame keeps its time."""
        restored = self.restore(np.stack([frame.image for frame in frames]), core)
        for frame, image in zip(frames[core], restored):
            yield replace(frame, image=image)

    @property
    def exports(self) -> bool:
        """Whether the network runs as exported graphs, where they can be exported."""
        return self._engine.exports

    def graph(self, part: str = "", *, export: bool = True, **inputs: InputShape) -> Graph:
        """Return the network, or a part of it, as a function of float32 arrays.

        part: attribute path of a sub-layer; "" is the whole network. export: False for a part that
        cannot be exported, which runs on Paddle's dynamic graph. inputs: name and shape of each
        argument of its `forward`, in order; None stands for a variable height or width.
        """
        with self._opening:
            if not self._graphs:
                gc.collect()  # Predictors that are no longer used hold their networks in cycles.
            if part not in self._graphs:
                self._graphs[part] = self._opened(part, inputs) if export else self._dynamic(part)
            return self._graphs[part]

    def step(self, part: str, batch: int | None = 1) -> Callable[..., Any]:
        """Return a part of the network as a function of float32 arrays [batch, c, h, w].

        A part with one result returns it bare, as `networks.propagation` expects it. See `graph`.
        batch: None if it varies.
        """

        def run(*arrays: np.ndarray) -> Any:
            height = arrays[0].shape[2]
            inputs: dict[str, Any] = {}
            for i, array in enumerate(arrays):
                varies = None if array.shape[2] == height else Fraction(array.shape[2], height)
                inputs[f"input_{i}"] = (batch, array.shape[1], varies, varies)
            found = self.graph(part, **inputs)(*arrays)
            return found if len(found) > 1 else found[0]

        return run

    def _opened(self, part: str, inputs: dict[str, InputShape]) -> Graph:
        key = f"{self.config}/{self._fingerprint}/{part}"
        return open_graph(
            lambda: self._part(part), inputs, key, self.device, self.network_engine, self.half
        )

    def _dynamic(self, part: str) -> Graph:
        return DynamicGraph(self._part(part), self.device)

    def _part(self, part: str) -> paddle.nn.Layer:
        return attrgetter(part)(self._network) if part else self._network

    def _check_given(self, any_variant: bool) -> None:
        """Check that `weight_path` fits the resolved variant, or choose the first that it fits.

        The names and shapes that configs state save the import of Paddle, which takes seconds.
        """
        given, own = self.weights, model(self.config)
        others = list(own.variants.values()) if any_variant else []
        if found := fitting(given.path, [given.variant, *others]):
            self.weights = replace(given, variant=found)
        elif known := owner(given.path):
            raise WeightsError(
                f"{given.path} does not fit {own.name} ({given.variant.name}); it holds the "
                f"weights of {known[0].name} ({known[1].name})."
            )
        else:
            self._load_given(others)

    def _load_given(self, others: Sequence[Variant]) -> None:
        """Load `weight_path` as the resolved variant, or as the first other one that it fits."""
        given = self.weights
        try:
            self._network  # noqa: B018
        except WeightsError:
            for other in others:
                self.weights = replace(given, variant=other)
                with suppress(WeightsError):
                    self._network  # noqa: B018
                    return
            raise

    def _set_properties(self) -> None:
        """Replace class attributes with those of the variant's config."""
        for name in _PROPERTIES.keys() & self.settings.keys():
            value, kind = self.settings[name], _PROPERTIES[name]
            if name == "tiling" and value is None:
                self.tiling = None
                continue
            try:
                setattr(self, name, kind(**value) if isinstance(value, dict) else int(value))
            except (TypeError, ValueError):
                raise self._invalid_setting(name) from None

    def _invalid_setting(self, name: str) -> WeightsError:
        return WeightsError(
            f"{self.config}.yaml: variants.{self.variant}.predictor.{name} has the invalid value "
            f"{self.settings[name]!r}."
        )

    @property
    def _network(self) -> paddle.nn.Layer:
        """The network, built on first use; copies of this predictor share it."""
        with self._opening:
            if "" not in self._networks:
                self._networks[""] = self._built()
            return self._networks[""]

    def _built(self) -> paddle.nn.Layer:
        from oldfilm.engine.device import computing_on, import_paddle

        # First of all, since importing Paddle takes seconds and a file may be unreadable.
        weights = read_weights(self.weights.path, self.weights.variant.layout)
        import_paddle()
        with computing_on(self.device):
            network = self.build(self.weights.variant.settings)
            load_strictly(network, weights, str(self.weights.path))
            if hasattr(network, "fold"):
                network.fold()
        network.eval()
        return network

    @cached_property
    def _fingerprint(self) -> str:
        """Key of exported graphs: changes with weights, settings and the networks' source code."""
        code = hashlib.sha256()
        for source in sorted((Path(__file__).parent.parent / "networks").glob("*.py")):
            code.update(source.read_bytes())
        settings = json.dumps(self.weights.variant.settings, sort_keys=True)
        return f"{self.weights.sha256}/{settings}/{code.hexdigest()}"


def _engines(wanted: str) -> str:
    """Names and versions of the installed engines, and the one that was asked for, if any."""
    found = [] if wanted == "auto" else [wanted]
    for name in (*_ENGINE_PACKAGES, *({wanted} & {*_ASKED_FOR})):
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return " ".join(found)


def as_input(frame: np.ndarray) -> np.ndarray:
    """Convert a frame [h, w, c] to float32 [1, 3, h, w]; luma is repeated in all channels."""
    return as_planes(as_rgb(frame))


def as_planes(image: np.ndarray) -> np.ndarray:
    """Convert [h, w, c] to float32 [1, c, h, w]."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)


def as_output(image: np.ndarray, channels: int) -> np.ndarray:
    """Convert [1, 3, h, w] to [h, w, channels] in [0, 1]; one channel is the mean of the three."""
    picture = image[0] if channels == 3 else image[0].mean(axis=0, keepdims=True)
    return np.ascontiguousarray(np.clip(picture, 0, 1).transpose(1, 2, 0))
