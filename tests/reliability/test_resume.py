"""A stopped job resumes, unless its source or its settings have changed."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from oldfilm.cli.enhance import main
from oldfilm.errors import MachineError, MediaError, OptionError
from oldfilm.pipeline import ANALYZING, RESTORING, RestoreOptions, restore
from oldfilm.pipeline.workdir import open_workdir
from oldfilm.system.threads import pinned, threads
from tests.films import facts, make_film, packets
from tests.reliability.stages import Darker, Meanwhile

OPTIONS = RestoreOptions(segment_frames=8)


@pytest.fixture
def film(tmp_path):
    return make_film(tmp_path / "film.mp4", frames=30, sound=True)


def stopped(film, output, options=OPTIONS, at=20):
    """Interrupt a job of 30 frames after two segments of 7 or 8 frames."""
    with pytest.raises(KeyboardInterrupt):
        restore(film, [Darker(stop_at=at)], output, options)


def restored_frames(film, output, options=OPTIONS, **stage):
    """Run a job to its end; returns how many frames it restored."""
    darker = Darker(**stage)
    restore(film, [darker], output, options)
    return darker.count


def content(path):
    """Return the files of a folder, or the decoded frames of a film."""
    if path.is_dir():
        return {p.name: p.read_bytes() for p in sorted(path.iterdir())}
    return {path.name: facts(path)["images"].tobytes()}


def test_a_stopped_job_resumes(film, tmp_path):
    output = tmp_path / "out" / "out.mp4"
    stopped(film, output)
    assert [path.name for path in output.parent.iterdir()] == [".out.mp4.oldfilm"]
    reports = []
    stage = Darker()
    summary = restore(film, [stage], output, OPTIONS, reports.append)
    # The segments have 7 or 8 frames.
    assert 12 <= stage.count <= 16
    assert [report.done for report in reports if report.part == RESTORING][:3] == [7, 15, 16]
    assert f"{30 - stage.count} of 30 frames had been restored" in summary.notes[-1]
    assert list(output.parent.iterdir()) == [output]
    restore(film, [Darker()], tmp_path / "whole.mp4", OPTIONS)
    assert content(output)["out.mp4"] == content(tmp_path / "whole.mp4")["whole.mp4"]
    assert packets(output, "audio") == packets(film, "audio")


@pytest.mark.parametrize("name", ["out.gif", "out.mkv", "out.mov", "out/%08d.png"])
def test_every_kind_of_result_can_be_resumed(film, tmp_path, name):
    for folder, stop in (("whole", None), ("stopped", 20)):
        if stop:
            stopped(film, tmp_path / folder / name)
        restored_frames(film, tmp_path / folder / name)
    results = [(tmp_path / folder / name) for folder in ("whole", "stopped")]
    results = [path.parent if "%" in path.name else path for path in results]
    assert content(results[0]) == content(results[1])
    assert list((tmp_path / "stopped").iterdir()) == [results[1]]


def test_saved_frames_and_the_comparison_can_be_resumed(film, tmp_path):
    options = replace(OPTIONS, save_frames=True, compare=True)
    restored_frames(film, tmp_path / "whole", options)
    stopped(film, tmp_path / "stopped", options)
    assert restored_frames(film, tmp_path / "stopped", options) < 30
    names = ["film_Darker_out.mp4", "film_Darker_out_compare.mp4", "film_Darker_out_frames"]
    assert sorted(path.name for path in (tmp_path / "stopped").iterdir()) == names
    for name in names:
        assert content(tmp_path / "whole" / name) == content(tmp_path / "stopped" / name)


def test_a_folder_of_frames_can_be_resumed_unless_a_picture_changes(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for n in range(30):
        Image.new("L", (32, 32), 8 * n).save(folder / f"{n}.png")
    stopped(folder, tmp_path / "out.mp4")
    Image.new("L", (32, 32), 8).save(folder / "0.png")
    with pytest.raises(OptionError, match="sha256 of the source"):
        restored_frames(folder, tmp_path / "out.mp4")


def test_a_joined_video_is_not_restored_again(film, tmp_path):
    output = tmp_path / "out" / "out.mp4"

    def interrupt(report):
        if output.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(film, [Darker()], output, OPTIONS, interrupt)
    assert output.exists()
    assert restored_frames(film, output) == 0
    assert list(output.parent.iterdir()) == [output]


def change_content(film):
    state = film.stat()
    film.write_bytes(film.read_bytes()[:-1] + b"\1")
    os.utime(film, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_a_completed_job_is_not_repeated(film, tmp_path):
    output, options = tmp_path / "out" / "out.mp4", replace(OPTIONS, compare=True)
    restored_frames(film, output, options)
    stage, before = Darker(), content(output)
    summary = restore(film, [stage], output, options)
    assert (stage.count, summary.path) == (0, output)
    assert "already up to date" in summary.notes[0]
    assert content(output) == before
    for other in ({"crf": 30}, {"restart": True}):
        with pytest.raises(MediaError, match="exists: `overwrite=True` replaces"):
            restored_frames(film, output, replace(options, **other))
    assert restored_frames(film, output, replace(options, overwrite=True)) == 30
    output.write_bytes(b"mine")
    with pytest.raises(MediaError, match="exists: `overwrite=True` replaces"):
        restored_frames(film, output, options)
    assert output.read_bytes() == b"mine"


def test_a_completed_list_of_films_can_be_given_again(film, tmp_path, capsys):
    other = make_film(tmp_path / "other.mp4", frames=3)
    job = ["--input", str(film), str(other), "--output", str(tmp_path / "out")]
    for again in (False, True):
        assert main([*job, "--process_order", "Deflicker"]) == 0
        shown = capsys.readouterr()
        assert len(shown.out.splitlines()) == 2
        assert shown.err.count("already up to date") == (2 if again else 0)
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_completed_photograph_is_not_repeated(tmp_path):
    Image.new("L", (32, 32), 99).save(tmp_path / "photo.png")
    assert restored_frames(tmp_path / "photo.png", tmp_path / "out") == 1
    assert restored_frames(tmp_path / "photo.png", tmp_path / "out") == 0
    with pytest.raises(MediaError, match="exists: `overwrite=True` replaces"):
        restored_frames(tmp_path / "photo.png", tmp_path / "out", factor=0.25)


def test_a_source_with_a_new_modification_time_is_the_same(film, tmp_path):
    stopped(film, tmp_path / "out.mp4")
    os.utime(film, (0, 0))
    assert restored_frames(film, tmp_path / "out.mp4") < 30


def grow(film):
    with film.open("ab") as file:
        file.write(bytes(1000))


def test_a_segment_with_missing_frames_is_not_kept(film, tmp_path):
    class Lossy(Darker):
        def process(self, frames, core):
            restored = list(super().process(frames, core))
            yield from restored[: 0 if self.count == 10 else None]

    with pytest.raises(MediaError, match="gave 7 frames, not 8"):
        restore(film, [Lossy()], tmp_path / "out.mp4", OPTIONS)
    assert restored_frames(film, tmp_path / "out.mp4") == 23


def test_a_source_that_grows_while_it_is_restored_is_refused(film, tmp_path):
    with pytest.raises(MediaError, match=r"film.mp4 changed .* bytes to \d+\).*complete"):
        restore(film, [Meanwhile(lambda: grow(film))], tmp_path / "out.mp4", OPTIONS)
    assert not (tmp_path / "out.mp4").exists()
    with pytest.raises(OptionError, match="bytes of the source was"):
        restored_frames(film, tmp_path / "out.mp4")
    assert restored_frames(film, tmp_path / "out.mp4", replace(OPTIONS, restart=True)) == 30


def test_a_source_that_grows_while_it_is_analyzed_is_refused(film, tmp_path):
    def progress(report):
        if report.part == ANALYZING and report.done == 20:
            grow(film)

    with pytest.raises(MediaError, match="changed while it was read"):
        restore(film, [Darker()], tmp_path / "out" / "out.mp4", OPTIONS, progress)
    assert not list((tmp_path / "out").iterdir())


def test_a_new_modification_time_while_a_film_is_restored_does_not_matter(film, tmp_path):
    restore(film, [Meanwhile(lambda: os.utime(film, (0, 0)))], tmp_path / "out.mp4", OPTIONS)
    assert (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("stopped_at", [1, 3])
def test_a_resumed_job_uses_as_many_threads_as_it_began_with(film, tmp_path, stopped_at):
    class Threads(Darker):
        def process(self, frames, core):
            assert threads() == stopped_at
            yield from super().process(frames, core)

    with pinned(stopped_at):
        stopped(film, tmp_path / "out.mp4")
    with pinned(8):
        restore(film, [Threads()], tmp_path / "out.mp4", OPTIONS)
        assert threads() == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": replace(OPTIONS, crf=30)}, "crf was not given, is 30"),
        ({"options": replace(OPTIONS, segment_frames=9)}, "segment_frames was 8, is 9"),
        ({"options": replace(OPTIONS, keep_audio=False)}, "keep_audio was True, is False"),
        ({"factor": 0.25}, "Darker factor was 0.5, is 0.25"),
        ({"source": change_content}, "sha256 of the source was"),
    ],
)
def test_a_changed_job_is_refused_unless_it_is_restarted(film, tmp_path, change, message):
    output = tmp_path / "out" / "out.mp4"
    stopped(film, output)
    change.pop("source", lambda film: None)(film)
    change = {"options": OPTIONS, **change}
    with pytest.raises(OptionError, match=message) as error:
        restored_frames(film, output, **change)
    assert len(str(error.value).splitlines()) == 1
    restarted = {**change, "options": replace(change["options"], restart=True)}
    assert restored_frames(film, output, **restarted) == 30
    assert list(output.parent.iterdir()) == [output]


def test_restarting_deletes_everything_of_the_earlier_job(film, tmp_path):
    options = replace(OPTIONS, save_frames=True)
    stopped(film, tmp_path / "out.mp4", options)
    shorter = replace(options, duration=Fraction(1, 2), restart=True)
    assert restored_frames(film, tmp_path / "out.mp4", shorter) == 8
    assert len(list((tmp_path / "out_frames").iterdir())) == 8


def test_a_refused_run_does_not_prevent_resuming(film, tmp_path):
    stopped(film, tmp_path / "out.mp4")
    for wrong in (
        RestoreOptions(crf=99),
        RestoreOptions(start=99, restart=True),
        replace(OPTIONS, crf=30),
    ):
        with pytest.raises((OptionError, MediaError)):
            restored_frames(film, tmp_path / "out.mp4", wrong)
    assert restored_frames(film, tmp_path / "out.mp4") < 30


def test_a_second_run_on_the_same_result_is_refused(film, tmp_path):
    output = tmp_path / "out.mp4"
    with open_workdir(output, tmp_path / "elsewhere"):
        for work_dir in (None, tmp_path / "elsewhere", tmp_path / "other"):
            with pytest.raises(MediaError, match="another run"):
                restored_frames(film, output, replace(OPTIONS, work_dir=work_dir))
    assert restored_frames(film, output) == 30


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("harm", [flip_a_bit, truncate])
@pytest.mark.parametrize(
    ("name", "repeated"),
    [
        ("00000007.mp4", 8),
        ("frames/00000009.png", 8),
        ("finished.json", 15),
        ("manifest.json", 15),
    ],
)
def test_files_damaged_by_a_power_failure_are_restored_again(film, tmp_path, harm, name, repeated):
    options = replace(OPTIONS, save_frames=True)
    stopped(film, tmp_path / "out.mp4", options)
    harm(tmp_path / ".out.mp4.oldfilm" / name)
    assert restored_frames(film, tmp_path / "out.mp4", options) == 15 + repeated
    restored_frames(film, tmp_path / "whole.mp4", options)
    for result in ("mp4", "_frames"):
        a, b = [tmp_path / f"{stem}{'.' * (result == 'mp4')}{result}" for stem in ("out", "whole")]
        assert list(content(a).values()) == list(content(b).values())


def test_a_damaged_joined_video_is_restored_again(film, tmp_path):
    output = tmp_path / "out.mp4"

    def interrupt(report):
        if output.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(film, [Darker()], output, OPTIONS, interrupt)
    flip_a_bit(tmp_path / ".out.mp4.oldfilm" / "video.mp4")
    assert restored_frames(film, output) == 30


@pytest.fixture
def other_disk():
    if not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == Path().stat().st_dev:
        pytest.skip("needs a second file system")
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


def test_the_work_folder_can_be_on_another_disk(film, tmp_path, other_disk):
    options = replace(OPTIONS, work_dir=other_disk, save_frames=True, compare=True)
    output = tmp_path / "out" / "out.mp4"
    stopped(film, output, options)
    assert not list(output.parent.iterdir())
    assert len(list(other_disk.iterdir())) == 1
    assert restored_frames(film, output, options) < 30
    assert not list(other_disk.iterdir())
    names = ["out.mp4", "out_compare.mp4", "out_frames"]
    assert sorted(path.name for path in output.parent.iterdir()) == names
    assert len(list((output.parent / "out_frames").iterdir())) == 30


def test_results_with_the_same_name_can_share_a_work_folder(film, tmp_path):
    options = replace(OPTIONS, work_dir=tmp_path / "work")
    for name in "ab":
        stopped(film, tmp_path / name / "out.mp4", options)
    for name in "ab":
        assert restored_frames(film, tmp_path / name / "out.mp4", options) < 30


def test_a_full_disk_does_not_lose_finished_segments(tmp_path, small_disk):
    film = make_film(tmp_path / "film.mp4", frames=30, size=(192, 144))
    output, options = small_disk / "out.mkv", replace(OPTIONS, codec="ffv1")
    with pytest.raises(MachineError, match="disk is full|No space left"):
        restored_frames(film, output, options)
    kept = list(small_disk.glob(".out.mkv.oldfilm/0*"))
    assert 1 <= len(kept) <= 3
    assert not list(small_disk.glob(".out.mkv.oldfilm/unfinished-*"))
    room = ["mount", "-o", "remount,size=4m", str(small_disk)]
    subprocess.run(room, check=True)
    assert restored_frames(film, output, options) <= 30 - 7 * len(kept)
    assert list(small_disk.iterdir()) == [output]
    assert facts(output)["frames"] == 30


def test_resuming_does_not_replace_a_foreign_result(film, tmp_path):
    output = tmp_path / "out.mp4"
    stopped(film, output)
    output.write_bytes(b"mine")
    with pytest.raises(MediaError, match="`overwrite=True` replaces"):
        restored_frames(film, output)
    assert output.read_bytes() == b"mine"
    assert restored_frames(film, output, replace(OPTIONS, overwrite=True)) < 30
