"""Job files: the inputs, the output, the chain and all options of a run, as YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from oldfilm.apps.presets import (
    Preset,
    known_options,
    read_options,
    read_preset,
    read_yaml,
    variants_of,
)
from oldfilm.errors import OptionError
from oldfilm.system.files import write_file


@dataclass(frozen=True)
class JobFile:
    """What a job file holds.

    inputs, output: as on the command line; empty and None if the file has none. chain: stages,
    weights and options, those of the file's `preset` included.
    """

    inputs: tuple[Path, ...] = ()
    output: Path | None = None
    chain: Preset | None = None


def read_job(path: str | Path) -> JobFile:
    """Read a job file.

    It holds everything that a preset can hold, the options of a single run, and `input`, `output`
    and `preset`. Relative paths are relative to the current folder, as on the command line.

    Raises:
        OptionError: the file does not exist, or has an unknown option or an invalid value.
    """
    path = Path(path)
    try:
        content = read_yaml(path)
        inputs = content.pop("input", [])
        inputs = inputs if isinstance(inputs, list) else [inputs]
        output, preset = content.pop("output", None), content.pop("preset", None)
        if not all(isinstance(one, str) for one in inputs):
            raise OptionError("`input` must be a path, or a list of paths.")
        chain = read_options("", content, of_a_run=True)
    except OptionError as error:
        raise OptionError(f"job {path}: {error}") from error
    if preset is not None:
        chain = _over(read_preset(str(preset)), chain)
    output = None if output is None else Path(str(output))
    return JobFile(tuple(map(Path, inputs)), output, chain)


def _over(base: Preset, own: Preset) -> Preset:
    """Return a preset with the job's own stages and options over it."""
    is_same = own.order in ((), base.order)
    return Preset(
        name=base.name if is_same else "",
        order=own.order or base.order,
        variants=own.variants or base.variants,
        weights={**(base.weights or {}), **(own.weights or {})},
        options={**(base.options or {}), **(own.options or {})},
        quiet=own.quiet or base.quiet,
        about=base.about,
    )


def write_job(
    path: str | Path,
    inputs: Sequence[str | Path],
    output: str | Path,
    order: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    *,
    preset: str | None = None,
    weights: Mapping[str, str | None] | None = None,
    variants: Sequence[str] = (),
    quiet: bool = False,
) -> None:
    """Write a job file that `read_job` reads. Paths become absolute.

    variants: each NAME or STAGE=NAME. The other arguments are those of `oldfilm.restore`.

    Raises:
        OptionError: an option has a value that a file cannot hold.
        MediaError, MachineError: the file cannot be written.
    """
    variants_of(variants)
    content: dict[str, Any] = {
        "input": [str(Path(one).absolute()) for one in inputs],
        "output": str(Path(output).absolute()),
    }
    if preset is not None:
        content["preset"] = str(Path(preset).absolute()) if Path(preset).is_file() else preset
    content.update({"process_order": list(order)} if order else {})
    content.update({"variant": list(variants)} if variants else {})
    for name, file in (weights or {}).items():
        content.update({f"{name}_weight": str(Path(file).absolute())} if file else {})
    known = known_options(of_a_run=True)
    for name, value in (options or {}).items():
        content[name] = _plain(name, known[name].convert(value))
    content.update({"quiet": True} if quiet else {})
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_file(Path(path), text.encode())


def _plain(name: str, value: Any) -> Any:
    """Return the value of an option as YAML holds it."""
    if isinstance(value, tuple):
        return [_plain(name, each) for each in value]
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else str(value)
    if isinstance(value, (str, int, float)):
        return value
    raise OptionError(f"`{name}`: a file can hold a path, not data in memory.")
