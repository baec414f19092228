"""Conversion of published files: wrappers, prefixes and layers; files that do not fit."""

import datetime
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from oldfilm.engine.device import import_paddle
from oldfilm.errors import WeightsError
from oldfilm.system.files import sha256_of_file
from oldfilm.weights import Model, TransferError, Variant, load_strictly, read_weights, resolve
from oldfilm.weights.convert import convert
from tests.parity import formula
from tests.weights import torch_files

paddle = import_paddle()
SAVED = Path(__file__).parent / "saved_by_torch"


def build(network, settings):
    """Build a network with layers that the two frameworks store differently."""
    wide = settings.get("wide", 4)
    return paddle.nn.Sequential(
        paddle.nn.Conv2D(3, wide, 3),
        paddle.nn.BatchNorm2D(wide),
        paddle.nn.PReLU(wide),
        paddle.nn.utils.weight_norm(paddle.nn.Conv2D(wide, wide, 1)),
        paddle.nn.AdaptiveAvgPool2D(1),
        paddle.nn.Flatten(),
        paddle.nn.Linear(wide, wide),
    )


def authors(wide=4):
    """Return the arrays of the same network as PyTorch names and shapes them."""
    vector, matrix = (wide,), (wide, wide)
    shapes = {
        **{"0.weight": (wide, 3, 3, 3), "0.bias": vector},
        **{"1.weight": vector, "1.bias": vector, "1.running_mean": vector, "1.running_var": vector},
        **{"2.weight": vector},
        **{"3.bias": vector, "3.weight_g": (wide, 1, 1, 1), "3.weight_v": (*matrix, 1, 1)},
        **{"6.weight": matrix, "6.bias": vector},
    }
    return {**formula.weights(shapes), "1.num_batches_tracked": np.array(7)}


def save(arrays, path, wrapping=lambda state: state, old=False):
    torch_files.save(wrapping(torch_files.tensors(arrays)), path, old)


def variant(name="full", **facts):
    facts = {"licence": "MIT", "source": "a paper", **facts}
    return Variant(name, "sharpen.Sharpen", file=f"sharpen-{name}.safetensors", **facts)


def sharpen(*variants):
    variants = variants or (variant(),)
    return Model("Sharpen", {each.name: each for each in variants}, config="sharpen")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "authors.pth"


def prefixed(state, prefix):
    return {f"{prefix}{name}": value for name, value in state.items()}


def nothing_like(state):
    return {name: torch_files.Tensor(np.zeros(tensor.shape)) for name, tensor in state.items()}


WRAPPINGS = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "state_dict, with a date": lambda state: {
        "timestamp": datetime.datetime(2018, 12, 8, 1, 2, 3),
        "loss": [[0.1, 0.2]],
        "state_dict": state,
    },
    "params": lambda state: {"params": state},
    "params_ema": lambda state: {"params": nothing_like(state), "params_ema": state},
    "generator": lambda state: {"generator": state, "discriminator": nothing_like(state)},
    "model (fastai)": lambda state: {"model": state, "opt": {"state": {}, "param_groups": [1e-3]}},
    "module.": lambda state: prefixed(state, "module."),
    "generator.": lambda state: {
        "state_dict": {
            **prefixed(state, "generator."),
            **prefixed(nothing_like(state), "discriminator."),
            "step_counter": torch_files.Tensor(np.zeros(1)),
        }
    },
    "generator.module.": lambda state: {"state_dict": prefixed(state, "generator.module.")},
}


