"""The page's films and jobs, without the page."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from oldfilm.app.jobs import RUNNING, JobQueue, frame_at
from oldfilm.app.workspace import (
    DONE,
    FAILED,
    NEW,
    STOPPED,
    WAITING,
    ColorHint,
    Limits,
    Project,
    RefusedError,
    Settings,
    Workspace,
)
from oldfilm.errors import OldfilmError, OptionError
from oldfilm.media import read_photograph
from oldfilm.pipeline import RESTORING
from tests.films import facts as facts_of
from tests.films import ffmpeg, make_film

SHARPEN = Settings(order=("Sharpen",))
SLOW = Settings(order=("Despot", "Denoise"))


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "visitors")


@pytest.fixture
def queue(workspace):
    queue = JobQueue(workspace)
    queue.start()
    yield queue
    queue.close()


def upload(workspace, name="film.mp4", folder="upload", **facts):
    path = workspace.folder / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return make_film(path, **facts)


def added(workspace, visitor=None, **facts):
    return workspace.add(visitor or workspace.new_visitor(), upload(workspace, **facts))


def wait(queue, project, *states, seconds=300):
    """Wait until the job is in one of the states; returns the project as stored."""
    ends = time.monotonic() + seconds
    while queue.status(stored := Project.read(project.folder)).state not in states:
        assert time.monotonic() < ends, queue.status(stored)
        time.sleep(0.02)
    return stored


def test_a_film_is_restored_and_compared(queue, workspace):
    project = added(workspace, frames=12, sound=True)
    assert project.record.about == "64x48, 16 fps, 0.8 s"
    assert queue.status(project).state == NEW
    queue.submit(project, SHARPEN)
    done = wait(queue, project, DONE, FAILED)
    assert done.record.error == ""
    result = done.results / done.record.result
    assert facts_of(result)["frames"] == 12
    assert facts_of(result)["audio"] == 1
    assert "<h2>Stages</h2>" in (done.results / done.record.report).read_text()
    assert len(done.record.comparisons) == 3
    for one in done.record.comparisons:
        before, after = (read_photograph(done.pictures / n) for n in (one.before, one.after))
        assert before.image.shape == after.image.shape == (48, 64, 3)


def test_a_photograph_is_restored(queue, workspace):
    path = workspace.folder / "upload" / "photo.png"
    path.parent.mkdir()
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=40x30", "-frames:v", 1, path)
    project = workspace.add(workspace.new_visitor(), path)
    assert project.record.is_photograph
    assert frame_at(project, 0).shape == (30, 40, 3)
    queue.submit(project, SHARPEN)
    done = wait(queue, project, DONE, FAILED)
    assert done.record.result == "photo_Sharpen_out.png"
    assert len(done.record.comparisons) == 1


def test_a_photograph_can_be_canceled_and_restored_later(queue, workspace):
    path = workspace.folder / "upload" / "photo.png"
    path.parent.mkdir()
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=320x240", "-frames:v", 1, path)
    project = workspace.add(workspace.new_visitor(), path)
    queue.submit(project, Settings(preset="photo"))
    wait(queue, project, RUNNING)
    while not project.results.is_dir():  # until the work has begun
        time.sleep(0.001)
    queue.cancel(project)
    stopped = wait(queue, project, STOPPED, DONE)
    assert (stopped.record.state, stopped.record.result) == (STOPPED, "")
    assert [file for file in stopped.results.glob("*") if file.name[0] != "."] == []
    queue.submit(stopped, stopped.record.settings)
    assert wait(queue, project, DONE, FAILED).record.result == "photo_photo_out.png"


def test_a_preview_runs_while_another_job_does(queue, workspace):
    busy = added(workspace, name="busy.mp4", frames=100, size=(160, 120))
    project = added(workspace, frames=30)
    queue.submit(busy, SLOW)
    seen = []
    shown = queue.preview(project, SHARPEN, 2, seen.append)
    assert [one.caption for one in shown] == ["0.44 s", "1.38 s"]
    assert all((project.pictures / one.after).is_file() for one in shown)
    assert seen[-1].done == seen[-1].total == 2
    assert queue.status(busy).state == RUNNING


def test_jobs_wait_in_line_and_can_be_canceled_and_resumed(queue, workspace):
    first = added(workspace, name="first.mp4", frames=100, size=(160, 120))
    second, third = added(workspace, name="a.mp4"), added(workspace, name="b.mp4")
    queue.submit(first, SLOW)
    queue.submit(second, SHARPEN)
    queue.submit(third, SHARPEN)
    wait(queue, first, RUNNING)
    assert queue.status(third).ahead == 2
    with pytest.raises(RefusedError, match="cancel first"):
        queue.submit(third, SHARPEN)
    queue.cancel(second)
    assert wait(queue, second, STOPPED).record.state == STOPPED
    while not ((reached := queue.status(first).progress) and reached.part == RESTORING):
        time.sleep(0.02)
    queue.cancel(first)
    stopped = wait(queue, first, STOPPED)
    assert list(stopped.results.glob(".*.oldfilm")), "its finished part is kept"
    wait(queue, third, DONE)
    short = Settings(order=("Sharpen",), duration=0.5)
    queue.submit(stopped, short)  # other settings start over
    done = wait(queue, first, DONE, FAILED)
    assert done.record.error == ""
    assert facts_of(done.results / done.record.result)["frames"] == 8


def test_another_result_replaces_the_last_one_when_it_is_complete(queue, workspace):
    project = added(workspace)
    queue.submit(project, SHARPEN)
    first = wait(queue, project, DONE)
    queue.submit(first, Settings(order=("Grade",)))
    second = wait(queue, project, DONE)
    assert second.record.result == "film_Grade_out.mp4"
    names = {path.name for path in second.results.iterdir() if path.name[0] != "."}
    assert names == {"film_Grade_out.mp4", "film_report.html"}


def test_a_failed_job_says_why_without_paths_of_the_server(queue, workspace):
    project = added(workspace)
    project.source.write_bytes(b"damaged since")
    queue.submit(project, SHARPEN)
    failed = wait(queue, project, FAILED)
    assert "film.mp4" in failed.record.error
    assert str(workspace.folder) not in failed.record.error


def test_colors_are_taken_from_hints(workspace):
    hint = ColorHint(0.5, 50, 25, "#c8642a")
    settings = Settings(order=("DeOldify",), hints=(hint,))
    (stage,) = settings.make_job(variant="lite").stages
    assert stage.color_hints == [{"at": 0.5, "point": ("50.00%", "25.00%"), "color": "#c8642a"}]
    Settings(order=("Sharpen",), hints=(hint,)).make_job()  # has no use for them


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(preset="/etc/passwd"), Settings(order=("Nothing",))]
)
def test_wrong_settings_are_refused_at_once(queue, workspace, settings):
    project = added(workspace)
    with pytest.raises(OptionError):
        queue.submit(project, settings)
    assert queue.status(project).state == NEW


def test_a_visitor_sees_only_their_own_films(workspace):
    alice, bob = workspace.new_visitor(), workspace.new_visitor()
    project = added(workspace, alice)
    assert [each.id for each in workspace.projects(alice)] == [project.id]
    assert workspace.projects(bob) == []
    for visitor, name in [
        (bob, project.id),
        (bob, f"../{alice}/{project.id}"),
        (alice, f"{project.id}/../{project.id}"),
        ("", project.id),
        ("..", alice),
        (alice, None),
    ]:
        with pytest.raises(RefusedError):
            workspace.project(visitor, name)


def test_what_exceeds_a_limit_is_refused_in_a_line_and_leaves_nothing(tmp_path):
    workspace = Workspace(tmp_path / "visitors", Limits(bytes=20_000, seconds=1, films=1))
    visitor = workspace.new_visitor()
    large = upload(workspace, "large.mp4", frames=12, size=(640, 480))
    with pytest.raises(RefusedError, match=r"^large\.mp4 is too large: at most 2e-05 GB\.$"):
        workspace.add(visitor, large)
    long = upload(workspace, "long.mp4", frames=40, rate="16")
    with pytest.raises(RefusedError, match=r"^long\.mp4 lasts 0\.0 minutes"):
        workspace.add(visitor, long)
    text = upload(workspace, "text.mp4")
    text.write_text("not a film")
    with pytest.raises(OldfilmError, match="text.mp4") as raised:
        workspace.add(visitor, text)
    assert str(tmp_path) not in str(raised.value)
    assert not (large.exists() or long.exists() or text.exists())
    assert workspace.projects(visitor) == []
    workspace.add(visitor, upload(workspace, "one.mp4"))
    with pytest.raises(RefusedError, match="delete one first"):
        workspace.add(visitor, upload(workspace, "two.mp4"))


def test_two_visitors_may_upload_the_same_file(workspace):
    path = upload(workspace)
    mine = workspace.add(workspace.new_visitor(), path)
    yours = workspace.add(workspace.new_visitor(), path)
    mine.remove()
    assert yours.source.is_file()


@pytest.mark.parametrize("name", ["-y.mp4", ".hidden.mp4", "x" * 200 + ".mp4", "影片.mp4"])
def test_any_name_can_be_uploaded(queue, workspace, name):
    project = added(workspace, name=name)
    queue.submit(project, SHARPEN)
    assert wait(queue, project, DONE, FAILED).record.error == ""


def test_old_films_and_abandoned_uploads_are_removed(workspace):
    visitor = workspace.new_visitor()
    project = added(workspace, visitor)
    fresh, stale = workspace.folder / "tmp-fresh", workspace.folder / "tmp-stale"
    fresh.write_bytes(b"1")
    stale.write_bytes(b"1")
    os.utime(stale, (0, 0))
    workspace.clean()
    assert project.source.exists()
    assert fresh.exists()
    assert not stale.exists()
    workspace.clean(now=time.time() + 25 * 3600)
    assert not project.folder.parent.exists()
    assert not fresh.exists()


SERVER = """
import sys, time
from pathlib import Path
from oldfilm.app.jobs import JobQueue
from oldfilm.app.workspace import Workspace, Settings
from oldfilm.pipeline import RESTORING
workspace = Workspace(Path(sys.argv[1]))
queue = JobQueue(workspace)
queue.start()
project = workspace.project(sys.argv[2], sys.argv[3])
queue.submit(project, Settings(order=("Despot", "Denoise")))
while not ((seen := queue.status(project).progress) and seen.part == RESTORING and seen.done > 9):
    time.sleep(0.02)
