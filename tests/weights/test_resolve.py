"""Where weights are looked for, in which order, and what `auto` takes."""

import hashlib
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from oldfilm.errors import WeightsError
from oldfilm.weights import Model, TransferError, Variant, download, registry, resolve
from tests.weights import site as web

LITE = save({"a": np.zeros(1, np.float32)})
FULL = pickle.dumps({"a": np.ones(1, np.float32)}, protocol=4)


@pytest.fixture(autouse=True)
def shipped(tmp_path, monkeypatch):
    """A checkout with the lite weights and nothing else."""
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


def test_a_name_with_an_escape_is_found_either_way(sharpen, cache, site):
    model = only_full(sharpen, urls=(site.url("Basic%2B%2B.pdparams"),))
    path = put(cache, "Basic++.pdparams")
    assert resolve(model, "full").path == path
    path = put(cache, "Basic%2B%2B.pdparams")
    assert resolve(model, "full").path == path


def test_asking_for_a_variant_downloads_it_on_a_cpu_too(sharpen, cache, site):
    weights = resolve(sharpen, "full")
    assert weights.path == cache / "Sharpen.pdparams"
    assert weights.path.read_bytes() == FULL
    assert weights.sha256 == hashlib.sha256(FULL).hexdigest()
    assert resolve(sharpen, "full").path == weights.path
    assert len(site.asked) == 1


def test_an_alias_is_a_variant(sharpen):
    full = sharpen.variants["full"]
    model = Model("Sharpen", {"stable": replace(full, name="stable")}, {"full": "stable"})
    assert resolve(model, "full").variant.name == "stable"
    assert resolve(model, device="gpu").variant.name == "stable"


def test_auto_is_lite_on_a_cpu_and_asks_nobody(sharpen, site, caplog):
    assert resolve(sharpen).variant.name == "lite"
    assert resolve(sharpen).variant.name == "lite"
    assert not site.asked
    (told,) = [record.getMessage() for record in caplog.records]
    assert "Sharpen: the lite weights" in told
    assert "--variant full" in told
    assert "tools/weights.py fetch sharpen --variant full" in told


def test_auto_is_full_where_its_file_is_here(sharpen, cache, site, caplog):
    path = put(cache, "Sharpen.pdparams")
    assert resolve(sharpen).path == path
    assert not site.asked
    assert "--variant lite" in caplog.text


def test_auto_downloads_where_there_is_a_gpu(sharpen, caplog):
    assert resolve(sharpen, device="gpu:0").variant.name == "full"
    assert "Sharpen.pdparams: 100 % of 0 MB" in caplog.text


def test_auto_is_lite_on_a_gpu_without_a_network_and_asks_once(sharpen, site, monkeypatch, caplog):
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
    assert len(site.asked) == asked, "the next film does not ask again"


def test_offline_auto_is_lite_on_a_gpu(sharpen, site, monkeypatch):
    monkeypatch.setenv("OLDFILM_OFFLINE", "1")
    assert resolve(sharpen, device="gpu").variant.name == "lite"
    with pytest.raises(TransferError, match="OLDFILM_OFFLINE"):
        resolve(sharpen, "full")
    assert not site.asked


def test_a_mirror_shows_too_that_there_is_a_network(sharpen, site, monkeypatch):
    monkeypatch.setenv("OLDFILM_MIRROR", site.url("mirror"))
    site.files["mirror/Sharpen.pdparams"] = FULL
    model = only_full(sharpen, urls=("http://127.0.0.1:9/Sharpen.pdparams",))
    assert resolve(model, device="gpu").variant.name == "full"


def test_a_model_without_lite_says_on_a_cpu_how_to_get_it(sharpen, site):
    model = only_full(sharpen, bytes=123_456_789)
    with pytest.raises(WeightsError) as raised:
        resolve(model)
    told = str(raised.value)
    assert "--variant full" in told
    assert "123 MB" in told
    assert "python tools/weights.py fetch sharpen --variant full" in told
    assert not site.asked


def test_a_predictor_may_mean_another_published_variant(sharpen):
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


def test_published_bytes_are_checked_wherever_they_are_found(sharpen, cache):
    model = only_full(sharpen, sha256=hashlib.sha256(FULL).hexdigest())
    path = put(cache, "Sharpen.pdparams")
    assert resolve(model, "full").path == path
    path.write_bytes(FULL[:-3] + b"...")
    with pytest.raises(WeightsError, match="damaged .*fetch sharpen"):
        resolve(model, "full")


def test_a_converted_file_is_not_held_against_the_hash_of_its_source(sharpen, cache):
    model = only_full(sharpen, sha256=hashlib.sha256(FULL).hexdigest())
    path = put(cache, "sharpen-full.safetensors", LITE)
    assert resolve(model, "full").path == path


