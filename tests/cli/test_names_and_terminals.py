"""Names, folders and terminals that must neither stop the work nor silently lose a result."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import oldfilm
from oldfilm.api import predictors
from oldfilm.cli.enhance import main
from oldfilm.cli.photo import main as photo
from oldfilm.pipeline import restore
from tests.films import facts, make_film

TOP = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def picture(path: Path, shade: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(shade).integers(0, 255, (24, 32, 3), np.uint8)
    Image.fromarray(image).save(path)
    return path


def enhance(source: Path | list[Path], output: Path, *arguments: str) -> int:
    given = source if isinstance(source, list) else [source]
    chain = ["--output", str(output), "--process_order", "Sharpen"]
    return main(["--input", *map(str, given), *chain, *arguments])


def shell(command: str, *, environment: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Run `$OLDFILM` in a shell; return the exit status and what it wrote to standard error."""
    program = f'"{sys.executable}" -m oldfilm'
    done = subprocess.run(
        ["bash", "-c", command.replace("$OLDFILM", program) + "; exit ${PIPESTATUS[0]}"],
        env={**os.environ, "PYTHONPATH": str(TOP), **(environment or {})},
        capture_output=True,
    )
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    return done.returncode, done.stderr


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        picture(tmp_path / "in" / name, number)
    return tmp_path / "in"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


RESULTS = ["a_Sharpen_out.png", "b_Sharpen_out.png", "c_Sharpen_out.png"]


@LINUX
@pytest.mark.parametrize(
    ("encoding", "name"), [("cp1252", "Ленинград"), ("utf-8:strict", os.fsdecode(b"Caf\xe9"))]
)
def test_names_that_the_terminal_cannot_show_are_printed_with_escapes(tmp_path, encoding, name):
    for path in (tmp_path / "a.png", tmp_path / name / "b.png", tmp_path / "c.png"):
        picture(path)
    given = f"'{tmp_path}/a.png' '{tmp_path / name}/b.png' '{tmp_path}/c.png'"
    command = f"$OLDFILM enhance --input {given} --output '{tmp_path / name}/out'"
    status, error = shell(
        f"{command} --process_order Sharpen", environment={"PYTHONIOENCODING": encoding}
    )
    assert (status, names(tmp_path / name / "out")) == (0, RESULTS)
    assert b"3 of 3 restored" in error


@LINUX
@pytest.mark.parametrize(
    "ending", [">&-", "2>&-", ">&- 2>&- <&-", "| true", "| head -1", "2>&1 | true"]
)
def test_streams_that_are_closed_or_close_early_do_not_stop_the_work(pictures, tmp_path, ending):
    command = f"$OLDFILM enhance --input {pictures} --output {tmp_path}/out --process_order Sharpen"
    status, _ = shell(f"{command} {ending}")
    assert (status, names(tmp_path / "out")) == (0, RESULTS)
    for result in (tmp_path / "out").iterdir():
        assert Image.open(result).size == (32, 24)


@LINUX
def test_other_commands_survive_a_pipe_that_closes():
    for command in ("--help", "weights list"):
        assert shell(f"$OLDFILM {command} | true")[0] == 0


NAMES = [
    "two\nlines?",
    "carriage\rreturn",
    "-dash",
    "100%d %05d",
    'it\'s "quoted" 🎞',
    "ends with a dot and a space. ",
    "CON",
    "Cafe\u0301",
    "back\\slash [x] {y} *?",
    "x" * 200,
]


@LINUX
@pytest.mark.parametrize("name", NAMES)
def test_a_film_and_a_photograph_of_any_name_are_restored(tmp_path, name):
    film = make_film(tmp_path / "plain.mp4", frames=3, size=(32, 24)).rename(
        tmp_path / f"{name}.mp4"
    )
    photograph = picture(tmp_path / f"{name}1.png")
    assert enhance([film, photograph], tmp_path / name) == 0
    found = names(tmp_path / name)
    assert found == sorted([f"{name}1_Sharpen_out.png", f"{name}_Sharpen_out.mp4"])
    assert facts(tmp_path / name / f"{name}_Sharpen_out.mp4")["frames"] == 3


