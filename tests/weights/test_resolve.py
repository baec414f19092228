"""Where weights are searched for, in which order, and what `auto` chooses."""

import hashlib
import json
import pickle
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from oldfilm.errors import WeightsError
from oldfilm.weights import Model, TransferError, Variant, download, first_use, registry, resolve
from oldfilm.weights.commands import command
from tests.weights import site as web

LITE = save({"a": np.zeros(1, np.float32)})
FULL = pickle.dumps({"a": np.ones(1, np.float32)}, protocol=4)


@pytest.fixture(autouse=True)
def shipped(tmp_path, monkeypatch):
    """A checkout that contains only the lite weights."""
    monkeypatch.setattr(registry, "PACKAGE", tmp_path / "checkout" / "oldfilm")
    folder = tmp_path / "checkout" / "weights"
    folder.mkdir(parents=True)
    (folder / "sharpen-lite.safetensors").write_bytes(LITE)
    return folder


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "weights"


@pytest.fixture
def sharpen(site):
    site.files["Sharpen.pdparams"] = FULL
    facts = {"network": "sharpen.Sharpen", "licence": "MIT", "source": "a paper"}
    sha256 = hashlib.sha256(LITE).hexdigest()
    lite = Variant("lite", file="sharpen-lite.safetensors", sha256=sha256, **facts)
    urls = (site.url("Sharpen.pdparams"),)
    full = Variant("full", file="sharpen-full.safetensors", urls=urls, **facts)
    return Model("Sharpen", {"lite": lite, "full": full}, config="sharpen")


def only_full(model, **changes):
    return replace(model, variants={"full": replace(model.variants["full"], **changes)})


def put(folder, name, content=FULL):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def test_folders_are_searched_in_order(sharpen, shipped, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("OLDFILM_WEIGHTS", str(tmp_path / "mine"))
    folders = [shipped, tmp_path / "mine", cache, tmp_path / "home" / ".cache" / "ppgan"]
    for folder in reversed(folders):
        path = put(folder, "Sharpen.pdparams")
        assert resolve(sharpen, "full").path == path
        path = put(folder, "sharpen-full.safetensors", LITE)
        assert resolve(sharpen, "full").path == path


def test_an_escaped_name_is_found_in_both_spellings(sharpen, cache, site):
    model = only_full(sharpen, urls=(site.url("Basic%2B%2B.pdparams"),))
    path = put(cache, "Basic++.pdparams")
    assert resolve(model, "full").path == path
    path = put(cache, "Basic%2B%2B.pdparams")
    assert resolve(model, "full").path == path


def test_a_variant_that_is_asked_for_is_downloaded_on_a_cpu_too(sharpen, cache, site):
    weights = resolve(sharpen, "full")
    assert weights.path == cache / "Sharpen.pdparams"
    assert weights.path.read_bytes() == FULL
    assert weights.sha256 == hashlib.sha256(FULL).hexdigest()
    assert resolve(sharpen, "full").path == weights.path
    assert len(site.asked) == 1


def test_an_alias_finds_its_variant(sharpen):
    full = sharpen.variants["full"]
    model = Model("Sharpen", {"stable": replace(full, name="stable")}, {"full": "stable"})
    assert resolve(model, "full").variant.name == "stable"
    assert resolve(model, device="gpu").variant.name == "stable"


def test_auto_is_lite_on_a_cpu_without_a_request(sharpen, site, caplog):
    assert resolve(sharpen).variant.name == "lite"
    assert resolve(sharpen).variant.name == "lite"
    assert not site.asked
    (message,) = [record.getMessage() for record in caplog.records]
    assert "Sharpen: using the lite weights" in message
    assert "`variant=full` downloads them" in message
    assert command("weights", "fetch", "sharpen", "--variant", "full") in message


def test_auto_is_full_where_its_file_exists(sharpen, cache, site, caplog):
    path = put(cache, "Sharpen.pdparams")
    assert resolve(sharpen).path == path
    assert not site.asked
    assert "`variant=lite` uses the lite weights" in caplog.text


def test_auto_downloads_where_there_is_a_gpu(sharpen, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)  # A program may import it elsewhere.
    assert resolve(sharpen, device="gpu:0").variant.name == "full"
    assert "Sharpen full: 100 % of 0 MB" in caplog.text


def test_auto_is_lite_on_a_gpu_after_one_request_without_a_network(
    sharpen, site, monkeypatch, caplog
):
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.1)
    site.answers = [web.slow(1)]
    assert resolve(sharpen, device="gpu").variant.name == "lite"
    assert resolve(sharpen, device="gpu").variant.name == "lite"
    assert len(site.asked) == 1
    assert caplog.text.count("no connection to 127.0.0.1") == 1


def test_auto_is_lite_on_a_gpu_where_the_download_fails(sharpen, site, caplog):
    del site.files["Sharpen.pdparams"]
    assert resolve(sharpen, device="gpu").variant.name == "lite"
    assert "HTTP 404" in caplog.text
    asked = len(site.asked)
    assert resolve(sharpen, device="gpu").variant.name == "lite"
    assert len(site.asked) == asked, "the next film must not try again"