@pytest.mark.parametrize("name", ["now", "before-1.6"])
def test_the_converted_network_computes_what_the_original_does(path, name):
    """A file that PyTorch saved, and what its network returns for a picture."""
    shutil.copy(SAVED / f"{name}.pth", path)
    convert(path, sharpen(), build)
    ours = build("", {})
    load_strictly(ours, read_weights(resolve(sharpen(), "full").path), "")
    ours.eval()
    picture = np.random.default_rng(0).random((1, 3, 8, 8), np.float32)
    expected = np.load(SAVED / "output.npy")
    np.testing.assert_allclose(ours(paddle.to_tensor(picture)).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("wrapping", WRAPPINGS.values(), ids=WRAPPINGS.keys())
@pytest.mark.parametrize("old", [False, True], ids=["", "before torch 1.6"])
def test_every_published_wrapping_is_unwrapped(path, wrapping, old):
    arrays = authors()
    save(arrays, path, wrapping, old)
    converted = load_file(convert(path, sharpen(), build).path)
    load_strictly(build("", {}), converted, "")
    np.testing.assert_array_equal(converted["0.weight"], arrays["0.weight"])
    np.testing.assert_array_equal(converted["6.weight"], arrays["6.weight"].T)
    np.testing.assert_array_equal(converted["3.weight_g"], arrays["3.weight_g"].ravel())


def test_the_header_of_the_result_names_its_source(path):
    save(authors(), path)
    with safe_open(convert(path, sharpen(), build).path, "np") as file:
        facts = file.metadata()
    assert facts["source"] == "authors.pth"
    assert facts["source_sha256"] == sha256_of_file(path)
    assert facts["licence"] == "MIT"
    assert (facts["model"], facts["variant"]) == ("Sharpen", "full")
    assert facts["oldfilm"]


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_every_float_becomes_float32(path, kind):
    save({name: value.astype(kind) for name, value in authors().items()}, path)
    converted = load_file(convert(path, sharpen(), build).path)
    assert {str(value.dtype) for value in converted.values()} == {"float32"}


def test_rules_rename_keys_in_order(path):
    state = prefixed(authors(), "net.layer")
    save({**state, "teacher.weight": np.zeros(3)}, path)
    rules = (("^teacher", None), (r"^net\.", ""), (r"^layer(\d+)", r"\1"))
    convert(path, sharpen(variant(convert=rules)), build)
    with pytest.raises(WeightsError, match="missing: 0.bias, .*extra: .*teacher.weight"):
        convert(path, sharpen(), build)


def test_rules_that_merge_two_keys_are_refused(path):
    state = authors()
    save({**state, "other.0.bias": state["0.bias"]}, path)
    with pytest.raises(WeightsError, match=r"\^other.* two of the file's keys the same name"):
        convert(path, sharpen(variant(convert=(("^other\\.", ""),))), build)


def test_a_layout_selects_the_entry(path):
    state = authors()
    save(state, path, lambda state: {"teacher": nothing_like(state), "student": state})
    written = convert(path, sharpen(variant(layout="student")), build).path
    np.testing.assert_array_equal(load_file(written)["0.bias"], state["0.bias"])


def test_a_paddle_file_is_converted_without_rules(tmp_path):
    ours = build("", {})
    path = tmp_path / "published.pdparams"
    paddle.save({"generator": ours.state_dict()}, str(path))
    rules = (("weight", "other"),)
    written = convert(path, sharpen(variant(layout="generator", convert=rules)), build).path
    np.testing.assert_array_equal(load_file(written)["6.weight"], ours[6].weight.numpy())


def test_the_variant_that_fits_is_found(path):
    save(authors(wide=8), path)
    wide = variant("large", settings={"wide": 8})
    assert convert(path, sharpen(variant(), wide), build).variant.name == "large"


def test_the_file_name_decides_between_variants_that_fit(path, tmp_path):
    save(authors(), path)
    urls = ("https://a.org/Video_gen.pth",)
    model = sharpen(variant("full"), variant("video", urls=urls))
    with pytest.raises(WeightsError, match="fits several variants .*: full, video.*`variant=full`"):
        convert(path, model, build)
    assert convert(path, model, build, "full").variant.name == "full"
    named = path.rename(tmp_path / "Video_gen.pth")
    assert convert(named, model, build).variant.name == "video"


def test_a_published_file_is_never_taken_for_the_lite_variant(path):
    save(authors(), path)
    lite = variant("lite", sha256="0" * 64)
    assert convert(path, sharpen(lite, variant()), build).variant.name == "full"


def renamed(state):
    state["0.weights"] = state.pop("0.weight")


def reshaped(state):
    state["6.bias"] = state["6.bias"][:3]


def lacking(state):
    del state["1.running_mean"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed, r"missing: 0.weight; extra: 0.weights"),
        (reshaped, r"misshapen: 6.bias is \[3\], not \[4\]"),
        (lacking, r"missing: 1._mean"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_keys(path, change, message, tmp_path):
    state = authors()
    change(state)
    save(state, path)
    with pytest.raises(WeightsError, match=f"does not fit the full variant of Sharpen.*{message}"):
        convert(path, sharpen(), build)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_file_of_another_model_is_refused(path):
    save({"weight_ih_l0": np.zeros((16, 3)), "bias_ih_l0": np.zeros(16)}, path)
    with pytest.raises(WeightsError, match="the weights of another network") as raised:
        convert(path, sharpen(), build)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("stored", [{}, {"epoch": 3}, {"state_dict": {}}])
def test_a_file_without_weights_is_refused(path, stored):
    save({}, path, lambda state: stored)
    with pytest.raises(WeightsError, match="does not hold weights of Sharpen") as raised:
        convert(path, sharpen(), build)
    assert "missing" not in str(raised.value)


@pytest.mark.parametrize("old", [False, True], ids=["", "before torch 1.6"])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.99])
def test_a_truncated_file_is_refused(path, share, old):
    save(authors(64), path, old=old)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(WeightsError, match="damaged") as raised:
        convert(path, sharpen(), build)
    assert "\n" not in str(raised.value)


