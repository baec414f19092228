"""A wheel works by itself, away from any checkout."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest
from PIL import Image

from tests.films import facts, make_film, moving_squares

TOP = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the wheel from a copy of the checkout; return the folder it is installed in."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
    shutil.copytree(TOP, source, ignore=unwanted)  # building leaves files in its source folder
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


@pytest.fixture(scope="module")
def metadata(site) -> Distribution:
    (folder,) = site.glob("oldfilm-*.dist-info")
    return PathDistribution(folder)


def oldfilm(site, cwd, *arguments):
    """Run the installed `oldfilm`; return its exit status and everything it prints."""
    return run(cwd, site, site / "bin" / "oldfilm", *arguments)


def run(cwd, site, *command):
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def test_python_m_oldfilm_does_the_main_job(site, tmp_path):
    film = make_film(tmp_path / "film.mp4", frames=3, size=(32, 32))
    chain = ["--process_order", "DeOldify", "PPMSVSR", "DAIN", "--variant", "lite"]
    arguments = ["enhance", "--input", film, "--output", tmp_path / "out.mp4", *chain]
    status, printed = run(tmp_path, site, "-m", "oldfilm", *arguments)
    assert status == 0, printed
    assert printed.splitlines()[-1] == str(tmp_path / "out.mp4")
    assert facts(tmp_path / "out.mp4")["size"] == (128, 128)


def test_the_installed_package_is_the_one_that_runs(site, tmp_path):
    status, printed = run(tmp_path, site, "-c", "import oldfilm; print(oldfilm.__file__)")
    assert (status, Path(printed.strip())) == (0, site / "oldfilm" / "__init__.py")


def test_oldfilm_photo_restores_a_photograph(site, tmp_path):
    Image.fromarray(moving_squares(1, (96, 64))[0]).save(tmp_path / "print.png")
    arguments = ["photo", "--input", "print.png", "--output", "restored.png", "--with_scratch"]
    status, printed = oldfilm(site, tmp_path, *arguments)
    assert status == 0, printed
    assert Image.open(tmp_path / "restored.png").size == (96, 64)


def test_oldfilm_weights_lists_the_shipped_weights(site, tmp_path):
    status, printed = oldfilm(site, tmp_path, "weights", "list")
    assert status == 0, printed
    assert str(site / "oldfilm" / "_data" / "weights" / "dain-lite.safetensors") in printed


def test_oldfilm_evaluate_measures_a_chain(site, tmp_path):
    make_film(tmp_path / "film.mp4", frames=6, size=(64, 48))
    arguments = ["evaluate", "--input", "film.mp4", "--process_order", "DAIN"]
    status, printed = oldfilm(site, tmp_path, *arguments, "--variant", "lite", "--quiet")
    assert status == 0, printed
    assert "PSNR" in printed.upper()


HELP = [
    ("--help",),
    ("enhance", "--help"),
    ("enhance", "--help-all"),
    ("photo", "--help"),
    ("weights", "--help"),
    ("weights", "fetch", "--help"),
    ("weights", "convert", "--help"),
    ("evaluate", "--help"),
]


ERRORS = [
    ("enhance", "--input", "missing.mp4", "--process_order", "DAIN"),
    ("enhance", "--input", "film.mp4", "--process_order", "EDVR", "--variant", "full"),
    ("enhance", "--input", "film.mp4", "--process_order", "Colorize"),
    ("photo", "--input", "film.mp4"),
    ("weights", "fetch", "edvr"),
    ("weights", "convert", "missing.pth", "--model", "deoldify"),
    ("evaluate", "--input", "missing.mp4", "--process_order", "DAIN"),
    ("enhanse",),
]

IN_ONE_PROCESS = """
import contextlib, io, json, sys
from oldfilm.cli.main import main
for arguments in json.loads(sys.argv[1]):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code
    print(json.dumps([arguments, status, printed.getvalue()]))
"""


@pytest.fixture(scope="module")
def ended(site, tmp_path_factory):
    """The exit status and the output of each of HELP and ERRORS."""
    folder = tmp_path_factory.mktemp("commands")
    make_film(folder / "film.mp4", frames=3, size=(64, 64))
    status, printed = run(folder, site, "-c", IN_ONE_PROCESS, json.dumps(HELP + ERRORS))
    assert status == 0, printed
    lines = map(json.loads, printed.splitlines())
    return {tuple(arguments): (status, text) for arguments, status, text in lines}


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_help_names_no_file_of_a_checkout(ended, arguments):
    status, printed = ended[arguments]
    assert status == 0, printed
    assert printed.startswith("usage: oldfilm")
    assert "tools" not in printed
    assert "docs/" not in printed


@pytest.mark.parametrize("arguments", ERRORS, ids=" ".join)
def test_errors_name_no_file_of_a_checkout(ended, arguments):
    status, printed = ended[arguments]
    assert status in (1, 2), printed
    assert "Traceback" not in printed
    assert "tools" not in printed
    assert "docs/" not in printed


def test_missing_weights_are_fetched_with_a_command_that_the_wheel_has(ended):
    _, printed = ended[ERRORS[1]]
    assert "`oldfilm weights fetch edvr" in printed


@pytest.mark.parametrize("name", ["oldfilm-photo", "oldfilm-weights", "oldfilm-evaluate"])
def test_older_names_of_the_commands_still_work(site, tmp_path, name):
    status, printed = run(tmp_path, site, site / "bin" / name, "--help")
    assert status == 0, printed


def test_the_wheel_holds_no_tests_and_no_training_data(site):
    assert not (site / "tests").exists()
    shipped = {p.suffix for p in (site / "oldfilm").rglob("*") if p.is_file()}
    assert (site / "oldfilm/_data/configs/presets/silent-film.yaml").is_file()
    assert shipped <= {".py", ".pyc", ".yaml", ".safetensors", ".md", ".typed"}


def test_type_checkers_find_the_annotations(site):
    assert (site / "oldfilm" / "py.typed").is_file()


def test_the_license_covers_the_code_and_the_cards_cover_the_weights(metadata):
    expression = metadata.metadata["License-Expression"]
    assert expression == "Apache-2.0 AND LicenseRef-oldfilm-lite-weights"
    cards = {f"weights/{path.name}" for path in TOP.glob("weights/*.md")}
    assert set(metadata.metadata.get_all("License-File")) == {"LICENSE", *cards}


def test_the_metadata_states_the_supported_versions_of_python(metadata):
    assert metadata.metadata["Requires-Python"] == ">=3.10"
    versions = [f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)]
    assert set(versions) <= set(metadata.metadata.get_all("Classifier"))


def test_no_requirement_excludes_a_newer_version(metadata):
    """Upper bounds keep users from versions that work."""
    bounded = [r for r in metadata.requires if "<" in r.split(";")[0]]
    assert {r.split("; extra")[1] for r in bounded} <= {' == "faces"', ' == "test"'}
