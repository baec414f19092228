"""`.pth` files: as PyTorch writes them, damaged, and malicious."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from oldfilm.errors import WeightsError
from oldfilm.weights.torch_file import read_torch
from tests.weights import torch_files
from tests.weights.torch_files import Named, Storage, Tensor

SAVED = Path(__file__).parent / "saved_by_torch"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.pth"


def assert_refused(path, message):
    with pytest.raises(WeightsError, match=message) as raised:
        read_torch(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_both_layouts_that_pytorch_writes_hold_the_same_arrays():
    now, before = read_torch(SAVED / "now.pth"), read_torch(SAVED / "before-1.6.pth")
    assert list(now) == list(before)
    for name, array in now.items():
        np.testing.assert_array_equal(array, before[name])
    assert now["1.num_batches_tracked"].shape == ()
    assert {str(array.dtype) for array in now.values()} == {"float32", "int64"}


def test_bfloat16_is_read_as_float32():
    now, short = read_torch(SAVED / "now.pth"), read_torch(SAVED / "bfloat16.pth")
    assert short["0.weight"].dtype == np.float32
    np.testing.assert_allclose(short["0.weight"], now["0.weight"], rtol=2**-8)


def test_parameters_and_transposed_views_are_read():
    now, read = read_torch(SAVED / "now.pth"), read_torch(SAVED / "parameters.pth")
    np.testing.assert_array_equal(read["parameters"]["0.bias"], now["0.bias"])
    np.testing.assert_array_equal(read["transposed"], now["6.weight"].T)
    assert read["size"] == (1, 2)


def test_a_whole_network_is_refused_by_the_name_of_its_class():
    assert_refused(SAVED / "whole-network.pth", "holds torch.nn.modules.container.Sequential")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    "facts",
    [
        {"shape": (3,), "strides": (1,)},
        {"shape": (2,), "strides": (9,)},
        {"shape": (2,), "strides": (1,), "offset": 1},
        {"shape": (2,), "strides": (1,), "offset": -1},
        {"shape": (2,), "strides": (-1,), "offset": 1},
        {"shape": (2,), "strides": ()},
        {"shape": (2**40, 2**40), "strides": (0, 0)},
    ],
)
def test_a_tensor_that_leaves_its_numbers_is_refused(path, facts, old):
    torch_files.save({"a": Tensor(np.zeros(2, np.float32), **facts)}, path, old)
    assert_refused(path, "damaged|repeats itself")


def test_numbers_are_not_repeated_without_end(path):
    """Each of the tensors is a valid view of the same numbers."""
    whole = Tensor(np.zeros(1000, np.float32))
    torch_files.save({str(number): whole for number in range(3)}, path)
    assert read_torch(path)["2"].shape == (1000,)
    torch_files.save({"a": Tensor(np.zeros(1, np.float32), shape=(9,), strides=(0,))}, path)
    assert_refused(path, "repeats itself")


def test_dicts_that_repeat_each_other_are_refused(path):
    nested = {"a": Tensor(np.zeros(1, np.float32))}
    for _ in range(40):
        nested = {"a": nested, "b": nested}
    torch_files.save(nested, path)
    assert_refused(path, "repeats itself")


@pytest.mark.parametrize("old", [False, True])
def test_a_storage_that_states_a_false_count_is_refused(path, old):
    array = Tensor(np.zeros(2, np.float32))
    array.storage.array = np.zeros(2, np.float32)
    torch_files.save({"a": array}, path, old)
    stated = path.read_bytes()
    assert stated.count(b"cpu") == 1
    at = stated.index(b"cpu")
    # The pickled count, K\x02, follows the device.
    changed = stated[:at] + stated[at:].replace(b"K\x02", b"K\x7f", 1)
    path.write_bytes(changed)
    assert_refused(path, "damaged")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("torch", "load"), ("builtins", "getattr")]
)
def test_a_name_outside_the_allow_list_is_refused(path, module, name, old):
    torch_files.save({"a": Named(module, name)}, path, old)
    assert_refused(path, f"holds {module}.{name} in place of weights and was not opened")


def test_a_tensor_is_made_only_of_a_storage(path):
    array = Tensor(np.zeros(1, np.float32))
    array.storage = [1.0]
    torch_files.save({"a": array}, path)
    assert_refused(path, "a tensor without a storage")
    array.storage = Storage(np.zeros(1, np.float32), "Odd")
    torch_files.save({"a": array}, path)
    assert_refused(path, "holds torch.OddStorage")


def test_a_zip_bomb_is_refused(path):
    pickled = {"a": Tensor(np.zeros(1 << 20, np.float32))}
    whole = torch_files.content(pickled)
    path.write_bytes(whole)
    with zipfile.ZipFile(path) as archive:
        members = {n.partition("/")[2]: archive.read(n) for n in archive.namelist()}
    del members["version"]
    path.write_bytes(torch_files.archive(members, zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < len(whole) / 100
    assert_refused(path, "holds compressed data, which PyTorch never writes")


def test_a_member_outside_its_folder_is_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("../../evil", b"")
    assert_refused(path, r"holds a member outside its folder \('../../evil'\)")


@pytest.mark.parametrize("name", ["now", "before-1.6"])
def test_a_file_cut_anywhere_is_refused(path, name):
    whole = (SAVED / f"{name}.pth").read_bytes()
    for end in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:end])
        assert_refused(path, "damaged or incomplete|holds torch")
