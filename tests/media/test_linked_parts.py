"""Matroska films that players put together from parts."""

from __future__ import annotations

import pytest

from oldfilm.media import Film

from .conftest import ffmpeg, moving


def element(kind: int, content: bytes) -> bytes:
    return (
        kind.to_bytes(4, "big").lstrip(b"\0")
        + (1 << 56 | len(content)).to_bytes(8, "big")
        + content
    )


ORDERED = element(0x45DD, b"\1")
ATOM = element(0xB6, element(0x73C4, b"\1") + element(0x91, b"\0") + element(0x92, b"\7"))
ELSEWHERE = element(
    0xB6, element(0x73C4, b"\1") + element(0x91, b"\0") + element(0x6E67, bytes(16))
)


def with_chapters(folder, edition: bytes):
    """Write a film whose list of chapters, after the last frame, holds an edition."""
    path = folder / "a.mkv"
    ffmpeg(*moving("25", 0.4), "-live", 1, path)
    chapters = element(0x1043A770, element(0x45B9, edition))
    data = path.read_bytes()
    place = data.index(bytes.fromhex("1f43b675"))
    path.write_bytes(data[:place] + chapters + data[place:])
    return path


@pytest.mark.parametrize(
    ("edition", "said"),
    [
        (ATOM, None),
        (element(0x45DD, b"\0") + ATOM, None),
        (ORDERED + ATOM, "have an order in which players show its parts"),
        (ORDERED + ATOM + ELSEWHERE, "show parts of other files, which are not read"),
    ],
)
def test_chapters_with_an_order_of_their_own_are_noted(tmp_path, edition, said):  # mpv 3073
    film = Film.open(with_chapters(tmp_path, edition))
    assert film.frames == 10
    if said is None:
        assert film.notes == ()
    else:
        (note,) = film.notes
        assert said in note


def test_a_file_that_is_linked_with_another_is_noted(tmp_path):  # mpv 2961
    path = tmp_path / "a.mkv"
    ffmpeg(*moving("25", 0.4), "-live", 1, path)
    data = path.read_bytes()
    place = data.index(bytes.fromhex("1f43b675"))
    linked = element(0x1549A966, element(0x2AD7B1, b"\x0f\x42\x40") + element(0x3EB923, bytes(16)))
    path.write_bytes(data[:place] + linked + data[place:])
    assert "together with another file" in " ".join(Film.open(path).notes)
