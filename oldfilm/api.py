"""A whole chain from the names of its stages: what the command line and `oldfilm.restore` do."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oldfilm import pipeline
from oldfilm.apps import predictor_class
from oldfilm.apps.base import Predictor
from oldfilm.errors import OptionError
from oldfilm.pipeline import RunnableStage


def predictors(
    order: Sequence[str],
    options: Mapping[str, Any] | None = None,
    weights: Mapping[str, str | None] | None = None,
    variants: Mapping[str, str] | None = None,
) -> list[RunnableStage]:
    """The stages of a chain.

    order: names of `STAGES`. options: constructor arguments; each predictor takes those it has.
    weights: a weight file by stage name. variants: a variant by stage name, in place of the
    `variant` of options.

    Raises:
        OptionError, WeightsError: a stage, an option or weights that do not exist.
    """
    variants = variants or {}
    unused = variants.keys() - set(order)
    if unused:
        raise OptionError(f"--variant names {', '.join(sorted(unused))}, no stage of this chain.")
    chain = []
    for name in order:
        constructor = predictor_class(name)
        known = _options_of(constructor)
        taken = {key: value for key, value in (options or {}).items() if key in known}
        if name in variants:
            taken["variant"] = variants[name]
        if "weight_path" in known:
            taken["weight_path"] = (weights or {}).get(name)
        chain.append(constructor(**taken))
    return chain


def recipe(
    order: Sequence[str],
    options: Mapping[str, Any],
    weights: Mapping[str, str | None],
    variants: Mapping[str, str],
) -> tuple[list[RunnableStage], pipeline.StageFactory]:
    """The stages of a chain, as `predictors` makes them, and what makes them in other processes.

    What was chosen here, because it was here, is not chosen again there.
    """
    chain = predictors(order, options, weights, variants)
    named = zip(order, chain)
    chosen = {name: stage.variant for name, stage in named if isinstance(stage, Predictor)}
    return chain, functools.partial(predictors, order, options, weights, {**variants, **chosen})


def ignored_options(order: Sequence[str], options: Mapping[str, Any]) -> set[str]:
    """Which of `options` no stage of the chain takes."""
    return set(options).difference(*(_options_of(predictor_class(name)) for name in order))


def _options_of(constructor: type) -> set[str]:
    return set(inspect.signature(constructor).parameters)


def restore(
    path: str | Path,
    order: Sequence[str],
    output: str | Path = "output",
    *,
    weights: Mapping[str, str | None] | None = None,
    variants: Mapping[str, str] | None = None,
    progress: pipeline.Progress | None = None,
    height: int | None = None,
    deinterlace: str = "auto",
    overwrite: bool = False,
    save_frames: bool = False,
    restart: bool = False,
    work_dir: Path | None = None,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    **options: Any,
) -> pipeline.Summary:
    """Restore a film or a photograph with a chain of stages.

    path: a film, a photograph, or a folder of numbered frames. order: such as
    `["DeOldify", "PPMSVSR", "DAIN"]`. output: a folder, or the result's own path. weights: a weight
    file by stage name. variants: a variant by stage name. options: constructor arguments of the
    predictors (`variant="lite"`, `render_factor=10`, `fps="60"`); every predictor takes those it
    has. workers, engine, address: who does it, as in `pipeline.open_executor`. The rest is as in
    `pipeline.RestoreOptions`.

    Raises:
        OldfilmError: with what was wrong and what to do.
    """
    unknown = ignored_options(order, options)
    if unknown:
        raise OptionError(f"no stage of {' '.join(order)} takes: {', '.join(sorted(unknown))}.")
    settings = pipeline.RestoreOptions(
        height=height,
        deinterlace=deinterlace,
        overwrite=overwrite,
        save_frames=save_frames,
        restart=restart,
        work_dir=work_dir,
    )
    chain, elsewhere = recipe(order, options, weights or {}, variants or {})
    with pipeline.open_executor(elsewhere, workers, engine, address) as open_executor:
        return pipeline.restore(path, chain, output, settings, progress, open_executor)
