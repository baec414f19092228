"""Predictors and chains whose weights are not on this machine, on a CPU."""

import functools
import http.server
import pickle
import threading

import pytest
import yaml
from safetensors.numpy import load_file


@pytest.fixture
def published(weights, tmp_path):
    """Serve the tiny weights of RealSR; returns a folder with the config that has their address."""
    folder = tmp_path / "server"
    folder.mkdir()
    values = load_file(weights / "realsr-full.safetensors")
    with (folder / "tiny.pdparams").open("wb") as file:
        pickle.dump(values, file, protocol=2)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = yaml.safe_load((weights / "realsr.yaml").read_text())
    address = f"http://127.0.0.1:{server.server_port}/tiny.pdparams"
    config["variants"]["full"]["weights"]["urls"] = [address]
    (folder / "realsr.yaml").write_text(yaml.safe_dump(config))
    yield folder
    server.shutdown()
    server.server_close()


PROGRAM = """
    from ppgan.apps import RealSRPredictor
    picture, path = RealSRPredictor().run("old.jpeg")
    assert picture.size == (256, 192)
"""


def test_a_predictor_without_lite_weights_downloads_the_published_ones(run, published, tmp_path):
    environment = {
        "OLDFILM_CONFIGS": str(published),
        "OLDFILM_WEIGHTS": str(tmp_path / "none"),
        "OLDFILM_CACHE": str(tmp_path / "cache"),
        "OLDFILM_ALLOW_HTTP": "1",
    }
    output = run(PROGRAM, **environment, OLDFILM_OFFLINE="")
    assert "RealSR: downloading 0 MB." in output
    assert "RealSR: 100 % of 0 MB" in output
    assert "downloading" not in run(PROGRAM, **environment)


def test_offline_the_error_says_how_to_get_them(run, tmp_path):
    output = run(PROGRAM, status=1, OLDFILM_CONFIGS="", OLDFILM_WEIGHTS=str(tmp_path / "none"))
    last = output.strip().splitlines()[-1]
    assert "OLDFILM_OFFLINE forbids its download" in last
    assert "fetch realsr" in last


def test_a_chain_names_the_stage_that_needs_no_download_before_any_work(run, tmp_path):
    output = run(
        """
        from oldfilm.cli.enhance import main
        order = ["DAIN", "DeOldify", "EDVR"]
        raise SystemExit(main(["--input", "film.mp4", "--process_order", *order]))
        """,
        status=2,
        OLDFILM_CONFIGS="",
        OLDFILM_WEIGHTS=str(tmp_path / "none"),
    )
    (line,) = output.strip().splitlines()
    assert line.startswith("oldfilm: EDVR: its full weights are not on this machine")
    assert line.endswith("or use PPMSVSR, which needs no download.")
    assert not (tmp_path / "output").exists()


def test_files_of_paddlegans_downloads_are_found_fetched_and_unpacked(run, published, tmp_path):
    run(
        """
        import hashlib, os, shutil
        from ppgan.utils.download import get_path_from_url, is_url
        os.makedirs("DAIN_weight")
        open("DAIN_weight/model", "w").close()
        shutil.make_archive("server/DAIN_weight", "tar", ".", "DAIN_weight")
        host = open("server/realsr.yaml").read().split("http://")[1].split("/")[0]
        assert is_url(f"http://{host}/DAIN_weight.tar")
        folder = get_path_from_url(f"http://{host}/DAIN_weight.tar")
        assert os.listdir(folder) == ["model"]
        digest = hashlib.md5(open("server/tiny.pdparams", "rb").read()).hexdigest()
        path = get_path_from_url(f"http://{host}/tiny.pdparams", md5sum=digest)
        assert os.path.getsize(path) == os.path.getsize("server/tiny.pdparams")
        os.remove("server/tiny.pdparams")
        assert get_path_from_url(f"http://{host}/tiny.pdparams") == path
        """,
        OLDFILM_CACHE=str(tmp_path / "cache"),
        OLDFILM_ALLOW_HTTP="1",
        OLDFILM_OFFLINE="",
    )
