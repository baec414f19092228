"""PaddleGAN's other restorers as stages on a real silent film, with small networks; slow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("paddle")

import oldfilm  # noqa: E402
from tests.apps import test_aotgan, test_gpen, tiny  # noqa: E402
from tests.films import facts, ffmpeg  # noqa: E402
from tests.parity.test_restorers import TINY  # noqa: E402

ROOT = Path(__file__).parents[2]
FILM = ROOT.parent / "shared" / "data" / "films" / "within-our-gates-1920.mkv"
FRAMES, SIZE = 8, (480, 368)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILM.is_file(), reason=f"{FILM} does not exist"),
]

MPR_TASKS = ("mpr-deblurring", "mpr-denoising", "mpr-deraining")

NETWORKS = {
    **TINY,
    **dict.fromkeys(MPR_TASKS, TINY["mpr-deblurring"]),
    "aotgan-full": test_aotgan.SMALL,
    "gpen-bfr-256": test_gpen.SMALL,
}
LAST = {
    **dict.fromkeys(MPR_TASKS, {"tail.weight": 1e-3}),
    "nafnet-full": {"ending.weight": 1e-3},
    "swinir-full": {"conv_last.weight": 0.01},
    "aotgan-full": {"decoder.4.weight": 0.1},
}
"""Factors of the last layer, which keep results close to the frame."""

CASES = {
    "mpr-deblurring": ("MPR", {"task": "Deblurring"}),
    "mpr-denoising": ("MPR", {"task": "Denoising"}),
    "mpr-deraining": ("MPR", {"task": "Deraining"}),
    "nafnet-full": ("NAFNet", {}),
    "swinir-full": ("SwinIR", {}),
    "invdn-full": ("InvDN", {"disable_mc": True}),
    "aotgan-full": ("AOTGAN", {"mask": "mask.png"}),
    "gpen-bfr-256": ("Faces", {}),
}

KILLED = """
import os, signal, sys, oldfilm
from oldfilm.pipeline.report import RESTORING

def stop(progress):
    if progress.part == RESTORING and progress.done > 4:
        os.kill(os.getpid(), signal.SIGKILL)

source, stage, output, options = sys.argv[1:]
oldfilm.restore(source, stage, output, progress=stop, **eval(options))
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    ffmpeg("-i", FILM, "-frames:v", str(FRAMES), "-c", "copy", path)
    return path


@pytest.mark.parametrize("name", CASES)
def test_workers_and_a_kill_do_not_change_the_frames(name, film, tmp_path, monkeypatch):
    config, _, variant = name.partition("-")
    stage, options = CASES[name]
    gain = 0.3 if config == "invdn" else 1.0
    tiny.install(monkeypatch, tmp_path, config, NETWORKS[name], variant, LAST.get(name), gain)
    if "mask" in options:
        mask = np.zeros(SIZE[::-1], np.uint8)
        mask[40:80, 100:180] = 255
        Image.fromarray(mask).save(tmp_path / "mask.png")
        options = {"mask": str(tmp_path / "mask.png")}
    options = {**options, "device": "cpu", "segment_frames": 4}
    alone = oldfilm.restore(film, stage, tmp_path / "alone.mkv", progress=False, **options)
    two = oldfilm.restore(film, stage, tmp_path / "2.mkv", progress=False, workers=2, **options)
    late = tmp_path / "late.mkv"
    command = [sys.executable, "-c", KILLED, str(film), stage, str(late), repr(options)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9
    assert not late.exists()
    resumed = oldfilm.restore(film, stage, late, progress=False, **options)
    images = facts(alone.path)["images"]
    assert images.shape[:3] == (FRAMES, *SIZE[::-1])
    np.testing.assert_array_equal(images, facts(two.path)["images"])
    np.testing.assert_array_equal(images, facts(resumed.path)["images"])
