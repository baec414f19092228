"""Weight files passed to a predictor as `weight_path`."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from oldfilm.apps.dain.predictor import DAINPredictor
from oldfilm.engine.device import import_paddle
from oldfilm.errors import WeightsError
from oldfilm.networks.dain_lite import DAINLite
from oldfilm.weights import data_folder, model
from tests.weights import torch_files

paddle = import_paddle()
SETTINGS = model("dain").variants["lite"].settings


@pytest.fixture
def weights(tmp_path):
    """A checkpoint of one's own training, under an arbitrary name."""
    path = tmp_path / "mine.pdparams"
    paddle.save(DAINLite(**SETTINGS).state_dict(), str(path))
    return path


def test_a_paddle_file_is_loaded_as_the_variant_that_it_fits(weights):
    predictor = DAINPredictor(weight_path=str(weights))
    assert predictor.variant == "lite"
    assert predictor.weights.path == weights


def test_a_file_must_fit_the_requested_variant(weights):
    other = DAINLite(channels=[4, 4, 4])
    paddle.save(other.state_dict(), str(weights))
    with pytest.raises(WeightsError, match="mine.pdparams does not fit DAINLite"):
        DAINPredictor(weight_path=str(weights), variant="lite")


def test_a_file_that_fits_no_variant_is_refused(tmp_path, weights):
    paddle.save(paddle.nn.Linear(2, 2).state_dict(), str(weights))
    with pytest.raises(WeightsError, match="mine.pdparams does not fit"):
        DAINPredictor(weight_path=str(weights))


def test_a_pytorch_file_is_refused_with_the_command_to_convert_it(tmp_path):
    path = tmp_path / "best.pth"
    torch_files.save(torch_files.tensors({"a": np.zeros(2)}), path)
    with pytest.raises(WeightsError, match=f"convert {path} --model dain"):
        DAINPredictor(weight_path=str(path))


def test_a_truncated_file_is_refused(weights):
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="mine.pdparams cannot be read as weights"):
        DAINPredictor(weight_path=str(weights))


def test_files_are_checked_before_paddle_is_imported(tmp_path):
    """Importing it takes seconds."""
    unreadable, mine = tmp_path / "mine.safetensors", tmp_path / "my-dain.safetensors"
    unreadable.write_text("not weights")
    shutil.copy(data_folder("weights") / "dain-lite.safetensors", mine)
    other = data_folder("weights") / "ppmsvsr-lite.safetensors"
    code = f"""if True:
        import sys
        from oldfilm.apps import DAINPredictor
        from oldfilm.errors import WeightsError
        for path in ({str(unreadable)!r}, {str(other)!r}, {str(mine)!r}):
            try:
                print(DAINPredictor(weight_path=path, device="cpu").variant)
            except WeightsError as error:
                print(error)
        print("paddle" in sys.modules)
    """
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second, *rest = ended.stdout.splitlines()
    assert f"{unreadable} cannot be read as weights" in first
    assert second == f"{other} does not fit DAIN (full); it holds the weights of PPMSVSR (lite)."
    assert rest == ["lite", "False"]
