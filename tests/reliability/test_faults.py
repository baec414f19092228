"""What goes wrong with machines, done for real: one clear line each time, and nothing is lost."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from oldfilm.errors import MachineError, MediaError, OldfilmError
from oldfilm.media.ffmpeg import FFmpeg, executable, run
from oldfilm.pipeline import JOINING, RestoreOptions, restore
from tests.films import facts, make_film
from tests.reliability.stages import Darker, Meanwhile

ROOT = Path(__file__).parents[2]
OPTIONS = RestoreOptions(segment_frames=8, deinterlace="off")
ENDLESS = ["-f", "lavfi", "-i", "color", "-f", "null", "-"]
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="limits and signals are of POSIX")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """30 frames, each larger than what a pipe holds, in segments of 7 or 8."""
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", frames=30, size=(192, 144))


@pytest.fixture
def disk(tmp_path):
    """A disk, and what changes it: `set_to("size=...")`, `set_to("ro")`."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, stderr=subprocess.PIPE).returncode:
        pytest.skip("a small disk needs the right to mount one")

    def set_to(option):
        subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)

    yield folder, set_to
    subprocess.run(["umount", str(folder)], check=True)


def gone_on_with(film, output, options=OPTIONS, stage=None):
    """How many frames the next run made."""
    stage = stage or Darker()
    restore(film, [stage], output, options)
    return stage.made


def assert_one_line(error):
    assert len(str(error).splitlines()) == 1
    assert "Traceback" not in str(error)


@pytest.fixture(scope="module")
def expected(film, tmp_path_factory):
    """The decoded frames of a run that nothing happened to."""
    path = tmp_path_factory.mktemp("whole") / "out.mp4"
    gone_on_with(film, path)
    return facts(path)["images"].tobytes()


