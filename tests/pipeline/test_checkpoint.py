"""Records of a job are read back exactly, or not at all."""

import hashlib
import json
from dataclasses import fields
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oldfilm.pipeline.checkpoint import Finished, FinishedFile, Manifest, Plan
from oldfilm.pipeline.segments import Segment
from oldfilm.stage import FilmFacts

PLAN = Plan(
    part=range(3, 20),
    facts=FilmFacts(
        (Fraction(1, 3),), frozenset({Fraction(2, 7)}), (0.1, *[1 / 3] * 16), Fraction(3, 16)
    ),
    segments=(Segment(0, 8, 0, 9), Segment(8, 17, 7, 17)),
    threads=3,
    notes=("it is 冬 \udcff",),
)
MANIFEST = Manifest({"film": "6x4", "crf": 17, "audio": None, "flow_scale": 0.5}, PLAN)
FINISHED = Finished(
    {0: FinishedFile(16, 99, "ab", "cd", {"Despot": ((0.5, 0.125),)})},
    FinishedFile(34, 200, "ef"),
    publishing=True,
)


def write_signed(path, content):
    """Write a record with a correct checksum."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({"sha256": digest, **content}))


def test_records_are_read_back_as_they_were_written(tmp_path):
    MANIFEST.write(tmp_path / "manifest.json")
    assert Manifest.read(tmp_path / "manifest.json") == MANIFEST
    FINISHED.write(tmp_path / "finished.json")
    assert Finished.read(tmp_path / "finished.json") == FINISHED


def test_the_names_on_disk_stay_the_same(tmp_path):
    """A job that was begun by an earlier version can then be resumed."""
    MANIFEST.write(tmp_path / "manifest.json")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert list(manifest) == ["sha256", "job", "plan"]
    assert manifest["plan"]["segments"] == [[0, 8, 0, 9], [8, 17, 7, 17]]
    assert manifest["plan"]["cuts"] == ["1/3"]
    FINISHED.write(tmp_path / "finished.json")
    finished = json.loads((tmp_path / "finished.json").read_text())
    assert list(finished) == ["sha256", "pieces", "video", "placing"]
    names = ["frames", "bytes", "sha256", "pictures", "repairs"]
    assert [list(piece) for piece in finished["pieces"].values()] == [names]


def test_records_of_a_version_that_did_not_count_repairs_are_read(tmp_path):
    piece = {"frames": 16, "bytes": 99, "sha256": "ab", "pictures": "cd"}
    write_signed(tmp_path / "finished.json", {"pieces": {"0": piece}, "video": None})
    assert Finished.read(tmp_path / "finished.json") == Finished({0: FinishedFile(*piece.values())})


def test_every_field_of_a_plan_is_recorded():
    """A new field must be written and read too, or a resumed job would lack it."""
    assert [f.name for f in fields(FilmFacts)] == ["cuts", "repeats", "brightness", "start"]
    assert [f.name for f in fields(Plan)] == ["part", "facts", "segments", "threads", "notes"]


def test_missing_records_mean_that_nothing_is_finished(tmp_path):
    assert Manifest.read(tmp_path / "manifest.json") is None
    assert Finished.read(tmp_path / "finished.json") == Finished()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / "manifest.json"
    MANIFEST.write(path)
    return path, path.read_bytes()


@settings(deadline=None)
@given(st.data())
def test_a_damaged_manifest_is_ignored(written, data):
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
    ("key", "value"),
    [
        *(("part", v) for v in (None, [], [3], [20, 3], [0, 10**12], [0, 10**30], ["3", "20"])),
        *(("segments", v) for v in ([], [[0, 8, 0, 9]], [[0, 1]], [[0, 17, -1, 17]], 5)),
        *(("cuts", v) for v in (["1/0"], [None], "x")),
        *(("brightness", v) for v in ([], [None] * 17, 3)),
        *(("notes", v) for v in (None, 7)),
        *(("threads", v) for v in (None, 1.5, "3")),
        ("unknown", 1),
    ],
)
def test_a_manifest_with_impossible_values_is_ignored(written, tmp_path, key, value):
    content = json.loads(written[1])
    content.pop("sha256")
    content["plan"][key] = value
    write_signed(tmp_path / "manifest.json", content)
    assert Manifest.read(tmp_path / "manifest.json") is None


@pytest.mark.parametrize(
    "content",
    [
        {"pieces": {"x": {}}, "video": None, "placing": False},
        {"pieces": {"0": {"frames": 1.5, "bytes": 1, "sha256": ""}}, "video": None},
        {"pieces": {"0": {"frames": 3}}, "video": None, "placing": False},
        {"pieces": {}, "video": 7, "placing": False},
        {"pieces": {}, "video": None, "placing": "yes"},
        {"pieces": {}, "video": None, "placing": True, "unknown": 1},
    ],
)
def test_a_record_of_finished_files_with_another_shape_is_ignored(tmp_path, content):
    write_signed(tmp_path / "finished.json", content)
    assert Finished.read(tmp_path / "finished.json") == Finished()
