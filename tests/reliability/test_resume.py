"""A job that was stopped goes on where it was; what no longer belongs together is refused."""

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
    """A job of 30 frames in segments of 8 that is interrupted: two of them are finished."""
    with pytest.raises(KeyboardInterrupt):
        restore(film, [Darker(stop_at=at)], output, options)


def gone_on_with(film, output, options=OPTIONS, **stage):
    """How many frames the next run made."""
    darker = Darker(**stage)
    restore(film, [darker], output, options)
    return darker.made


def content(path):
    """All files of a folder, or a file's pictures."""
    if path.is_dir():
        return {p.name: p.read_bytes() for p in sorted(path.iterdir())}
    return {path.name: facts(path)["images"].tobytes()}


def test_a_stopped_job_goes_on(film, tmp_path):
    output = tmp_path / "out" / "out.mp4"
    stopped(film, output)
    assert [path.name for path in output.parent.iterdir()] == [".out.mp4.oldfilm"]
    told = []
    stage = Darker()
    summary = restore(film, [stage], output, OPTIONS, told.append)
    # Segments of 30 frames are 7 or 8 long.
    assert 12 <= stage.made <= 16
    assert [report.done for report in told if report.part == RESTORING][:3] == [7, 15, 16]
    assert f"{30 - stage.made} of 30 frames had been restored" in summary.notes[-1]
    assert list(output.parent.iterdir()) == [output]
    restore(film, [Darker()], tmp_path / "whole.mp4", OPTIONS)
    assert content(output)["out.mp4"] == content(tmp_path / "whole.mp4")["whole.mp4"]
    assert packets(output, "audio") == packets(film, "audio")


@pytest.mark.parametrize("name", ["out.gif", "out.mkv", "out.mov", "out/%08d.png"])
def test_every_kind_of_result_goes_on(film, tmp_path, name):
    for folder, stop in (("whole", None), ("stopped", 20)):
        if stop:
            stopped(film, tmp_path / folder / name)
        gone_on_with(film, tmp_path / folder / name)
    results = [(tmp_path / folder / name) for folder in ("whole", "stopped")]
    results = [path.parent if "%" in path.name else path for path in results]
    assert content(results[0]) == content(results[1])
    assert list((tmp_path / "stopped").iterdir()) == [results[1]]


def test_saved_frames_and_the_comparison_go_on(film, tmp_path):
    options = replace(OPTIONS, save_frames=True, compare=True)
    gone_on_with(film, tmp_path / "whole", options)
    stopped(film, tmp_path / "stopped", options)
    assert gone_on_with(film, tmp_path / "stopped", options) < 30
    names = ["film_Darker_out.mp4", "film_Darker_out_compare.mp4", "film_Darker_out_frames"]
    assert sorted(path.name for path in (tmp_path / "stopped").iterdir()) == names
    for name in names:
        assert content(tmp_path / "whole" / name) == content(tmp_path / "stopped" / name)


