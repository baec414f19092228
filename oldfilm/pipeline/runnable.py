"""A stage that also works by itself, on files and on arrays, as predictors of PaddleGAN do."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from oldfilm import media
from oldfilm.errors import OptionError
from oldfilm.media import html
from oldfilm.pipeline.chain import restore_frames
from oldfilm.pipeline.executors import open_executor
from oldfilm.pipeline.executors.base import StageFactory
from oldfilm.pipeline.job import restore
from oldfilm.pipeline.options import RestoreOptions, restore_options
from oldfilm.pipeline.pictures import (
    Picture,
    as_array,
    as_frames,
    as_image,
    as_image_frames,
    is_picture,
    quantized,
)
from oldfilm.pipeline.progress import reporting
from oldfilm.pipeline.report import UP_TO_DATE, Progress, Summary
from oldfilm.pipeline.results import PredictorNames, Results, is_result_path
from oldfilm.stage import FingerprintValue, Stage

logger = logging.getLogger(__name__)


class RestoredFilm(NamedTuple):
    """What `run` returns for a film.

    frames: the pattern of its frames as PNG files, or None with `save_frames=False`. path: the
    restored film. Notebooks show a player.
    """

    frames: str | None
    path: str

    def _repr_html_(self) -> str:
        return html.fragment(html.player(Path(self.path)), html.table(self._asdict()))


class RestoredPhotograph(NamedTuple):
    """What `run` returns for a photograph.

    image: the restored photograph, RGB with 8 bits. path: its file. Notebooks show it.
    """

    image: Image.Image
    path: str

    def _repr_html_(self) -> str:
        address = html.picture_uri(np.asarray(self.image) / np.float32(255))
        return html.fragment(f'<img class="alone" src="{address}">', html.table({"": self.path}))


class RunnableStage(Stage):
    """A stage that also works by itself; the class that notebooks import.

    Threads may use one at the same time: every call works on a copy that shares the network.
    """

    result_names: PredictorNames | None = None
    """How the results of `run` are named; by default `PredictorNames(name)`."""

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *arguments: Any, **keywords: Any) -> RunnableStage:
        stage = super().__new__(cls)
        stage._arguments = cls.current_arguments(arguments, keywords)
        return stage

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__init__" in vars(cls):
            cls.__init__ = _taking_older_arguments(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, output: str = "output") -> None:
        """output: the folder that `run` writes to, in a folder of the predictor's name; or the path
        of a result.
        """
        self.output = str(output)
        if not _is_result(self.output):
            self.output = str(Path(output) / self._names.folder)

    @classmethod
    def current_arguments(
        cls, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Convert a constructor's arguments from the form of an older PaddleGAN to today's."""
        if "output_path" in keywords:
            keywords = {**keywords, "output": keywords["output_path"]}
            del keywords["output_path"]
        return arguments, keywords

    def __reduce__(self) -> Any:
        """Pickle the arguments of the constructor."""
        return self.factory, ()

    def _copy(self) -> RunnableStage:
        """Return a copy for one call, which may change its own attributes."""
        copied = object.__new__(type(self))
        vars(copied).update(vars(self))
        return copied

    @property
    def label(self) -> str:
        """The name for messages; stages with weights add the variant."""
        return self.name

    @property
    def factory(self) -> Callable[[], Stage]:
        """Builds an equal stage, also in another process if the constructor's arguments pickle.

        A variant that was chosen here is not chosen again there.
        """
        arguments, keywords = self._arguments
        if any(option.name == "variant" for option in self.options):
            keywords = {**keywords, "variant": getattr(self, "variant", "auto")}
        return functools.partial(type(self), *arguments, **keywords)

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """Return the declared options by name."""
        values = {option.name: getattr(self, option.name) for option in self.options}
        plain = (str, int, float, type(None))
        return {k: v if isinstance(v, plain) else str(v) for k, v in values.items()}

    def run(
        self, path: Picture, *, progress: bool | str | Progress = True, **options: Any
    ) -> RestoredFilm | RestoredPhotograph:
        """Restore a film or a photograph into the folder `output`, as PaddleGAN does.

        Files have PaddleGAN's names (`result_names`) and replace those of an earlier run; with
        `overwrite=False`, they are an error. If `output` is the path of a result, that is written.

        path: a film, a photograph, a folder of numbered frames; or a picture in memory, as
        `run_image` takes it. progress: as `oldfilm.restore` takes it. options: of `RestoreOptions`,
        such as `start="1:30"` and `workers=2`. The frames of a film are also saved as PNG files
        unless `save_frames=False`.
        What could not be kept of the source is logged as a warning.

        Returns a pair that unpacks as `(frames, path)` for a film, `(image, path)` for a
        photograph.

        Raises:
            OldfilmError: the message says what is wrong and what to do.
        """
        self._refuse_own(options)
        if isinstance(path, (np.ndarray, Image.Image)):
            return self._run_in_memory(path, restore_options(options))
        source = Path(path)
        if not is_picture(source):
            return self.run_video(source, progress=progress, **options)
        summary = self._restore(source, options, progress)
        image = as_image(media.read_photograph(summary.path).image)
        return RestoredPhotograph(image, str(summary.path))

    def is_image(self, source: Any) -> bool:
        """Whether `run` takes `source` for a photograph, not for a film."""
        return is_picture(source)

    def run_image(self, image: Picture) -> Image.Image:
        """Restore a picture, without writing a file.

        image: the path of a photograph, a Pillow image, or an array [h, w, c]: RGB or luma, uint8,
        or other numbers in [0, 255]. Returns RGB with 8 bits.

        Raises:
            OldfilmError: the message says what is wrong and what to do.
        """
        frames = as_image_frames(as_array(image))
        return as_image(self._copy().restored(frames)[0])

    def run_video(
        self, video: str | Path, *, progress: bool | str | Progress = True, **options: Any
    ) -> RestoredFilm:
        """Restore a film; see `run`."""
        self._refuse_own(options)
        source = Path(video)
        if is_picture(source):
            raise OptionError(f"{source} is a photograph: use run() or run_image().")
        summary = self._restore(source, {"save_frames": True, **options}, progress)
        return RestoredFilm(self.frames_of(summary), str(summary.path))

    def frames_of(self, summary: Summary) -> str | None:
        """Return the saved frames as `run_video` returns them: the pattern of their paths."""
        return summary.frames

    def _refuse_own(self, options: Mapping[str, Any]) -> None:
        for name in options:
            if any(option.name == name for option in self.options):
                raise OptionError(
                    f"`{name}` is an argument of {type(self).__name__}(), not of run()"
                )

    def _restore(
        self, source: Path, options: Mapping[str, Any], progress: bool | str | Progress
    ) -> Summary:
        chosen = restore_options(options)
        stage = self._copy()
        output = stage._results(source, chosen, replaces="overwrite" not in options)
        with contextlib.ExitStack() as stack:
            report = stack.enter_context(reporting(progress))
            executor = None
            if chosen.workers or chosen.address or chosen.engine != "local":
                factory = stage_factory([stage])
                opened = open_executor(factory, chosen.workers, chosen.engine, chosen.address)
                executor = stack.enter_context(opened)
            summary = restore(source, [stage], output, chosen, report, executor)
        for note in summary.notes:
            if note != UP_TO_DATE:
                logger.warning("%s", note)
        return summary

    def _results(self, source: Path, options: RestoreOptions, replaces: bool) -> Path | Results:
        output = Path(self.output)
        if _is_result(self.output):
            return output
        settings = media.EncodeSettings(options.codec, options.crf, options.pix_fmt)
        suffix = media.default_suffix(settings)
        return self._names.results(source, output, suffix, options.label, replaces)

    @property
    def _names(self) -> PredictorNames:
        return self.result_names or PredictorNames(self.name)

    def _run_in_memory(self, picture: Picture, options: RestoreOptions) -> RestoredPhotograph:
        results = self._results(Path("result.png"), options, replaces=True)
        path = results if isinstance(results, Path) else results.path
        image = self.run_image(picture)
        path.parent.mkdir(parents=True, exist_ok=True)
        media.write_photograph(path, np.asarray(image) / np.float32(255))
        return RestoredPhotograph(image, str(path))

    def restored(self, frames: np.ndarray) -> list[np.ndarray]:
        """Restore the frames of one shot, float32 [t, h, w, c] in [0, 1]."""
        return restore_frames([self], frames)

    def predict(self, array: Picture) -> np.ndarray:
        """Restore a picture or the frames of one shot, without files.

        array: [h, w, c] or [t, h, w, c], RGB or luma, uint8, uint16, or float in [0, 1]; also the
        path of a photograph, or a Pillow image. Returns an array of the same kind.

        Raises:
            OptionError: the array has another shape, type or range.
            MediaError: the photograph cannot be read.
        """
        given = as_array(array)
        restored = np.stack(self._copy().restored(as_frames(given)))
        if given.dtype in (np.uint8, np.uint16):
            restored = quantized(restored, given.dtype)
        return restored if given.ndim == 4 else restored[0]


def _is_result(output: str) -> bool:
    """Whether an output is the path of a result, not of a folder for results."""
    return is_result_path(Path(output)) or Path(output).name == media.FRAMES_PATTERN


def _taking_older_arguments(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap a constructor so that it also takes the arguments of older versions of PaddleGAN."""

    @functools.wraps(init)
    def wrapped(self: RunnableStage, *arguments: Any, **keywords: Any) -> None:
        arguments, keywords = self.current_arguments(arguments, keywords)
        init(self, *arguments, **keywords)

    return wrapped


def stage_factory(stages: Sequence[RunnableStage]) -> StageFactory:
    """Return a function that builds equal stages in another process."""
    return functools.partial(_build, [stage.factory for stage in stages])


def _build(factories: Sequence[Callable[[], Stage]]) -> list[Stage]:
    return [build() for build in factories]
