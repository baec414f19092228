"""Presets: a chain and its options under one name, written in `configs/presets`."""

from __future__ import annotations

from argparse import Action
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from oldfilm.apps import STAGES
from oldfilm.errors import OptionError
from oldfilm.weights.registry import data_folder

NOT_OF_A_PRESET = frozenset(
    {"help", "version", "input", "output", "preset", "overwrite", "restart", "work-dir", "address"}
)
"""Options of one run, not of a way to restore."""


def presets() -> dict[str, Path]:
    """The shipped presets' files by name, in alphabetical order."""
    folder = data_folder("configs") / "presets"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def arguments_of(preset: str, options: Mapping[str, Action]) -> list[str]:
    """A preset as arguments of the command line, to be given before its own.

    preset: the name of a shipped one, or the path of a YAML file that holds options by their names
    on the command line. options: all that there are, by their names with dashes.

    Raises:
        OptionError: there is no such preset, or it holds what cannot be.
    """
    arguments: list[str] = []
    for name, value in _content(preset).items():
        option = options.get(f"--{name}")
        if option is None or name in NOT_OF_A_PRESET:
            raise OptionError(f"preset {preset}: there is no option {name!r} for presets.")
        if name in ("process_order", "proccess_order"):
            _check_stages(preset, value)
        if isinstance(value, bool) and option.choices:  # as YAML reads "on" and "off"
            value = "on" if value else "off"
        arguments += _argument(preset, name, value)
    return arguments


def _content(preset: str) -> dict[Any, Any]:
    path = presets().get(preset, Path(preset))
    if not path.is_file():
        raise OptionError(
            f"there is no preset {preset!r}; the presets are: {', '.join(presets())}, "
            "or the path of a YAML file."
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # a damaged text raises whatever its words happen to mean
        told = " ".join(str(error).split())
        raise OptionError(f"preset {preset}: this is not YAML that can be read: {told}") from error
    if not isinstance(content, dict):
        raise OptionError(f"preset {preset}: it holds no options, such as 'grain: 0.3'.")
    return content


def _check_stages(preset: str, value: Any) -> None:
    unknown = [name for name in _listed(value) if str(name) not in STAGES]
    if unknown:
        raise OptionError(
            f"preset {preset}: there is no stage {unknown[0]!r}; "
            f"the stages are: {', '.join(STAGES)}."
        )


def _argument(preset: str, name: str, value: Any) -> list[str]:
    """One option: true is a flag that is given, false one that is not."""
    if isinstance(value, bool):
        return [f"--{name}"] if value else []
    values = _listed(value)
    if not values or not all(isinstance(one, (str, int, float)) for one in values):
        raise OptionError(f"preset {preset}: {name} must be a value, or a list of values.")
    if len(values) == 1:
        return [f"--{name}={values[0]}"]
    if strange := [one for one in values if isinstance(one, str) and one.startswith("-")]:
        raise OptionError(f"preset {preset}: {name} has {strange[0]!r}, which is another option.")
    return [f"--{name}", *map(str, values)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
