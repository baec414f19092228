"""A fingerprint holds everything that determines the frames of a job."""

from fractions import Fraction

import pytest

from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.fingerprint import SourceFiles, diff, job_fingerprint
from oldfilm.system.files import sha256_of_file
from tests.pipeline.stages import Recorder, info


def test_differences_are_described():
    then = {"crf": 17, "audio": None, "weights": "a" * 64, "film": "6x4"}
    now = {"crf": 20, "audio": "a.wav", "weights": "b" * 64, "film": "6x4"}
    assert diff(then, now) == [
        "crf was 17, is 20",
        "audio was not given, is a.wav",
        f"weights was {'a' * 12}, is {'b' * 12}",
    ]
    assert diff(then, then) == []


def test_a_fingerprint_holds_the_source_the_chain_and_the_settings(tmp_path):
    source = tmp_path / "film"
    source.write_bytes(b"film")
    options = {"crf": 17, "start": Fraction(1, 3)}
    values = job_fingerprint(SourceFiles([source]), Chain([Recorder()], info(5)), options)
    expected = {
        "bytes of the source": 4,
        "sha256 of the source": sha256_of_file(source),
        "film": "6x4 at 16",
        "stages": "Recorder",
        "Recorder window": "0+1+0",
        "crf": 17,
        "start": "1/3",
    }
    assert {name: values[name] for name in expected} == expected
    assert values["ffmpeg"]
    assert values["oldfilm"]


@pytest.mark.parametrize("change", [("1.png", b"other"), ("3.png", b"one")])
def test_the_names_and_the_content_of_pictures_count(tmp_path, change):
    for name, content in {"1.png": b"one", "2.png": b"two"}.items():
        (tmp_path / name).write_bytes(content)
    before = SourceFiles(sorted(tmp_path.iterdir())).sha256
    (tmp_path / change[0]).write_bytes(change[1])
    assert SourceFiles(sorted(tmp_path.iterdir())).sha256 != before
