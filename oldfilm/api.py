"""Build and run chains of stages: `oldfilm.restore`, and the jobs of the command line."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oldfilm import pipeline
from oldfilm.apps import NEEDS_NO_DOWNLOAD, REPAIR, STAGES, predictor_class, stage_options
from oldfilm.apps.base import Predictor, fetch_published
from oldfilm.apps.job_files import read_job, write_job
from oldfilm.apps.presets import Preset, read_preset, recommended, variants_of
from oldfilm.engine.device import choose_device, require_paddle
from oldfilm.errors import OptionError, WeightsError
from oldfilm.media import sources
from oldfilm.pipeline import RestoreOptions, RunnableStage
from oldfilm.pipeline.options import job_options, unknown_option
from oldfilm.pipeline.progress import reporting
from oldfilm.pipeline.runnable import stage_factory
from oldfilm.weights import model
from oldfilm.weights.commands import command

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A chain and its options, checked and ready for any number of sources."""

    stages: list[RunnableStage]
    options: RestoreOptions

    def open_executor(self) -> AbstractContextManager[pipeline.Executor]:
        """Open the executor that the options ask for; its workers build stages of their own."""
        options = self.options
        factory = stage_factory(self.stages)
        return pipeline.open_executor(factory, options.workers, options.engine, options.address)

    def run(
        self,
        source: str | Path,
        output: str | Path,
        progress: pipeline.Progress | None,
        executor: pipeline.Executor,
    ) -> pipeline.Summary:
        """Restore one source, as `pipeline.restore` does."""
        return pipeline.restore(source, self.stages, output, self.options, progress, executor)


def restore(
    path: str | Path,
    order: str | Sequence[str] | None = None,
    output: str | Path = "output",
    *,
    preset: str | None = None,
    weights: Mapping[str, str | None] | None = None,
    variants: Mapping[str, str] | None = None,
    progress: bool | str | pipeline.Progress = True,
    **options: Any,
) -> pipeline.Summary:
    """Restore a film or a photograph with a chain of stages.

    path: a film, a photograph, or a folder of numbered frames. order: names of stages, such as
    `["DeOldify", "PPMSVSR", "DAIN"]` or `"DeOldify"`; not needed with a preset. output: a folder,
    or the path of the result. preset: the name of a shipped preset or the path of a YAML file; the
    other arguments override it. weights: weight files by stage name. variants: variants by stage
    name. progress: True shows it on the standard error, "bar", "lines" or "json" in one of these
    ways; a function is called with every `pipeline.JobProgress`. options: of the job, as in
    `pipeline.RestoreOptions` (`crf=17`, `start="1:30"`, `workers=2`), and of the stages
    (`variant="lite"`, `render_factor=10`, `fps="60"`); each stage takes the ones that it declares.

    Raises:
        OldfilmError: the message says what is wrong and what to do.
    """
    job = make_job(order, options, preset=preset, weights=weights, variants=variants)
    with reporting(progress) as report, job.open_executor() as executor:
        return job.run(path, output, report, executor)


def preview(
    path: str | Path,
    order: str | Sequence[str] | None = None,
    output: str | Path = "output",
    *,
    frames: int = 4,
    preset: str | None = None,
    weights: Mapping[str, str | None] | None = None,
    variants: Mapping[str, str] | None = None,
    progress: bool | str | pipeline.Progress = True,
    **options: Any,
) -> pipeline.Preview:
    """Show frames of a film before and after, in the time that one window for each takes.

    frames: how many, spread evenly over the film. The other arguments are those of `restore`. The
    picture is next to the result: `<result>_preview.png`.

    Raises:
        OldfilmError: the message says what is wrong and what to do.
    """
    job = make_job(order, options, preset=preset, weights=weights, variants=variants)
    with reporting(progress) as report, job.open_executor() as executor:
        return pipeline.preview(path, job.stages, output, job.options, frames, report, executor)


def estimate(
    path: str | Path,
    order: str | Sequence[str] | None = None,
    output: str | Path = "output",
    *,
    preset: str | None = None,
    weights: Mapping[str, str | None] | None = None,
    variants: Mapping[str, str] | None = None,
    progress: bool | str | pipeline.Progress = True,
    **options: Any,
) -> pipeline.Estimate:
    """Estimate how long restoring a film takes, and how much disk and memory.

    A few frames are measured. The arguments are those of `restore`.

    Raises:
        OldfilmError: the message says what is wrong and what to do.
    """
    job = make_job(order, options, preset=preset, weights=weights, variants=variants)
    with reporting(progress) as report, job.open_executor() as executor:
        return pipeline.estimate(path, job.stages, output, job.options, report, executor)


