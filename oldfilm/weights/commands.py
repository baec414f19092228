"""Commands to suggest to the user, written as they run in this installation."""

from __future__ import annotations

import shlex
from pathlib import Path

from oldfilm.weights.registry import Model, Variant

_CHECKOUT = Path(__file__).resolve().parents[2]
_SCRIPTS = {
    "enhance": "video-enhance.py",
    "evaluate": "evaluate.py",
    "photo": "restore-photo.py",
    "weights": "weights.py",
}


def command(subcommand: str, *arguments: str | Path, checkout: Path = _CHECKOUT) -> str:
    """A command line that runs a subcommand of oldfilm.

    `command("weights", "list")` is `python tools/weights.py list` in a checkout, and
    `oldfilm weights list` where oldfilm is installed as a package.

    subcommand: "enhance", "evaluate", "photo" or "weights". arguments: quoted for the shell where
    that is necessary. checkout: the folder that holds `tools/`, if there is one.
    """
    script = Path("tools", _SCRIPTS[subcommand])
    in_checkout = (checkout / script).is_file()
    program = f"python {script.as_posix()}" if in_checkout else f"oldfilm {subcommand}"
    return " ".join([program, *(shlex.quote(str(argument)) for argument in arguments)])


def fetch_command(model: Model, variant: Variant) -> str:
    """Return the command that downloads the variant, and converts it if necessary."""
    return command("weights", "fetch", model.config or model.name, "--variant", variant.name)


def convert_command(model: Model, variant: Variant | None, path: Path) -> str:
    """Return the command that converts a published file."""
    which = ("--variant", variant.name) if variant else ()
    return command("weights", "convert", path, "--model", model.config or model.name, *which)