def test_auto_is_lite_on_a_gpu_when_offline(sharpen, site, monkeypatch):
    monkeypatch.setenv("OLDFILM_OFFLINE", "1")
    assert resolve(sharpen, device="gpu").variant.name == "lite"
    with pytest.raises(TransferError, match="OLDFILM_OFFLINE"):
        resolve(sharpen, "full")
    assert not site.asked


def test_a_mirror_proves_that_there_is_a_network(sharpen, site, monkeypatch):
    monkeypatch.setenv("OLDFILM_MIRROR", site.url("mirror"))
    site.files["mirror/Sharpen.pdparams"] = FULL
    model = only_full(sharpen, urls=("http://127.0.0.1:9/Sharpen.pdparams",))
    assert resolve(model, device="gpu").variant.name == "full"


def test_a_model_without_lite_says_on_a_cpu_how_to_get_it(sharpen, site):
    model = only_full(sharpen, bytes=123_456_789)
    with pytest.raises(WeightsError) as raised:
        resolve(model)
    assert "`variant=full` downloads them (123 MB)" in str(raised.value)
    assert command("weights", "fetch", "sharpen", "--variant", "full") in str(raised.value)
    assert not site.asked


@pytest.fixture
def two_published(sharpen, site):
    """A model without lite that has two published variants, small and full."""
    site.files["Small.pdparams"] = FULL
    full, urls = sharpen.variants["full"], (site.url("Small.pdparams"),)
    small = replace(full, name="small", file="sharpen-small.safetensors", urls=urls)
    return replace(sharpen, variants={"small": small, "full": full})


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_auto_takes_another_variant_that_is_here_of_a_model_without_lite(
    two_published, cache, site, caplog, device
):
    put(cache, "Small.pdparams")
    assert resolve(two_published, device=device).variant.name == "small"
    assert not site.asked
    assert "using the small weights" in caplog.text
    assert "`variant=full` downloads them" in caplog.text


def test_auto_prefers_full_where_several_variants_are_here(two_published, cache):
    put(cache, "Small.pdparams")
    put(cache, "Sharpen.pdparams")
    assert resolve(two_published).variant.name == "full"


def test_only_the_standard_variant_replaces_lite(sharpen, two_published, cache):
    model = replace(sharpen, variants={**sharpen.variants, **two_published.variants})
    put(cache, "Small.pdparams")
    assert resolve(model).variant.name == "lite"
    put(cache, "Sharpen.pdparams")
    assert resolve(model).variant.name == "full"


def test_a_predictor_may_name_another_published_variant(sharpen):
    art = replace(sharpen.variants["full"], name="artistic", file="sharpen-artistic.safetensors")
    model = Model("Sharpen", {**sharpen.variants, "artistic": art})
    weights = resolve(model, device="gpu", published="artistic")
    assert weights.variant.name == "artistic"


def test_a_failed_download_says_what_to_do(sharpen, site, cache):
    site.answers = [web.status(404)]
    with pytest.raises(TransferError) as raised:
        resolve(sharpen, "full")
    assert "fetch sharpen --variant full" in str(raised.value)
    assert str(cache) in str(raised.value)


def test_a_published_hash_is_checked_wherever_the_file_is_found(sharpen, cache):
    model = only_full(sharpen, sha256=hashlib.sha256(FULL).hexdigest())
    path = put(cache, "Sharpen.pdparams")
    assert resolve(model, "full").path == path
    path.write_bytes(FULL[:-3] + b"...")
    with pytest.raises(WeightsError, match="damaged .*fetch sharpen"):
        resolve(model, "full")


def test_a_converted_file_is_not_compared_with_the_hash_of_its_source(sharpen, cache):
    model = only_full(sharpen, sha256=hashlib.sha256(FULL).hexdigest())
    path = put(cache, "sharpen-full.safetensors", LITE)
    assert resolve(model, "full").path == path


def test_without_a_published_hash_that_of_the_first_use_counts(sharpen, cache):
    path = resolve(sharpen, "full").path
    recorded = json.loads((cache / "first-use.json").read_text(encoding="utf-8"))
    assert recorded == {str(path.resolve()): hashlib.sha256(FULL).hexdigest()}
    path.write_bytes(FULL.replace(b"a", b"b"))
    with pytest.raises(WeightsError, match=r"has changed since its first use .*first-use.json"):
        resolve(sharpen, "full")


def test_a_weight_file_is_read_once_until_it_changes(sharpen, cache, monkeypatch):
    path = put(cache, "Sharpen.pdparams")
    read = []
    hashed = first_use.sha256_of_file
    monkeypatch.setattr(first_use, "sha256_of_file", lambda path: read.append(path) or hashed(path))
    first = resolve(sharpen, "full", str(path)).sha256
    assert resolve(sharpen, "full", str(path)).sha256 == first
    assert read == [path]
    path.write_bytes(FULL + b"more")
    assert resolve(sharpen, "full", str(path)).sha256 == hashlib.sha256(FULL + b"more").hexdigest()