def run_job(
    path: str | Path, *, progress: bool | str | pipeline.Progress = True
) -> list[pipeline.Summary]:
    """Restore all inputs of a job file, one after the other, as `oldfilm enhance --job` does.

    path: a YAML file that `save_job` or `oldfilm enhance --save-job` wrote, or a handwritten one.
    progress: as `restore` takes it.

    Raises:
        OldfilmError: the first input that cannot be restored; what was restored before it is kept.
    """
    file = read_job(path)
    output = file.output or Path("output")
    if not file.inputs or file.chain is None:
        raise OptionError(f"job {path}: it has no `input`.")
    is_result = functools.partial(pipeline.is_own_result, output=output, names=set(STAGES))
    inputs = [source for each in file.inputs for source in sources(each, is_result)]
    stems = pipeline.separate_stems(inputs)
    job = make_job(None, {}, preset=file.chain)
    done = []
    with job.open_executor() as executor:
        for source in inputs:
            named = replace(job, options=replace(job.options, stem=stems.get(source)))
            with reporting(progress) as report:
                done.append(named.run(source, output, report, executor))
    return done


def save_job(
    file: str | Path,
    path: str | Path | Sequence[str | Path],
    order: str | Sequence[str] | None = None,
    output: str | Path = "output",
    *,
    preset: str | None = None,
    weights: Mapping[str, str | None] | None = None,
    variants: Mapping[str, str] | None = None,
    **options: Any,
) -> None:
    """Write a job file that `run_job` and `oldfilm enhance --job` restore. Paths become absolute.

    file: where to. path: one source or several. The other arguments are those of `restore`.

    Raises:
        OldfilmError: an option does not exist or is invalid, or the file cannot be written.
    """
    make_job(order, options, preset=preset, weights=weights, variants=variants)
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    named = [f"{stage}={name}" for stage, name in (variants or {}).items()]
    named += [str(options.pop("variant"))] if "variant" in options else []
    write_job(
        file,
        paths,
        output,
        _order(order),
        options,
        preset=preset,
        weights=weights,
        variants=named,
    )


def fetch_weights(purpose: str) -> list[Path]:
    """Download the published weights that are recommended for a purpose; return their files.

    purpose: "film", "faces", "streets", "television", ... The preset `best-<purpose>` uses them.
    The size and the speed are logged first; what is on this machine is not downloaded again.

    Raises:
        OptionError: nothing is recommended for this purpose.
        WeightsError, TransferError: the weights cannot be downloaded or stored.
        NetworkError: Paddle is not installed, which converts them.
    """
    preset = recommended(purpose)
    logger.warning("%s: %s", preset.name, preset.about)
    found = []
    for name, variant in variants_of(preset.variants)[1].items():
        stage = predictor_class(name)
        assert issubclass(stage, Predictor)
        known = model(stage.config)
        found.append(fetch_published(known, known.variant(variant)))
    return found


def make_job(
    order: str | Sequence[str] | None,
    options: Mapping[str, Any],
    *,
    preset: str | Preset | None = None,
    weights: Mapping[str, str | None] | None = None,
    variants: Mapping[str, str] | None = None,
) -> Job:
    """Build the stages of a chain, and check its options; the arguments are those of `restore`.

    Raises:
        OptionError, WeightsError: a stage, an option or weights do not exist or do not fit.
    """
    base = read_preset(preset) if isinstance(preset, str) else preset or Preset("")
    chain = _order(order) or base.order
    if not chain:
        raise OptionError("name the stages, such as `order=DeOldify`, or give a `preset`.")
    if not set(chain) <= REPAIR.keys():
        require_paddle()
    for name in sorted(ignored_options(chain, options)):
        raise _not_of_this_chain(name)
    given = {**(base.options or {}), **options}
    if preset and chain == base.order:
        given.setdefault("label", base.name)
    if not variants and "variant" not in options:
        for_all, by_stage = variants_of(base.variants)
        variants = {stage: name for stage, name in by_stage.items() if stage in chain}
        given.update({"variant": for_all} if for_all else {})
    names = {option.name for option in job_options()}
    settings = RestoreOptions(**{name: given[name] for name in given if name in names})
    stages = {name: value for name, value in given.items() if name not in names}
    files = {**(base.weights or {}), **(weights or {})}
    return Job(predictors(chain, stages, files, variants), settings)


