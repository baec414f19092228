"""DeOldify: color for gray film and photographs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from oldfilm.apps.base import LITE, Predictor
from oldfilm.apps.deoldify.hints import Hints, read_hints
from oldfilm.apps.deoldify.lite import LiteColorizer
from oldfilm.apps.deoldify.published import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    PublishedColorizer,
)
from oldfilm.apps.deoldify.references import Encoder, References, read_references
from oldfilm.apps.deoldify.smoothing import ShotColor, SmallFrame, shot_color, temporally_smoothed
from oldfilm.apps.deoldify.tint import measure_tint, tint_of
from oldfilm.errors import OptionError
from oldfilm.imaging.color import luma
from oldfilm.imaging.content import content
from oldfilm.imaging.resample import resize
from oldfilm.imaging.titles import is_title
from oldfilm.pipeline import PredictorNames
from oldfilm.pipeline.pictures import Picture
from oldfilm.stage import (
    FilmFacts,
    FilmInfo,
    FingerprintValue,
    Frame,
    Option,
    Window,
    data_file,
    picture,
)

if TYPE_CHECKING:
    import paddle

ARTISTIC = Option("artistic", bool, False, "use the weights with more vivid colors")
RENDER_FACTOR = Option(
    "render_factor",
    int,
    None,
    "color at 16 N pixels; the default suits the variant (published weights: 32)",
    minimum=1,
    metavar="N",
)
STEADY = Option("steady", bool, True, "do not smooth the colors over time", flag="--no-steady")
SATURATION = Option(
    "saturation", float, 1.0, "strength of the colors", minimum=0, maximum=3, metavar="X"
)
WARMTH = Option(
    "warmth",
    float,
    0.0,
    "shift the colors toward orange (up to 1) or blue (down to -1)",
    minimum=-1,
    maximum=1,
    metavar="X",
)
COLOR_REFERENCE = Option(
    "color_reference",
    picture,
    None,
    "take colors from these pictures, or folders of them: color pictures of the same place, or "
    "frames of the film that were colored by hand",
    metavar="PICTURE",
    several=True,
)
COLOR_HINTS = Option(
    "color_hints",
    data_file,
    None,
    "colors at points or in boxes of single frames, which their shots keep; a YAML file",
    metavar="FILE",
)
KEEP_TINT = Option("keep_tint", bool, False, "add the colors to the tint of the print")

WARMEST = np.array([6, 24], np.float32)
"""The a* and b* that a warmth of 1 adds."""


LEAST_REACH = 3
"""Frames on either side that a frame's chroma is averaged with, however large they are."""

NEIGHBOR_BYTES = 128 << 20
"""Memory that further neighbors may take."""