@LINUX
def test_a_name_that_gets_too_long_is_refused_in_one_line(tmp_path, capsys):
    assert enhance(picture(tmp_path / f"{'x' * 245}.png"), tmp_path / "out") == 2
    film = make_film(tmp_path / f"{'y' * 245}.mp4", frames=3)
    assert enhance(film, tmp_path / "out") == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_two_films_with_one_stem_have_two_results(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    film = make_film(tmp_path / "in" / "reel.mov", frames=3)
    (tmp_path / "in" / "reel.mp4").write_bytes(film.read_bytes())
    assert enhance(tmp_path / "in", tmp_path / "out", "--overwrite") == 0
    assert names(tmp_path / "out") == ["reel.mov_Sharpen_out.mp4", "reel.mp4_Sharpen_out.mp4"]
    assert "2 of 2 restored" in capsys.readouterr().err


def test_two_photographs_with_one_stem_have_two_results(tmp_path):
    picture(tmp_path / "in" / "scan.png")
    picture(tmp_path / "in" / "Scan.jpg")
    assert enhance(tmp_path / "in", tmp_path / "out", "--overwrite") == 0
    assert names(tmp_path / "out") == ["Scan.jpg_Sharpen_out.png", "scan.png_Sharpen_out.png"]


def test_sources_of_one_name_in_two_folders_are_refused_before_work(tmp_path, capsys):
    sources = [picture(tmp_path / folder / "scan.png") for folder in "ab"]
    assert enhance(sources, tmp_path / "out", "--overwrite") == 2
    assert "several sources are called scan.png" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_results_among_the_sources_are_not_restored_again(pictures, capsys):
    """The output folder is the input folder, twice."""
    for _ in range(2):
        assert enhance(pictures, pictures, "--compare") == 0
        assert "3 of 3 restored" in capsys.readouterr().err
    assert len(names(pictures)) == 9
    assert enhance(pictures, pictures / "more") == 0, "results are sources elsewhere"
    assert len(names(pictures / "more")) == 9


def test_results_are_known_by_their_names_without_the_cache(pictures, tmp_path, monkeypatch):
    assert enhance(pictures, pictures) == 0
    monkeypatch.setenv("OLDFILM_CACHE", str(tmp_path / "another"))
    assert enhance(pictures, pictures, "--overwrite") == 0
    assert len(names(pictures)) == 6


def test_a_folder_of_frames_stays_a_film_with_its_result_in_it(tmp_path, capsys):
    folder = tmp_path / "reel"
    for number in range(3):
        picture(folder / f"f{number:03}.png", number)
    for _ in range(2):
        assert enhance(folder, folder) == 0
    assert names(folder) == ["f000.png", "f001.png", "f002.png", "reel_Sharpen_out.mp4"]
    assert "already up to date" in capsys.readouterr().err


def test_photo_does_not_take_its_results_for_sources(tmp_path, capsys):
    source = picture(tmp_path / "in" / "a.jpg")
    for _ in range(2):
        assert photo(["--input", str(tmp_path / "in"), "--output", str(tmp_path / "in"),
                      "--overwrite", "--cpu", "--variant", "lite"]) == 0  # fmt: skip
    assert names(source.parent) == ["a.jpg", "a.png"]


FILMS = (".dv", ".mod", ".qt", ".m2t", ".apng", ".m4v", ".mpe")


def test_films_of_unusual_suffixes_in_a_folder_are_restored_and_the_rest_is_named(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    kinds = {".mod": "mpeg", ".m2t": "mpegts", ".mpe": "mpeg", ".m4v": "mp4", ".qt": "mov"}
    for suffix in FILMS:
        size, rate = ((720, 576), "25") if suffix == ".dv" else ((64, 48), "25")
        form = ["-f", kinds[suffix]] if suffix in kinds else []
        codec = {".dv": ["-c:v", "dvvideo"], ".apng": ["-c:v", "apng"]}.get(
            suffix, ["-c:v", "mpeg2video"]
        )
        if suffix in (".m4v", ".qt"):
            codec = ["-c:v", "mpeg4"]
        pixels = ["-pix_fmt", "rgb24"] if suffix == ".apng" else []
        make_film(folder / f"film{suffix}", 6, rate, size, options=[*codec, *pixels, *form])
    for suffix in ("avif", "jp2", "jfif", "jpe", "tga"):
        form = {"jfif": "JPEG", "jpe": "JPEG"}.get(suffix)
        Image.new("RGB", (32, 24), (9, 99, 199)).save(folder / f"photo.{suffix}", form)
    (folder / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50))
    (folder / "notes.txt").write_text("reel 1")
    assert enhance(folder, tmp_path / "out") == 2
    shown = capsys.readouterr().err
    assert "notes.txt" in shown
    assert "HEIC is not read: convert it to PNG or TIFF first" in shown
    assert re.search(r"12 of 13 restored in [\d:]+; not ", shown)
    assert len(names(tmp_path / "out")) == 12


def test_a_jfif_is_a_photograph(tmp_path):
    Image.new("RGB", (32, 24), (9, 99, 199)).save(tmp_path / "a.jfif", "JPEG")
    assert enhance(tmp_path / "a.jfif", tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["a_Sharpen_out.png"]


@LINUX
def test_links_that_point_at_each_other_are_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert enhance(tmp_path / "a.png", tmp_path / "out") == 2
    assert enhance(tmp_path, tmp_path / "out") == 2
    assert enhance(picture(tmp_path / "c.png"), tmp_path / "a.png") == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


@LINUX
def test_an_output_that_cannot_be_written_is_refused_in_one_line(tmp_path, capsys):
    picture(tmp_path / "a.png")
    assert enhance(tmp_path / "a.png", Path("/proc/oldfilm")) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    film, folder = make_film(tmp_path / "a.mp4", frames=2), tmp_path / "a.png" / "results"
    assert enhance(film, folder) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"oldfilm: {folder}: cannot be created: ")


def test_several_threads_may_restore_one_photograph(tmp_path):
    source = picture(tmp_path / "a.png")
    stages = predictors(["Sharpen"])
    with ThreadPoolExecutor(8) as pool:
        every = list(pool.map(lambda _: restore(source, stages, tmp_path / "out"), range(16)))
    assert {summary.path.name for summary in every} == {"a_Sharpen_out.png"}
    assert names(tmp_path / "out") == ["a_Sharpen_out.png"]


def test_python_names_two_results_of_one_stem_by_the_path_of_the_result(tmp_path):
    for name in ("scan.png", "scan.jpg"):
        oldfilm.restore(
            picture(tmp_path / name), "Sharpen", tmp_path / f"{name}.png", progress=False
        )
    assert {"scan.png.png", "scan.jpg.png"} <= set(names(tmp_path))
