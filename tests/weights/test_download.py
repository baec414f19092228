"""Downloads from a real server on this machine, which misbehaves."""

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
def there(tmp_path):
    return tmp_path / "cache" / "weights" / "a.pdparams"


@pytest.fixture(autouse=True)
def published(site):
    site.files["a.pdparams"] = CONTENT


def bring(site, there, expected=None, **options):
    download.download([site.url("a.pdparams")], there, expected or Expected(), **options)


def left(there):
    """What lies in the folder, but for locks."""
    return sorted(path.name for path in there.parent.glob("*") if not path.name.startswith("."))


def test_a_file_is_brought_and_nothing_else_is_left(site, there):
    seen = []
    expected = Expected(len(CONTENT), SHA256)
    bring(site, there, expected, progress=lambda done, total: seen.append((done, total)))
    assert there.read_bytes() == CONTENT
    assert left(there) == ["a.pdparams"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


def test_a_dropped_connection_goes_on_where_it_was(site, there):
    site.answers = [web.drops(0.5)]
    bring(site, there)
    assert there.read_bytes() == CONTENT
    assert site.ranges() == [None, "bytes=150000-"]


def test_a_connection_that_drops_again_and_again_still_ends(site, there):
    site.answers = [web.drops_after(40_000)] * 7
    bring(site, there)
    assert there.read_bytes() == CONTENT
    assert site.ranges() == [None, *(f"bytes={n}-" for n in range(40_000, 300_000, 40_000))]


def test_what_an_earlier_run_received_is_kept(site, there):
    site.answers = [web.drops(0.5), web.status(404)]
    with pytest.raises(TransferError):
        bring(site, there)
    assert left(there) == ["a.pdparams.part", "a.pdparams.part.json"]
    bring(site, there)
    assert there.read_bytes() == CONTENT
    assert site.ranges()[-1] == "bytes=150000-"
    assert left(there) == ["a.pdparams"]


def test_a_file_that_was_complete_but_not_renamed_is_not_received_again(site, there):
    site.answers = [web.drops(0.5), web.status(404)]
    with pytest.raises(TransferError):
        bring(site, there)
    there.with_name("a.pdparams.part").write_bytes(CONTENT)
    bring(site, there)
    assert there.read_bytes() == CONTENT
    assert site.ranges()[-1] == f"bytes={len(CONTENT)}-"


def test_another_version_is_not_added_to_the_part_of_the_first(site, there):
    site.answers = [web.drops(0.5), web.status(404)]
    with pytest.raises(TransferError):
        bring(site, there)
    site.files["a.pdparams"], site.tag = CONTENT[::-1], '"2"'
    bring(site, there)
    assert there.read_bytes() == CONTENT[::-1]


def test_a_server_that_ignores_ranges_sends_the_file_again(site, there):
    site.answers = [web.drops(0.5), web.ignores_range]
    bring(site, there)
    assert there.read_bytes() == CONTENT


def test_a_server_without_versions_is_asked_for_the_whole_file(site, there):
    site.answers = [web.drops_without_version]
    bring(site, there)
    assert there.read_bytes() == CONTENT
    assert site.ranges() == [None, None]


def test_a_length_that_never_comes_is_told(site, there):
    site.answers = [web.drops(0.5)] * 9
    with pytest.raises(TransferError, match="ended after 150000 of 300000 bytes"):
        bring(site, there)
    assert not there.exists()


def test_a_length_that_is_not_the_known_one_is_refused(site, there):
    site.answers = [web.announces(1000)]
    with pytest.raises(TransferError, match="has 1000 bytes there, not 300000"):
        bring(site, there, Expected(bytes=300_000))
    assert left(there) == []


def test_a_length_that_is_too_short_shows_in_the_content(site, there):
    site.files["a.pdparams"] = whole = save({"weight": np.zeros(1000, np.float32)})
    site.answers = [web.announces(len(whole) - 100)]
    with pytest.raises(TransferError, match="no weights"):
        bring(site, there, Expected(inspect=read_weights))
    assert left(there) == []


def test_the_next_address_is_asked_where_one_has_no_file(site, there):
    urls = [site.url("b.pdparams"), site.url("a.pdparams")]
    download.download(urls, there, Expected())
    assert there.read_bytes() == CONTENT


def test_every_address_is_told_where_none_has_the_file(site, there):
    urls = [site.url("b"), site.url("c")]
    with pytest.raises(TransferError, match=r"/b: HTTP 404 .*; .*/c: HTTP 404"):
        download.download(urls, there, Expected())
    assert len(site.asked) == 2, "a file that is not there is not asked for again"


def test_a_server_that_is_busy_is_asked_again(site, there):
    site.answers = [web.status(503), web.status(503, Retry_After=0)]
    bring(site, there)
    assert there.read_bytes() == CONTENT


def test_a_server_that_stays_busy_is_told(site, there):
    site.answers = [web.status(503)] * 9
    with pytest.raises(TransferError, match="HTTP 503"):
        bring(site, there)
    assert len(site.asked) == 3


def test_a_silent_server_is_not_waited_for_for_ever(site, there, monkeypatch):
    monkeypatch.setattr(download, "STALLED_SECONDS", 0.2)
    site.answers = [web.slow_half(2)]
    bring(site, there)
    assert there.read_bytes() == CONTENT
    assert site.ranges() == [None, "bytes=150000-"]


def test_wrong_bytes_are_refused_and_not_kept(site, there):
    site.files["a.pdparams"] = CONTENT[::-1]
    with pytest.raises(TransferError, match=f"another file.*not {SHA256[:12]}"):
        bring(site, there, Expected(len(CONTENT), SHA256))
    assert left(there) == []


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_in_place_of_weights_is_told_and_not_kept(site, there, kind):
    site.answers = [web.page(kind)]
    with pytest.raises(TransferError, match="web page"):
        bring(site, there)
    assert left(there) == []


def test_a_web_page_does_not_cost_what_is_already_here(site, there):
    site.answers = [web.drops(0.5), web.page("text/html")]
    with pytest.raises(TransferError, match="web page"):
        bring(site, there)
    bring(site, there)
    assert site.ranges()[-1] == "bytes=150000-"
    assert there.read_bytes() == CONTENT


def test_redirections_are_followed_and_do_not_leave_the_web(site, there):
    site.answers = [web.redirects(site.url("a.pdparams"))]
    bring(site, there)
    assert there.read_bytes() == CONTENT
    there.unlink()
    site.answers = [web.redirects("ftp://127.0.0.1/a.pdparams")]
    with pytest.raises(TransferError, match="ftp://127.0.0.1/a.pdparams is not https"):
        bring(site, there)


def test_plain_http_is_refused(site, there, monkeypatch):
    monkeypatch.delenv("OLDFILM_ALLOW_HTTP")
    with pytest.raises(TransferError, match="not https"):
        bring(site, there)
    assert not site.asked


def test_offline_means_that_nothing_is_asked(site, there, monkeypatch):
    monkeypatch.setenv("OLDFILM_OFFLINE", "1")
    with pytest.raises(TransferError, match="OLDFILM_OFFLINE"):
        bring(site, there)
    assert not download.online([site.url("a.pdparams")])
    assert not site.asked


def test_a_mirror_is_asked_first(site, there, monkeypatch):
    site.files["mirror/a.pdparams"] = CONTENT[::-1]
    monkeypatch.setenv("OLDFILM_MIRROR", site.url("mirror/"))
    bring(site, there)
    assert there.read_bytes() == CONTENT[::-1]


def test_the_published_address_follows_a_mirror_without_the_file(site, there, monkeypatch):
    monkeypatch.setenv("OLDFILM_MIRROR", site.url("elsewhere"))
    bring(site, there)
    assert there.read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written_is_told(site, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TransferError, match=r"file/cache cannot be written .*OLDFILM_CACHE"):
        bring(site, tmp_path / "file" / "cache" / "a.pdparams")


def test_a_place_that_cannot_be_written_is_told(site, there):
    there.with_name("a.pdparams.part.json").mkdir(parents=True)
    with pytest.raises(TransferError, match="cannot be written"):
        bring(site, there)


def test_a_folder_of_the_files_name_is_told(site, there):
    there.mkdir(parents=True)
    with pytest.raises(TransferError, match="a.pdparams cannot be written"):
        bring(site, there)


def start(site, there):
    """Another process that downloads the same file."""
    code = f"""
        import logging
        from pathlib import Path
        from oldfilm.weights.download import Expected, download
        logging.basicConfig()
        download([{site.url("a.pdparams")!r}], Path({str(there)!r}), Expected(sha256={SHA256!r}))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_of_two_processes_one_downloads_and_the_other_waits(site, there):
    site.answers = [web.slow(2)]
    processes = [start(site, there), start(site, there)]
    told = "".join(process.communicate(timeout=60)[1] for process in processes)
    assert [process.returncode for process in processes] == [0, 0], told
    assert there.read_bytes() == CONTENT
    assert len(site.asked) == 1
    assert told.count("waiting") == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_download_leaves_no_lock_and_its_part(site, there):
    site.answers = [web.slow_half(20)]
    killed = start(site, there)
    part = there.with_name("a.pdparams.part")
    until(lambda: part.is_file() and part.stat().st_size == len(CONTENT) // 2)
    killed.kill()
    killed.communicate()
    bring(site, there)
    assert there.read_bytes() == CONTENT
    assert site.ranges() == [None, "bytes=150000-"]
