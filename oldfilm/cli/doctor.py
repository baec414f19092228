"""`oldfilm doctor`: check this installation, and say what to do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from oldfilm.apps.doctor import FAILED, NOTE, examine
from oldfilm.cli.main import FAILED_WORK, execute
from oldfilm.cli.options import Parser, add_log


def main(argv: Sequence[str] | None = None) -> int:
    """Run `oldfilm doctor`; returns the exit status: 1 if a check failed."""
    return execute(make_parser().parse_args, run, argv)


def run(arguments: argparse.Namespace) -> int:
    """Print each check as it ends."""
    counts = {NOTE: 0, FAILED: 0}
    for check in examine(not arguments.no_self_test):
        print(f"{check.status:6}  {check.name}: {check.found}", flush=True)
        if check.advice:
            print(f"        -> {check.advice}", flush=True)
        counts[check.status] = counts.get(check.status, 0) + 1
    print(f"{counts[FAILED]} failed, {counts[NOTE]} to note")
    return FAILED_WORK if counts[FAILED] else 0


def make_parser() -> Parser:
    """Build the parser."""
    parser = Parser(
        "oldfilm doctor",
        "[--no-self-test]",
        "Check Python, PaddlePaddle, devices, ffmpeg, weights and every stage.",
        "The exit status is 1 if a check failed.",
    )
    about = "do not restore frames with every stage, which takes a minute"
    parser.flag("options", "--no-self-test", action="store_true", dest="no_self_test", help=about)
    add_log(parser, "options")
    return parser
