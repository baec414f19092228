"""What is noted of a job comes back as it was, or not at all."""

import hashlib
import json
from dataclasses import fields
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.checkpoint import (
    Finished,
    Manifest,
    Piece,
    Plan,
    Source,
    diff,
    fingerprint,
    sha256_of,
)
from oldfilm.pipeline.segments import Segment
from oldfilm.stage import FilmFacts
from tests.pipeline.stages import Recorder, info

PLAN = Plan(
    part=range(3, 20),
    facts=FilmFacts((Fraction(1, 3),), frozenset({Fraction(2, 7)}), (0.1, *[1 / 3] * 16)),
    segments=(Segment(0, 8, 0, 9), Segment(8, 17, 7, 17)),
    threads=3,
    notes=("it is 冬 \udcff",),
)
MANIFEST = Manifest({"film": "6x4", "crf": 17, "audio": None, "flow_scale": 0.5}, PLAN)
FINISHED = Finished({0: Piece(16, 99, "ab", "cd")}, Piece(34, 200, "ef"), placing=True)


def test_a_manifest_comes_back_as_it_was(tmp_path):
    MANIFEST.write(tmp_path / "manifest.json")
    assert Manifest.read(tmp_path / "manifest.json") == MANIFEST
    FINISHED.write(tmp_path / "finished.json")
    assert Finished.read(tmp_path / "finished.json") == FINISHED


def test_every_fact_and_every_part_of_a_plan_is_noted():
    """A new one has to be written and read, or a resumed job would not have it."""
    assert [f.name for f in fields(FilmFacts)] == ["cuts", "repeats", "brightness"]
    assert [f.name for f in fields(Plan)] == ["part", "facts", "segments", "threads", "notes"]


def test_nothing_is_known_of_a_job_that_has_no_manifest(tmp_path):
    assert Manifest.read(tmp_path / "manifest.json") is None
    assert Finished.read(tmp_path / "finished.json") == Finished()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / "manifest.json"
    MANIFEST.write(path)
    return path, path.read_bytes()


@settings(deadline=None)
@given(st.data())
def test_a_damaged_manifest_is_none(written, data):
    path, content = written[0], bytearray(written[1])
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:at]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    found = Manifest.read(path)
    assert found is None or found == MANIFEST


@pytest.mark.parametrize(
    ("key", "lie"),
    [
        *(("part", value) for value in (None, [], [3], [20, 3], [0, 10**12], ["3", "20"])),
        *(("segments", value) for value in ([], [[0, 8, 0, 9]], [[0, 1]], [[0, 17, -1, 17]], 5)),
        *(("cuts", value) for value in (["1/0"], [None], "x")),
        *(("brightness", value) for value in ([], [None] * 17, 3)),
        *(("notes", value) for value in (None, 7)),
        *(("threads", value) for value in (None, 1.5, "3")),
    ],
)
def test_a_manifest_that_cannot_be_is_none(written, tmp_path, key, lie):
    """Its checksum is right: somebody wrote it."""
    content = json.loads(written[1])
    content.pop("sha256")
    content["plan"][key] = lie
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"sha256": digest, **content}))
    assert Manifest.read(path) is None


def test_what_differs_is_told():
    then = {"crf": 17, "audio": None, "weights": "a" * 64, "film": "6x4"}
    now = {"crf": 20, "audio": "a.wav", "weights": "b" * 64, "film": "6x4"}
    assert diff(then, now) == [
        "crf was 17, is 20",
        "audio was not given, is a.wav",
        f"weights was {'a' * 12}, is {'b' * 12}",
    ]
    assert diff(then, then) == []


def test_a_job_is_its_source_its_chain_and_its_settings(tmp_path):
    source = tmp_path / "film"
    source.write_bytes(b"film")
    options = {"crf": 17, "start": Fraction(1, 3)}
    job = fingerprint(Source([source]), Chain([Recorder()], info(5)), options)
    for name, fact in {
        "bytes of the source": 4,
        "sha256 of the source": sha256_of([source]),
        "film": "6x4 at 16",
        "stages": "Recorder",
        "Recorder window": "0+1+0",
        "crf": 17,
        "start": "1/3",
    }.items():
        assert job[name] == fact
    assert job["ffmpeg"]
    assert job["oldfilm"]


@pytest.mark.parametrize("change", [("1.png", b"other"), ("3.png", b"one")])
def test_a_folder_is_its_pictures_and_their_names(tmp_path, change):
    for name, content in {"1.png": b"one", "2.png": b"two"}.items():
        (tmp_path / name).write_bytes(content)
    before = sha256_of(sorted(tmp_path.iterdir()))
    (tmp_path / change[0]).write_bytes(change[1])
    assert sha256_of(sorted(tmp_path.iterdir())) != before
