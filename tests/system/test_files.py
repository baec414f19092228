"""A file is written completely or not at all."""

import hashlib

import pytest

from oldfilm.system.files import remove, replacing, sha256_of_file, sha256_of_files


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


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("untouched")
    (tmp_path / ".a.part.txt").symlink_to(target)
    with replacing(tmp_path / "a.txt") as unfinished:
        unfinished.write_text("new")
    assert target.read_text() == "untouched"


def test_files_links_and_folders_are_removed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "link", "missing"):
        remove(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_hashes_cover_the_content_and_of_several_files_the_names(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"content")
    assert sha256_of_file(a) == hashlib.sha256(b"content").hexdigest()
    one = sha256_of_files([a])
    a.rename(b)
    assert sha256_of_files([b]) != one
