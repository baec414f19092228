"""The cache folder: $OLDFILM_CACHE, then the platform's, then one that exists from earlier."""

import sys
from pathlib import Path

import pytest

from oldfilm.system.paths import cache_folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("OLDFILM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_environment_variable_comes_first(home, monkeypatch):
    monkeypatch.setenv("OLDFILM_CACHE", "~/elsewhere")
    assert cache_folder() == Path("~/elsewhere").expanduser()


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is a standard of Linux desktops")
def test_linux_uses_the_xdg_cache_folder(home, monkeypatch):
    assert cache_folder() == home / ".cache" / "oldfilm"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "xdg"))
    assert cache_folder() == home / "xdg" / "oldfilm"


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is a standard of Linux desktops")
def test_an_existing_cache_folder_in_the_home_folder_stays_in_use(home, monkeypatch):
    (home / ".cache" / "oldfilm").mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "xdg"))
    assert cache_folder() == home / ".cache" / "oldfilm"
    (home / "xdg" / "oldfilm").mkdir(parents=True)
    assert cache_folder() == home / "xdg" / "oldfilm"
