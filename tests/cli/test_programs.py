"""The command line for other programs: progress as JSON, log files, job files, exit statuses."""

import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

import oldfilm
from oldfilm.apps.presets import presets
from oldfilm.cli import photo
from oldfilm.cli.enhance import main, make_parser
from oldfilm.cli.main import main as main_program
from oldfilm.cli.progress import Display, InputProgress
from oldfilm.media import write_photograph
from tests.films import facts, make_film

TOP = Path(__file__).parents[2]
SHARPEN = ["--process_order", "Sharpen"]


@pytest.fixture
def film(tmp_path):
    return make_film(tmp_path / "film.mp4", frames=6, size=(32, 24))


def objects(text):
    """Return the JSON objects among the lines of a text."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_progress_is_one_json_object_a_line(film, tmp_path, capsys):
    run = ["--input", str(film), "--output", str(tmp_path / "out.mp4"), *SHARPEN]
    assert main([*run, "--progress", "json", "--quiet"]) == 0
    shown = capsys.readouterr()
    found = objects(shown.err)
    assert len(found) == len(shown.err.splitlines())
    assert [one["stage"] for one in found if one["frame"] == one["of"]][-1] == "joining"
    for one in found:
        assert {"stage", "frame", "of", "speed", "left", "speeds", "source"} == one.keys()
        assert 0 <= one["frame"] <= one["of"] == 6
        assert one["source"] == str(film)
    restored = [one for one in found if one["stage"] == "restoring"][-1]
    assert restored["left"] == 0
    assert restored["speeds"]["Sharpen"] > 0
    assert shown.out.splitlines()[-1] == str(tmp_path / "out.mp4")


def test_progress_of_photographs_is_json_too(tmp_path, capsys):
    for name in ("a.png", "b.png"):
        write_photograph(tmp_path / name, np.full((20, 30, 3), 0.5, np.float32))
    run = ["--input", str(tmp_path), "--output", str(tmp_path / "out"), "--quiet"]
    assert photo.main([*run, "--progress", "json"]) == 0
    shown = capsys.readouterr()
    found = objects(shown.err)
    assert len(found) == len(shown.err.splitlines())
    assert [found[0]["frame"], found[-1]["frame"]] == [0, 2]
    assert found[0]["source"] == str(tmp_path / "a.png")
    assert {(one["stage"], one["of"]) for one in found} == {("restoring", 2)}


def test_a_long_run_says_what_it_takes_after_its_first_frames(film, tmp_path, capsys):
    display = Display(quiet=False, inputs=1, kind="lines")
    progress = InputProgress(display, film, long_run=0.0, sure_after=0.0)
    oldfilm.restore(film, "Sharpen", tmp_path / "out.mp4", progress=progress)
    said = capsys.readouterr().err
    assert len(re.findall(r"film.mp4: about [\d.]+ s left. Ctrl-C stops it", said)) == 1
    assert re.search(r"about [\d.]+ MB of disk while it runs \([\d.]+ .B free\)", said)
    assert re.search(r"[\d.]+ GiB of memory \([\d.]+ GiB available\)", said)


def test_python_shows_progress_as_json_too(film, tmp_path, capsys):
    oldfilm.restore(film, "Sharpen", tmp_path / "out.mp4", progress="json")
    assert objects(capsys.readouterr().err)[-1]["frame"] == 6
    with pytest.raises(oldfilm.OldfilmError, match="choose from bar, lines, json"):
        oldfilm.restore(film, "Sharpen", tmp_path / "out.mp4", progress="xml")


def test_a_log_file_has_everything_that_was_reported(film, tmp_path, monkeypatch):
    monkeypatch.setattr("oldfilm.pipeline.progress.SHORTEST_SECONDS", 0)
    log = tmp_path / "logs" / "run.log"
    run = ["--output", str(tmp_path / "out.mp4"), *SHARPEN, "--grain", "1", "--log", str(log)]
    assert main(["--input", str(film), *run, "--quiet"]) == 0
    assert main(["--input", str(tmp_path / "none.mp4"), *run]) == 2
    text = log.read_text(encoding="utf-8")
    for part in (
        f"INFO in    {film}",
        "32x24, 16 fps, 6 frames",
        f"INFO {tmp_path / 'out.mp4'}",
        f"{film}: Restoring: ",
        "WARNING --grain changes nothing",
        "exit status 0",
        "none.mp4: ",
        "exit status 2",
    ):
        assert part in text
    assert all(line[:4].isdigit() for line in text.splitlines())


def test_a_log_file_that_cannot_be_written_is_refused_before_the_work(film, tmp_path, capsys):
    run = ["--input", str(film), "--output", str(tmp_path / "out.mp4"), *SHARPEN]
    assert main([*run, "--log", str(film / "run.log")]) == 2
    assert "--log" in capsys.readouterr().err
    assert not (tmp_path / "out.mp4").exists()


def test_a_saved_job_restores_the_same_film(film, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--input", "film.mp4", "--output", "a.mkv", *SHARPEN, "--sharpness", "0.5"]
    flags += ["--codec", "ffv1", "--no-audio", "--duration", "0:00.25"]
    assert main([*flags, "--save-job", "jobs/job.yaml"]) == 0
    assert capsys.readouterr().out == "jobs/job.yaml\n"
    assert not (tmp_path / "a.mkv").exists()
    saved = yaml.safe_load(Path("jobs/job.yaml").read_text(encoding="utf-8"))
    assert saved == {
        "input": [str(film)],
        "output": str(tmp_path / "a.mkv"),
        "process_order": ["Sharpen"],
        "duration": "1/4",
        "codec": "ffv1",
        "keep_audio": False,
        "sharpness": 0.5,
    }
    assert main(flags) == 0
    assert main(["--job", "jobs/job.yaml", "--output", "b.mkv"]) == 0
    assert (facts("a.mkv")["images"] == facts("b.mkv")["images"]).all()
    (summary,) = oldfilm.run_job("jobs/job.yaml", progress=False)
    assert "already up to date" in summary.notes[0]


def test_python_saves_a_job_for_the_command_line(film, tmp_path):
    job = tmp_path / "job.yaml"
    oldfilm.save_job(job, film, ["Sharpen"], tmp_path / "out.mp4", sharpness=0.5, crf=30)
    assert main(["--job", str(job)]) == 0
    assert facts(tmp_path / "out.mp4")["frames"] == 6
    with pytest.raises(oldfilm.OldfilmError, match="sharpnes"):
        oldfilm.save_job(job, film, ["Sharpen"], sharpnes=0.5)


def test_a_job_file_builds_on_a_preset_and_flags_override_it(film, tmp_path):
    job = tmp_path / "job.yaml"
    preset = tmp_path / "mine.yaml"
    preset.write_text("process_order: [Sharpen]\nsharpness: 0.2\n", encoding="utf-8")
    content = {"input": str(film), "output": str(tmp_path), "preset": str(preset), "crf": 30}
    job.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert main(["--job", str(job)]) == 0
    assert main(["--job", str(job), "--process_order", "Denoise"]) == 0
    results = {path.name for path in tmp_path.glob("*_out.mp4")}
    assert results == {"film_mine_out.mp4", "film_Denoise_out.mp4"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("process_order: Sharpen\n", "required: --input"),
        ("input: a.mp4\ngrian: 1\n", "unknown option `grian`; did you mean --grain?"),
        ("input: [1, 2]\n", "--input must be a path, or a list of paths"),
        ("- a\n", "it has no options"),
        (None, "No such file"),
    ],
)
def test_a_wrong_job_file_is_refused_in_a_line(content, message, tmp_path, capsys):
    job = tmp_path / "job.yaml"
    if content:
        job.write_text(content, encoding="utf-8")
    try:
        status = main(["--job", str(job)])
    except SystemExit as end:
        status = end.code
    error = capsys.readouterr().err
    assert (status, message in error) == (2, True), error
    assert len(error.splitlines()) <= 3


@pytest.mark.parametrize("page", ["README.md", "docs/recipes.md", "docs/programs.md"])
def test_the_commands_of_the_documentation_are_valid(page):
    text = (TOP / page).read_text(encoding="utf-8")
    found = re.findall(r"(?:`|^|/)oldfilm (enhance|photo) (--(?!help)[^`\n]+)", text, re.MULTILINE)
    assert found
    for command, flags in found:
        parser = {"enhance": make_parser, "photo": photo.make_parser}[command]()
        arguments = parser.parse_args(shlex.split(flags))
        if command == "enhance" and arguments.preset:
            assert arguments.preset in presets()


COMPLETED = {
    "oldfilm do": "doctor",
    "oldfilm weights fe": "fetch",
    "oldfilm enhance --prev": "--preview",
    "oldfilm enhance --progress js": "json",
    "oldfilm enhance --preset sil": "silent-film",
    "oldfilm enhance --process_order DeO": "DeOldify",
    "oldfilm enhance --input hol": "holiday.mp4",
}


@pytest.fixture
def completion_script(tmp_path, capsys, monkeypatch, request):
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "holiday.mp4").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZDOTDIR", str(tmp_path))  # where zsh writes a cache
    assert main_program(["completion", shell]) == 0
    script = tmp_path / f"script.{shell}"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    return script


@pytest.mark.parametrize("completion_script", ["bash"], indirect=True)
def test_bash_completes_commands_options_values_and_files(completion_script):
    asked = f"source {completion_script}; "
    for line in COMPLETED:
        words = line.split()
        asked += f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        asked += '_shtab_oldfilm; echo "${COMPREPLY[@]}"; '
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(COMPLETED.values())


@pytest.mark.parametrize("completion_script", ["fish"], indirect=True)
def test_fish_completes_commands_options_values_and_files(completion_script):
    asked = f"source {completion_script}; "
    asked += "; ".join(f"complete -C '{line}'" for line in COMPLETED)
    done = subprocess.run(["fish", "-N", "-c", asked], capture_output=True, text=True, check=True)
    found = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert found == list(COMPLETED.values())


@pytest.mark.parametrize("completion_script", ["zsh"], indirect=True)
def test_a_zsh_without_configuration_completes_them_too(completion_script):
    import pty  # which Windows does not have

    shell, terminal = pty.fork()
    if not shell:
        os.execvp("zsh", ["zsh", "-f", "-i"])
    try:
        loads = f'eval "$(cat {completion_script})"'
        os.write(terminal, f"{loads}; PROMPT=rea''dy\n".encode())
        read_until(terminal, "ready")
        for line, value in COMPLETED.items():
            os.write(terminal, line.encode())
            read_until(terminal, line)
            os.write(terminal, b"\t")
            read_until(terminal, value.removeprefix(line.rpartition(" ")[2]))
            os.write(terminal, b"\x15")  # Ctrl-U: clear the line
    finally:
        os.kill(shell, signal.SIGKILL)
        os.waitpid(shell, 0)
        os.close(terminal)


def read_until(terminal, wanted, seconds=60):
    """Read what a terminal shows until `wanted` is in it."""
    shown, end = "", time.monotonic() + seconds
    while wanted not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown):
        assert select.select([terminal], [], [], max(0, end - time.monotonic()))[0], shown
        shown += os.read(terminal, 65536).decode(errors="replace")
