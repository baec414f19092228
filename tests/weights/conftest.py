"""Every test has its own cache, home and network, and does not wait between tries."""

import pytest

from oldfilm.weights import download
from oldfilm.weights.resolve import _in_vain, _say
from tests.weights.site import Site


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    monkeypatch.setenv("OLDFILM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("OLDFILM_ALLOW_HTTP", "1")
    for name in ("OLDFILM_WEIGHTS", "OLDFILM_OFFLINE", "OLDFILM_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "RETRY_SECONDS", (0, 0))
    monkeypatch.setattr(download, "_verdict", [])
    _in_vain.clear()
    _say.cache_clear()


@pytest.fixture
def site():
    with Site() as served:
        yield served
