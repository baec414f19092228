"""Every command and every program of the documentation runs as it is written.

The films, photographs and folders that the documentation names are tiny here. Films are restored
for a few seconds.
"""

import re
import shlex
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from oldfilm.cli.main import main
from tests.films import ffmpeg, make_film

TOP = Path(__file__).parent.parent
PAGES = [*sorted(TOP.glob("README*.md")), *sorted(TOP.glob("docs/*.md"))]

NOT_RUN = {
    r"python3 -m venv": "installs packages: CI does, and tests/test_wheel.py runs a wheel",
    r"pip |PIP_": "installs packages",
    r"eval ": "changes the shell: tests/cli/test_programs.py runs what it evaluates",
    r"oldfilm weights fetch": "downloads: tests/weights/test_real_packages.py does, where it can",
    r"oldfilm weights convert": "needs files of other authors: tests/weights/test_convert.py",
    r"oldfilm .*BasicVSR": "needs published weights: tests/apps/test_recurrent.py",
    r"oldfilm .*RIFE": "needs published weights: tests/apps/test_rife.py",
    r"oldfilm app": "serves until it is stopped: tests/app/test_page.py",
    r"oldfilm .*--engine ray": "needs a cluster: tests/reliability/test_workers_ray.py",
    r"python -m oldfilm.training": "needs training data: tests/training/test_loop.py",
    r"python benchmarks|pytest": "takes hours: tests/reliability/test_corpus.py",
}
"""Commands that this test does not run, and why."""

IS_SHORT = r"--(preview|estimate|duration)\b"
"""Options with which a command is not shortened."""

REPLACED = {"--height 2160": "--height 216", "--fps 60": "--fps 6"}
"""A frame of 4K takes seconds, and the film here has two frames per second."""


class Block(NamedTuple):
    """A block of code in a page. line: of its first line."""

    page: Path
    line: int
    code: str

    @property
    def name(self):
        return f"{self.page.name}:{self.line}"


def blocks(language):
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            found.append(Block(page, text.count("\n", 0, match.start()) + 2, match[1]))
    return found


def commands(block):
    """Return the commands of a block that can run here."""
    lines = [line for line in block.code.splitlines() if line.strip()]
    return [line for line in lines if not any(re.match(each, line) for each in NOT_RUN)]


def parameters(found):
    """Return each different block once: Chinese pages have those of the English ones."""
    for block in {block.code: block for block in reversed(list(found))}.values():
        yield pytest.param(block, id=block.name)


def words(command):
    """Split a command, without what it is piped into and without a comment."""
    return shlex.split(command.partition(" | ")[0], comments=True)


def oldfilm_commands():
    """Return every command of the documentation that begins with `oldfilm`."""
    lines = [line for block in blocks("bash") for line in block.code.splitlines()]
    found = [re.match(r"(?:[A-Z_]+=\S+ )*(oldfilm .*)", line) for line in lines]
    return sorted({match[1] for match in found if match})


@pytest.mark.parametrize("command", oldfilm_commands())
def test_every_command_has_flags_that_exist(command):
    name, *arguments = words(command)[1:]
    module = import_module(f"oldfilm.cli.{name}")
    if name == "weights":
        make_parser, _ = module.PARTS[arguments.pop(0)]
        make_parser().parse_args(arguments)
    else:
        module.make_parser().parse_args(arguments)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Make everything that the documentation names."""
    folder = tmp_path_factory.mktemp("inputs")
    film = make_film(folder / "film.mp4", frames=200, rate="2", size=(64, 48), shots=2, sound=True)
    short = make_film(folder / "short.mp4", frames=6, rate="2", size=(64, 48))
    ffmpeg("-i", film, "-t", "1", "-r", "25", folder / "tape.mpg")
    ffmpeg("-i", film, "-t", "4", "-vn", folder / "music.wav")
    for name in ("films", "REDS4", "Vid4", "clips", "docs", "other-data"):
        (folder / name).mkdir()
        shutil.copy(short, folder / name / "a.mp4")
    shutil.copy(short, folder / "docs" / "sample.mp4")
    shutil.copy(short, folder / "films" / "b.mp4")
    shutil.copy(short, folder / "market-street-1906.mkv")
    for name in ("scans", "reel1"):
        (folder / name).mkdir()
        ffmpeg("-i", short, "-pix_fmt", "rgb48be", folder / name / "reel_%06d.dpx")
    (folder / "photos").mkdir()
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    for name in ("photos/a.jpg", "photos/b.png", "photo.jpg", "street.jpg", "market.jpg"):
        Image.fromarray(picture).save(folder / name)
    hint = "- at: 0:01\n  point: [20, 20]\n  color: dark green\n"
    (folder / "hints.yaml").write_text(hint, encoding="utf-8")
    return folder


@pytest.fixture
def at_inputs(inputs, tmp_path, monkeypatch):
    """Stand in a folder with copies of the inputs."""
    folder = tmp_path / "here"
    shutil.copytree(inputs, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("block", parameters(block for block in blocks("bash") if commands(block)))
def test_the_commands_of_a_block_run_one_after_the_other(block, at_inputs, capsys):
    for command in commands(block):
        for text, other in REPLACED.items():
            command = command.replace(text, other)
        program, *arguments = words(command)
        assert program == "oldfilm"
        if arguments[0] == "enhance" and not re.search(IS_SHORT, command):
            arguments += ["--duration", "5" if "--excerpt-time" in command else "2"]
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code
        assert status == 0, f"{block.name}: {command}\n{capsys.readouterr().err}"


def test_what_is_not_run_still_is_in_the_documentation():
    lines = [line for block in blocks("bash") for line in block.code.splitlines()]
    for pattern in NOT_RUN:
        assert any(re.match(pattern, line) for line in lines), pattern


PROGRAMS = [block for block in blocks("python") if block.page.name != "adding-a-model.md"]
"""tests/apps/test_adding_a_model.py runs the others."""


@pytest.mark.slow
@pytest.mark.parametrize("block", parameters(PROGRAMS))
def test_the_programs_of_a_page_run(block, at_inputs):
    shutil.copy("short.mp4", "film.mp4")
    size = (144, 336) if "color_hints" in block.code else (48, 64)  # hints name pixels
    frames = np.random.default_rng(0).random((6, *size, 3), np.float32)
    if "my_module" in block.code:
        pytest.skip("workers import a module of the user: tests/pipeline/test_executors.py")
    header = "import oldfilm\n" if "oldfilm" in block.code else ""
    names = {"frames": frames, "array": frames[0]}
    try:
        exec(compile(header + block.code, str(block.page), "exec"), names)
    finally:
        sys.modules.pop("ppgan", None)
