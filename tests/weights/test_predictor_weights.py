"""What a predictor makes of a weight file that it is given."""

import pytest

from oldfilm.apps.dain.predictor import DAINPredictor
from oldfilm.engine.device import import_paddle
from oldfilm.errors import WeightsError
from oldfilm.networks.dain_lite import DAINLite
from oldfilm.weights import model

paddle = import_paddle()
SETTINGS = model("dain").variants["lite"].settings


@pytest.fixture
def weights(tmp_path):
    """A training's own file, under any name."""
    path = tmp_path / "mine.pdparams"
    paddle.save(DAINLite(**SETTINGS).state_dict(), str(path))
    return path


def test_a_paddle_file_is_taken_as_the_variant_that_it_fits(weights):
    predictor = DAINPredictor(weight_path=str(weights))
    assert predictor.variant == "lite"
    assert predictor.weights.path == weights


def test_a_variant_that_is_named_has_to_fit(weights):
    other = DAINLite(channels=[4, 4, 4])
    paddle.save(other.state_dict(), str(weights))
    with pytest.raises(WeightsError, match="mine.pdparams does not fit DAINLite"):
        DAINPredictor(weight_path=str(weights), variant="lite")


def test_a_file_that_fits_no_variant_is_told(tmp_path, weights):
    paddle.save(paddle.nn.Linear(2, 2).state_dict(), str(weights))
    with pytest.raises(WeightsError, match="mine.pdparams does not fit"):
        DAINPredictor(weight_path=str(weights))


def test_a_pytorch_file_is_told_with_what_to_do(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "best.pth"
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match=f"convert {path} --model dain"):
        DAINPredictor(weight_path=str(path))


def test_a_truncated_file_is_told(weights):
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="mine.pdparams cannot be read as weights"):
        DAINPredictor(weight_path=str(weights))
