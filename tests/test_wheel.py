"""An installed wheel does the main job, away from any checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.films import facts, make_film

TOP = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that holds the installed wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
    shutil.copytree(TOP, source, ignore=unwanted)  # a build leaves things behind
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def test_the_wheel_does_the_main_job(site, tmp_path):
    film = make_film(tmp_path / "film.mp4", frames=3, size=(32, 32))
    code = (
        "import sys, pathlib, oldfilm;"
        f"assert pathlib.Path(oldfilm.__file__).is_relative_to({str(site)!r});"
        "from oldfilm.cli.enhance import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["--input", str(film), "--output", str(tmp_path / "out.mp4")]
    arguments += ["--process_order", "DeOldify", "PPMSVSR", "DAIN", "--variant", "lite"]
    subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        check=True,
    )
    assert facts(tmp_path / "out.mp4")["size"] == (128, 128)


def test_the_wheel_holds_no_tests_and_no_training_data(site):
    assert not (site / "tests").exists()
    shipped = {p.suffix for p in (site / "oldfilm").rglob("*") if p.is_file()}
    assert (site / "oldfilm/_data/configs/presets/silent-film.yaml").is_file()
    assert shipped <= {".py", ".pyc", ".yaml", ".safetensors", ".md"}
