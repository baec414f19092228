"""Every published model, from its authors' file to a restored film: slow, run by hand.

The files have the published keys and shapes, but values from the formula, so the picture is not
restored. The tests check that a film comes out, with the right size, rate and length.
"""

import json
from fractions import Fraction

import pytest
from PIL import Image

from oldfilm.cli import enhance, weights
from oldfilm.weights import model
from tests.films import facts, ffmpeg
from tests.parity import formula
from tests.test_real_films import FILMS, STREET
from tests.weights.test_round_trip import KEYS, of, save

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not STREET.is_file(), reason=f"{FILMS} is missing"),
]

SIZE = (96, 72)
OPTIONS = {
    "DeOldify": ["--render_factor", "4"],
    "DeepRemaster": ["--mindim", "64"],
}
FACTOR = {
    **dict.fromkeys(("DAIN", "RIFE", "SuperSloMo", "DeOldify", "DeepRemaster"), 1),
    **dict.fromkeys(("MPR", "NAFNet", "SwinIR", "InvDN", "AOTGAN", "GPEN"), 1),
}
"""Enlargement; 4 for all other models."""
STAGES = {"GPEN": "Faces"}
"""Names of stages that are not those of the model."""
NOT_STAGES = ("old_photo", "midas")
"""A part of OldPhoto is not a stage, and MiDaS is only a predictor."""


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """Cut four frames from market-street-1906."""
    path = tmp_path_factory.mktemp("street") / "street.mp4"
    scale = f"scale={SIZE[0]}:{SIZE[1]}"
    ffmpeg("-i", STREET, "-vf", scale, "-frames:v", 4, "-crf", 12, "-pix_fmt", "yuv420p", path)
    return path


@pytest.mark.parametrize(
    "keys", [k for k in KEYS if of(k)[0].config not in NOT_STAGES], ids=lambda path: path.stem
)
def test_a_published_file_is_converted_found_and_restores_a_film(
    keys, street, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("OLDFILM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OLDFILM_OFFLINE", "1")
    stated = json.loads(keys.read_text())
    known, variant = of(keys)
    save(stated, formula.weights(stated["keys"]), tmp_path / "published")
    command = ["convert", str(tmp_path / "published"), "--model", known.name]
    assert weights.main([*command, "--variant", variant.name]) == 0
    (tmp_path / "published").unlink()

    output = tmp_path / "restored.mp4"
    stage = STAGES.get(known.name, known.name)
    command = ["--input", str(street), "--output", str(output), "--process_order", stage]
    options = OPTIONS.get(known.name, [])
    if stage == "AOTGAN":
        mask = tmp_path / "mask.png"
        Image.new("L", SIZE, 255).save(mask)
        options = ["--mask", str(mask)]
    assert enhance.main([*command, "--variant", variant.name, "--device", "cpu", *options]) == 0
    assert f"{stage} ({variant.name})" in capsys.readouterr().err
    result = facts(output)
    factor = FACTOR.get(known.name, 4)
    between = known.name in ("DAIN", "RIFE", "SuperSloMo")
    # DeepRemaster makes both sides multiples of 16, as its authors do.
    size = (80, 64) if known.name == "DeepRemaster" else tuple(factor * side for side in SIZE)
    assert result["size"] == size
    assert (result["frames"], result["rate"]) == ((8, 32) if between else (4, Fraction(16)))


def test_every_published_model_is_tested():
    shown = {of(keys)[0].config for keys in KEYS}
    published = {
        "deoldify",
        "ppmsvsr",
        "ppmsvsr_large",
        "basicvsr",
        "iconvsr",
        "basicvsr_plus_plus",
    }
    published |= {"mpr", "nafnet", "swinir", "invdn", "aotgan", "gpen", "midas"}
    published |= {"edvr", "realsr", "esrgan", "dain", "deepremaster", "rife", "super_slomo"}
    assert shown >= published
    assert all(model(config).name for config in shown)
