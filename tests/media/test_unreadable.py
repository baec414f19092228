"""Errors that say why a film cannot be shown.

Reports: Tichau/FileConverter 151 and Digiex/M4V-Converter 2 (DRM), anonfaded/FadCam 158 and
ponchio/untrunc 294 (no index).
"""

from __future__ import annotations

import numpy as np
import pytest

from oldfilm.errors import MediaError
from oldfilm.media import Film
from tests.films import ffmpeg, make_film

KEY = "76a6c65c5ea762046bd749a2e632ccbb"


def test_an_encrypted_film_is_refused_as_encrypted(tmp_path) -> None:
    protected = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", KEY]
    path = make_film(tmp_path / "a.mp4", options=(*protected, "-encryption_kid", KEY))
    with pytest.raises(MediaError, match="encrypted"):
        Film.open(path)


def test_a_recording_without_an_index_is_refused_with_what_rebuilds_it(tmp_path) -> None:
    path = make_film(tmp_path / "a.mp4")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])
    with pytest.raises(MediaError, match=r"no index .*untrunc"):
        Film.open(path)


def test_a_file_of_fragments_has_its_index_at_the_beginning(tmp_path) -> None:
    fragments = ["-movflags", "frag_keyframe+empty_moov", "-g", "4"]
    assert Film.open(make_film(tmp_path / "a.mp4", options=fragments)).frames == 12


@pytest.mark.parametrize("m2ts", [False, True])
def test_a_scrambled_transport_stream_is_refused(tmp_path, m2ts) -> None:
    path = make_film(
        tmp_path / "a.ts", options=("-f", "mpegts", "-mpegts_m2ts_mode", str(int(m2ts)))
    )
    assert Film.open(path).frames == 12
    content, packet = bytearray(path.read_bytes()), 192 if m2ts else 188
    for at in range(4 * m2ts, len(content), packet):
        if int.from_bytes(content[at + 1 : at + 3], "big") & 0x1FFF > 31:  # not a table
            content[at + 3] |= 0x80
    path.write_bytes(content)
    with pytest.raises(MediaError, match="scrambled"):
        Film.open(path)


@pytest.mark.parametrize(("m2ts", "share"), [(False, 0.7), (True, 0.35)])  # M2TS ends with padding
def test_a_note_says_that_a_part_is_scrambled(tmp_path, m2ts, share) -> None:
    path = make_film(
        tmp_path / "a.ts", options=("-f", "mpegts", "-mpegts_m2ts_mode", str(int(m2ts)), "-g", "4")
    )
    assert Film.open(path).notes == ()
    content, packet = bytearray(path.read_bytes()), 192 if m2ts else 188
    for at in range(4 * m2ts, len(content), packet):
        if (
            at > share * len(content)
            and int.from_bytes(content[at + 1 : at + 3], "big") & 0x1FFF > 31
        ):
            content[at + 3] |= 0x80
            content[at + 30 : at + 188] = bytes(158)
    path.write_bytes(content)
    (note,) = Film.open(path).notes
    assert "the picture is scrambled" in note


def scramble(path, streams) -> None:
    """Scramble the packets of some streams of a transport stream."""
    content, noise = bytearray(path.read_bytes()), np.random.default_rng(0)
    for at in range(0, len(content), 188):
        if int.from_bytes(content[at + 1 : at + 3], "big") & 0x1FFF in streams:
            begin = at + 4 + (1 + content[at + 4] if content[at + 3] & 0x20 else 0)
            content[at + 3] |= 0x80
            content[begin : at + 188] = noise.bytes(at + 188 - begin)
    path.write_bytes(content)


@pytest.fixture
def two_programs(tmp_path):
    """A broadcast of a small and a large picture, each with sound; streams 0x100 to 0x103."""
    inputs = ["testsrc2=s=64x48:d=1", "sine=d=1", "testsrc2=s=192x144:d=1", "sine=d=1"]
    sources = [part for name in inputs for part in ("-f", "lavfi", "-i", name)]
    maps = [part for i in range(4) for part in ("-map", i)]
    programs = ["-program", "title=Free:st=0:st=1", "-program", "title=Pay:st=2:st=3"]
    codecs = ["-c:v", "mpeg2video", "-q:v", 2, "-c:a", "mp2"]
    ffmpeg(*sources, *maps, *programs, *codecs, tmp_path / "a.ts")
    return tmp_path / "a.ts"


@pytest.mark.parametrize("scrambled", [{0x102, 0x103}, {0x102}, {0x100, 0x101}])
def test_the_program_that_is_not_scrambled_is_restored(two_programs, scrambled) -> None:
    scramble(two_programs, scrambled)
    film = Film.open(two_programs)
    assert (film.width, film.frames) == (64 if 0x102 in scrambled else 192, 25)
    assert len(film.audio) == 1
    assert len(film.contents.foreign) == 1


def test_a_broadcast_whose_sound_alone_is_clear_is_refused_as_scrambled(two_programs) -> None:
    scramble(two_programs, {0x100, 0x102, 0x103})
    with pytest.raises(MediaError, match="scrambled"):
        Film.open(two_programs)


def test_a_scrambled_dvd_film_is_refused(tmp_path) -> None:
    path = make_film(tmp_path / "a.vob", options=("-c:v", "mpeg2video", "-f", "vob"))
    assert Film.open(path).frames == 12
    content = bytearray(path.read_bytes())
    at = content.find(b"\0\0\1\xe0")
    while at >= 0:
        content[at + 6] |= 0x10
        at = content.find(b"\0\0\1\xe0", at + 7)
    path.write_bytes(content)
    with pytest.raises(MediaError, match="scrambled"):
        Film.open(path)


def test_an_ordinary_film_has_nothing_to_explain(tmp_path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=d=1", "-c:v", "mpeg2video", tmp_path / "a.mpg")
    assert Film.open(tmp_path / "a.mpg").frames == 25