class TouchesAFile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return eval, (f"open({str(self.target)!r}, 'w')",)


@pytest.mark.parametrize("old", [False, True], ids=["", "before torch 1.6"])
def test_code_in_a_pytorch_file_is_not_run(path, tmp_path, old):
    target = tmp_path / "written"
    save(authors(), path, lambda state: {**state, "more": TouchesAFile(target)}, old)
    with pytest.raises(
        WeightsError, match="holds the program .open.* and was not opened"
    ) as raised:
        convert(path, sharpen(), build)
    assert "\n" not in str(raised.value)
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"<html></html>", "a web page"),
        (b"<head><title>Quota exceeded</title>", "a web page"),
        (b"", r"an empty file \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "a Git LFS pointer"),
        (b"\x1f\x8b\x08" + b"\0" * 99, "an archive, which must be unpacked"),
        (b"what?" * 99, "not a weight file, or damaged"),
    ],
)
def test_a_file_that_is_not_weights_is_named(path, content, name):
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"authors.pth cannot be converted: it is {name}") as no:
        convert(path, sharpen(), build)
    assert "\n" not in str(no.value)


def test_a_missing_file_is_reported(path):
    with pytest.raises(WeightsError, match="no such file"):
        convert(path, sharpen(), build)


def test_the_result_may_be_written_elsewhere(path, tmp_path):
    save(authors(), path)
    output = tmp_path / "new" / "mine.safetensors"
    assert convert(path, sharpen(), build, output=output).path == output
    assert read_weights(output)
    inside = convert(path, sharpen(), build, output=output.parent).path
    assert inside == output.parent / "sharpen-full.safetensors"
    with pytest.raises(WeightsError, match="must end in .safetensors"):
        convert(path, sharpen(), build, output=tmp_path / "mine.pdparams")


def test_an_unwritable_result_is_reported(path, tmp_path):
    save(authors(), path)
    with pytest.raises(TransferError, match="cannot be written"):
        convert(path, sharpen(), build, output=path / "mine.safetensors")
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["authors.pth"]


def test_weights_converted_from_another_file_are_replaced_only_on_request(path):
    save(authors(), path)
    written = convert(path, sharpen(), build).path
    first = load_file(written)
    convert(path, sharpen(), build)
    save({**authors(), "0.bias": np.ones(4, np.float32)}, path)
    with pytest.raises(WeightsError, match="exists, converted from authors.pth .*`overwrite=True`"):
        convert(path, sharpen(), build)
    assert load_file(written)["0.bias"].tolist() == first["0.bias"].tolist()
    convert(path, sharpen(), build, overwrite=True)
    assert load_file(written)["0.bias"].tolist() == [1, 1, 1, 1]
    assert resolve(sharpen(), "full").path == written


