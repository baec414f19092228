"""`oldfilm app`: a page on which films are restored in a browser."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from oldfilm.app.server import serve
from oldfilm.app.workspace import Limits
from oldfilm.cli.main import execute
from oldfilm.cli.options import Parser, add_log
from oldfilm.system.paths import cache_folder

RESUMES = "The next start resumes unfinished films."


def main(argv: Sequence[str] | None = None) -> int:
    """Run `oldfilm app`; returns the exit status."""
    return execute(make_parser().parse_args, run, argv, RESUMES)


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until it is stopped."""
    limits = Limits(
        bytes=round(arguments.max_size * 1e9),
        seconds=arguments.max_minutes * 60,
        hours=arguments.keep_hours,
    )

    def ready(address: str) -> None:
        print(address, flush=True)
        print("Ctrl-C stops it.", file=sys.stderr)
        if arguments.open:
            webbrowser.open(address)

    folder = arguments.folder or cache_folder() / "app"
    serve(folder, limits, arguments.host, arguments.port, ready)
    return 0


def make_parser() -> Parser:
    """Build the parser."""
    parser = Parser(
        "oldfilm app",
        "[OPTION ...]",
        "Serve a page on which films and photographs are restored in a browser.",
        "It needs Gradio: pip install 'oldfilm[app]'",
    )
    add = parser.flag
    about = "address to listen on (127.0.0.1: this machine only; 0.0.0.0: the network)"
    add("options", "--host", default="127.0.0.1", help=about)
    add("options", "--port", type=int, help="port (the first free one from 7860)")
    add("options", "--folder", type=Path, help="uploads and results (in the cache folder)")
    _add_limits(parser)
    add("options", "--open", action="store_true", help="open the page in a browser")
    add_log(parser, "options")
    return parser


def _add_limits(parser: Parser) -> None:
    """Add the flags that limit uploads, and how long they are kept."""
    limits, add = Limits(), parser.flag
    about = f"largest upload in GB ({limits.bytes / 1e9:g})"
    add(
        "options",
        "--max-size",
        type=_positive,
        default=limits.bytes / 1e9,
        dest="max_size",
        metavar="GB",
        help=about,
    )
    about = f"longest film in minutes ({limits.seconds / 60:g})"
    add(
        "options",
        "--max-minutes",
        type=_positive,
        default=limits.seconds / 60,
        dest="max_minutes",
        metavar="N",
        help=about,
    )
    about = f"delete films this long after their last job, in hours ({limits.hours:g})"
    add(
        "options",
        "--keep-hours",
        type=_positive,
        default=limits.hours,
        dest="keep_hours",
        metavar="N",
        help=about,
    )


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value
