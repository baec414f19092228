"""Real failures of the machine end with one clear line and lose no finished work."""

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
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits and signals")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """30 frames, each larger than a pipe's buffer, in segments of 7 or 8."""
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", frames=30, size=(192, 144))


@pytest.fixture
def disk(tmp_path):
    """A small disk, and a function that changes it: `set_to("size=...")`, `set_to("ro")`."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, stderr=subprocess.PIPE).returncode:
        pytest.skip("needs the right to mount")

    def set_to(option):
        subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)

    yield folder, set_to
    subprocess.run(["umount", str(folder)], check=True)


def restored_frames(film, output, options=OPTIONS, stage=None):
    """Run a job to its end; returns how many frames it restored."""
    stage = stage or Darker()
    restore(film, [stage], output, options)
    return stage.count


def assert_one_line(error):
    assert len(str(error).splitlines()) == 1
    assert "Traceback" not in str(error)


@pytest.fixture(scope="module")
def expected(film, tmp_path_factory):
    """The decoded frames of an undisturbed run."""
    path = tmp_path_factory.mktemp("whole") / "out.mp4"
    restored_frames(film, path)
    return facts(path)["images"].tobytes()


def ffmpegs(word=""):
    """Yield the ffmpeg processes below this one whose arguments contain a word."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            line = child.cmdline()
            if line[:1] == [executable()] and word in " ".join(line):
                yield child


@pytest.mark.parametrize("word", ["pipe:0", "film.mp4"], ids=["encoder", "decoder"])
def test_a_job_survives_the_death_of_its_ffmpeg(film, expected, tmp_path, word):
    output = tmp_path / "out" / "out.mp4"
    killed = Meanwhile(lambda: [child.kill() for child in ffmpegs(word)])
    with pytest.raises(MachineError, match="ffmpeg was killed") as error:
        restored_frames(film, output, stage=killed)
    assert_one_line(error.value)
    assert [path.name for path in output.parent.iterdir()] == [".out.mp4.oldfilm"]
    assert restored_frames(film, output) == 23
    assert facts(output)["images"].tobytes() == expected
    assert list(output.parent.iterdir()) == [output]


