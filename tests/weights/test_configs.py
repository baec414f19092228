"""The configs that are shipped, and invalid ones."""

import re
from importlib import import_module

import pytest
import yaml

from oldfilm.errors import WeightsError
from oldfilm.weights import (
    configs,
    data_folder,
    model,
    named_model,
    read_weights,
    structure_of,
)
from oldfilm.weights.registry import read_config

VARIANTS = [(config, name) for config in configs() for name in model(config).variants]


@pytest.mark.parametrize(("config", "name"), VARIANTS)
def test_a_config_names_a_network_and_where_its_weights_are(config, name):
    variant = model(config).variants[name]
    module, _, layer = variant.network.rpartition(".")
    assert isinstance(getattr(import_module(f"oldfilm.networks.{module}"), layer), type)
    assert variant.file == f"{config}-{name}.safetensors"
    for address in variant.addresses:
        assert re.match("https?://", address.url) or (address.package and address.sha256)
    assert variant.licence
    assert variant.source
    if name == "lite":
        assert variant.shipped
        weights = read_weights(data_folder("weights") / variant.file)
        assert variant.structure == structure_of({k: v.shape for k, v in weights.items()})


def test_no_two_variants_share_a_file_name():
    files = [model(config).variants[name].file for config, name in VARIANTS]
    assert len(files) == len(set(files))


@pytest.mark.parametrize("written", ["PPMSVSR", "ppmsvsr", "pp-msvsr", "PP MSVSR"])
def test_a_model_is_found_in_any_common_spelling(written):
    assert named_model(written).name == "PPMSVSR"


def test_an_unknown_model_is_refused_with_a_list_of_models():
    with pytest.raises(WeightsError, match="Unknown model 'Sharpen'; choose from .*DeOldify"):
        named_model("Sharpen")


CONFIG = """
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


def test_every_field_of_a_variant_is_read(tmp_path):
    path = tmp_path / "sharpen.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    read = read_config(path)
    strong = read.variant("full")
    assert strong is read.variant("strong")
    assert strong.settings == {"channels": 16}
    assert strong.convert == (("^a\\.", "b."), ("unused", None))
    assert strong.published_names == ("Sharpen%2B%2B.pdparams", "Sharpen++.pdparams", "S.pdparams")
    with pytest.raises(WeightsError, match="Sharpen has no variant 'lite'; it has: strong, full"):
        read.variant("lite")


def test_configs_of_your_own_come_before_the_shipped_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("OLDFILM_CONFIGS", str(tmp_path))
    (tmp_path / "sharpen.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "edvr.yaml").write_text(CONFIG, encoding="utf-8")
    assert list(model("sharpen").variants) == list(model("edvr").variants) == ["strong"]
    assert "full" in model("realsr").variants
    assert configs().count("edvr") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("name"), "missing required field `name`"),
        (lambda c: c.update(varients={}), "unknown field `varients`; .* name, variants, aliases"),
        (
            lambda c: c.update(aliases={"full": "huge"}),
            "aliases.full: variant 'huge' .* exist",
        ),
        (lambda c: c.update(aliases={"strong": "strong"}), "aliases.strong: .* already has this"),
        (lambda c: c["variants"].update(strong=None), "variants.strong: expected `object`, got `n"),
        (lambda c: c["variants"]["strong"].pop("network"), "variants.strong: .*field `network`"),
        (lambda c: weights(c).pop("licence"), "strong.weights: .*missing required field `licence`"),
        (lambda c: weights(c).update(url="https://a.org"), "strong.weights: .*unknown field `url`"),
        (lambda c: weights(c).update(urls="https://a.org"), "strong.weights.urls: expected `array"),
        (lambda c: weights(c)["urls"].append(3), r"strong.weights.urls\[2\]: expected `str`"),
        (
            lambda c: weights(c).update(bytes=9, urls=["https://a.org/S.pth", "https://a.org/S.x"]),
            "urls: .* the same suffix",
        ),
        (lambda c: weights(c)["urls"].append("https://a.org/S#md5=1"), "must end in #sha256="),
        (lambda c: weights(c)["urls"].append("https://[/S.pdparams"), "urls: .* is not an address"),
        (lambda c: weights(c)["urls"].append("https://a:b/S.pdparams"), "urls: .* not an address"),
        *(
            (lambda c, url=url: weights(c)["urls"].append(url), "urls: 'package:.* is not")
            for url in (
                "package:p/a.pdparams",
                "package:p==1",
                "package:p==1/../a.pdparams",
                "package:p==1//etc/a.pdparams",
                "package:p==1/a\\b.pdparams",
                "package:p==1/%2e%2e/a.pdparams",
                "package:--pre==1/a.pdparams",
                "package:p==--pre/a.pdparams",
            )
        ),
        (lambda c: weights(c).update(bytes="12 MB"), "strong.weights.bytes: expected `int | null`"),
        (lambda c: weights(c).update(file="a.pdparams"), "'a.pdparams' is not a .safetensors"),
        (lambda c: rules(c).append(["a"]), r"strong.convert\[2\]: expected `array` of length 2"),
        (lambda c: rules(c).append(["(a", "b"]), r"strong.convert\[2\]: .* not valid for re.sub"),
        (lambda c: rules(c).append(["a", "\\1"]), r"convert\[2\]: .* not valid for re.sub"),
    ],
)
def test_an_invalid_config_is_refused_by_the_path_of_the_field(tmp_path, change, message):
    stated = yaml.safe_load(CONFIG)
    change(stated)
    path = tmp_path / "sharpen.yaml"
    path.write_text(yaml.safe_dump(stated), encoding="utf-8")
    with pytest.raises(WeightsError, match=message) as raised:
        read_config(path)
    assert str(raised.value).startswith(f"{path}: ")


@pytest.mark.parametrize("text", ["", "name: [", "- a"])
def test_a_file_that_is_not_a_config_is_refused(tmp_path, text):
    path = tmp_path / "sharpen.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WeightsError, match="sharpen.yaml"):
        read_config(path)


def weights(stated):
    return stated["variants"]["strong"]["weights"]


def rules(stated):
    return stated["variants"]["strong"]["convert"]
