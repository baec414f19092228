"""Every predictor declares the options that its constructor accepts."""

import inspect

import pytest

from oldfilm.apps import PREDICTORS, predictor_class

CLASSES = {name: predictor_class(name) for name in [*PREDICTORS, "OldPhoto"]}
PADDLEGAN_ONLY = {
    "self",
    "output",
    "use_gpu",
    "seed",
    "window_size",
    "gen_cfg",
    "model_type",
    "size",
}
PADDLEGAN_ONLY |= {"style_dim", "n_mlp", "channel_multiplier", "narrow"}


def constructor_arguments(predictor):
    """Return the arguments of the constructor, and of those that it passes `**options` on to."""
    arguments = {}
    for base in predictor.__mro__:
        if "__init__" in vars(base):
            own = inspect.signature(base.__init__).parameters
            arguments = {**own, **arguments}
            if not any(each.kind is each.VAR_KEYWORD for each in own.values()):
                break
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name: each for name, each in arguments.items() if each.kind not in variadic}


@pytest.mark.parametrize("predictor", CLASSES.values(), ids=CLASSES)
def test_declared_options_match_the_constructor(predictor):
    arguments = constructor_arguments(predictor)
    declared = {option.name: option.default for option in predictor.options}
    assert declared.keys() - PADDLEGAN_ONLY == arguments.keys() - PADDLEGAN_ONLY
    assert declared == {name: arguments[name].default for name in declared}


@pytest.mark.parametrize("predictor", CLASSES.values(), ids=CLASSES)
def test_the_default_of_every_option_is_valid(predictor):
    for option in predictor.options:
        assert option.check(option.default) == option.default


@pytest.mark.parametrize("name", ["DeOldify", "PPMSVSR", "DAIN", "OldPhoto"])
def test_every_option_is_an_attribute(name):
    predictor = CLASSES[name](variant="lite", device="cpu")
    assert predictor.variant == "lite"
    assert predictor.device == "cpu"
    for option in predictor.options:
        assert hasattr(predictor, option.name)