class Colorizer(Protocol):
    """Colors luma at the network's size, and combines the color with the full-size luma.

    reach: frames on either side that a frame's chroma is averaged with at most.
    """

    reach: int

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the network's input size, (width, height), for a frame of this size."""

    def reduced(self, luma: np.ndarray) -> np.ndarray:
        """Resize luma [h, w] to the network's input size."""

    def chroma(self, luma: np.ndarray) -> np.ndarray:
        """Return float32 [h, w, c], the color of luma [h, w] at the network's size."""

    def balanced(self, chroma: np.ndarray, shot: ShotColor) -> np.ndarray:
        """Return the chroma [h, w, c] of a frame, adjusted to the color of its shot."""

    def from_lab(self, luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
        """Convert a* and b* [h, w, 2] of luma [h, w] to the color that `chroma` returns."""

    def recombine(self, luma: np.ndarray, small: np.ndarray, chroma: np.ndarray) -> np.ndarray:
        """Return RGB [H, W, 3] from luma [H, W], reduced luma [h, w] and chroma [h, w, c]."""


class DeOldifyPredictor(Predictor):
    """Colors a film or a photograph, and keeps its luma to the last bit of float32.

    Color input is colored again from its luma, as in PaddleGAN.

    artistic: vivid colors, from the variant `artistic` or by more saturation of `lite`.
    render_factor: the network's input is 16 times this: the sides of a square for published
    weights, the shorter side for lite, which rounds both sides to multiples of 32. Higher
    values color small objects, lower values color more evenly. The default is the variant's
    own. steady: average the chroma of neighboring frames along their motion, so that colors do
    not flicker. saturation: factor of all colors, in [0, 3]. warmth: shifts all colors toward
    orange, up to 1, or blue, down to -1. keep_tint: the print is tinted or toned; add the
    colors to its mean color at every level of luma. color_reference: pictures to take colors
    from, or folders of them: color pictures of the same place, or frames of the film that were
    colored by hand or by another program. The network colors what they do not show.
    color_hints: a YAML file with colors at points or in boxes of single frames, or a list of
    dictionaries with the same keys; they spread over their surfaces and through their shots.
    """

    name = "DeOldify"
    result_names = PredictorNames("DeOldify", "{base}/{base}_deoldify_out")
    config = "deoldify"
    options = (
        *(*Predictor.options, ARTISTIC, RENDER_FACTOR, STEADY),
        *(SATURATION, WARMTH, KEEP_TINT, COLOR_REFERENCE, COLOR_HINTS),
    )

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        artistic: bool = False,
        render_factor: int | None = None,
        *,
        steady: bool = True,
        saturation: float = 1.0,
        warmth: float = 0.0,
        keep_tint: bool = False,
        color_reference: Picture | Sequence[Picture] | None = None,
        color_hints: str | Path | Sequence[Mapping[str, Any]] | None = None,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """As `Predictor`, with the arguments above.

        Raises:
            OptionError: an option or a hint is invalid, or a reference is gray.
            MediaError: a reference cannot be read.
        """
        RENDER_FACTOR.check(render_factor)
        self.saturation = SATURATION.check(saturation)
        self.warmth = WARMTH.check(warmth)
        if artistic:
            self.published = "artistic"
            variant = "artistic" if variant == "full" else variant
            _check_vivid(variant, "auto")
        super().__init__(
            output, weight_path, variant=variant, device=device, network_engine=network_engine
        )
        if artistic:
            _check_vivid(self.variant)
        self.artistic, self.steady, self.keep_tint = artistic, steady, keep_tint
        self.render_factor = render_factor or self.settings["render_factor"]
        self._colorizer = self._choose_colorizer()
        self._seen: dict[bytes, SmallFrame] = {}
        self._read_given_colors(color_reference, color_hints, device)

    def _read_given_colors(self, references: Any, hints: Any, device: str | None) -> None:
        """Read the references and the hints; the encoder of the lite weights compares pictures."""
        self.color_reference = COLOR_REFERENCE.convert(references)
        self.color_hints = COLOR_HINTS.convert(hints)
        self._references: References | None = None
        self._given_hints: Hints | None = None
        self._hints: Hints | None = None  # Those of the current film.
        self._hinted: References | None = None  # Those of the current shot.
        if self.color_reference is not None:
            self._references = References(read_references(self.color_reference), self._encoder)
        if self.color_hints is not None:
            self._given_hints = Hints(read_hints(self.color_hints), self._encoder)
        if self._references or self._given_hints:
            self._lite = self if self.implementation == LITE else _lite(device, self.network_engine)

    @classmethod
    def current_arguments(
        cls, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """As `RunnableStage.current_arguments`; the third was once `render_factor`."""
        if len(arguments) == 3 and isinstance(arguments[2], int) and arguments[2] not in (0, 1):
            keywords = {**keywords, "render_factor": arguments[2]}
            arguments = arguments[:2]
        return super().current_arguments(arguments, keywords)

    @property
    def model(self) -> paddle.nn.Layer:
        """The network, called as PaddleGAN's: RGB [n, 3, h, w] in and out, see `norm`."""
        if self.implementation != LITE:
            return super().model
        from oldfilm.networks.deoldify_lite import AsPublished

        return AsPublished(super().model)

    def norm(
        self, image: Image.Image | np.ndarray, render_factor: int = 32, render_base: int = 16
    ) -> np.ndarray:
        """Return float32 [3, h, w]: a square of render_factor * render_base, normalized."""
        side = render_factor * render_base
        square = Image.fromarray(super().denorm(super().norm(image)))
        square = square.resize((side, side), Image.Resampling.BILINEAR)
        normalized = (np.asarray(square, np.float32) / 255 - IMAGENET_MEAN) / IMAGENET_DEVIATION
        return np.ascontiguousarray(normalized.transpose(2, 0, 1))

    def denorm(self, array: np.ndarray) -> np.ndarray:
        """As `Predictor.denorm`, of a normalized array."""
        rgb = array.transpose(1, 2, 0) * IMAGENET_DEVIATION + IMAGENET_MEAN
        return super().denorm(rgb.transpose(2, 0, 1))

    def _choose_colorizer(self) -> Colorizer:
        if self.implementation == LITE:
            saturation = "artistic_saturation" if self.artistic else "saturation"
            return LiteColorizer(self.graph, self.render_factor, self.settings[saturation])
        return PublishedColorizer(self.graph, self.render_factor)

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Predictor.fingerprint`."""
        return {
            **super().fingerprint(),
            "artistic": self.artistic,
            "render_factor": self.render_factor,
            "steady": self.steady,
            "saturation": self.saturation,
            "warmth": self.warmth,
            "keep_tint": self.keep_tint,
            "color_reference": self._references.sha256 if self._references else None,
            "color_hints": str(self._given_hints) if self._given_hints else None,
        }

    def describe(self, info: FilmInfo) -> FilmInfo:
        """Return the film's properties with three channels.

        Raises:
            OptionError: a hint is outside the frame.
        """
        if self._given_hints:
            self._given_hints.check(info.width, info.height)
        return replace(info, channels=3)

    def window_for(self, info: FilmInfo) -> Window:
        """Return as many neighbors as `NEIGHBOR_BYTES` holds, for colors that stay for a shot."""
        reach = self._reach(4 * info.width * info.height * info.channels)
        return Window(core=8, before=reach, after=reach) if reach else Window()

    def _reach(self, frame_bytes: int) -> int:
        if not self.steady:
            return 0
        held = NEIGHBOR_BYTES // (2 * frame_bytes)
        return max(LEAST_REACH, min(self._colorizer.reach, held))

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """Return the size of a frame, of its luma and result in the core, and of small copies."""
        share = self.window_for(info).core_share
        width, height = self._colorizer.size(info.height, info.width)
        values = info.channels + (1 + 3) * share
        return int(4 * (info.width * info.height * values + width * height * (2 + 3 + 4)))

    def analyze(self, info: FilmInfo, facts: FilmFacts) -> None:
        """Find the shot of every hint."""
        if self._given_hints:
            duration = info.frames / (info.rate * info.slowdown)
            self._hints = self._given_hints.within(facts, duration)

    def key_times(self) -> Sequence[Fraction]:
        """Return the times of the hints."""
        return self._hints.times if self._hints else ()

    def study(self, frames: Sequence[Frame]) -> None:
        """Spread the hints over the frames that they are for."""
        if self._hints:
            self._hints = self._hints.seen([luma(frame.image) for frame in frames])

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """As `Predictor.process`, without a copy of all frames."""
        hinted = self._hints.references(frames[0].time) if self._hints else None
        if hinted is not self._hinted:
            self._seen = {}
        self._hinted = hinted
        restored = self.restore([frame.image for frame in frames], core)
        for frame, image in zip(frames[core], restored):
            yield replace(frame, image=image)

    def restore(self, frames: np.ndarray | Sequence[np.ndarray], core: slice) -> np.ndarray:
        """Color the core; the result is RGB."""
        reach = self._reach(frames[0].nbytes)
        small = self._small_frames(frames)
        restored = np.empty((core.stop - core.start, *frames[0].shape[:2], 3), np.float32)
        for result, i in zip(restored, range(core.start, core.stop)):
            chroma = temporally_smoothed(small, i, reach)
            if self._references is None and self._hinted is None:  # Given colors stay as they are.
                chroma = self._colorizer.balanced(chroma, shot_color(small, i, reach))
            chroma = self._adjusted(chroma, small[i].luma, frames, i)
            result[:] = self._colorizer.recombine(luma(frames[i]), small[i].luma, chroma)
        return restored

    def _small_frames(self, frames: np.ndarray | Sequence[np.ndarray]) -> list[SmallFrame]:
        """Color the frames at small size; windows share their neighbors, so most are known."""
        seen: dict[bytes, SmallFrame] = {}
        small = []
        for frame in frames:
            full = luma(frame)
            reduced = self._colorizer.reduced(full)
            key = reduced.tobytes()
            if key not in seen:
                seen[key] = self._seen.get(key) or SmallFrame(
                    reduced, self._chroma(full, reduced), content(frame)
                )
            small.append(seen[key])
        kept = set(small)
        for each in kept:
            each.forget(kept)
        self._seen = seen
        return small

    def _chroma(self, full: np.ndarray, small: np.ndarray) -> np.ndarray:
        """Return the chroma of one frame at small size; references and hints replace it.

        An intertitle stays gray. full, small: the frame's luma at both sizes.
        """
        chroma = self._colorizer.chroma(small)
        if is_title(full):
            chroma = np.zeros_like(chroma)
        for references in (self._references, self._hinted):
            if references is not None:
                found = references.suggest(full, small.shape[::-1])
                given = self._colorizer.from_lab(small, found.chroma)
                chroma = chroma + found.confidence[..., None] * (given - chroma)
        return chroma

    def _encoder(self) -> Encoder:
        return self._lite.graph("encoder", luma=(1, 1, None, None))

    def _adjusted(
        self,
        chroma: np.ndarray,
        luma: np.ndarray,
        frames: np.ndarray | Sequence[np.ndarray],
        index: int,
    ) -> np.ndarray:
        """Apply `saturation`, `warmth` and `keep_tint` to the chroma of one frame at small size."""
        if self.saturation != 1:
            chroma = chroma * np.float32(self.saturation)
        shift = np.zeros((*luma.shape, 2), np.float32) + WARMEST * np.float32(self.warmth)
        if self.keep_tint and frames[index].shape[2] == 3:
            reach = LEAST_REACH if self.steady else 0
            near = frames[max(index - reach, 0) : index + reach + 1]
            shift += tint_of(luma, measure_tint([resize(f, luma.shape[::-1]) for f in near]))
        return chroma + self._colorizer.from_lab(luma, shift) if shift.any() else chroma


def _lite(device: str | None, network_engine: str) -> DeOldifyPredictor:
    """Return the variant whose encoder compares frames with references."""
    return DeOldifyPredictor(variant="lite", device=device, network_engine=network_engine)


def _check_vivid(variant: str, *more: str) -> None:
    if variant not in ("artistic", "lite", *more):
        raise OptionError(
            "`artistic=True` uses the variant artistic; it cannot be combined with "
            f"`variant={variant}`."
        )