def test_where_no_hash_is_published_that_of_the_first_use_counts(sharpen, cache):
    path = resolve(sharpen, "full").path
    recorded = json.loads((cache / "first-use.json").read_text(encoding="utf-8"))
    assert recorded == {str(path.resolve()): hashlib.sha256(FULL).hexdigest()}
    path.write_bytes(FULL.replace(b"a", b"b"))
    with pytest.raises(WeightsError, match=r"is not what it was .*first-use.json"):
        resolve(sharpen, "full")


def test_a_file_that_changed_at_its_address_is_told_too(sharpen, site):
    resolve(sharpen, "full").path.unlink()
    site.files["Sharpen.pdparams"] = pickle.dumps({"a": np.zeros(1, np.float32)}, protocol=4)
    with pytest.raises(WeightsError, match="is not what it was"):
        resolve(sharpen, "full")


def test_weights_are_used_where_the_cache_cannot_be_written(sharpen, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("OLDFILM_CACHE", str(tmp_path / "file" / "cache"))
    path = put(tmp_path / "home" / ".cache" / "ppgan", "Sharpen.pdparams")
    assert resolve(sharpen, "full").path == path
    assert "is not remembered" in caplog.text


def test_what_is_no_weights_is_not_kept(sharpen, site, cache):
    site.files["Sharpen.pdparams"] = b"quota exceeded"
    with pytest.raises(TransferError, match="no weight file"):
        resolve(sharpen, "full")
    assert not (cache / "Sharpen.pdparams").exists()


def test_a_weight_path_comes_first(sharpen, cache, tmp_path):
    put(cache, "Sharpen.pdparams")
    mine = put(tmp_path, "mine.pdparams")
    assert resolve(sharpen, weight_path=str(mine)).path == mine
    assert resolve(sharpen, weight_path=str(mine)).variant.name == "full"
    assert resolve(sharpen, "lite", str(mine)).variant.name == "lite"


def test_a_weight_path_with_the_name_of_a_variant_is_that_variant(sharpen, tmp_path):
    mine = put(tmp_path, "sharpen-lite.safetensors", LITE)
    assert resolve(sharpen, weight_path=str(mine)).variant.name == "lite"


def test_a_missing_weight_path_is_told(sharpen, tmp_path):
    with pytest.raises(WeightsError, match="no such weight file"):
        resolve(sharpen, weight_path=str(tmp_path / "none.safetensors"))


def torch_file(path):
    """What `torch.save` writes, as far as a look from outside goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return path


@pytest.mark.parametrize("name", ["a.pth", "a.pkl", "a.pdparams"])
def test_a_pytorch_file_as_weight_path_is_told_with_the_command(sharpen, tmp_path, name):
    path = torch_file(tmp_path / name)
    with pytest.raises(WeightsError) as raised:
        resolve(sharpen, weight_path=str(path))
    assert f"python tools/weights.py convert {path} --model sharpen`" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_old_pytorch_file_is_known_too(sharpen, tmp_path):
    path = put(tmp_path, "a.pth.tar", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")
    with pytest.raises(WeightsError, match="is a PyTorch file: convert it"):
        resolve(sharpen, weight_path=str(path))


def test_what_is_published_for_pytorch_is_fetched_by_a_command(sharpen, site, caplog):
    model = only_full(sharpen, urls=(site.url("Sharpen.pth"),))
    with pytest.raises(WeightsError, match="fetch sharpen --variant full` converts"):
        resolve(model, "full")
    both = replace(model, variants={**model.variants, "lite": sharpen.variants["lite"]})
    assert resolve(both, device="gpu").variant.name == "lite"
    assert "fetch sharpen --variant full" in caplog.text
    assert not site.asked


def test_a_pytorch_file_that_is_here_is_to_be_converted(sharpen, site, cache):
    model = only_full(sharpen, urls=(site.url("Sharpen.pth"),))
    path = torch_file(cache / "Sharpen.pth")
    with pytest.raises(WeightsError) as raised:
        resolve(model, "full")
    assert f"convert {path} --model sharpen --variant full" in str(raised.value)


def test_what_can_only_be_got_by_hand_says_so(sharpen):
    with pytest.raises(WeightsError, match=r"by hand \(a paper\): convert .*--variant full"):
        resolve(only_full(sharpen, urls=()), "full")


def test_a_shipped_file_that_is_missing_is_told(sharpen, shipped):
    (shipped / "sharpen-lite.safetensors").unlink()
    with pytest.raises(WeightsError, match="install oldfilm again"):
        resolve(sharpen)


def test_the_cache_of_paddlegan_is_only_read(sharpen, tmp_path):
    paddlegan = tmp_path / "home" / ".cache" / "ppgan"
    put(paddlegan, "Other.pdparams")
    before = sorted(paddlegan.iterdir())
    resolve(sharpen, "full")
    assert sorted(paddlegan.iterdir()) == before


def test_a_home_in_the_path_is_understood(sharpen, tmp_path, monkeypatch):
    path = put(tmp_path / "home", "mine.pdparams")
    assert resolve(sharpen, weight_path="~/mine.pdparams").path == Path(path)
