"""The imports that docs/architecture.md allows between the parts of the package."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import oldfilm

PACKAGE = Path(oldfilm.__file__).parent
MAY_IMPORT = {
    "__init__": {"system"},
    "__main__": {"cli"},
    "errors": set(),
    "stage": {"errors"},
    "system": {"errors"},
    "imaging": {"errors"},
    "media": {"errors", "stage", "system", "imaging"},
    "pipeline": {"errors", "stage", "system", "imaging", "media"},
    "networks": set(),
    "weights": {"errors", "system"},
    "engine": {"errors", "system"},
    "repair": {"errors", "stage", "system", "imaging", "media", "pipeline"},
    "apps": {
        *("errors", "stage", "system", "imaging", "media", "pipeline"),
        *("networks", "weights", "engine"),
    },
    "api": {
        *("errors", "stage", "system", "imaging", "media", "pipeline"),
        *("weights", "engine", "apps"),
    },
    "app": {
        *("errors", "stage", "system", "imaging", "media", "pipeline"),
        *("apps", "api"),
    },
    "cli": {
        *("errors", "stage", "system", "imaging", "media", "pipeline"),
        *("weights", "apps", "api", "app", "evaluation"),
    },
    "utils": {"errors", "stage", "system", "media", "weights"},
    "training": {"errors", "stage", "system", "imaging", "media", "networks", "weights", "apps"},
    "evaluation": {"errors", "stage", "system", "imaging", "media", "pipeline", "weights", "apps"},
}
"""As in docs/architecture.md."""


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
def test_a_part_imports_only_what_it_may(path):
    part = part_of(path)
    allowed = MAY_IMPORT[part] | {part, "__version__"}
    assert set(imported_parts(path)) <= allowed


@pytest.mark.parametrize(
    "module", ["oldfilm", "oldfilm.media", "oldfilm.apps", "oldfilm.cli.enhance"]
)
def test_importing_does_not_import_paddle(module):
    code = f"import sys, {module}; raise SystemExit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
