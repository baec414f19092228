"""`oldfilm completion`: a script with which a shell completes commands, options and values."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from oldfilm.apps import STAGES
from oldfilm.apps.presets import presets
from oldfilm.cli.main import COMMANDS, execute
from oldfilm.cli.options import Parser
from oldfilm.cli.weights import PARTS
from oldfilm.errors import OptionError

SHELLS = ("bash", "zsh", "fish", "tcsh")

_LOADS_COMPINIT = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }"
"""A zsh without any configuration has no completion yet."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `oldfilm completion`; returns the exit status."""
    return execute(make_parser().parse_args, run, argv)


def run(arguments: argparse.Namespace) -> int:
    """Print the script for a shell."""
    try:
        import shtab
    except ImportError:
        raise OptionError("completion needs shtab: `pip install 'oldfilm[completion]'`.") from None
    script = shtab.complete(program(), shell=arguments.shell)
    if arguments.shell == "zsh":
        first, _, rest = script.partition("\n")  # "#compdef oldfilm" must stay the first line
        script = f"{first}\n{_LOADS_COMPINIT}\n{rest}"
    print(script)
    return 0


def program() -> argparse.ArgumentParser:
    """Build one parser of all commands that take options of their own."""
    parser = argparse.ArgumentParser("oldfilm", add_help=False)
    build: Any = _parser_of  # argparse calls it as it would a class
    commands = parser.add_subparsers(parser_class=build)
    for name, about in COMMANDS.items():
        if name == "weights":
            _add_weights(commands.add_parser(name, help=about))
        else:
            commands.add_parser(name, help=about)
    return parser


def _add_weights(parser: argparse.ArgumentParser) -> None:
    build: Any = _weights_parser_of
    commands = parser.add_subparsers(parser_class=build)
    for name in PARTS:
        commands.add_parser(name)


def _parser_of(**facts: Any) -> Parser:
    """Build the parser of the command whose name ends `prog`."""
    name = facts["prog"].rpartition(" ")[2]
    if name == "weights":
        return Parser(facts["prog"], "COMMAND ...", "")
    make = import_module(f"oldfilm.cli.{name}").make_parser
    return _completed(make(everything=True) if name == "enhance" else make())


def _weights_parser_of(**facts: Any) -> Parser:
    return _completed(PARTS[facts["prog"].rpartition(" ")[2]][0]())


def _completed(parser: Parser) -> Parser:
    """Add the values that shells offer: files, folders, and the names of presets and stages.

    Parsers of the command line do not have them, because other values are valid, too.
    """
    import shtab

    named = {"preset": list(presets()), "process_order": list(STAGES)}
    for action in parser.actions:
        metavar = str(action.metavar)
        if action.dest in named:
            action.choices = named[action.dest]
        elif "|" in metavar:
            action.choices = metavar.split("|")
        elif "FOLDER" in metavar:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.type is Path or metavar.split()[0] in ("PATH", "FILE", "PICTURE"):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    return parser


def make_parser() -> Parser:
    """Build the parser."""
    parser = Parser(
        "oldfilm completion",
        "SHELL",
        "Print a script that completes commands and options.",
        'In bash: eval "$(oldfilm completion bash)"; in fish: oldfilm completion fish | source',
    )
    parser.flag("options", "shell", choices=SHELLS, help="the shell")
    return parser
