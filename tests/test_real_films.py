"""The main job on real silent films; slow, so run by hand."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from oldfilm.cli.enhance import main
from tests.films import facts, ffmpeg, packets

TOP = Path(__file__).parent.parent
FILMS = TOP.parent / "shared" / "data" / "films"
STREET = FILMS / "market-street-1906.mkv"
ALL = ["DeOldify", "PPMSVSR", "DAIN"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not STREET.is_file(), reason=f"{FILMS} does not exist"),
]


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """Add a sound track to market-street-1906."""
    path = tmp_path_factory.mktemp("street") / "street.mkv"
    sound = ["-f", "lavfi", "-t", "3.75", "-i", "sine=frequency=300:sample_rate=48000"]
    ffmpeg("-i", STREET, *sound, "-c:v", "copy", "-c:a", "aac", path)
    return path


def enhance(source, output, *arguments):
    command = ["--input", str(source), "--output", str(output), "--process_order", *ALL]
    assert main([*command, "--variant", "lite", *arguments]) == 0
    return facts(output)


def test_a_silent_film_gains_color_size_and_frames_and_keeps_its_sound(street, tmp_path):
    result = enhance(street, tmp_path / "out.mp4")
    assert result["size"] == (1920, 1472)
    assert (result["rate"], result["frames"]) == (32, 120)
    assert packets(tmp_path / "out.mp4", "audio") == packets(street, "audio")
    assert abs(result["frames"] / result["rate"] - Fraction(15, 4)) < Fraction(1, 64)
    color = np.ptp(result["images"][60].astype(int), axis=2)
    assert color.mean() > 4


def test_another_rate_is_exact_too(street, tmp_path):
    result = enhance(street, tmp_path / "out.mp4", "--fps", "60")
    assert (result["rate"], result["frames"]) == (60, 225)


def test_memory_does_not_grow_with_the_film(tmp_path):
    command = [sys.executable, TOP / "benchmarks" / "chain.py", STREET, "--frames", "60", "600"]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    peaks = [float(line.split()[-2]) for line in output.splitlines() if "together" in line]
    assert peaks[1] < 1.1 * peaks[0]
    assert max(peaks) < 3e9 / 2**30