def known(path, name, **facts):
    """A variant whose published file is the one at `path`."""
    return variant(name, urls=(f"https://a.org/{name}.pth",), sha256=sha256_of_file(path), **facts)


def test_the_hash_of_a_published_file_decides_its_variant(path, tmp_path):
    save(authors(), path)
    other = tmp_path / "other.pth"
    save({**authors(), "0.bias": np.ones(4, np.float32)}, other)
    model = sharpen(known(path, "full"), known(other, "sharp"))
    assert convert(path, model, build).variant.name == "full"
    assert convert(other, model, build).variant.name == "sharp"
    with pytest.raises(WeightsError, match="holds the sharp weights of Sharpen, by its sha256"):
        convert(other, model, build, "full", overwrite=True)


def with_flipped_bit(path, value, bit):
    """Flip a bit of a float32 number in a file."""
    content = bytearray(path.read_bytes())
    at = content.index(np.float32(value).tobytes())
    content[at + bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.mark.parametrize("old", [False, True], ids=["", "before torch 1.6"])
def test_a_flipped_bit_in_a_file_of_known_sha256_is_refused(tmp_path, old):
    path = tmp_path / "full.pth"
    save(authors(), path, old=old)
    model = sharpen(known(path, "full"))
    assert convert(path, model, build, overwrite=True).variant.name == "full"
    with_flipped_bit(path, authors()["6.bias"][1], 3)
    with pytest.raises(WeightsError, match="damaged") as raised:
        convert(path, model, build, overwrite=True)
    assert "\n" not in str(raised.value)


def test_a_name_that_holds_digits_of_the_sha256_is_checked(path, tmp_path):
    save(authors(), path, old=True)
    digits = sha256_of_file(path)[:8]
    named = path.rename(tmp_path / f"sharp-{digits}.pth")
    model = sharpen(variant(urls=(f"https://a.org/{named.name}",)))
    convert(named, model, build)
    with_flipped_bit(named, authors()["6.bias"][1], 3)
    with pytest.raises(WeightsError, match=f"another sha256 .*, not {digits}.*: it is damaged"):
        convert(named, model, build, overwrite=True)


def test_a_number_that_no_network_holds_is_damage(path):
    value = np.float32(1.25)
    save({**authors(), "6.bias": np.full(4, value)}, path, old=True)
    with_flipped_bit(path, value, 30)  # the highest of the exponent
    with pytest.raises(WeightsError, match="authors.pth is damaged: 6.bias holds numbers"):
        convert(path, sharpen(), build)


@pytest.mark.parametrize("old", [False, True], ids=["", "before torch 1.6"])
def test_a_file_whose_damage_might_not_show_is_named_with_its_sha256(path, old, caplog):
    save(authors(), path, old=old)
    convert(path, sharpen(), build)
    assert caplog.text.count(sha256_of_file(path)) == int(old)


def test_a_converted_file_of_another_variant_is_refused(path, tmp_path):
    save(authors(), path)
    written = convert(path, sharpen(variant("full")), build).path
    model = sharpen(variant("full"), known(path, "sharp"))
    with pytest.raises(WeightsError, match="holds the sharp weights of Sharpen, not full"):
        resolve(model, "full")
    written.unlink()


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_the_result_has_the_usual_permissions(path, tmp_path):
    save(authors(), path)
    usual = tmp_path / "usual"
    usual.touch()
    assert convert(path, sharpen(), build).path.stat().st_mode == usual.stat().st_mode


def test_the_result_is_not_a_pickle(path):
    save(authors(), path)
    written = convert(path, sharpen(), build).path
    with pytest.raises(pickle.UnpicklingError), written.open("rb") as file:
        pickle.load(file)
