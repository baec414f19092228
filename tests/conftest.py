"""Tests touch neither the network nor what the person who runs them keeps at home."""

import pytest


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
        yield
