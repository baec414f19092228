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

OPTIONS_OF_A_RUN = frozenset({"overwrite", "restart", "work_dir", "address"})
"""Options that a preset cannot hold: they belong to one run."""


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
        path = presets().get(name, Path(name))
        return read_options(path.stem, _content(name))
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
    return read_yaml(path)


def read_yaml(path: Path) -> dict[Any, Any]:
    """Read a YAML file with options.

    Raises:
        OptionError: it cannot be read, or it is not YAML with options by name.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"{error.strerror}") from error
    except Exception as error:  # PyYAML raises many types for damaged text
        reason = " ".join(str(error).split())
        raise OptionError(f"this is not valid YAML: {reason}") from error
    if not isinstance(content, dict):
        raise OptionError("it has no options, such as 'grain: 0.3'.")
    return content


def read_options(name: str, content: Mapping[Any, Any], of_a_run: bool = False) -> Preset:
    """Return the preset of this name from options by the names of their flags.

    of_a_run: whether `OPTIONS_OF_A_RUN` may be among them.

    Raises:
        OptionError: an option is unknown, or has an invalid value.
    """
    known = known_options(of_a_run)
    switches = _switches(known)
    order: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    weights: dict[str, str] = {}
    options: dict[str, Any] = {}
    quiet, about = False, str(content.get("about", ""))
    for key, value in content.items():
        flag = str(key).replace("-", "_")
        if flag in ("process_order", "proccess_order"):
            order = _stages(value)
        elif flag == "variant":
            variants = tuple(str(one) for one in _listed(flag, value))
            _check_variants(variants)
        elif flag == "quiet":
            quiet = bool(value)
        elif flag == "about":
            continue
        elif flag == "cpu":
            options.update({"device": "cpu"} if value else {})
        elif flag.endswith("_weight") and flag[:-7] in PREDICTORS:
            weights[flag[:-7]] = str(value)
        elif flag in switches:
            option, on = switches[flag]
            options[option.name] = on if option.convert(value) else not on
        else:
            options[flag] = _value(_option(str(key), flag, known, of_a_run), value)
    return Preset(name, order, variants, weights, options, quiet, about)


def _check_variants(variants: Sequence[str]) -> None:
    """Refuse variants of stages that do not exist."""
    for stage in variants_of(variants)[1]:
        if stage not in STAGES:
            raise OptionError(f"`variant` names {stage}, which is not a stage.")


def _switches(known: Mapping[str, Option]) -> dict[str, tuple[Option, bool]]:
    """The options that have a flag of another name, by that name, and what the flag sets."""
    return {
        option.flag.lstrip("-").replace("-", "_"): (option, not option.default)
        for option in known.values()
        if option.flag and option.type is bool
    }


def known_options(of_a_run: bool = False) -> dict[str, Option]:
    """Return the options of the job and all stages by name, with `OPTIONS_OF_A_RUN` or without."""
    stages = [option for option, _ in stage_options().values()]
    left_out = {"weight_path"} if of_a_run else {"weight_path", *OPTIONS_OF_A_RUN}
    return {o.name: o for o in (*job_options(), *stages) if o.visible and o.name not in left_out}


def _option(key: str, name: str, known: Mapping[str, Option], of_a_run: bool) -> Option:
    if name not in known:
        where = "" if of_a_run else " for presets"
        raise OptionError(f"unknown option `{key}`{where}{did_you_mean(name, known)}")
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