print("running", flush=True)
time.sleep(100)
"""


def test_a_killed_server_leaves_nothing_behind_and_the_next_one_resumes_its_jobs(tmp_path):
    workspace = Workspace(tmp_path / "visitors")
    visitor = workspace.new_visitor()
    project = added(workspace, visitor, frames=40, size=(64, 48))
    command = [sys.executable, "-c", SERVER, workspace.folder, visitor, project.id]
    server = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE)
    assert server.stdout.readline() == b"running\n"
    server.send_signal(signal.SIGKILL)
    server.wait()
    (workspace.folder / "tmp1234").write_bytes(b"half an upload")
    assert Project.read(project.folder).record.state == WAITING
    ends = time.monotonic() + 10
    while _processes_with(str(project.folder)):
        assert time.monotonic() < ends, "a process of the killed server still runs"
        time.sleep(0.1)
    queue = JobQueue(workspace)
    queue.start()
    try:
        done = wait(queue, project, DONE, FAILED)
        assert done.record.error == ""
        assert facts_of(done.results / done.record.result)["frames"] == 40
    finally:
        queue.close()
    assert [path.name for path in workspace.folder.iterdir()] == [visitor]
    names = {path.name for path in done.results.iterdir()}
    assert names >= {done.record.result, done.record.report}
    assert not [path for path in done.results.iterdir() if path.name.endswith(".oldfilm")]


def _processes_with(text):
    if not shutil.which("pgrep"):
        pytest.skip("needs pgrep")
    found = subprocess.run(["pgrep", "-f", text], stdout=subprocess.PIPE)
    return found.stdout.split()
