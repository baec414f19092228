"""Presets: a chain and its options under one name, from a YAML file in `configs/presets`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from oldfilm.apps import PREDICTORS, STAGES, check_stage, stage_options
from oldfilm.errors import OptionError, did_you_mean
from oldfilm.pipeline.options import job_options
from oldfilm.stage import Option
from oldfilm.weights.registry import data_folder

OPTIONS_OF_A_RUN = frozenset({"overwrite", "restart", "work_dir", "address", "weight_path"})
"""Options that a preset cannot hold: they belong to one run, or to one stage."""


BEST = "best-"
"""Prefix of the names of the presets that use recommended published weights."""


@dataclass(frozen=True)
class Preset:
    """A chain and its options.

    name: part of the result's file name. order: names of stages; empty if the preset has none.
    variants: as in `--variant`, NAME or STAGE=NAME. weights: weight files by stage name. options:
    options of the job and its stages, by their names in Python. quiet: show no progress. about: one
    line about the size of the download and the speed.
    """

    name: str
    order: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    weights: Mapping[str, str] | None = None
    options: Mapping[str, Any] | None = None
    quiet: bool = False
    about: str = ""


def presets() -> dict[str, Path]:
    """Return the files of the shipped presets by name, in alphabetical order."""
    folder = data_folder("configs") / "presets"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def purposes() -> dict[str, str]:
    """Return the names of the presets with recommended published weights, by their purpose."""
    return {name.removeprefix(BEST): name for name in presets() if name.startswith(BEST)}


def recommended(purpose: str) -> Preset:
    """Return the preset with the published weights that are recommended for a purpose.

    purpose: such as "film", or the preset's own name, with hyphens or underscores.

    Raises:
        OptionError: nothing is recommended for it.
    """
    name, known = purpose.lower().replace("_", "-").removeprefix(BEST), purposes()
    if name not in known:
        hint = did_you_mean(name, known) or "."
        raise OptionError(
            f"no weights are recommended for {purpose!r}{hint} Choose from {', '.join(known)}."
        )
    return read_preset(known[name])


def read_preset(name: str) -> Preset:
    """Read a preset.

    name: of a shipped preset, or the path of a YAML file. The file holds options by the names of
    their flags, with hyphens or underscores.

    Raises:
        OptionError: the preset does not exist, or has an unknown option or an invalid value.
    """
    try:
        return _preset(presets().get(name, Path(name)), _content(name))
    except OptionError as error:
        raise OptionError(f"preset {name}: {error}") from error


def variants_of(given: Sequence[str]) -> tuple[str | None, dict[str, str]]:
    """Split variants, each NAME or STAGE=NAME, into the one for all stages and those by stage.

    Raises:
        OptionError: there are several for all stages.
    """
    for_all = [name for name in given if "=" not in name]
    if len(for_all) > 1:
        raise OptionError(
            f"`variant={' '.join(for_all)}`: give one for all, or STAGE=NAME for each"
        )
    by_stage = dict(name.split("=", 1) for name in given if "=" in name)
    return (for_all[0] if for_all else None), by_stage


def _content(name: str) -> dict[Any, Any]:
    path = presets().get(name, Path(name))
    if not path.is_file():
        raise OptionError(
            f"it does not exist{did_you_mean(name, presets()) or '.'} The presets are: "
            f"{', '.join(presets())}, or the path of a YAML file."
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # PyYAML raises many types for damaged text
        reason = " ".join(str(error).split())
        raise OptionError(f"this is not valid YAML: {reason}") from error
    if not isinstance(content, dict):
        raise OptionError("it has no options, such as 'grain: 0.3'.")
    return content


def _preset(path: Path, content: Mapping[Any, Any]) -> Preset:
    switches = _switches()
    order: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    weights: dict[str, str] = {}
    options: dict[str, Any] = {}
    quiet, about = False, str(content.get("about", ""))
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name in ("process_order", "proccess_order"):
            order = _stages(value)
        elif name == "variant":
            variants = tuple(str(one) for one in _listed(name, value))
            _check_variants(variants)
        elif name == "quiet":
            quiet = bool(value)
        elif name == "about":
            continue
        elif name == "cpu":
            options.update({"device": "cpu"} if value else {})
        elif name.endswith("_weight") and name[:-7] in PREDICTORS:
            weights[name[:-7]] = str(value)
        elif name in switches:
            option, on = switches[name]
            options[option.name] = on if option.convert(value) else not on
        else:
            options[name] = _value(_option(str(key), name), value)
    return Preset(path.stem, order, variants, weights, options, quiet, about)


def _check_variants(variants: Sequence[str]) -> None:
    """Refuse variants of stages that do not exist."""
    for stage in variants_of(variants)[1]:
        if stage not in STAGES:
            raise OptionError(f"`variant` names {stage}, which is not a stage.")


def _switches() -> dict[str, tuple[Option, bool]]:
    """The options that have a flag of another name, by that name, and what the flag sets."""
    return {
        option.flag.lstrip("-").replace("-", "_"): (option, not option.default)
        for option in _options()
        if option.flag and option.type is bool
    }


def _options() -> list[Option]:
    stages = [option for option, _ in stage_options().values()]
    return [o for o in (*job_options(), *stages) if o.visible and o.name not in OPTIONS_OF_A_RUN]


def _option(key: str, name: str) -> Option:
    known = {option.name: option for option in _options()}
    if name not in known:
        raise OptionError(f"unknown option `{key}` for presets{did_you_mean(name, known)}")
    return known[name]


def _value(option: Option, value: Any) -> Any:
    if isinstance(value, bool) and option.choices:  # YAML reads "on" and "off" as booleans
        value = "on" if value else "off"
    if option.several:
        return option.convert(list(_listed(option.name, value)))
    if not isinstance(value, (str, int, float)):
        raise OptionError(f"`{option.name}` must be a value.")
    return option.convert(value)


def _stages(value: Any) -> tuple[str, ...]:
    for name in value if isinstance(value, list) else [value]:
        check_stage(str(name))
    return tuple(_listed("process_order", value))


def _listed(name: str, value: Any) -> Iterable[str]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, (str, int, float)) for one in values):
        raise OptionError(f"`{name}` must be a value, or a list of values.")
    return values
