"""Fixtures that keep tests away from the network and from the home folder of the user."""

import os
import signal
import subprocess

import pytest


@pytest.fixture(scope="session", autouse=True)
def sigint_is_not_ignored():
    """Restore the handler of SIGINT: a job that a shell starts in the background ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def temporary_home(tmp_path_factory):
    """Use a temporary home and cache for the whole session, so each network is exported once.

    The processes of pytest-xdist share the exported networks.
    """
    home, top = tmp_path_factory.mktemp("home"), tmp_path_factory.getbasetemp()
    shared = (top.parent if "PYTEST_XDIST_WORKER" in os.environ else top) / "engine"
    shared.mkdir(exist_ok=True)
    (home / "oldfilm").mkdir()
    (home / "oldfilm" / "engine").symlink_to(shared)
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
    """Mount a file system of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], stderr=subprocess.PIPE
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
