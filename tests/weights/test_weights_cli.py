"""`tools/weights.py`: list, fetch, verify, where, convert."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from oldfilm.cli.weights import FAILED_WORK, WRONG_INPUT, main
from oldfilm.engine.device import import_paddle
from oldfilm.networks.dain_lite import DAINLite
from oldfilm.system.files import sha256_of_file
from oldfilm.weights import registry
from tests.weights import torch_files

paddle = import_paddle()
SETTINGS = {"channels": [4, 4, 4]}
TOOL = Path(__file__).resolve().parents[2] / "tools" / "weights.py"


@pytest.fixture
def network():
    return DAINLite(**SETTINGS)


@pytest.fixture(autouse=True)
def checkout(tmp_path, monkeypatch, site, network):
    """One model: lite is shipped, full a Paddle file, art a PyTorch file, rare has no address."""
    monkeypatch.setattr(registry, "PACKAGE", tmp_path / "checkout" / "oldfilm")
    for name in ("configs", "weights"):
        (tmp_path / "checkout" / name).mkdir(parents=True)
    lite = tmp_path / "checkout" / "weights" / "sharpen-lite.safetensors"
    save_file({k: v.numpy() for k, v in network.state_dict().items()}, lite)

    def variant(name, **weights):
        facts = {"file": f"sharpen-{name}.safetensors", "licence": "MIT", "source": "a paper"}
        return {
            "network": "dain_lite.DAINLite",
            "settings": SETTINGS,
            "weights": {**facts, **weights},
            "convert": [["^body\\.", ""]],
        }

    variants = {
        "lite": variant("lite", sha256=sha256_of_file(lite)),
        "full": variant("full", urls=[site.url("Sharp.pdparams")], layout="generator"),
        "art": variant("art", urls=[site.url("sharp_art.pth")]),
        "rare": variant("rare"),
    }
    config = tmp_path / "checkout" / "configs" / "sharpen.yaml"
    config.write_text(
        yaml.safe_dump({"name": "Sharpen", "variants": variants}, sort_keys=False), encoding="utf-8"
    )
    return tmp_path / "checkout"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "weights"


def paddle_bytes(network, tmp_path):
    path = tmp_path / "Sharp.pdparams"
    paddle.save({"generator": network.state_dict()}, str(path))
    return path.read_bytes()


def torch_bytes(network, path):
    """Save the network as its author would in PyTorch, with other keys."""
    arrays = {f"body.{k}": v.numpy() for k, v in network.state_dict().items()}
    torch_files.save({"params": torch_files.tensors(arrays)}, path)
    return path.read_bytes()


def test_list_shows_every_variant_and_its_place(capsys, checkout):
    assert main(["list"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["model", "variant", "size", "where", "licence"]
    assert str(checkout / "weights" / "sharpen-lite.safetensors") in rows[0]
    assert [row.split()[:2] for row in rows] == [
        ["Sharpen", name] for name in ("lite", "full", "art", "rare")
    ]
    assert "to be downloaded" in rows[1]
    assert "to be obtained by hand" in rows[3]


def test_fetch_keeps_a_paddle_file_as_it_is(capsys, site, cache, network, tmp_path):
    site.files["Sharp.pdparams"] = paddle_bytes(network, tmp_path)
    assert main(["fetch", "sharpen"]) == 0
    assert capsys.readouterr().out.strip() == f"Sharpen full: {cache / 'Sharp.pdparams'}"
    assert main(["fetch", "Sharpen"]) == 0
    assert len(site.asked) == 1
    assert main(["verify", "sharpen"]) == 0
    assert "ok   Sharpen full" in capsys.readouterr().out


def test_fetch_converts_a_pytorch_file(site, cache, network, tmp_path):
    site.files["sharp_art.pth"] = torch_bytes(network, tmp_path / "a.pth")
    assert main(["fetch", "sharpen", "--variant", "art"]) == 0
    written = load_file(cache / "sharpen-art.safetensors")
    assert written.keys() == network.state_dict().keys()
    assert not list(cache.glob("*.pth")), "the original must be deleted"
    assert main(["verify"]) == 0


@pytest.mark.parametrize("content", [b"<html>", b"what?" * 99, b"\x80\x02}.", "cut"])
def test_a_download_that_cannot_be_converted_is_deleted(
    content, capsys, site, cache, network, tmp_path
):
    whole = torch_bytes(network, tmp_path / "a.pth")
    site.files["sharp_art.pth"] = whole[:-99] if content == "cut" else content
    assert main(["fetch", "sharpen", "--variant", "art"]) != 0
    assert capsys.readouterr().err.count("oldfilm: ") == 1
    assert not [path for path in cache.rglob("*") if path.suffix in (".pth", ".part")]

    site.files["sharp_art.pth"] = whole
    assert main(["fetch", "sharpen", "--variant", "art"]) == 0


def test_without_paddle_nothing_is_downloaded_that_must_be_converted(
    capsys, site, network, tmp_path, monkeypatch
):
    site.files["sharp_art.pth"] = torch_bytes(network, tmp_path / "a.pth")
    site.files["Sharp.pdparams"] = paddle_bytes(network, tmp_path)
    monkeypatch.setitem(sys.modules, "paddle", None)
    assert main(["fetch", "sharpen", "--variant", "art"]) != 0
    assert "PaddlePaddle is not installed" in capsys.readouterr().err
    assert not site.asked
    assert main(["fetch", "sharpen", "--variant", "full"]) == 0


def test_fetch_converts_a_pytorch_file_in_the_cache(site, cache, network):
    cache.mkdir(parents=True)
    torch_bytes(network, cache / "sharp_art.pth")
    assert main(["fetch", "sharpen", "--variant", "art"]) == 0
    assert (cache / "sharp_art.pth").is_file(), "the user's own file must be kept"
    assert (cache / "sharpen-art.safetensors").is_file()
    assert not site.asked


def test_a_failed_fetch_is_failed_work_in_one_line(capsys):
    assert main(["fetch", "sharpen"]) == FAILED_WORK
    message = capsys.readouterr().err
    assert message.startswith("oldfilm: Sharp.pdparams cannot be downloaded")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "blur"], "Unknown model 'blur'; choose from Sharpen"),
        (["fetch", "sharpen", "--variant", "huge"], "it has: lite, full, art, rare"),
        (["fetch", "sharpen", "--variant", "rare"], "by hand (a paper)"),
        (["where", "blur"], "Unknown model 'blur'"),
        (["verify", "blur"], "Unknown model 'blur'"),
        (["convert", "none.pth", "--model", "sharpen"], "none.pth: no such file"),
        (["convert", __file__, "--model", "sharpen"], "is not a weight file"),
    ],
)
def test_invalid_input_is_reported_in_one_line(capsys, arguments, message):
    assert main(arguments) == WRONG_INPUT
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_verify_reports_damaged_files_and_those_that_do_not_fit(capsys, cache, tmp_path):
    cache.mkdir(parents=True)
    (cache / "Sharp.pdparams").write_bytes(b"\x80\x04what?")
    save_file({"a": np.zeros(1, np.float32)}, cache / "sharpen-art.safetensors")
    assert main(["verify"]) == FAILED_WORK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "ok   Sharpen lite",
        "BAD  Sharpen full",
        "BAD  Sharpen art",
    ]
    assert "does not fit DAINLite" in lines[2]


def test_where_lists_the_folders_in_order_with_their_files(capsys, cache, checkout, tmp_path):
    cache.mkdir(parents=True)
    (cache / "sharp_art.pth").write_bytes(b"x" * 1_500_000)
    assert main(["where", "sharpen"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(checkout / "weights")
    assert lines[1].startswith("    sharpen-lite.safetensors (lite, ")
    assert lines[2] == str(cache)
    assert lines[3] == "    sharp_art.pth (art, 1.5 MB, to be converted)"
    assert lines[4] == f"{tmp_path / 'home' / '.cache' / 'ppgan'} (does not exist)"
    assert lines[5].endswith("Sharp.pdparams (full)")


def test_convert_writes_to_the_cache(capsys, cache, network, tmp_path):
    path = tmp_path / "mine.pth"
    torch_bytes(network, path)
    assert main(["convert", str(path), "--model", "sharpen", "--variant", "rare"]) == 0
    written = cache / "sharpen-rare.safetensors"
    assert capsys.readouterr().out.strip() == f"Sharpen rare: {written}"
    assert main(["list"]) == 0
    assert str(written) in capsys.readouterr().out


def test_convert_writes_to_the_folder_of_the_environment_variable(network, tmp_path, monkeypatch):
    monkeypatch.setenv("OLDFILM_WEIGHTS", str(tmp_path / "mine"))
    path = tmp_path / "sharp_art.pth"
    torch_bytes(network, path)
    assert main(["convert", str(path), "--model", "sharpen"]) == 0
    assert (tmp_path / "mine" / "sharpen-art.safetensors").is_file()


def test_the_tool_runs():
    command = [sys.executable, str(TOOL), "list"]
    environment = {**os.environ, "PYTHONPATH": str(TOOL.parent.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "DeOldify" in done.stdout
    assert not done.stderr
