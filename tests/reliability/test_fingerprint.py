"""A fingerprint contains everything that changes frames, so that no job resumes with changes."""

import pytest
from PIL import Image

from oldfilm.apps import STAGES, base, predictor_class
from oldfilm.weights import ResolvedWeights

COMMON = {"output", "weight_path", "variant", "device", "use_gpu"}
"""`output` changes no frame; `Predictor` adds the others to every fingerprint."""

OTHER_VALUES = {
    "network_engine": "paddle",
    "num_frames": 7,
    "render_factor": 5,
    "time_step": 0.25,
    "fps": "60",
    "flow_scale": 0.5,
    "mindim": 128,
    "bs": 16,  # Exported graphs take windows of at least eight frames.
    "color_reference": Image.new("RGB", (32, 32), "red"),
    "color_hints": [{"point": [1, 2], "color": "red"}],
    "task": "Denoising",
    "seed": 1,
    "mask": Image.new("L", (32, 32), 128),
}

REQUIRED = {"MPR": {"task": "Deblurring"}, "AOTGAN": {"mask": Image.new("L", (32, 32), 255)}}


def options():
    for name in STAGES:
        for option in predictor_class(name).options:
            if option.name not in COMMON | {"reference_dir"}:
                yield pytest.param(name, option, id=f"{name}-{option.name}")


def another(option):
    """Return a value that is not the default of the option."""
    if option.name in OTHER_VALUES:
        return OTHER_VALUES[option.name]
    if isinstance(option.default, bool):
        return not option.default
    return option.default + 1 if isinstance(option.default, int) else option.default / 2 or 0.5


@pytest.fixture(autouse=True)
def weights_of_any_variant(monkeypatch, tmp_path):
    """Fingerprints need no weights, so any file name does."""

    def resolve(model, variant, *_, published, **__):
        chosen = model.get(variant) or model.get("lite") or model.get(published)
        return ResolvedWeights(chosen, tmp_path / "weights", "0" * 64)

    monkeypatch.setattr(base, "resolve", resolve)


def determinants(stage):
    return dict(stage.fingerprint()), stage.window


@pytest.mark.parametrize(("name", "option"), options())
def test_every_option_is_in_the_fingerprint(name, option):
    stage, needed = predictor_class(name), REQUIRED.get(name, {})
    changed = {**needed, option.name: another(option)}
    assert determinants(stage(**changed)) != determinants(stage(**needed))


@pytest.mark.parametrize("name", STAGES)
def test_equal_stages_have_equal_fingerprints(name):
    stage, needed = predictor_class(name), REQUIRED.get(name, {})
    assert determinants(stage(**needed)) == determinants(stage(**needed))


def test_the_content_of_the_reference_pictures_is_in_the_fingerprint(tmp_path):
    found = []
    for folder, color in (("a", "red"), ("b", "blue")):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (32, 32), color).save(tmp_path / folder / "picture.png")
        given = {"colorization": True, "reference_dir": str(tmp_path / folder)}
        found.append(determinants(predictor_class("DeepRemaster")(**given)))
    assert found[0] != found[1]
