"""Every test gets its own cache, home folder and web server, and does not wait before retries."""

import os

import pytest

from oldfilm.weights import download
from oldfilm.weights.resolve import failed_urls, log_once
from tests.weights.site import Site


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    monkeypatch.setenv("OLDFILM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("OLDFILM_ALLOW_HTTP", "1")
    for name in ("OLDFILM_WEIGHTS", "OLDFILM_OFFLINE", "OLDFILM_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "RETRY_SECONDS", (0, 0))
    monkeypatch.setattr(download, "connected", None)
    failed_urls.clear()
    log_once.cache_clear()


@pytest.fixture
def site():
    with Site() as served:
        yield served


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of packages, the only place that pip knows."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder
