"""Lines of progress: speed as people read it, and the time left."""

import sys
from types import SimpleNamespace

import pytest

from oldfilm.pipeline.progress import Pace, ProgressLines, about, progress_view
from oldfilm.pipeline.report import RESTORING, JobProgress


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.25, ["RIFE 4.0/s", "about 0.8 s left"]), (95, ["RIFE 95.0 s/frame", "about 5 min left"])],
)
def test_a_line_shows_the_speed_and_the_time_left(seconds, expected, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("oldfilm.pipeline.progress.SHORTEST_SECONDS", 0)
    lines = []
    view = ProgressLines(lines.append)
    for done in range(5):
        view(JobProgress(RESTORING, done, 4, {"RIFE": 1 / seconds} if done else {}))
        now[0] += seconds
    assert lines[0].split(", ") == ["Restoring: 1 of 4 frames (25%)", *expected]
    assert "left" not in lines[-1]


def test_the_time_left_is_unknown_after_the_first_frames_of_many(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    pace = Pace()
    assert pace.update(JobProgress(RESTORING, 0, 9600)) == (None, None)
    now[0] = 100.0
    assert pace.update(JobProgress(RESTORING, 1, 9600)) == (0.01, None)
    assert pace.update(JobProgress(RESTORING, 100, 9600)) == (1.0, 9500.0)


def test_a_notebook_without_widgets_shows_one_line_that_is_replaced(monkeypatch):
    shown, replaced = [], []
    handle = SimpleNamespace(update=lambda content, raw: replaced.append(content["text/plain"]))

    def display(content, raw, display_id):
        shown.append(content["text/plain"])
        return handle

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    monkeypatch.setattr("oldfilm.pipeline.progress.in_notebook", lambda: True)
    monkeypatch.setattr("oldfilm.pipeline.progress.find_spec", lambda name: None)
    view = progress_view()
    for done in range(100):
        view(JobProgress(RESTORING, done, 99))
    assert shown == ["Restoring: 0 of 99 frames (0%)"]
    assert replaced[-1] == "Restoring: 99 of 99 frames (100%)"
    assert len(replaced) < 20


def test_durations_are_rounded_as_people_say_them():
    found = [about(seconds) for seconds in (0.84, 42.4, 150, 7800)]
    assert found == ["0.8 s", "42 s", "2 min", "2 h 10 min"]