def test_a_folder_of_frames_goes_on(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for n in range(30):
        Image.new("L", (32, 32), 8 * n).save(folder / f"{n}.png")
    stopped(folder, tmp_path / "out.mp4")
    Image.new("L", (32, 32), 8).save(folder / "0.png")
    with pytest.raises(OptionError, match="sha256 of the source"):
        gone_on_with(folder, tmp_path / "out.mp4")


def test_what_is_joined_is_not_made_again(film, tmp_path):
    output = tmp_path / "out" / "out.mp4"

    def interrupt(report):
        if output.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(film, [Darker()], output, OPTIONS, interrupt)
    assert output.exists()
    assert gone_on_with(film, output) == 0
    assert list(output.parent.iterdir()) == [output]


def change_content(film):
    state = film.stat()
    film.write_bytes(film.read_bytes()[:-1] + b"\1")
    os.utime(film, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_a_job_that_is_done_is_not_done_again(film, tmp_path):
    output, options = tmp_path / "out" / "out.mp4", replace(OPTIONS, compare=True)
    gone_on_with(film, output, options)
    stage, before = Darker(), content(output)
    summary = restore(film, [stage], output, options)
    assert (stage.made, summary.path) == (0, output)
    assert "already up to date" in summary.notes[0]
    assert content(output) == before
    for other in ({"crf": 30}, {"restart": True}):
        with pytest.raises(MediaError, match="exists: `overwrite=True` replaces"):
            gone_on_with(film, output, replace(options, **other))
    assert gone_on_with(film, output, replace(options, overwrite=True)) == 30
    output.write_bytes(b"mine")
    with pytest.raises(MediaError, match="exists: `overwrite=True` replaces"):
        gone_on_with(film, output, options)
    assert output.read_bytes() == b"mine"


def test_a_list_of_films_can_be_given_once_more(film, tmp_path, capsys):
    other = make_film(tmp_path / "other.mp4", frames=3)
    job = ["--input", str(film), str(other), "--output", str(tmp_path / "out")]
    for again in (False, True):
        assert main([*job, "--process_order", "Deflicker"]) == 0
        shown = capsys.readouterr()
        assert len(shown.out.splitlines()) == 2
        assert shown.err.count("already up to date") == (2 if again else 0)
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_photograph_that_is_done_is_not_done_again(tmp_path):
    Image.new("L", (32, 32), 99).save(tmp_path / "photo.png")
    assert gone_on_with(tmp_path / "photo.png", tmp_path / "out") == 1
    assert gone_on_with(tmp_path / "photo.png", tmp_path / "out") == 0
    with pytest.raises(MediaError, match="exists: `overwrite=True` replaces"):
        gone_on_with(tmp_path / "photo.png", tmp_path / "out", factor=0.25)


def test_a_source_that_was_only_touched_or_copied_is_the_same(film, tmp_path):
    stopped(film, tmp_path / "out.mp4")
    os.utime(film, (0, 0))
    assert gone_on_with(film, tmp_path / "out.mp4") < 30


def grow(film):
    with film.open("ab") as file:
        file.write(bytes(1000))


def test_a_segment_that_lacks_a_frame_is_not_kept(film, tmp_path):
    class Loses(Darker):
        def process(self, frames, core):
            restored = list(super().process(frames, core))
            yield from restored[: 0 if self.made == 10 else None]

    with pytest.raises(MediaError, match="came 7 frames, not 8"):
        restore(film, [Loses()], tmp_path / "out.mp4", OPTIONS)
    assert gone_on_with(film, tmp_path / "out.mp4") == 23


def test_a_source_that_grows_while_it_is_restored_is_refused(film, tmp_path):
    with pytest.raises(MediaError, match=r"film.mp4 changed .* bytes to \d+\).*complete"):
        restore(film, [Meanwhile(lambda: grow(film))], tmp_path / "out.mp4", OPTIONS)
    assert not (tmp_path / "out.mp4").exists()
    with pytest.raises(OptionError, match="bytes of the source was"):
        gone_on_with(film, tmp_path / "out.mp4")
    assert gone_on_with(film, tmp_path / "out.mp4", replace(OPTIONS, restart=True)) == 30


def test_a_source_that_grows_while_it_is_analysed_is_refused(film, tmp_path):
    def progress(report):
        if report.part == ANALYZING and report.done == 20:
            grow(film)

    with pytest.raises(MediaError, match="changed while it was read"):
        restore(film, [Darker()], tmp_path / "out" / "out.mp4", OPTIONS, progress)
    assert not list((tmp_path / "out").iterdir())


def test_a_source_that_is_touched_while_it_is_restored_is_the_same(film, tmp_path):
    restore(film, [Meanwhile(lambda: os.utime(film, (0, 0)))], tmp_path / "out.mp4", OPTIONS)
    assert (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("stopped_at", [1, 3])
def test_networks_go_on_in_as_many_threads_as_they_began_with(film, tmp_path, stopped_at):
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
    ("change", "told"),
    [
        ({"options": replace(OPTIONS, crf=30)}, "crf was not given, is 30"),
        ({"options": replace(OPTIONS, segment_frames=9)}, "segment_frames was 8, is 9"),
        ({"options": replace(OPTIONS, keep_audio=False)}, "keep_audio was True, is False"),
        ({"factor": 0.25}, "Darker factor was 0.5, is 0.25"),
        ({"source": change_content}, "sha256 of the source was"),
    ],
)
def test_what_differs_is_refused_and_restart_forgets_it(film, tmp_path, change, told):
    output = tmp_path / "out" / "out.mp4"
    stopped(film, output)
    change.pop("source", lambda film: None)(film)
    change = {"options": OPTIONS, **change}
    with pytest.raises(OptionError, match=told) as refused:
        gone_on_with(film, output, **change)
    assert len(str(refused.value).splitlines()) == 1
    restarted = {**change, "options": replace(change["options"], restart=True)}
    assert gone_on_with(film, output, **restarted) == 30
    assert list(output.parent.iterdir()) == [output]


def test_beginning_anew_leaves_nothing_of_the_earlier_job(film, tmp_path):
    options = replace(OPTIONS, save_frames=True)
    stopped(film, tmp_path / "out.mp4", options)
    shorter = replace(options, duration=Fraction(1, 2), restart=True)
    assert gone_on_with(film, tmp_path / "out.mp4", shorter) == 8
    assert len(list((tmp_path / "out_frames").iterdir())) == 8


def test_what_was_refused_can_still_be_gone_on_with(film, tmp_path):
    stopped(film, tmp_path / "out.mp4")
    for wrong in (
        RestoreOptions(crf=99),
        RestoreOptions(start=99, restart=True),
        replace(OPTIONS, crf=30),
    ):
        with pytest.raises((OptionError, MediaError)):
            gone_on_with(film, tmp_path / "out.mp4", wrong)
    assert gone_on_with(film, tmp_path / "out.mp4") < 30


def test_two_runs_on_one_result_the_second_is_refused(film, tmp_path):
    output = tmp_path / "out.mp4"
    with open_workdir(output, tmp_path / "elsewhere"):
        for work_dir in (None, tmp_path / "elsewhere", tmp_path / "other"):
            with pytest.raises(MediaError, match="another run"):
                gone_on_with(film, output, replace(OPTIONS, work_dir=work_dir))
    assert gone_on_with(film, output) == 30


def damaged(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("harm", [damaged, cut_short])
@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("00000007.mp4", 8),
        ("frames/00000009.png", 8),
        ("finished.json", 15),
        ("manifest.json", 15),
    ],
)
def test_what_a_loss_of_power_damaged_is_made_again(film, tmp_path, harm, name, again):
    options = replace(OPTIONS, save_frames=True)
    stopped(film, tmp_path / "out.mp4", options)
    harm(tmp_path / ".out.mp4.oldfilm" / name)
    assert gone_on_with(film, tmp_path / "out.mp4", options) == 15 + again
    gone_on_with(film, tmp_path / "whole.mp4", options)
    for result in ("mp4", "_frames"):
        a, b = [tmp_path / f"{stem}{'.' * (result == 'mp4')}{result}" for stem in ("out", "whole")]
        assert list(content(a).values()) == list(content(b).values())


def test_a_joined_film_that_was_damaged_is_made_again(film, tmp_path):
    output = tmp_path / "out.mp4"

    def interrupt(report):
        if output.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(film, [Darker()], output, OPTIONS, interrupt)
    damaged(tmp_path / ".out.mp4.oldfilm" / "video.mp4")
    assert gone_on_with(film, output) == 30


@pytest.fixture
def other_disk():
    if not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == Path().stat().st_dev:
        pytest.skip("there is no second file system")
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


def test_the_work_folder_may_lie_on_another_disk(film, tmp_path, other_disk):
    options = replace(OPTIONS, work_dir=other_disk, save_frames=True, compare=True)
    output = tmp_path / "out" / "out.mp4"
    stopped(film, output, options)
    assert not list(output.parent.iterdir())
    assert len(list(other_disk.iterdir())) == 1
    assert gone_on_with(film, output, options) < 30
    assert not list(other_disk.iterdir())
    names = ["out.mp4", "out_compare.mp4", "out_frames"]
    assert sorted(path.name for path in output.parent.iterdir()) == names
    assert len(list((output.parent / "out_frames").iterdir())) == 30


def test_results_of_one_name_share_a_work_folder_without_harm(film, tmp_path):
    options = replace(OPTIONS, work_dir=tmp_path / "work")
    for name in "ab":
        stopped(film, tmp_path / name / "out.mp4", options)
    for name in "ab":
        assert gone_on_with(film, tmp_path / name / "out.mp4", options) < 30


def test_a_full_disk_loses_nothing_that_is_finished(tmp_path, small_disk):
    film = make_film(tmp_path / "film.mp4", frames=30, size=(192, 144))
    output, options = small_disk / "out.mkv", replace(OPTIONS, codec="ffv1")
    with pytest.raises(MachineError, match="disk is full|No space left"):
        gone_on_with(film, output, options)
    kept = list(small_disk.glob(".out.mkv.oldfilm/0*"))
    assert 1 <= len(kept) <= 3
    assert not list(small_disk.glob(".out.mkv.oldfilm/unfinished-*"))
    room = ["mount", "-o", "remount,size=4m", str(small_disk)]
    subprocess.run(room, check=True)
    assert gone_on_with(film, output, options) <= 30 - 7 * len(kept)
    assert list(small_disk.iterdir()) == [output]
    assert facts(output)["frames"] == 30


def test_an_existing_result_is_not_replaced_by_going_on(film, tmp_path):
    output = tmp_path / "out.mp4"
    stopped(film, output)
    output.write_bytes(b"mine")
    with pytest.raises(MediaError, match="`overwrite=True` replaces"):
        gone_on_with(film, output)
    assert output.read_bytes() == b"mine"
    assert gone_on_with(film, output, replace(OPTIONS, overwrite=True)) < 30
