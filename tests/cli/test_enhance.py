"""`oldfilm enhance` with real films."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oldfilm import pipeline
from oldfilm.api import predictors
from oldfilm.cli.enhance import main
from tests.films import facts, make_film, packets

TOOL = Path(__file__).parents[2] / "tools" / "video-enhance.py"
ALL = ["DeOldify", "PPMSVSR", "DAIN"]


def enhance(source, output, *arguments, order=("DAIN",)):
    """Run `oldfilm enhance` in this process."""
    sources = source if isinstance(source, list) else [source]
    return main(
        ["--input", *map(str, sources), "--output", str(output), "--process_order", *order]
        + [str(argument) for argument in arguments]
    )


@pytest.fixture
def film(tmp_path):
    return make_film(tmp_path / "film.mp4", sound=True)


def test_the_main_job(film, tmp_path, capsys):
    assert enhance(film, tmp_path / "out", order=ALL) == 0
    shown = capsys.readouterr()
    path = Path(shown.out.splitlines()[-1])
    assert path == tmp_path / "out" / "film_DeOldify_PPMSVSR_DAIN_out.mp4"
    result = facts(path)
    assert result["size"] == (256, 192)
    assert (result["rate"], result["frames"]) == (32, 24)
    assert packets(path, "audio") == packets(film, "audio")
    assert list((tmp_path / "out").iterdir()) == [path]
    for text in ("64x48, 16 fps, 12 frames", "256x192, 32 fps, 24 frames", "PPMSVSR (lite)"):
        assert text in shown.err


def test_paddlegans_older_spelling_and_flags_work(film, tmp_path):
    flags = ["--proccess_order", "DAIN", "--time_step", "0.5", "--remove_duplicates", "False"]
    flags += ["--mindim", "360", "--EDVR_weight", "none.pdparams", "--cpu"]
    assert main(["--input", str(film), "--output", str(tmp_path / "out"), *flags]) == 0


@pytest.mark.parametrize(
    ("options", "rate", "frames"),
    [
        (["--time_step", "0.25"], Fraction(64), 48),
        (["--fps", "60"], Fraction(60), 45),
        (["--fps", "24000/1001"], Fraction(24000, 1001), 18),
        (["--slow_motion"], Fraction(16), 24),
    ],
)
def test_interpolation_reaches_any_frame_rate(film, tmp_path, options, rate, frames):
    output = tmp_path / "out.mp4"
    assert enhance(film, output, *options) == 0
    result = facts(output)
    assert (result["rate"], result["frames"]) == (rate, frames)
    assert result["audio"] == (0 if "--slow_motion" in options else 1)


@pytest.mark.parametrize("rate", ["25/2", "748/25", "24000/1001", "18"])
def test_fractional_frame_rates_and_durations_stay_exact(tmp_path, rate):
    film = make_film(tmp_path / "film.mp4", rate=rate, frames=20)
    assert enhance(film, tmp_path / "out.mp4") == 0
    result = facts(tmp_path / "out.mp4")
    assert (result["rate"], result["frames"]) == (2 * Fraction(rate), 40)


def test_new_frames_are_in_between_and_the_last_frame_is_held(film, tmp_path):
    enhance(film, tmp_path / "out.mkv", "--codec", "ffv1")
    images = facts(tmp_path / "out.mkv")["images"].astype(int)
    assert np.abs(images[-1] - images[-2]).max() <= 1
    assert 0 < np.abs(images[1] - images[0]).mean() < np.abs(images[2] - images[0]).mean()


def test_no_frame_is_interpolated_across_a_cut(tmp_path):
    film = make_film(tmp_path / "film.mp4", frames=24, shots=2)
    enhance(film, tmp_path / "out.mkv", "--codec", "ffv1", "--time_step", "0.25")
    brightness = facts(tmp_path / "out.mkv")["images"].mean(axis=(1, 2, 3))
    before, after = brightness[:48], brightness[48:]
    assert before.max() < 100 < 150 < after.min()


@pytest.mark.parametrize("size", [(63, 47), (65, 33), (20, 16)])
def test_films_of_odd_and_small_sizes(tmp_path, size):
    film = make_film(
        tmp_path / "film.mkv", frames=3, size=size, options=["-c:v", "ffv1", "-pix_fmt", "gray"]
    )
    assert enhance(film, tmp_path / "out.mp4", order=ALL) == 0
    assert facts(tmp_path / "out.mp4")["size"] == (size[0] * 4, size[1] * 4)


def test_a_result_of_odd_size_is_padded_with_a_note(tmp_path, capsys):
    film = make_film(
        tmp_path / "film.mkv", frames=3, size=(63, 47), options=["-c:v", "ffv1", "-pix_fmt", "gray"]
    )
    assert enhance(film, tmp_path / "out.mp4") == 0
    assert facts(tmp_path / "out.mp4")["size"] == (64, 48)
    said = capsys.readouterr().err
    assert "the result is 64x48, not 63x47" in said
    assert "--pix_fmt yuv444p takes any size" in said


@pytest.mark.parametrize(
    "name",
    ["a film.mp4", 'it\'s "one".mp4', "a;touch b.mp4", "s.v1.mp4", "街头 1906.mp4", "-x.mp4"],
)
def test_file_names_may_have_any_characters(tmp_path, name):
    folder = tmp_path / "in 中文; 'x'"
    folder.mkdir()
    film = make_film(folder / name, frames=3)
    output = tmp_path / 'out 中文; "y"'
    assert enhance(film, output) == 0
    assert [p.name for p in output.iterdir()] == [f"{name[:-4]}_DAIN_out.mp4"]


def test_height_comparison_and_saved_frames(film, tmp_path):
    output = tmp_path / "out"
    assert enhance(film, output, "--height", "96", "--compare", "--save_frames") == 0
    assert facts(output / "film_DAIN_out.mp4")["size"] == (128, 96)
    side_by_side = facts(output / "film_DAIN_out_compare.mp4")
    assert side_by_side["size"] == (256, 96)
    assert side_by_side["frames"] == 24
    frames = sorted((output / "film_DAIN_out_frames").iterdir())
    assert [f.name for f in frames] == [f"{n:08d}.png" for n in range(1, 25)]


def test_a_part_of_a_film_keeps_its_sound(tmp_path):
    film = make_film(tmp_path / "film.mp4", frames=64, sound=True)
    assert enhance(film, tmp_path / "out.mp4", "--start", "1", "--duration", "0:02") == 0
    result = facts(tmp_path / "out.mp4")
    assert result["frames"] == 64
    assert abs(result["duration"] - 2) < Fraction(1, 20)


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".webm", ".gif"])
def test_the_extension_chooses_the_container(film, tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    assert enhance(film, output) == 0
    assert facts(output)["frames"] == 24


def test_a_film_can_become_numbered_pictures(film, tmp_path, capsys):
    folder = tmp_path / "frames.of 1906"
    assert enhance(film, folder / "%08d.png") == 0
    assert Path(capsys.readouterr().out.splitlines()[-1]) == folder
    assert sorted(p.name for p in folder.iterdir()) == [f"{n:08d}.png" for n in range(1, 25)]
    assert enhance(film, tmp_path / "one.png") == 2
    assert "%08d.png" in capsys.readouterr().err


def test_a_photograph_stays_a_photograph(tmp_path, capsys):
    picture = tmp_path / "照片 1.v2.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 52), np.uint8)).save(picture)
    assert enhance(picture, tmp_path / "out", "--compare", order=["DeOldify", "PPMSVSR"]) == 0
    output, reported = capsys.readouterr()
    assert re.search(r"^took  \S+ s \(DeOldify \S+ s, PPMSVSR \S+ s\)$", reported, re.MULTILINE)
    path = Path(output.splitlines()[-1])
    assert path.name == "照片 1.v2_DeOldify_PPMSVSR_out.png"
    assert Image.open(path).size == (208, 160)
    assert path.with_name("照片 1.v2_DeOldify_PPMSVSR_out_compare.png").exists()


def test_a_folder_of_numbered_frames_is_a_film(tmp_path):
    folder = tmp_path / "frames.v1"
    folder.mkdir()
    for n in range(8, 12):
        Image.new("L", (32, 32), 20 * n).save(folder / f"shot_{n}.png")
    assert enhance(folder, tmp_path / "out.mp4", "--input_fps", "18") == 0
    result = facts(tmp_path / "out.mp4")
    assert (result["rate"], result["frames"]) == (36, 8)
    assert list(np.diff(result["images"].mean(axis=(1, 2, 3))) >= -1) == [True] * 7


def test_several_inputs_and_one_that_is_broken(film, tmp_path, capsys):
    text = tmp_path / "text.mp4"
    text.write_text("this is not a film")
    other = shutil.copy(film, tmp_path / "other.mp4")
    assert enhance([text, film, other], tmp_path / "out") == 2
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["film_DAIN_out.mp4", "other_DAIN_out.mp4"]
    assert "text.mp4" in capsys.readouterr().err


def test_a_truncated_film_is_restored_up_to_where_it_decodes(tmp_path, capsys):
    whole = make_film(tmp_path / "whole.mkv", frames=60)
    film = tmp_path / "cut.mkv"
    film.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    assert enhance(film, tmp_path / "out.mp4") == 0
    assert 20 <= facts(tmp_path / "out.mp4")["frames"] < 120
    assert "note" in capsys.readouterr().err


def test_an_existing_result_is_replaced_only_if_asked(film, tmp_path, capsys):
    output = tmp_path / "out.mp4"
    output.write_bytes(b"mine")
    assert enhance(film, output) == 2
    assert output.read_bytes() == b"mine"
    assert "--overwrite" in capsys.readouterr().err
    assert enhance(film, output, "--overwrite") == 0
    assert facts(output)["frames"] == 24


def test_saved_frames_of_an_earlier_result_are_removed(film, tmp_path):
    enhance(film, tmp_path / "out", "--save_frames")
    short = make_film(tmp_path / "film.mp4", frames=4)
    enhance(short, tmp_path / "out", "--save_frames", "--overwrite")
    assert len(list((tmp_path / "out" / "film_DAIN_out_frames").iterdir())) == 8


def test_the_source_is_never_replaced(film, tmp_path):
    before = film.read_bytes()
    assert enhance(film, film, "--overwrite") == 2
    assert film.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--process_order", "DeOldifi"], "The stages are: DeOldify, "),
        (["--process_order", "DeOldify", "--fps", "60"], "add one of them to --process_order"),
        (["--process_order", "DAIN", "--codec", "h277"], "h277"),
        (["--process_order", "DAIN", "--pix_fmt", "yuv999"], "yuv999"),
        (["--process_order", "DAIN", "--time_step", "0.3"], "fps"),
        (["--process_order", "DAIN", "--height", "97"], "must be even"),
        (["--process_order", "DAIN", "--DAIN_weight", "none.safetensors"], "no such weight"),
        (["--process_order", "DAIN", "--variant", "huge"], "it has: "),
        (["--process_order", "DAIN", "--variant", "DAIN=huge"], "it has: "),
        (["--process_order", "DAIN", "--variant", "DeOldify=lite"], "not a stage of this chain"),
        (["--process_order", "DAIN", "--variant", "lite", "full"], "STAGE=NAME"),
        (["--process_order", "DAIN", "--device", "tpu"], "--device"),
        (["--process_order", "DAIN", "--start", "100"], "--start 100: no frame is left of"),
        (["--process_order", "DAIN", "--audio", "none.wav"], "none.wav"),
        (["--process_order", "DAIN", "--audio", __file__], "test_enhance.py"),
    ],
)
def test_a_wrong_option_is_reported_in_one_line_with_exit_2(
    film, tmp_path, capsys, arguments, message
):
    status = main(["--input", str(film), "--output", str(tmp_path / "out"), "--quiet", *arguments])
    shown = capsys.readouterr()
    assert (status, shown.out) == (2, "")
    assert message in shown.err
    assert len(shown.err.splitlines()) == 1
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


@pytest.mark.parametrize(
    ("content", "name"),
    [(None, "none.mp4"), (b"", "empty.mp4"), (b"text\n" * 99, "text.mp4"), (b"\x89PNG", "a.png")],
)
def test_an_unreadable_input_is_reported_in_one_line_with_exit_2(tmp_path, capsys, content, name):
    source = tmp_path / name
    if content is not None:
        source.write_bytes(content)
    assert enhance(source, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert name in error
    assert len(error.splitlines()) == 1


def test_an_unwritable_output_is_reported_in_one_line_with_exit_2(film, tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"")
    assert enhance(film, tmp_path / "file" / "out") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_full_disk_is_reported_in_one_line_with_exit_1(tmp_path, small_disk, capsys):
    film = make_film(tmp_path / "film.mp4", frames=40, size=(160, 120))
    arguments = ["--codec", "ffv1", "--quiet"]
    assert enhance(film, small_disk / "out.mkv", *arguments) == 1
    error = capsys.readouterr().err
    assert "disk is full. What was finished is kept" in error
    assert len(error.splitlines()) == 1
    assert [path.name for path in small_disk.iterdir()] == [".out.mkv.oldfilm"]
    assert enhance(film, tmp_path / "out.mkv", *arguments) == 0


def test_a_running_job_writes_only_to_its_hidden_work_folder(film, tmp_path):
    seen, output = set(), tmp_path / "out"

    def look(report):
        seen.update(p.name for p in output.iterdir())

    stages = predictors(["DAIN"])
    pipeline.restore(film, stages, output, pipeline.RestoreOptions(save_frames=True), look)
    assert len(seen - {"film_DAIN_out.mp4", "film_DAIN_out_frames"}) == 1
    assert all(name.startswith(".film_DAIN_out.mp4") or "out" in name for name in seen)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_job_resumes(tmp_path, stop):
    film = make_film(tmp_path / "film.mp4", frames=300, size=(32, 24))
    output = tmp_path / "out"
    command = [sys.executable, str(TOOL), "--input", str(film), "--output", str(output)]
    command += ["--process_order", "DAIN"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    # 300 frames are two segments; wait for the second one.
    while not list(output.glob(".*/unfinished-*/.00000150.*part*")):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, stop)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Stopped. What was finished is kept" in error
    assert b"Traceback" not in error
    assert [path.name for path in output.iterdir()] == [".film_DAIN_out.mp4.oldfilm"]
    again = subprocess.run(command, capture_output=True, check=True)
    assert b"300 of 600 frames had been restored by an earlier run" in again.stderr
    assert [path.name for path in output.iterdir()] == ["film_DAIN_out.mp4"]
    assert facts(output / "film_DAIN_out.mp4")["frames"] == 600


def test_changed_options_are_refused_until_the_job_is_restarted(film, tmp_path, capsys):
    output = tmp_path / "out.mp4"

    def interrupt(report):
        if report.part == pipeline.JOINING:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.restore(film, predictors(["DAIN"]), output, progress=interrupt)
    for wrong, message in (
        (["--crf", "30"], "crf was not given, is 30"),
        (["--time_step", "0.25"], "DAIN time_step was 1/2, is 1/4"),
        (["--variant", "DAIN=lite", "--fps", "60"], "DAIN fps was not given, is 60"),
    ):
        assert enhance(film, output, "--quiet", *wrong) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "--restart" in error
        assert len(error.splitlines()) == 1
    assert enhance(film, output, "--crf", "30", "--restart", "--work-dir", tmp_path / "work") == 0
    assert not list((tmp_path / "work").iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.mp4", "out.mp4", "work"]
