"""Runs a program as its user does: in a new process, in a folder with a film and a photograph."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.films import make_film

ROOT = Path(__file__).parents[2]
NAMED = "import sys, oldfilm; sys.modules['ppgan'] = oldfilm\n"
TINY = {
    "realsr": {"nf": 8, "nb": 1, "gc": 4},
    "edvr": {"nf": 8, "nframes": 5, "groups": 8, "front_RBs": 1, "back_RBs": 1},
    "basicvsr": {"mid_channels": 8, "num_blocks": 1},
    "basicvsr_plus_plus": {"mid_channels": 16, "num_blocks": 1},
    "deepremaster": {"narrowing": 8},
}
"""Networks with few channels, in place of those that have no lite weights."""


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A folder with configs and pseudo-random weights of tiny networks."""
    pytest.importorskip("paddle")
    from tests.apps import tiny

    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        for config, settings in TINY.items():
            tiny.install(patch, folder, config, settings)
    return folder


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """A film of 5 frames with sound, and a photograph in color."""
    folder = tmp_path_factory.mktemp("sources")
    make_film(folder / "film.mp4", frames=5, size=(64, 48), sound=True)
    picture = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    large = Image.fromarray(picture).resize((64, 48), Image.Resampling.BICUBIC)
    large.save(folder / "old.jpeg")
    return folder


@pytest.fixture
def run(sources, tmp_path, weights):
    """Return a function that runs a program and returns what it prints."""
    for source in sources.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())

    def run_program(program, status=0, named=True, **environment):
        variables = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OLDFILM_CONFIGS": str(weights),
            "OLDFILM_WEIGHTS": str(weights),
            **environment,
        }
        code = (NAMED if named else "") + textwrap.dedent(program)
        (tmp_path / "program.py").write_text(code)
        done = subprocess.run(
            [sys.executable, "program.py"],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    return run_program
