"""Downloads from a local server that misbehaves as real ones do."""

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from safetensors.numpy import save

from oldfilm.weights import TransferError, download, read_weights
from oldfilm.weights.download import Expected
from tests.weights import site as web

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "cache" / "weights" / "a.pdparams"


@pytest.fixture(autouse=True)
def published(site):
    site.files["a.pdparams"] = CONTENT


def fetch(site, destination, expected=None, **options):
    download.download([site.url("a.pdparams")], destination, expected or Expected(), **options)


def files_next_to(destination):
    """List the folder without locks."""
    return sorted(
        path.name for path in destination.parent.glob("*") if not path.name.startswith(".")
    )


def test_a_download_leaves_only_the_file(site, destination):
    seen = []
    expected = Expected(len(CONTENT), SHA256)
    fetch(site, destination, expected, progress=lambda done, total: seen.append((done, total)))
    assert destination.read_bytes() == CONTENT
    assert files_next_to(destination) == ["a.pdparams"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


def test_a_dropped_connection_is_resumed(site, destination):
    site.answers = [web.drops(0.5)]
    fetch(site, destination)
    assert destination.read_bytes() == CONTENT
    assert site.ranges() == [None, "bytes=150000-"]


def test_a_connection_that_drops_repeatedly_still_completes(site, destination):
    site.answers = [web.drops_after(40_000)] * 7
    fetch(site, destination)
    assert destination.read_bytes() == CONTENT
    assert site.ranges() == [None, *(f"bytes={n}-" for n in range(40_000, 300_000, 40_000))]


def test_the_part_of_an_earlier_run_is_resumed(site, destination):
    site.answers = [web.drops(0.5), web.status(404)]
    with pytest.raises(TransferError):
        fetch(site, destination)
    assert files_next_to(destination) == ["a.pdparams.part", "a.pdparams.part.json"]
    fetch(site, destination)
    assert destination.read_bytes() == CONTENT
    assert site.ranges()[-1] == "bytes=150000-"
    assert files_next_to(destination) == ["a.pdparams"]


def test_a_complete_part_is_not_downloaded_again(site, destination):
    site.answers = [web.drops(0.5), web.status(404)]
    with pytest.raises(TransferError):
        fetch(site, destination)
    destination.with_name("a.pdparams.part").write_bytes(CONTENT)
    fetch(site, destination)
    assert destination.read_bytes() == CONTENT
    assert site.ranges()[-1] == f"bytes={len(CONTENT)}-"


def test_a_part_is_never_completed_with_another_version(site, destination):
    site.answers = [web.drops(0.5), web.status(404)]
    with pytest.raises(TransferError):
        fetch(site, destination)
    site.files["a.pdparams"], site.tag = CONTENT[::-1], '"2"'
    fetch(site, destination)
    assert destination.read_bytes() == CONTENT[::-1]


def test_a_server_that_ignores_ranges_starts_over(site, destination):
    site.answers = [web.drops(0.5), web.ignores_range]
    fetch(site, destination)
    assert destination.read_bytes() == CONTENT


def test_a_server_without_versions_is_asked_for_the_whole_file(site, destination):
    site.answers = [web.drops_without_version]
    fetch(site, destination)
    assert destination.read_bytes() == CONTENT
    assert site.ranges() == [None, None]


def test_a_file_that_always_ends_early_is_refused(site, destination):
    site.answers = [web.drops(0.5)] * 9
    with pytest.raises(TransferError, match="the connection ended after 150000 of 300000 bytes"):
        fetch(site, destination)
    assert not destination.exists()


def test_a_file_of_the_wrong_size_is_refused(site, destination):
    site.answers = [web.announces(1000)]
    with pytest.raises(TransferError, match="has 1000 bytes, not 300000"):
        fetch(site, destination, Expected(bytes=300_000))
    assert files_next_to(destination) == []


def test_a_truncated_file_of_unknown_size_is_refused_by_its_content(site, destination):
    site.files["a.pdparams"] = whole = save({"weight": np.zeros(1000, np.float32)})
    site.answers = [web.announces(len(whole) - 100)]
    with pytest.raises(TransferError, match="something other than weights"):
        fetch(site, destination, Expected(inspect=read_weights))
    assert files_next_to(destination) == []


def test_the_next_address_is_tried_if_one_lacks_the_file(site, destination):
    urls = [site.url("b.pdparams"), site.url("a.pdparams")]
    download.download(urls, destination, Expected())
    assert destination.read_bytes() == CONTENT


def test_the_error_names_every_address(site, destination):
    urls = [site.url("b"), site.url("c")]
    with pytest.raises(TransferError, match=r"/b: HTTP 404 .*; .*/c: HTTP 404"):
        download.download(urls, destination, Expected())
    assert len(site.asked) == 2, "a missing file must not be requested again"


def test_a_busy_server_is_tried_again(site, destination):
    site.answers = [web.status(503), web.status(503, Retry_After=0)]
    fetch(site, destination)
    assert destination.read_bytes() == CONTENT


def test_a_server_that_stays_busy_is_reported(site, destination):
    site.answers = [web.status(503)] * 9
    with pytest.raises(TransferError, match="HTTP 503"):
        fetch(site, destination)
    assert len(site.asked) == 3


def test_a_silent_server_times_out(site, destination, monkeypatch):
    monkeypatch.setattr(download, "STALLED_SECONDS", 0.2)
    site.answers = [web.slow_half(2)]
    fetch(site, destination)
    assert destination.read_bytes() == CONTENT
    assert site.ranges() == [None, "bytes=150000-"]


def test_a_file_with_the_wrong_hash_is_refused_and_deleted(site, destination):
    site.files["a.pdparams"] = CONTENT[::-1]
    with pytest.raises(TransferError, match=f"another file.*not {SHA256[:12]}"):
        fetch(site, destination, Expected(len(CONTENT), SHA256))
    assert files_next_to(destination) == []


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_in_place_of_weights_is_refused_and_deleted(site, destination, kind):
    site.answers = [web.page(kind)]
    with pytest.raises(TransferError, match="web page"):
        fetch(site, destination)
    assert files_next_to(destination) == []


def test_a_web_page_does_not_discard_the_part(site, destination):
    site.answers = [web.drops(0.5), web.page("text/html")]
    with pytest.raises(TransferError, match="web page"):
        fetch(site, destination)
    fetch(site, destination)
    assert site.ranges()[-1] == "bytes=150000-"
    assert destination.read_bytes() == CONTENT


def test_redirections_are_followed_only_on_the_web(site, destination):
    site.answers = [web.redirects(site.url("a.pdparams"))]
    fetch(site, destination)
    assert destination.read_bytes() == CONTENT
    destination.unlink()
    site.answers = [web.redirects("ftp://127.0.0.1/a.pdparams")]
    with pytest.raises(TransferError, match="ftp://127.0.0.1/a.pdparams is not https"):
        fetch(site, destination)
    site.answers = [web.redirects("https://[/a.pdparams")]
    with pytest.raises(TransferError, match="leads to what is not an address"):
        fetch(site, destination)


@pytest.mark.parametrize("url", ["https://[/a", "https://a:b/a", "https://a..b/a"])
def test_what_is_not_an_address_is_refused_in_a_line(destination, url):
    with pytest.raises(TransferError, match=r"not an address") as caught:
        download.download([url], destination, Expected())
    assert "\n" not in str(caught.value)


def test_plain_http_is_refused(site, destination, monkeypatch):
    monkeypatch.delenv("OLDFILM_ALLOW_HTTP")
    with pytest.raises(TransferError, match="not https"):
        fetch(site, destination)
    assert not site.asked


def test_nothing_is_requested_when_offline(site, destination, monkeypatch):
    monkeypatch.setenv("OLDFILM_OFFLINE", "1")
    with pytest.raises(TransferError, match="OLDFILM_OFFLINE"):
        fetch(site, destination)
    assert not download.online([site.url("a.pdparams")])
    assert not site.asked


def test_a_mirror_is_tried_first(site, destination, monkeypatch):
    site.files["mirror/a.pdparams"] = CONTENT[::-1]
    monkeypatch.setenv("OLDFILM_MIRROR", site.url("mirror/"))
    fetch(site, destination)
    assert destination.read_bytes() == CONTENT[::-1]


def test_the_published_address_follows_a_mirror_without_the_file(site, destination, monkeypatch):
    monkeypatch.setenv("OLDFILM_MIRROR", site.url("elsewhere"))
    fetch(site, destination)
    assert destination.read_bytes() == CONTENT


def test_an_unwritable_cache_is_reported(site, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TransferError, match=r"cache/a.pdparams cannot be written .*OLDFILM_CACHE"):
        fetch(site, tmp_path / "file" / "cache" / "a.pdparams")


def test_an_unwritable_note_is_reported(site, destination):
    destination.with_name("a.pdparams.part.json").mkdir(parents=True)
    with pytest.raises(TransferError, match="cannot be written"):
        fetch(site, destination)


def test_a_folder_with_the_name_of_the_file_is_reported(site, destination):
    destination.mkdir(parents=True)
    with pytest.raises(TransferError, match="a.pdparams cannot be written"):
        fetch(site, destination)


def start(site, destination):
    """Download the same file in another process."""
    code = f"""
        import logging
        from pathlib import Path
        from oldfilm.weights.download import Expected, download
        logging.basicConfig()
        destination = Path({str(destination)!r})
        download([{site.url("a.pdparams")!r}], destination, Expected(sha256={SHA256!r}))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_of_two_processes_one_downloads_and_the_other_waits(site, destination):
    site.answers = [web.slow(2)]
    processes = [start(site, destination), start(site, destination)]
    output = "".join(process.communicate(timeout=60)[1] for process in processes)
    assert [process.returncode for process in processes] == [0, 0], output
    assert destination.read_bytes() == CONTENT
    assert len(site.asked) == 1
    assert output.count("waiting") == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_download_leaves_its_part_but_no_lock(site, destination):
    site.answers = [web.slow_half(20)]
    killed = start(site, destination)
    part = destination.with_name("a.pdparams.part")
    wait_until(lambda: part.is_file() and part.stat().st_size == len(CONTENT) // 2)
    killed.kill()
    killed.communicate()
    fetch(site, destination)
    assert destination.read_bytes() == CONTENT
    assert site.ranges() == [None, "bytes=150000-"]
