"""Errors that say why a film cannot be shown.

Reports: Tichau/FileConverter 151 and Digiex/M4V-Converter 2 (DRM), anonfaded/FadCam 158 and
ponchio/untrunc 294 (no index).
"""

from __future__ import annotations

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