def test_the_death_of_a_lone_ffmpeg_is_reported():
    def kill():
        while not (found := list(ffmpegs("color"))):
            time.sleep(0.01)
        found[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(MachineError, match="a.mp4: ffmpeg was killed"):
        run(ENDLESS, "a.mp4")
    killer.join()


def test_ffmpeg_ends_with_its_parent(tmp_path):
    """Even if they share no pipe."""
    code = f"from oldfilm.media.ffmpeg import run; run({ENDLESS}, '')"
    starter = psutil.Popen([sys.executable, "-c", code], cwd=ROOT)
    while len(children := starter.children(recursive=True)) < 2:
        assert starter.poll() is None
        time.sleep(0.01)
    starter.kill()
    starter.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_a_missing_ffmpeg_is_reported(monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/no/ffmpeg")
    with pytest.raises(MediaError, match="a.mp4: /no/ffmpeg: ") as error:
        run(ENDLESS, "a.mp4")
    assert_one_line(error.value)


def test_leaving_the_context_ends_ffmpeg():
    with FFmpeg(ENDLESS):
        while not (found := list(ffmpegs("color"))):
            time.sleep(0.01)
    assert not psutil.wait_procs(found, timeout=20)[1]


@pytest.mark.slow
def test_a_full_disk_while_the_manifest_is_written(tmp_path, disk):
    folder, set_to = disk
    film = make_film(tmp_path / "film.mp4", frames=500, size=(16, 16))
    set_to("size=8k")  # Enough to try the encoder, too little for the manifest of 500 frames.
    done = enhanced(film, folder / "out.mp4")
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert_one_line(done.stderr)
    assert not list(folder.iterdir())


def test_a_full_disk_while_segments_are_joined(film, disk):
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
    assert restored_frames(film, output, options) == 0
    assert list(folder.iterdir()) == [output]
    assert facts(output)["frames"] == 30


def test_a_full_disk_while_the_result_is_written(film, tmp_path, disk):
    folder, set_to = disk
    output = folder / "out.mkv"
    options = replace(OPTIONS, codec="ffv1", work_dir=tmp_path / "work")
    set_to("size=64k")
    with pytest.raises(MachineError, match="disk is full") as error:
        restored_frames(film, output, options)
    assert_one_line(error.value)
    assert not output.exists()
    set_to("size=4m")
    assert restored_frames(film, output, options) == 0
    assert list(folder.iterdir()) == [output]
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.slow
def test_a_read_only_disk_is_reported(film, disk):
    folder, set_to = disk
    set_to("ro")
    done = enhanced(film, folder / "out" / "out.mp4")
    assert done.returncode == 2
    assert "Read-only file system" in done.stderr
    assert_one_line(done.stderr)


@pytest.fixture
def failing_disk(tmp_path):
    """A disk, a function that makes it fail (the kernel remounts it read-only), and
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
        done("fsck.ext4", "-p", image)  # Its status says that it repaired something.
        assert done(*mount)

    yield Path(folder), fail, repair
    assert done("umount", folder)


@pytest.mark.slow
@pytest.mark.parametrize(("frame", "left"), [(2, 30), (9, 23), (29, 8)])
def test_a_disk_that_becomes_read_only_in_the_middle(film, expected, failing_disk, frame, left):
    folder, fail, repair = failing_disk
    output = folder / "out" / "out.mp4"
    with pytest.raises(OldfilmError, match="ead-only file system") as error:
        restored_frames(film, output, stage=Meanwhile(fail, frame))
    assert_one_line(error.value)
    assert not output.exists()
    repair()
    assert restored_frames(film, output) == left
    assert facts(output)["images"].tobytes() == expected
    assert list(output.parent.iterdir()) == [output]


def enhanced(film, output, *options, order=("Deflicker",), limits=()):
    """Run the command line. limits: names and values for `resource.setrlimit`."""

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
def test_a_limit_on_file_sizes_is_reported(film, tmp_path):
    output = tmp_path / "out" / "out.mkv"
    done = enhanced(film, output, "--codec", "ffv1", limits=[("RLIMIT_FSIZE", 100_000)])
    assert done.returncode == 1
    assert re.search("ffmpeg was killed|larger than", done.stderr), done.stderr
    assert_one_line(done.stderr)
    assert not output.exists()
    assert enhanced(film, output, "--codec", "ffv1").returncode == 0
    assert list(output.parent.iterdir()) == [output]


@needs_posix
@pytest.mark.slow
def test_a_lack_of_memory_keeps_finished_segments(tmp_path):
    """Memory is limited when the first segment is finished.

    DAIN runs on Paddle: ONNX Runtime would reuse the memory of the first segment.
    """
    film = make_film(tmp_path / "film.mp4", frames=12, size=(480, 360))
    output = tmp_path / "out" / "out.mp4"
    command = [sys.executable, "-m", "tests.reliability.job", str(film), str(output), "6"]
    done = subprocess.run(
        [*command, "Limited", "DAIN/paddle"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "memory" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert [path.name for path in output.parent.iterdir()] == [".out.mp4.oldfilm"]
    assert list(output.parent.glob(".*/0*.mp4"))
    subprocess.run([*command, "Darker", "DAIN/paddle"], cwd=ROOT, check=True)
    assert list(output.parent.iterdir()) == [output]


CALL = re.compile(r'(fsync|rename\w*)\((?:AT_FDCWD[^,]*, )?(?:\d+<(.*?)>|"(.*?)")(?:.*, "(.*?)")?')


@pytest.mark.slow
def test_files_are_synced_before_they_are_recorded(film, tmp_path):
    """System calls in order: sync a file, rename it, sync its folder, record it."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    trace, output = tmp_path / "trace", tmp_path / "out" / "out.mp4"
    command = ["strace", "-f", "-y", "-s", "400", "-o", str(trace)]
    command += ["-e", "trace=fsync,rename,renameat,renameat2", sys.executable]
    command += ["-m", "tests.reliability.job", str(film), str(output), "8", "Sharpen"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if "ptrace" in done.stderr:
        pytest.skip("needs the right to trace")
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
            assert path in synced, f"{path} was renamed to {new} before it was synced"
            if new.endswith("finished.json"):
                assert not named, f"{list(named)} were recorded before their folder was synced"
            named[new] = path
            synced.discard(str(Path(new).parent))
    assert not [p for p in named if p.endswith(output.name)]
    assert output.exists()
    assert os.fspath(output.parent) in synced


@pytest.mark.slow
def test_a_second_process_on_the_same_result_is_refused(film, tmp_path):
    output = tmp_path / "out.mp4"
    second_runs = []
    second = Meanwhile(lambda: second_runs.append(enhanced(film, output)))
    assert restored_frames(film, output, stage=second) == 30
    assert second_runs[0].returncode == 2
    assert "another run is already writing this result" in second_runs[0].stderr
    assert_one_line(second_runs[0].stderr)


def workers_of(run):
    for process in psutil.Process(run.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "run_worker" in " ".join(process.cmdline()):
                yield process


@needs_posix
@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 3])
def test_a_killed_worker_is_reported_on_the_command_line(tmp_path, times):
    """As the system does when memory runs out."""
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
    error = run.communicate()[1]
    assert "Traceback" not in error
    if times == 1:
        assert run.returncode == 0
        assert "frames 1 to 20 were restored again: a worker was lost (killed" in error
        assert list(output.parent.iterdir()) == [output]
    else:
        assert run.returncode == 1
        assert "There may be too little memory for this chain" in error.splitlines()[-1]
        assert enhanced(film, output, order=["Denoise"]).returncode == 0
        assert list(output.parent.iterdir()) == [output]
