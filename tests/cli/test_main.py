"""The program `oldfilm`: sub-commands, flags, help, errors and messages."""

import logging
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oldfilm.cli.enhance import ESSENTIAL, make_parser
from oldfilm.cli.main import COMMANDS, main, notes_on_stderr
from oldfilm.cli.options import ESTABLISHED, in_flags
from oldfilm.cli.photo import make_parser as make_photo_parser
from oldfilm.cli.weights import COMMANDS as WEIGHTS_COMMANDS

TOP = Path(__file__).parents[2]
CHAIN = ["--input", "a.mp4", "--process_order", "DAIN"]


def shown(capsys, *arguments):
    """Return the exit status, and what the program prints."""
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    streams = capsys.readouterr()
    return status, streams.out, streams.err


def test_python_m_oldfilm_is_the_program():
    command = [sys.executable, "-m", "oldfilm", "--version"]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("oldfilm ")


def test_help_lists_the_commands(capsys):
    status, out, _ = shown(capsys, "--help")
    assert status == 0
    assert all(name in out for name in COMMANDS)
    assert shown(capsys)[0] == 2
    status, out, _ = shown(capsys, "weights", "--help")
    assert all(name in out for name in WEIGHTS_COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS, *(f"weights {name}" for name in WEIGHTS_COMMANDS)])
def test_every_command_has_help(command, capsys):
    status, out, _ = shown(capsys, *command.split(), "--help")
    assert (status, out.startswith(f"usage: oldfilm {command}")) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["enhanse"], "did you mean `enhance`?"),
        (["weights", "fech"], "did you mean `fetch`?"),
        (["setup.py"], "for a file, `oldfilm --input setup.py`"),
        (
            ["--input", "a.mp4", "--grian", "1"],
            "unknown option --grian; did you mean `--grain`",
        ),
        (["--inptu", "a.mp4"], "did you mean `--input`"),
        *(
            ([*CHAIN, name, "a.pdparams"], "the stage: --<Stage>_weight, such as `--DeOldify_we")
            for name in ("--weight_path", "--weights", "--model-path")
        ),
        ([*CHAIN, "--re", "1"], "--re is ambiguous: it may be --report, "),
        (["--preset", "photo"], "required: --input"),
        ([*CHAIN[2:], "--input"], "--input: expected at least one argument"),
    ],
)
def test_wrong_usage_takes_three_lines_at_most(arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(TOP)
    status, out, error = shown(capsys, *arguments)
    assert (status, out) == (2, "")
    assert message in error
    assert len(error.splitlines()) <= 3
    assert error.startswith("usage: oldfilm")


def test_without_a_command_it_enhances(tmp_path, capsys):
    status, _, error = shown(capsys, "--input", str(tmp_path / "none.mp4"), *CHAIN[2:])
    assert status == 2
    assert "none.mp4: " in error


@pytest.mark.parametrize(
    "flag",
    ["--process_order", "--process-order", "--proccess_order", "--proccess-order", "--process"],
)
def test_flags_take_hyphens_underscores_and_abbreviations(flag):
    arguments = make_parser().parse_args(["--input", "a.mp4", flag, "DAIN", "--work-dir=x_y-z"])
    assert (arguments.process_order, arguments.work_dir) == (["DAIN"], "x_y-z")


@pytest.mark.parametrize(
    ("abbreviation", "flag"),
    [
        ("--pre=a", "--preset"),
        ("--save", "--save_frames"),
        ("--color", "--colorization"),
        ("--e=ray", "--engine"),
        ("--t=2", "--time_step"),
        ("--prev=2", "--preview"),
        ("--save-j=a", "--save_job"),
    ],
)
def test_new_flags_change_no_earlier_abbreviation(abbreviation, flag):
    given = vars(make_parser().parse_args(["--input", "a.mp4", abbreviation]))
    changed = {name for name, value in given.items() if value not in (None, False)} - {"input"}
    assert changed == {flag[2:]}


def test_established_flags_still_exist():
    text = make_parser(everything=True).format_help() + make_photo_parser().format_help()
    known = {flag.lower().replace("-", "_") for flag in re.findall(r"--([\w-]+)", text)}
    assert known >= ESTABLISHED


def test_help_lists_the_ten_options_that_people_need_first(capsys):
    short = shown(capsys, "enhance", "--help")[1]
    complete = shown(capsys, "enhance", "--help-all")[1]
    assert len(ESSENTIAL) == 10
    assert all(f"--{name}" in short for name in ESSENTIAL)
    for flag in ("--pix_fmt", "--no-steady", "--HR", "--workers", "--RIFE_weight"):
        assert flag not in short
        assert flag in complete


@pytest.mark.parametrize(
    ("message", "translated"),
    [
        ("`overwrite=True` replaces it", "--overwrite replaces it"),
        ("`fps=0`: must be at least 1", "--fps 0: must be at least 1"),
        ("`keep_audio=False` leaves it out", "--no-audio leaves it out"),
        ("`hr=True`, `steady=False`", "--HR, --no-steady"),
        ('`variant="full"` downloads them', "--variant full downloads them"),
        ("add DAIN to `order`", "add DAIN to --process_order"),
        ("run `oldfilm weights fetch dain`", "run `oldfilm weights fetch dain`"),
        ("predict() takes `array`", "predict() takes `array`"),
    ],
)
def test_options_are_named_by_their_flags(message, translated):
    assert in_flags(message) == translated


def test_our_notes_are_shown_and_those_of_libraries_are_not(capsys):
    root, ours = logging.getLogger(), logging.getLogger("oldfilm.weights")
    of_paddle = logging.StreamHandler(sys.stderr)
    root.addHandler(of_paddle)
    try:
        with notes_on_stderr(quiet=False):
            ours.warning("`crf=17` is a note")
        assert capsys.readouterr().err == "--crf 17 is a note\n"
        with notes_on_stderr(quiet=True):
            ours.warning("a note")
        assert capsys.readouterr().err == ""
    finally:
        root.removeHandler(of_paddle)
    with notes_on_stderr(quiet=False):
        logging.getLogger("paddle").warning("a line of a library")
    assert capsys.readouterr().err == ""


def test_an_error_is_printed_once(tmp_path):
    command = [sys.executable, "-m", "oldfilm", "--input", str(tmp_path / "film.mp4")]
    done = subprocess.run(
        [*command, "--process_order", "Sharpen"], cwd=TOP, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("no such file")) == (2, "", 1)


def test_signal_handlers_are_as_before_when_the_program_ends(capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert shown(capsys, *CHAIN)[0] == 2
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_program_runs_in_any_thread():
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(main, CHAIN).result() == 2
