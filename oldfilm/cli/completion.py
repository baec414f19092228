"""`oldfilm completion`: a script with which a shell completes commands, options and values."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from oldfilm.cli.main import COMMANDS, execute
from oldfilm.cli.options import Parser
from oldfilm.errors import OptionError

SHELLS = ("bash", "zsh", "tcsh")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `oldfilm completion`; returns the exit status."""
    return execute(make_parser().parse_args, run, argv)


def run(arguments: argparse.Namespace) -> int:
    """Print the script for a shell."""
    try:
        import shtab
    except ImportError:
        raise OptionError("completion needs shtab: `pip install 'oldfilm[completion]'`.") from None
    print(shtab.complete(program(), shell=arguments.shell))
    return 0


def program() -> argparse.ArgumentParser:
    """Build one parser of all commands that take options of their own."""
    parser = argparse.ArgumentParser("oldfilm", add_help=False)
    build: Any = _parser_of  # argparse calls it as it would a class
    commands = parser.add_subparsers(parser_class=build)
    for name, about in COMMANDS.items():
        if name != "weights":  # It has commands of its own.
            commands.add_parser(name, help=about)
    return parser


def _parser_of(**facts: Any) -> Parser:
    """Build the parser of the command whose name ends `prog`."""
    name = facts["prog"].rpartition(" ")[2]
    make = import_module(f"oldfilm.cli.{name}").make_parser
    return make(everything=True) if name == "enhance" else make()


def make_parser() -> Parser:
    """Build the parser."""
    parser = Parser(
        "oldfilm completion",
        "SHELL",
        "Print a script that completes commands and options.",
        'In bash: eval "$(oldfilm completion bash)"',
    )
    parser.flag("options", "shell", choices=SHELLS, help="the shell")
    return parser
