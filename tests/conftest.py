"""Tests touch neither the network nor what the person who runs them keeps at home."""

import signal
import subprocess

import pytest


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard():
    """Shells let what they start in the background, and all its children, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def apart_from_home(tmp_path_factory):
    """One cache for the session, so that a network is exported once."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("USERPROFILE", str(home))
        patch.setenv("OLDFILM_CACHE", str(home / "oldfilm"))
        patch.setenv("OLDFILM_OFFLINE", "1")
        patch.delenv("OLDFILM_WEIGHTS", raising=False)
        patch.delenv("OLDFILM_CONFIGS", raising=False)
        yield


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], stderr=subprocess.PIPE
    )
    if mounted.returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