def ffmpegs(word=""):
    """The ffmpeg processes that this one has started, whose arguments hold a word."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            line = child.cmdline()
            if line[:1] == [executable()] and word in " ".join(line):
                yield child


@pytest.mark.parametrize("word", ["pipe:0", "film.mp4"], ids=["encoder", "decoder"])
def test_ffmpeg_is_killed_while_a_segment_is_made(film, expected, tmp_path, word):
    output = tmp_path / "out" / "out.mp4"
    killed = Meanwhile(lambda: [child.kill() for child in ffmpegs(word)])
    with pytest.raises(MachineError, match="ffmpeg was killed") as error:
        gone_on_with(film, output, stage=killed)
    assert_one_line(error.value)
    assert [path.name for path in output.parent.iterdir()] == [".out.mp4.oldfilm"]
    assert gone_on_with(film, output) == 23
    assert facts(output)["images"].tobytes() == expected
    assert list(output.parent.iterdir()) == [output]


def test_ffmpeg_is_killed_while_it_works_by_itself():
    def kill():
        while not (found := list(ffmpegs("color"))):
            time.sleep(0.01)
        found[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(MachineError, match="a.mp4: ffmpeg was killed"):
        run(ENDLESS, "a.mp4")
    killer.join()


def test_ffmpeg_ends_with_whoever_started_it(tmp_path):
    """Also where it neither reads from it nor writes to it."""
    code = f"from oldfilm.media.ffmpeg import run; run({ENDLESS}, '')"
    starter = psutil.Popen([sys.executable, "-c", code], cwd=ROOT)
    while len(children := starter.children(recursive=True)) < 2:
        assert starter.poll() is None
        time.sleep(0.01)
    starter.kill()
    starter.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_there_is_no_ffmpeg(monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/no/ffmpeg")
    with pytest.raises(MediaError, match="a.mp4: /no/ffmpeg: ") as error:
        run(ENDLESS, "a.mp4")
    assert_one_line(error.value)


def test_ffmpeg_is_ended_early():
    with FFmpeg(ENDLESS):
        while not (found := list(ffmpegs("color"))):
            time.sleep(0.01)
    assert not psutil.wait_procs(found, timeout=20)[1]


@pytest.mark.slow
def test_the_disk_is_full_where_the_job_is_noted(tmp_path, disk):
    folder, set_to = disk
    film = make_film(tmp_path / "film.mp4", frames=500, size=(16, 16))
    set_to("size=8k")  # more than a trial of the encoder takes, less than facts of 500 frames
    told = enhanced(film, folder / "out.mp4")
    assert told.returncode == 1
    assert "No space left" in told.stderr
    assert_one_line(told.stderr)
    assert not list(folder.iterdir())


def test_the_disk_is_full_while_the_segments_are_joined(film, disk):
    folder, set_to = disk
    output, options = folder / "out.mkv", replace(OPTIONS, codec="ffv1")

    def fill(report):
        if report.part == JOINING and not output.exists():
            taken = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            set_to(f"size={taken * 3 // 2}")

    with pytest.raises(MachineError, match="disk is full") as error:
        restore(film, [Darker()], output, options, fill)
    assert_one_line(error.value)
    assert not output.exists()
    set_to("size=4m")
    assert gone_on_with(film, output, options) == 0
    assert list(folder.iterdir()) == [output]
    assert facts(output)["frames"] == 30


def test_the_disk_is_full_where_the_result_is_placed(film, tmp_path, disk):
    folder, set_to = disk
    output = folder / "out.mkv"
    options = replace(OPTIONS, codec="ffv1", work_dir=tmp_path / "work")
    set_to("size=64k")
    with pytest.raises(MachineError, match="disk is full") as error:
        gone_on_with(film, output, options)
    assert_one_line(error.value)
    assert not output.exists()
    set_to("size=4m")
    assert gone_on_with(film, output, options) == 0
    assert list(folder.iterdir()) == [output]
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.slow
def test_a_disk_that_cannot_be_written(film, disk):
    folder, set_to = disk
    set_to("ro")
    told = enhanced(film, folder / "out" / "out.mp4")
    assert told.returncode == 2
    assert "Read-only file system" in told.stderr
    assert_one_line(told.stderr)


@pytest.fixture
def failing_disk(tmp_path):
    """A disk, what makes it fail (the system finds an error on it, and writes to it no more), and
    what repairs it.
    """
    image, folder = str(tmp_path / "disk.img"), str(tmp_path / "disk")
    Path(folder).mkdir()
    Path(image).write_bytes(bytes(16 << 20))

    def done(*command):
        return not subprocess.run(command, stderr=subprocess.PIPE).returncode

    mount = ("mount", "-o", "loop,errors=remount-ro", image, folder)
    if not (shutil.which("mkfs.ext4") and done("mkfs.ext4", "-q", "-F", image) and done(*mount)):
        pytest.skip("a disk that fails needs mkfs.ext4 and the right to mount")

    def fail():
        (disk,) = (p for p in psutil.disk_partitions(True) if p.mountpoint == folder)
        Path("/sys/fs/ext4", Path(disk.device).name, "trigger_fs_error").write_text("1")

    def repair():
        assert done("umount", folder)
        done("fsck.ext4", "-p", image)  # its status tells that there was something to repair
        assert done(*mount)

    yield Path(folder), fail, repair
    assert done("umount", folder)


@pytest.mark.slow
@pytest.mark.parametrize(("frame", "left"), [(2, 30), (9, 23), (29, 8)])
def test_a_disk_turns_read_only_in_the_middle(film, expected, failing_disk, frame, left):
    folder, fail, repair = failing_disk
    output = folder / "out" / "out.mp4"
    with pytest.raises(OldfilmError, match="ead-only file system") as error:
        gone_on_with(film, output, stage=Meanwhile(fail, frame))
    assert_one_line(error.value)
    assert not output.exists()
    repair()
    assert gone_on_with(film, output) == left
    assert facts(output)["images"].tobytes() == expected
    assert list(output.parent.iterdir()) == [output]


def enhanced(film, output, *options, order=("Deflicker",), limits=()):
    """The command line in a process of its own. limits: of the module `resource`, and values."""

    def limit():
        import resource

        for name, most in limits:
            resource.setrlimit(getattr(resource, name), (most, most))

    command = [sys.executable, "tools/video-enhance.py", "--quiet", "--deinterlace", "off"]
    command += ["--input", str(film), "--output", str(output), "--process_order", *order]
    return subprocess.run(
        [*command, *map(str, options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=limit if limits else None,
    )


@needs_posix
@pytest.mark.slow
def test_files_may_not_grow_larger(film, tmp_path):
    output = tmp_path / "out" / "out.mkv"
    told = enhanced(film, output, "--codec", "ffv1", limits=[("RLIMIT_FSIZE", 100_000)])
    assert told.returncode == 1
    assert re.search("ffmpeg was killed|larger than", told.stderr), told.stderr
    assert_one_line(told.stderr)
    assert not output.exists()
    assert enhanced(film, output, "--codec", "ffv1").returncode == 0
    assert list(output.parent.iterdir()) == [output]


@needs_posix
@pytest.mark.slow
def test_memory_is_short(tmp_path):
    """The limit comes with the second segment, so that there is something to lose."""
    film = make_film(tmp_path / "film.mp4", frames=12, size=(480, 360))
    output = tmp_path / "out" / "out.mp4"
    command = [sys.executable, "-m", "tests.reliability.job", str(film), str(output), "6"]
    told = subprocess.run([*command, "Limited", "DAIN"], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 1, told.stderr
    assert "memory" in told.stderr.splitlines()[-1]
    assert "Traceback" not in told.stderr
    assert [path.name for path in output.parent.iterdir()] == [".out.mp4.oldfilm"]
    assert list(output.parent.glob(".*/0*.mp4"))
    subprocess.run([*command, "Darker", "DAIN"], cwd=ROOT, check=True)
    assert list(output.parent.iterdir()) == [output]


CALL = re.compile(r'(fsync|rename\w*)\((?:AT_FDCWD[^,]*, )?(?:\d+<(.*?)>|"(.*?)")(?:.*, "(.*?)")?')


@pytest.mark.slow
def test_nothing_is_noted_before_it_outlives_a_loss_of_power(film, tmp_path):
    """The order of the system calls: sync a file, give it its name, sync the folder, note it."""
    if not shutil.which("strace"):
        pytest.skip("needs strace to see what is synced")
    trace, output = tmp_path / "trace", tmp_path / "out" / "out.mp4"
    command = ["strace", "-f", "-y", "-s", "400", "-o", str(trace)]
    command += ["-e", "trace=fsync,rename,renameat,renameat2", sys.executable]
    command += ["-m", "tests.reliability.job", str(film), str(output), "8", "Sharpen"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if "ptrace" in done.stderr:
        pytest.skip("strace is not allowed to trace here")
    assert done.returncode == 0, done.stderr
    synced, named = set(), {}
    for call, handle, path, new in CALL.findall(trace.read_text()):
        if call == "fsync":
            synced.add(handle)
            named = {p: by for p, by in named.items() if str(Path(p).parent) != handle}
            continue
        if path in synced:
            synced.add(new)
        if str(tmp_path) in new and "unfinished" not in new:
            assert path in synced, f"{path} was named {new} before it was synced"
            if new.endswith("finished.json"):
                assert not named, f"{list(named)} were noted before their folder was synced"
            named[new] = path
            synced.discard(str(Path(new).parent))
    assert not [p for p in named if p.endswith(output.name)]
    assert output.exists()
    assert os.fspath(output.parent) in synced


@pytest.mark.slow
def test_two_jobs_on_one_result_and_the_second_is_refused(film, tmp_path):
    output = tmp_path / "out.mp4"
    told = []
    second = Meanwhile(lambda: told.append(enhanced(film, output)))
    assert gone_on_with(film, output, stage=second) == 30
    assert told[0].returncode == 2
    assert "another run is already writing this result" in told[0].stderr
    assert_one_line(told[0].stderr)


def workers_of(run):
    for process in psutil.Process(run.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "run_worker" in " ".join(process.cmdline()):
                yield process


@needs_posix
@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 3])
def test_the_worker_is_killed_for_its_memory(tmp_path, times):
    """As the system does it: without a word."""
    film = make_film(tmp_path / "film.mp4", frames=20, size=(480, 360))
    output = tmp_path / "out" / "out.mp4"
    command = [sys.executable, "tools/video-enhance.py", "--input", str(film), "--output"]
    command += [str(output), "--process_order", "Denoise", "--deinterlace", "off"]
    run = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    killed = set()
    while len(killed) < times and run.poll() is None:
        for worker in workers_of(run):
            if worker.pid not in killed:
                killed.add(worker.pid)
                worker.kill()
        time.sleep(0.05)
    told = run.communicate()[1]
    assert "Traceback" not in told
    if times == 1:
        assert run.returncode == 0
        assert "frames 1 to 20 were restored again: a worker was lost (killed" in told
        assert list(output.parent.iterdir()) == [output]
    else:
        assert run.returncode == 1
        assert "There may be too little memory for this chain" in told.splitlines()[-1]
        assert enhanced(film, output, order=["Denoise"]).returncode == 0
        assert list(output.parent.iterdir()) == [output]