def predictors(
    order: Sequence[str],
    options: Mapping[str, Any] | None = None,
    weights: Mapping[str, str | None] | None = None,
    variants: Mapping[str, str] | None = None,
) -> list[RunnableStage]:
    """Build the stages of a chain.

    order: names of stages. options: constructor arguments; each stage takes the ones that it
    declares. weights: weight files by stage name. variants: variants by stage name, which replace
    the `variant` of options.

    Raises:
        OptionError, WeightsError: a stage, an option or weights do not exist or do not fit.
    """
    unused = (variants or {}).keys() - set(order)
    if unused:
        raise OptionError(
            f"`variant` names {', '.join(sorted(unused))}: not a stage of this chain."
        )
    options, weights, variants = options or {}, weights or {}, variants or {}
    automatic = {
        name
        for name in order
        if weights.get(name) is None
        and (variants.get(name) or options.get("variant") or "auto") == "auto"
    }
    if automatic and choose_device(options.get("device")) == "cpu":
        _refuse_downloads([name for name in order if name in automatic], options)
    return [_stage(name, options, weights, variants) for name in order]


def _refuse_downloads(order: Sequence[str], options: Mapping[str, Any]) -> None:
    """Refuse stages that have no lite weights and whose published weights are not here.

    On a CPU, a chain downloads weights only on request. A single predictor downloads what it needs,
    as in PaddleGAN.

    Raises:
        WeightsError: the message names these stages, the commands that download their weights, and
            stages that need no download.
    """
    sentences = []
    for name in order:
        stage = predictor_class(name)
        if not issubclass(stage, Predictor):
            continue
        missing = stage.missing_weights(options)
        if missing is None:
            continue
        size = f" ({missing.bytes / 1e6:.0f} MB)" if missing.bytes else ""
        fetch = command("weights", "fetch", stage.config, "--variant", missing.name)
        other = NEEDS_NO_DOWNLOAD.get(f"{name} {missing.name}", NEEDS_NO_DOWNLOAD[name])
        instead = f", or use {other}, which needs no download" if other else ""
        sentences.append(
            f"{name}: its {missing.name} weights are not on this machine: `{fetch}` downloads "
            f"them{size}{instead}"
        )
    if sentences:
        raise WeightsError(f"{'; '.join(sentences)}.")


def ignored_options(order: Sequence[str], options: Mapping[str, Any]) -> set[str]:
    """Return the names of those options that neither the job nor a stage of the chain takes."""
    taken = {option.name for option in job_options()}
    return set(options).difference(taken, *(_option_names(name) for name in order))


def _order(order: str | Sequence[str] | None) -> tuple[str, ...]:
    return (order,) if isinstance(order, str) else tuple(order or ())


def _stage(
    name: str,
    options: Mapping[str, Any],
    weights: Mapping[str, str | None],
    variants: Mapping[str, str],
) -> RunnableStage:
    stage = predictor_class(name)
    given = {**options, "weight_path": weights.get(name)}
    if name in variants:
        given["variant"] = variants[name]
    taken = {o.name: o.convert(given.get(o.name)) for o in stage.options}
    return stage(**{name: value for name, value in taken.items() if value is not None})


def _option_names(name: str) -> set[str]:
    return {option.name for option in predictor_class(name).options} - {"weight_path"}


def _not_of_this_chain(name: str) -> OptionError:
    known = stage_options()
    if name == "weight_path":
        return OptionError("`weight_path` belongs to one stage: give `weights={STAGE: FILE}`.")
    if name in known:
        stages = known[name][1]
        if len(stages) > 4:
            return OptionError(f"no stage of this chain has the option `{name}`.")
        one = "it" if len(stages) == 1 else "one of them"
        return OptionError(f"`{name}` is an option of {', '.join(stages)}: add {one} to `order`.")
    return unknown_option(name, [*known, *(option.name for option in job_options())])
