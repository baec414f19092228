"""Whatever changes a stage's frames is told by it, so that no job goes on with something else."""

import inspect

import pytest
from PIL import Image

from oldfilm.apps import STAGES, base, predictor_class
from oldfilm.weights import ResolvedWeights

TOLD_BY_ALL = {"output", "weight_path", "variant", "device", "use_gpu"}
"""Where to write is nothing of the frames; the rest is told by the base of all predictors."""

OTHER_VALUES = {
    "render_factor": 5,
    "time_step": 0.25,
    "fps": "60",
    "flow_scale": 0.5,
    "mindim": 128,
}


def options():
    for name in STAGES:
        for option in inspect.signature(predictor_class(name)).parameters.values():
            if option.name not in TOLD_BY_ALL | {"reference_dir"}:
                yield pytest.param(name, option, id=f"{name}-{option.name}")


def another(option):
    """A value that is not the option's default."""
    if option.name in OTHER_VALUES:
        return OTHER_VALUES[option.name]
    if isinstance(option.default, bool):
        return not option.default
    return option.default + 1 if isinstance(option.default, int) else option.default / 2 or 0.5


@pytest.fixture(autouse=True)
def weights_of_any_variant(monkeypatch, tmp_path):
    """Stages are asked for what they are, not for frames: weights that are not here will do."""

    def resolve(model, variant, *_, published, **__):
        chosen = model.get("lite") or model.get(published)
        return ResolvedWeights(chosen, tmp_path / "weights", "0" * 64)

    monkeypatch.setattr(base, "resolve", resolve)


def told(stage):
    return dict(stage.fingerprint()), stage.window


@pytest.mark.parametrize(("name", "option"), options())
def test_every_option_is_told(name, option):
    stage = predictor_class(name)
    assert told(stage(**{option.name: another(option)})) != told(stage())


@pytest.mark.parametrize("name", STAGES)
def test_what_is_told_is_the_same_every_time(name):
    assert told(predictor_class(name)()) == told(predictor_class(name)())


def test_the_pictures_that_colors_are_taken_from_are_told(tmp_path):
    known = []
    for folder, color in (("a", "red"), ("b", "blue")):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (32, 32), color).save(tmp_path / folder / "picture.png")
        given = {"colorization": True, "reference_dir": str(tmp_path / folder)}
        known.append(told(predictor_class("DeepRemaster")(**given)))
    assert known[0] != known[1]
