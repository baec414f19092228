"""A file is written completely or not at all."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oldfilm.system.files import (
    remove,
    remove_leftovers,
    replace_folder,
    replacing,
    sha256_of_file,
    sha256_of_files,
)

ROOT = Path(__file__).parents[2]


def test_a_file_is_replaced_when_it_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
        assert unfinished.suffix == ".txt"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="failed"), replacing(path) as unfinished:
        unfinished.write_text("new")
        raise ValueError("failed")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_nothing_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"), replacing(tmp_path / "a.txt"):
        pass


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "frames"
    path.mkdir()
    (path / "old.png").touch()
    with replacing(path) as unfinished:
        unfinished.mkdir()
        (unfinished / "new.png").touch()
    assert [file.name for file in path.iterdir()] == ["new.png"]


def test_several_writers_of_one_file_have_temporary_names_of_their_own(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the writer that ended last
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_behind_is_removed(tmp_path):
    path = tmp_path / "a.txt"
    code = (
        "import os, sys, pathlib; from oldfilm.system.files import unfinished_path;"
        "unfinished_path(pathlib.Path(sys.argv[1])).touch(); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT)
    with replacing(path) as unfinished:
        unfinished.touch()
        assert len(list(tmp_path.iterdir())) == 2
        remove_leftovers(path)
        assert list(tmp_path.iterdir()) == [unfinished]


def test_when_several_threads_replace_a_folder_one_of_them_wins(tmp_path):
    def replace(number):
        folder = tmp_path / f"new-{number}"
        folder.mkdir()
        (folder / str(number)).touch()
        replace_folder(folder, tmp_path / "frames")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(replace, range(24)))
    assert len(list((tmp_path / "frames").iterdir())) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["frames"]


def test_files_links_and_folders_are_removed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "link", "missing"):
        remove(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_hash_of_several_files_includes_their_names(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"content")
    assert sha256_of_file(a) == hashlib.sha256(b"content").hexdigest()
    one = sha256_of_files([a])
    a.rename(b)
    assert sha256_of_files([b]) != one
