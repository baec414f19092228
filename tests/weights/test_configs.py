"""The configs that are there, and configs that are wrong."""

import re
from importlib import import_module

import pytest
import yaml

from oldfilm.errors import WeightsError
from oldfilm.weights import configs, model, named_model
from oldfilm.weights.registry import read_config

VARIANTS = [(config, name) for config in configs() for name in model(config).variants]


@pytest.mark.parametrize(("config", "name"), VARIANTS)
def test_a_config_names_a_network_and_where_its_weights_are(config, name):
    variant = model(config).variants[name]
    module, _, layer = variant.network.rpartition(".")
    assert isinstance(getattr(import_module(f"oldfilm.networks.{module}"), layer), type)
    assert variant.file == f"{config}-{name}.safetensors"
    assert all(re.match("https?://", url) for url in variant.urls)
    assert variant.licence
    assert variant.source
    if name == "lite":
        assert variant.shipped


def test_files_of_variants_have_names_of_their_own():
    files = [model(config).variants[name].file for config, name in VARIANTS]
    assert len(files) == len(set(files))


@pytest.mark.parametrize("written", ["PPMSVSR", "ppmsvsr", "pp-msvsr", "PP MSVSR"])
def test_a_model_is_found_as_people_write_it(written):
    assert named_model(written).name == "PPMSVSR"


def test_an_unknown_model_is_told_with_those_there_are():
    with pytest.raises(WeightsError, match="no model 'Sharpen'; the models are: .*DeOldify"):
        named_model("Sharpen")


RIGHT = """
name: Sharpen
aliases: {full: strong}
variants:
  strong:
    network: sharpen.Sharpen
    settings: {channels: 16}
    weights:
      file: sharpen-strong.safetensors
      urls: ["https://a.org/x/Sharpen%2B%2B.pdparams?download=1", "https://b.org/S.pdparams"]
      layout: generator
      licence: MIT
      source: a paper
    convert:
      - ["^a\\\\.", "b."]
      - [unused, null]
"""


def test_a_config_says_all_that_is_known_of_a_variant(tmp_path):
    path = tmp_path / "sharpen.yaml"
    path.write_text(RIGHT, encoding="utf-8")
    read = read_config(path)
    strong = read.variant("full")
    assert strong is read.variant("strong")
    assert strong.settings == {"channels": 16}
    assert strong.convert == (("^a\\.", "b."), ("unused", None))
    assert strong.published_names == ("Sharpen%2B%2B.pdparams", "Sharpen++.pdparams", "S.pdparams")
    with pytest.raises(WeightsError, match="Sharpen has no variant 'lite'; it has: strong, full"):
        read.variant("lite")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.pop("name"), "the file lacks name"),
        (lambda c: c.update(varients={}), "the file has varients; .*: aliases, name, variants"),
        (lambda c: c.update(aliases={"full": "huge"}), "aliases: full must be .* not 'huge'"),
        (lambda c: c["variants"].update(strong=None), "variants.strong is no mapping"),
        (lambda c: c["variants"]["strong"].pop("network"), "variants.strong lacks network"),
        (lambda c: weights(c).pop("licence"), "variants.strong.weights lacks licence"),
        (lambda c: weights(c).update(url="https://a.org"), "strong.weights has url; what may"),
        (lambda c: weights(c).update(urls="https://a.org"), "strong.weights.urls is 'https"),
        (lambda c: weights(c)["urls"].append("https://a.org/S.pth"), "files of different kinds"),
        (lambda c: weights(c).update(bytes="12 MB"), "weights.bytes is '12 MB', which is no int"),
        (lambda c: weights(c).update(file="a.pdparams"), "a.pdparams is no .safetensors"),
        (lambda c: rules(c).append(["a"]), r"\['a'\] is no \[pattern, replacement\]"),
        (lambda c: rules(c).append(["(a", "b"]), "is no rule for re.sub"),
        (lambda c: rules(c).append(["a", "\\1"]), "is no rule for re.sub"),
    ],
)
def test_a_config_that_is_wrong_is_told(tmp_path, change, told):
    stated = yaml.safe_load(RIGHT)
    change(stated)
    path = tmp_path / "sharpen.yaml"
    path.write_text(yaml.safe_dump(stated), encoding="utf-8")
    with pytest.raises(WeightsError, match=told) as raised:
        read_config(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("text", ["", "name: [", "- a"])
def test_a_file_that_is_no_config_is_told(tmp_path, text):
    path = tmp_path / "sharpen.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WeightsError, match="sharpen.yaml"):
        read_config(path)


def weights(stated):
    return stated["variants"]["strong"]["weights"]


def rules(stated):
    return stated["variants"]["strong"]["convert"]
