"""docs/adding-a-model.md works as written, in a copy of the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oldfilm.weights import data_folder

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs" / "adding-a-model.md"
TABLE = "oldfilm/apps/__init__.py"
TESTS = ["tests/apps/test_swift.py", "tests/apps/test_trio.py", "tests/repair/test_gamma.py"]


def blocks() -> list[tuple[str, str]]:
    """Return the file name and the content of every fenced block of the page."""
    page = PAGE.read_text(encoding="utf-8")
    return re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", page, flags=re.M | re.S)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """Copy the checkout, and add to it what the page says."""
    copy = tmp_path_factory.mktemp("checkout")
    skipped = shutil.ignore_patterns("__pycache__")
    for folder in ("oldfilm", "configs", "tests"):
        shutil.copytree(TOP / folder, copy / folder, ignore=skipped)
    shutil.copy(TOP / "pyproject.toml", copy)
    (copy / "weights").symlink_to(data_folder("weights"))
    for name, text in blocks():
        path = copy / name
        if name == TABLE:
            table = "REPAIR" if "repair" in text else "PREDICTORS"
            rows = path.read_text(encoding="utf-8")
            text = re.sub(rf"^{table} = {{\n", rf"\g<0>{text}", rows, count=1, flags=re.M)
        path.write_text(text, encoding="utf-8")
    return copy


def run(checkout: Path, *arguments: str) -> str:
    """Run Python on the copy, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_page_has_every_file():
    names = [name for name, _ in blocks()]
    assert len(names) == PAGE.read_text(encoding="utf-8").count("```") // 2
    assert set(TESTS) < set(names)
    assert names.count(TABLE) == 3


def test_the_tests_of_the_page_pass(checkout):
    pytest.importorskip("paddle")
    printed = run(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS)
    assert "5 passed" in printed


def test_the_configs_and_options_of_the_page_pass_the_tests_of_all_models(checkout):
    pytest.importorskip("paddle")
    chosen = ["-k", "swift or Swift or trio or Trio"]
    tests = ["tests/weights/test_configs.py", "tests/apps/test_options.py"]
    assert " passed" in run(
        checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, *tests
    )


def test_the_command_line_knows_the_new_stages_and_options(checkout):
    printed = run(checkout, "-m", "oldfilm", "enhance", "--help-all")
    for word in ("Swift", "Trio", "Gamma", "--amount", "--gamma"):
        assert word in printed
