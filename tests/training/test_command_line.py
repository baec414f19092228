"""python -m oldfilm.training"""

from __future__ import annotations

import importlib.util

import pytest

import oldfilm.training.__main__ as command_line

ARGUMENTS = ["recipe.yaml", "--data", "folder", "--output", "made.safetensors"]


@pytest.mark.parametrize("name", command_line.TRAININGS)
def test_all_trainings_take_the_same_options(name) -> None:
    options = command_line.parse([name, *ARGUMENTS, "--limit", "100", "--device", "cuda"])
    assert (options.training, options.limit, options.device) == (name, 100, "cuda")


@pytest.mark.parametrize(("old", "new"), command_line.RENAMED.items())
def test_an_old_name_is_answered_with_the_new_one(old, new, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        command_line.main([old, *ARGUMENTS])
    assert stopped.value.code == 2
    assert f"{old} is now called {new}" in capsys.readouterr().err


def test_a_negative_limit_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        command_line.main(["interpolation", *ARGUMENTS, "--limit", "-1"])
    assert "--limit -1" in capsys.readouterr().err


def test_a_missing_pytorch_is_reported_in_one_line(monkeypatch, capsys) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert command_line.main(["interpolation", *ARGUMENTS]) == 1
    error = capsys.readouterr().err
    assert 'pip install "oldfilm[train]"' in error
    assert error.count("\n") == 1


def test_a_missing_recipe_is_reported_in_one_line(tmp_path, capsys) -> None:
    pytest.importorskip("torch")
    missing = str(tmp_path / "missing.yaml")
    assert command_line.main(["interpolation", missing, *ARGUMENTS[1:]]) == 1
    error = capsys.readouterr().err
    assert missing in error
    assert error.count("\n") == 1