def test_a_folder_of_weights_has_one_hash(sharpen, tmp_path):
    put(tmp_path / "program", "model")
    put(tmp_path / "program", "params")
    first = resolve(sharpen, "full", str(tmp_path / "program")).sha256
    put(tmp_path / "program", "params", FULL + b"more")
    assert resolve(sharpen, "full", str(tmp_path / "program")).sha256 != first


def test_a_file_that_changed_at_its_address_is_refused(sharpen, site):
    resolve(sharpen, "full").path.unlink()
    site.files["Sharpen.pdparams"] = pickle.dumps({"a": np.zeros(1, np.float32)}, protocol=4)
    with pytest.raises(WeightsError, match="has changed since its first use"):
        resolve(sharpen, "full")


def test_weights_are_used_where_the_cache_cannot_be_written(sharpen, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("OLDFILM_CACHE", str(tmp_path / "file" / "cache"))
    path = put(tmp_path / "home" / ".cache" / "ppgan", "Sharpen.pdparams")
    assert resolve(sharpen, "full").path == path
    assert "cannot be recorded" in caplog.text


def test_a_download_that_is_not_a_weight_file_is_deleted(sharpen, site, cache):
    site.files["Sharpen.pdparams"] = b"quota exceeded"
    with pytest.raises(TransferError, match="not a weight file"):
        resolve(sharpen, "full")
    assert not (cache / "Sharpen.pdparams").exists()


def test_a_weight_path_comes_first(sharpen, cache, tmp_path):
    put(cache, "Sharpen.pdparams")
    mine = put(tmp_path, "mine.pdparams")
    assert resolve(sharpen, weight_path=str(mine)).path == mine
    assert resolve(sharpen, weight_path=str(mine)).variant.name == "full"
    assert resolve(sharpen, "lite", str(mine)).variant.name == "lite"


def test_a_weight_path_named_after_a_variant_is_that_variant(sharpen, tmp_path):
    mine = put(tmp_path, "sharpen-lite.safetensors", LITE)
    assert resolve(sharpen, weight_path=str(mine)).variant.name == "lite"


def test_a_missing_weight_path_is_refused(sharpen, tmp_path):
    with pytest.raises(WeightsError, match="no such weight file"):
        resolve(sharpen, weight_path=str(tmp_path / "none.safetensors"))


def torch_file(path):
    """Write a file that is recognized as one of `torch.save`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return path


@pytest.mark.parametrize("name", ["a.pth", "a.pkl", "a.pdparams"])
def test_a_pytorch_file_as_weight_path_is_refused_with_the_command(sharpen, tmp_path, name):
    path = torch_file(tmp_path / name)
    with pytest.raises(WeightsError) as raised:
        resolve(sharpen, weight_path=str(path))
    assert f"`{command('weights', 'convert', path, '--model', 'sharpen')}`" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_of_an_old_pytorch_is_recognized(sharpen, tmp_path):
    path = put(tmp_path, "a.pth.tar", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")
    with pytest.raises(WeightsError, match="is a PyTorch file: convert it"):
        resolve(sharpen, weight_path=str(path))


def test_weights_published_for_pytorch_are_fetched_by_a_command(sharpen, site, caplog):
    model = only_full(sharpen, urls=(site.url("Sharpen.pth"),))
    with pytest.raises(WeightsError, match="fetch sharpen --variant full` downloads and converts"):
        resolve(model, "full")
    both = replace(model, variants={**model.variants, "lite": sharpen.variants["lite"]})
    assert resolve(both, device="gpu").variant.name == "lite"
    assert "fetch sharpen --variant full" in caplog.text
    assert not site.asked


def test_a_pytorch_file_in_the_cache_must_be_converted(sharpen, site, cache):
    model = only_full(sharpen, urls=(site.url("Sharpen.pth"),))
    path = torch_file(cache / "Sharpen.pth")
    with pytest.raises(WeightsError) as raised:
        resolve(model, "full")
    assert f"convert {path} --model sharpen --variant full" in str(raised.value)


def test_weights_without_an_address_are_downloaded_by_hand(sharpen):
    with pytest.raises(WeightsError, match=r"by hand \(a paper\): convert .*--variant full"):
        resolve(only_full(sharpen, urls=()), "full")


def test_a_missing_shipped_file_is_reported(sharpen, shipped):
    (shipped / "sharpen-lite.safetensors").unlink()
    with pytest.raises(WeightsError, match="reinstall oldfilm"):
        resolve(sharpen)


def test_the_cache_of_paddlegan_is_only_read(sharpen, tmp_path):
    paddlegan = tmp_path / "home" / ".cache" / "ppgan"
    put(paddlegan, "Other.pdparams")
    before = sorted(paddlegan.iterdir())
    resolve(sharpen, "full")
    assert sorted(paddlegan.iterdir()) == before


def test_a_tilde_in_the_path_is_expanded(sharpen, tmp_path, monkeypatch):
    path = put(tmp_path / "home", "mine.pdparams")
    assert resolve(sharpen, weight_path="~/mine.pdparams").path == Path(path)
