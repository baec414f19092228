"""The command line of weights: what there is, where it is, how to get it."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from oldfilm import __version__
from oldfilm.apps.base import build_network
from oldfilm.errors import OldfilmError, WeightsError
from oldfilm.weights import (
    Model,
    TransferError,
    Variant,
    configs,
    load_strictly,
    model,
    named_model,
    read_weights,
)
from oldfilm.weights.convert import convert
from oldfilm.weights.fetch import fetch
from oldfilm.weights.folders import search_folders
from oldfilm.weights.resolve import candidates, find, is_usable

WRONG_INPUT, FAILED_WORK, INTERRUPTED = 2, 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 (failed work) or 2 (wrong input)."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(message)s")
    try:
        return arguments.run(arguments)
    except OldfilmError as error:
        _tell(f"oldfilm: {error}")
        wrong = isinstance(error, WeightsError) and not isinstance(error, TransferError)
        return WRONG_INPUT if wrong else FAILED_WORK
    except KeyboardInterrupt:
        _tell("Stopped. What was received is kept, and the next download goes on from there.")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="weights", description="The weights of oldfilm's models: list, fetch, check, convert."
    )
    parser.add_argument("--version", action="version", version=f"oldfilm {__version__}")
    add = parser.add_subparsers(required=True, metavar="COMMAND").add_parser
    command = add("list", help="all models and variants, and which are here")
    command.set_defaults(run=_list)
    command = add("fetch", help="download published weights, and convert them where need be")
    command.add_argument("name", metavar="NAME", help="a model, such as deoldify")
    command.add_argument("--variant", help="which of its weights; by default full")
    command.set_defaults(run=_fetch)
    command = add("verify", help="check that what is here is not damaged, and fits its network")
    command.add_argument("name", metavar="NAME", nargs="?", help="a model; by default all")
    command.set_defaults(run=_verify)
    command = add("where", help="which folders are searched, in order, and what is in them")
    command.add_argument("name", metavar="NAME", help="a model")
    command.set_defaults(run=_where)
    command = add("convert", help="turn an authors' file into weights that are found by name")
    command.add_argument("file", metavar="FILE", type=Path, help="a .pth, .pdparams, ... file")
    command.add_argument("--model", required=True, metavar="NAME", help="whose weights they are")
    command.add_argument("--variant", help="which variant's; by default the one that they fit")
    command.add_argument("--output", type=Path, metavar="FILE", help="a .safetensors to write")
    command.set_defaults(run=_convert)
    return parser


def _list(arguments: argparse.Namespace) -> int:
    rows = [("model", "variant", "size", "where", "licence")]
    for config in configs():
        known = model(config)
        for variant in known.variants.values():
            here = next(candidates(variant), None)
            size = here.stat().st_size if here else variant.bytes
            rows.append((known.name, variant.name, _size(size), _place(variant), variant.licence))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        _print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return 0


def _place(variant: Variant) -> str:
    for path in candidates(variant):
        return str(path) if is_usable(variant, path) else f"{path} (to be converted)"
    return "to be fetched" if variant.urls else "to be got by hand"


def _fetch(arguments: argparse.Namespace) -> int:
    known = named_model(arguments.name)
    variant = known.variant(arguments.variant) if arguments.variant else _published(known)
    with _Bar() as bar:
        fetched = fetch(known, variant, build_network, bar)
    _print(f"{known.name} {variant.name}: {fetched.path}")
    return 0


def _published(known: Model) -> Variant:
    variants = [variant for variant in known.variants.values() if not variant.shipped]
    full = known.get("full")
    if full is None and len(variants) != 1:
        names = ", ".join(variant.name for variant in variants) or "nothing, all is shipped"
        raise WeightsError(f"{known.name}: say which with --variant: {names}.")
    return full or variants[0]


def _verify(arguments: argparse.Namespace) -> int:
    models = [named_model(arguments.name)] if arguments.name else map(model, configs())
    verdicts = [_verdict(known, variant) for known, variant in _here(models)]
    return 0 if all(verdicts) else FAILED_WORK


def _here(models: Iterable[Model]) -> Iterable[tuple[Model, Variant]]:
    for known in models:
        for variant in known.variants.values():
            if any(is_usable(variant, path) for path in candidates(variant)):
                yield known, variant


def _verdict(known: Model, variant: Variant) -> bool:
    name = f"{known.name} {variant.name}"
    try:
        here = find(known, variant)
        assert here is not None
        weights = read_weights(here.path, variant.layout)
        load_strictly(build_network(variant.network, variant.settings), weights, str(here.path))
    except WeightsError as error:
        _print(f"WRONG  {name}: {error}")
        return False
    _print(f"right  {name}: {here.path} (sha256 {here.sha256})")
    return True


def _where(arguments: argparse.Namespace) -> int:
    known = named_model(arguments.name)
    here = [(path, v) for v in known.variants.values() for path in candidates(v)]
    for folder in search_folders():
        _print(str(folder) if folder.is_dir() else f"{folder} (there is none)")
        for path, variant in here:
            if path.parent == folder:
                state = "" if is_usable(variant, path) else ", to be converted"
                size = _size(path.stat().st_size)
                _print(f"    {path.name} ({variant.name}, {size}{state})")
    for variant in known.variants.values():
        for url in variant.urls:
            _print(f"{url} ({variant.name})")
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    known = named_model(arguments.model)
    converted = convert(arguments.file, known, build_network, arguments.variant, arguments.output)
    _print(f"{known.name} {converted.variant.name}: {converted.path}")
    return 0


def _size(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:.1f} MB"


class _Bar:
    """A download's progress on the terminal, from its first byte on."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int | None) -> None:
        if self._bar is None:
            self._bar = tqdm(total=total, unit="B", unit_scale=True, file=sys.stderr)
        self._bar.update(done - self._bar.n)


def _print(line: str) -> None:
    print(line, flush=True)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
