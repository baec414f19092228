"""The split into training and held-out data is complete and without overlap."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from oldfilm.errors import MediaError
from oldfilm.training import data


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "photos").mkdir()
    pictures = {f"{i:05}.jpg": np.full((8, 9, 3), 10 * i, np.uint8) for i in range(12)}
    write_tar(tmp_path / "photos" / "some.tar", pictures)
    overlays = {
        f"{kind}/{i:03}.png": overlay(i) for kind in ("dust", "hair") for i in range(38, 46)
    }
    write_tar(tmp_path / "film-damage.tar", overlays)
    return tmp_path


def write_tar(path: Path, pictures: dict[str, np.ndarray]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, picture in pictures.items():
            stored = cv2.imencode(Path(name).suffix, picture)[1].tobytes()
            member = tarfile.TarInfo(name)
            member.size = len(stored)
            tar.addfile(member, io.BytesIO(stored))


def overlay(number: int) -> np.ndarray:
    return np.full((4, 4, 4), number, np.uint8)


def test_photographs_whose_number_is_a_multiple_of_ten_are_held_out(root) -> None:
    assert [name for name, _ in data.photographs(root, data.HELD_OUT)] == [
        "some/00000",
        "some/00010",
    ]
    assert len(list(data.photographs(root, data.TRAIN))) == 10


def test_damage_from_040_to_044_of_every_kind_is_held_out(root) -> None:
    held_out = [int(o[0, 0, 3]) for o in data.overlays(root, data.HELD_OUT)]
    assert held_out == [40, 41, 42, 43, 44] * 2
    assert [int(o[0, 0, 3]) for o in data.overlays(root, data.TRAIN)] == [38, 39, 45] * 2


def test_an_unknown_split_is_refused(root) -> None:
    with pytest.raises(ValueError, match="train, held-out"):
        list(data.photographs(root, "test"))


def test_a_folder_without_data_is_reported(tmp_path) -> None:
    with pytest.raises(MediaError, match=r"photos/\*\.tar"):
        list(data.photographs(tmp_path, data.TRAIN))
    with pytest.raises(MediaError, match="film-damage.tar"):
        data.overlays(tmp_path, data.TRAIN)
