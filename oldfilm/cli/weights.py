"""`oldfilm weights`: list, download, check and convert weights."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from oldfilm.api import fetch_weights
from oldfilm.apps.base import build_network, fetch_published
from oldfilm.apps.presets import purposes, recommended
from oldfilm.cli.main import FAILED_WORK, WRONG_INPUT, execute, overview, unknown_command
from oldfilm.cli.options import Parser
from oldfilm.errors import OptionError, WeightsError
from oldfilm.weights import (
    Model,
    Variant,
    configs,
    load_strictly,
    model,
    named_model,
    read_weights,
)
from oldfilm.weights.commands import command
from oldfilm.weights.convert import convert
from oldfilm.weights.folders import search_folders
from oldfilm.weights.formats import metadata_of
from oldfilm.weights.search import candidates, find, is_usable

COMMANDS = {
    "list": "all models and variants, and where their weights are",
    "fetch": "download published weights, and convert them if necessary",
    "verify": "check that weights are undamaged and fit their networks",
    "where": "the folders that are searched, in order, and their files",
    "convert": "convert an author's file to weights that are found by name",
}

_RESUMES = "What was received is kept, and the next download continues from there."


def main(argv: Sequence[str] | None = None) -> int:
    """Run `oldfilm weights`; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help"):
        print(overview("oldfilm weights", "The weights of oldfilm's models.", COMMANDS))
        return 0 if arguments else WRONG_INPUT
    if first not in COMMANDS:
        return unknown_command("oldfilm weights", first, COMMANDS)
    make_parser, run = PARTS[first]
    return execute(make_parser().parse_args, run, arguments[1:], _RESUMES)


def _parser(name: str, usage: str) -> Parser:
    return Parser(f"oldfilm weights {name}", usage, f"{COMMANDS[name].capitalize()}.")


def _list_parser() -> Parser:
    return _parser("list", "")


def _fetch_parser() -> Parser:
    parser = _parser("fetch", "NAME [--variant VARIANT] | --for PURPOSE")
    parser.flag("options", "name", metavar="NAME", nargs="?", help="a model, such as deoldify")
    parser.flag("options", "--variant", help="which of its weights; by default full")
    parser.flag(
        "options",
        "--for",
        dest="purpose",
        metavar="PURPOSE",
        help=f"the weights that are recommended for {', '.join(purposes())}",
    )
    return parser


def _verify_parser() -> Parser:
    parser = _parser("verify", "[NAME]")
    parser.flag("options", "name", metavar="NAME", nargs="?", help="a model; by default all")
    return parser


def _where_parser() -> Parser:
    parser = _parser("where", "NAME")
    parser.flag("options", "name", metavar="NAME", help="a model")
    return parser


def _convert_parser() -> Parser:
    parser = _parser("convert", "FILE --model NAME [options]")
    add = functools.partial(parser.flag, "options")
    add("file", metavar="FILE", type=Path, help="a .pth, .pdparams, .bin (ncnn), ... file")
    add("--model", required=True, metavar="NAME", help="the model that the weights belong to")
    add("--variant", help="the variant that they belong to; by default the one that they fit")
    add("--output", type=Path, metavar="PATH", help="a .safetensors file to write, or a folder")
    add("--overwrite", action="store_true", help="replace weights converted from another file")
    return parser


def _list(arguments: argparse.Namespace) -> int:
    rows = [("model", "variant", "size", "where", "licence")]
    for config in configs():
        known = model(config)
        for variant in known.variants.values():
            here = next(candidates(variant), None)
            published = variant.addresses[0].bytes if variant.addresses else variant.bytes
            size = here.stat().st_size if here else published
            rows.append((known.name, variant.name, _size(size), _place(variant), variant.licence))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return 0


def _place(variant: Variant) -> str:
    for path in candidates(variant):
        return str(path) if is_usable(variant, path) else f"{path} (to be converted)"
    return "to be downloaded" if variant.urls else "to be obtained by hand"


def _fetch(arguments: argparse.Namespace) -> int:
    if arguments.purpose is not None:
        if arguments.name or arguments.variant:
            raise OptionError("give a model, or `purpose`, but not both.")
        paths = fetch_weights(arguments.purpose)
        preset = recommended(arguments.purpose).name
        print(*paths, sep="\n")
        print(f"Use them with: {command('enhance', '--input', 'FILM', '--preset', preset)}")
        return 0
    if arguments.name is None:
        raise OptionError("name a model, such as deoldify, or a `purpose`, such as film.")
    known = named_model(arguments.name)
    variant = known.variant(arguments.variant) if arguments.variant else _published(known)
    print(f"{known.name} {variant.name}: {fetch_published(known, variant)}")
    return 0


def _published(known: Model) -> Variant:
    variants = [variant for variant in known.variants.values() if not variant.shipped]
    full = known.get("full")
    if full is None and len(variants) != 1:
        names = ", ".join(variant.name for variant in variants) or "all of its weights are shipped"
        raise WeightsError(f"{known.name}: choose one with --variant: {names}.")
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
        print(f"BAD  {name}: {error}")
        return False
    source = metadata_of(here.path).get("source")
    origin = f", converted from {source}" if source else ""
    print(f"ok   {name}: {here.path} (sha256 {here.sha256}{origin})")
    return True


def _where(arguments: argparse.Namespace) -> int:
    known = named_model(arguments.name)
    here = [(path, v) for v in known.variants.values() for path in candidates(v)]
    for folder in search_folders():
        print(str(folder) if folder.is_dir() else f"{folder} (does not exist)")
        for path, variant in here:
            if path.parent == folder:
                state = "" if is_usable(variant, path) else ", to be converted"
                size = _size(path.stat().st_size)
                print(f"    {path.name} ({variant.name}, {size}{state})")
    for variant in known.variants.values():
        for url in variant.urls:
            print(f"{url} ({variant.name})")
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    known = named_model(arguments.model)
    converted = convert(
        arguments.file,
        known,
        build_network,
        arguments.variant,
        arguments.output,
        arguments.overwrite,
    )
    print(f"{known.name} {converted.variant.name}: {converted.path}")
    return 0


def _size(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:.1f} MB"


PARTS: dict[str, tuple[Callable[[], Parser], Callable[[argparse.Namespace], int]]] = {
    "list": (_list_parser, _list),
    "fetch": (_fetch_parser, _fetch),
    "verify": (_verify_parser, _verify),
    "where": (_where_parser, _where),
    "convert": (_convert_parser, _convert),
}
