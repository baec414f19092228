"""Commands that messages suggest, in a checkout and in an installed package."""

import shlex
from pathlib import Path

import pytest

from oldfilm.weights.commands import command


def test_a_checkout_names_its_script():
    assert command("weights", "list") == "python tools/weights.py list"
    assert command("enhance", "--help") == "python tools/video-enhance.py --help"


def test_an_installed_package_names_its_program(tmp_path):
    fetch = command("weights", "fetch", "deoldify", "--variant", "stable", checkout=tmp_path)
    assert fetch == "oldfilm weights fetch deoldify --variant stable"


@pytest.mark.parametrize("subcommand", ["enhance", "evaluate", "photo", "weights"])
def test_every_script_exists(subcommand):
    script = shlex.split(command(subcommand))[1]
    assert (Path(__file__).resolve().parents[2] / script).is_file()


def test_a_path_with_a_space_is_quoted(tmp_path):
    written = command("weights", "convert", Path("my file.pth"), checkout=tmp_path)
    assert shlex.split(written) == ["oldfilm", "weights", "convert", "my file.pth"]
