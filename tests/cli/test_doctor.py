"""`oldfilm doctor`: what works, what is missing, and what to do about it."""

import pytest

from oldfilm.apps.doctor import ENCODERS, FAILED, OK, examine
from oldfilm.cli.main import main


@pytest.fixture(scope="module")
def checks():
    return {check.name: check for check in examine(self_test=False)}


def test_every_part_of_an_installation_is_checked(checks):
    names = {"Python", "PaddlePaddle", "device", "threads", "memory", "ffmpeg", "cache"}
    names |= {f"encoder {codec}" for codec in ENCODERS}
    names |= {"weights of DeOldify", "fast CPU engine"}
    assert names <= checks.keys()
    assert not [check for check in checks.values() if check.status == FAILED]
    assert checks["encoder h264"].status == OK
    assert "lite" in checks["weights of DeOldify"].found


def test_what_is_missing_comes_with_the_command_that_gets_it(checks):
    missing = checks["other weights"]
    assert "RIFE" in missing.found and "DeOldify" not in missing.found
    assert "fetch" in missing.advice and "--variant" in missing.advice


def test_a_missing_ffmpeg_and_a_cache_that_cannot_be_written_are_found(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("OLDFILM_CACHE", str(tmp_path / "file"))
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert main(["doctor", "--no-self-test"]) == 1
    shown = capsys.readouterr().out
    assert "failed  ffmpeg" in shown
    assert "failed  cache" in shown
    assert "let OLDFILM_CACHE name another" in shown
    assert "failed, " in shown.splitlines()[-1]


def test_every_stage_with_weights_restores_a_few_frames(capsys):
    *_, others = checks = list(examine())
    stages = [check for check in checks if check.name.startswith("stage ")]
    works = {check.name for check in stages if check.status == OK}
    assert {"stage DeOldify", "stage PPMSVSR", "stage DAIN", "stage OldPhoto"} <= works
    assert not [check for check in stages if check.status == FAILED]
    assert others.name == "other stages" and "RIFE" in others.found
