"""The words of messages that any part may use."""

from fractions import Fraction

import pytest

from oldfilm.errors import OptionError, did_you_mean, written
from oldfilm.stage import Option, seconds


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(3, 4), "0.75"),
        (Fraction(-1, 8), "-0.125"),
        (Fraction(25), "25"),
        (Fraction(30_000, 1001), "30000/1001"),
        (Fraction(1, 3), "1/3"),
        (2.5, "2.5"),
        ("film", "film"),
    ],
)
def test_numbers_are_written_as_people_write_them(value, text):
    assert written(value) == text


@pytest.mark.parametrize(("given", "text"), [("0.75", "0.75"), ("0:0.5", "0.5"), ("3/4", "0.75")])
def test_a_time_that_is_refused_is_named_as_people_write_it(given, text):
    with pytest.raises(OptionError, match=f"`duration={text}`: must be at least 1"):
        Option("duration", seconds, minimum=1).convert(given)


@pytest.mark.parametrize("name", ["weight_path", "weights", "--weight_path", "--model-path"])
def test_weights_of_a_single_model_become_those_of_a_stage(name):
    dashes = "--" if name.startswith("--") else ""
    known = [f"{dashes}{option}" for option in ("height", "DAIN_weight", "RIFE_weight")]
    said = did_you_mean(name, known)
    assert said == f"; name the stage: {dashes}<Stage>_weight, such as `{dashes}DAIN_weight`"
    assert did_you_mean(name, ["height"]) in ("", "; did you mean `height`?")
