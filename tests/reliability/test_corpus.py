"""Damaged inputs are restored, restored in part, or refused with a reason."""

import sys
from collections import defaultdict

import pytest

from tests.reliability.corpus import damaged_inputs
from tests.reliability.corpus_run import FAILED, run, table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits a process, and needs /proc")

QUICK = {
    "film": 1 / 250,
    "photograph": 1 / 120,
    "folder": 1 / 20,
    "manifest": 1 / 30,
    "config": 1 / 20,
    "presets": 1 / 20,
    "weights": 1 / 20,
}
"""Share of each kind that the fast test tries."""


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    return tmp_path_factory.mktemp("originals")


def assert_all_end_well(chosen, originals):
    endings = run(chosen, originals, report=lambda ending: None)
    print(table(endings))
    assert len(endings) == len(chosen)
    assert [f"{e.title}: {e.reason}" for e in endings if e.ending == FAILED] == []


def test_a_sample_of_every_kind_ends_well(originals):
    numbers = defaultdict(list)
    for number, damaged in enumerate(damaged_inputs(originals)):
        numbers[damaged.kind].append(number)
    chosen = [n for kind, share in QUICK.items() for n in numbers[kind][7 :: int(1 / share)]]
    assert_all_end_well(chosen, originals)


def test_damaged_inputs_are_reproducible(originals):
    first, second = (damaged_inputs(originals)[3::200] for _ in range(2))
    pairs = list(zip(first, second))
    assert len(pairs) >= 20
    assert all(one.content() == other.content() for one, other in pairs)


@pytest.mark.slow
def test_all_damaged_inputs_end_well(originals):
    chosen = range(len(damaged_inputs(originals)))
    assert len(chosen) >= 2000
    assert_all_end_well(chosen, originals)
