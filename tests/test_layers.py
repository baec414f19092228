"""The arrows of docs/architecture.md: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import oldfilm

PACKAGE = Path(oldfilm.__file__).parent
EVERYWHERE = {"errors", "flow", "neighbours", "first_guess", "cache", "lock", "threads", "disk"}
MAY_IMPORT = {
    "__init__": set(),
    "errors": set(),
    "flow": set(),
    "neighbours": set(),
    "first_guess": set(),
    "cache": set(),
    "lock": set(),
    "threads": set(),
    "disk": set(),
    "stage": set(),
    "media": {"stage"},
    "pipeline": {"stage", "media"},
    "networks": set(),
    "weights": set(),
    "engine": set(),
    "repair": {"pipeline", "stage", "media"},
    "apps": {"pipeline", "stage", "media", "networks", "weights", "engine"},
    "display": {"pipeline", "media"},
    "presets": {"apps", "weights"},
    "cli": {"apps", "pipeline", "media", "display", "presets"},
    "photo_cli": {"apps", "media"},
    "weights_cli": {"apps", "weights"},
    "metrics": set(),
    "training": {"networks", "media", "weights", "stage", "metrics"},
    "evaluation": {"apps", "pipeline", "media", "stage", "metrics"},
}


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].replace(".py", "")


def imported_parts(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "oldfilm":
                names = [f"oldfilm.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("oldfilm."))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.name))
def test_no_arrow_goes_up(path):
    part = part_of(path)
    allowed = MAY_IMPORT[part] | EVERYWHERE | {part, "__version__"}
    assert set(imported_parts(path)) <= allowed


@pytest.mark.parametrize("module", ["oldfilm", "oldfilm.media", "oldfilm.apps", "oldfilm.cli"])
def test_importing_does_not_import_paddle(module):
    code = f"import sys, {module}; raise SystemExit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
