"""Damage is reported, and intact films are not reported as damaged."""

import struct

import numpy as np
import pytest
from PIL import Image

from oldfilm.api import predictors
from oldfilm.errors import MachineError, MediaError, WeightsError
from oldfilm.media import Film, analyze, read_photograph
from oldfilm.pipeline import restore
from oldfilm.weights.registry import read_config
from tests.films import facts, ffmpeg, make_film, packets
from tests.reliability.corpus import photograph

VP8 = ("-c:v", "libvpx", "-b:v", "100k", "-auto-alt-ref", "1", "-lag-in-frames", "16")


@pytest.fixture
def lossless(tmp_path):
    return make_film(tmp_path / "film.mkv", options=("-c:v", "ffv1", "-slicecrc", "1", "-g", "1"))


def overwrite(path, packet):
    """Overwrite the middle of an encoded picture with zeros."""
    data, coded = path.read_bytes(), packets(path, "video")[packet]
    at = data.index(coded) + len(coded) // 2
    path.write_bytes(data[:at] + bytes(40) + data[at + 40 :])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", ()),
        ("a.mp4", ("-x264-params", "open-gop=1:keyint=10:bframes=3")),
        ("a.mkv", ("-g", "5")),
        ("a.ts", ("-bf", "3")),
        ("a.mov", ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le")),
        ("a.webm", VP8),
        ("a.avi", ("-c:v", "mpeg4", "-bf", "2")),
        ("a.mpg", ("-c:v", "mpeg2video", "-bf", "2", "-r", "25")),
        ("a.wmv", ("-c:v", "wmv2")),
        ("a.gif", ("-pix_fmt", "rgb24")),
    ],
)
def test_an_intact_film_is_not_reported_as_damaged(tmp_path, name, options):
    film = make_film(tmp_path / name, frames=40, shots=2, sound=name != "a.gif", options=options)
    analysis = analyze(Film.open(film))
    assert (analysis.truncated, analysis.damage) == (None, None)


def test_missing_frames_are_reported(tmp_path):
    film = make_film(tmp_path / "film.mkv", options=("-g", "1"))
    for packet in (5, 6, 9):
        data, coded = film.read_bytes(), packets(film, "video")[packet]
        film.write_bytes(data.replace(coded, b"\xff" * len(coded)))
    summary = restore(film, predictors(["Sharpen"]), tmp_path / "out.mkv")
    assert facts(summary.path)["frames"] == 12
    assert "3 of 12 frames cannot be decoded" in " ".join(summary.notes)


def test_pictures_that_the_decoder_concealed_are_reported(lossless, tmp_path):
    overwrite(lossless, 4)
    summary = restore(lossless, predictors(["Sharpen"]), tmp_path / "out.mkv")
    assert facts(summary.path)["frames"] == 12
    assert "the file is damaged (slice CRC mismatch" in " ".join(summary.notes)


def test_a_damaged_picture_in_a_folder_is_reported(tmp_path):
    (tmp_path / "frames").mkdir()
    for number in range(4):
        path = tmp_path / "frames" / f"{number}.png"
        Image.new("RGB", (32, 24), (60 * number, 0, 0)).save(path)
    path = tmp_path / "frames" / "2.png"
    path.write_bytes(with_wrong_checksum(path.read_bytes()))
    summary = restore(tmp_path / "frames", predictors(["Sharpen"]), tmp_path / "out.mkv")
    assert "2.png: the file is damaged" in " ".join(summary.notes)


def with_wrong_checksum(png):
    """Add a damaged text chunk, which decoders skip."""
    return png[:33] + struct.pack(">I", 3) + b"tEXta\0b" + bytes(4) + png[33:]


def test_a_damaged_photograph_is_reported(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(with_wrong_checksum(photograph("png")))
    assert "a.png: the file is damaged" in str(read_photograph(path).damage)
    path.write_bytes(photograph("png"))
    assert read_photograph(path).damage is None


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_unreadable_sound_is_left_out_and_reported(tmp_path, suffix):
    options = ("-c:v", "libvpx", "-c:a", "libvorbis")
    film = make_film(tmp_path / "film.webm", sound=True, options=options)
    whole = film.read_bytes()
    at = whole.index(b"\x05vorbis")
    film.write_bytes(whole[:at] + bytes(300) + whole[at + 300 :])
    summary = restore(film, predictors(["Sharpen"]), tmp_path / f"out{suffix}")
    result = facts(summary.path)
    assert result["frames"] == 12
    if not result["audio"]:
        assert "sound track 1 (vorbis) was left out: it is damaged" in " ".join(summary.notes)


def test_a_film_that_does_not_fit_into_memory_is_refused(tmp_path, lossless):
    class Hungry(type(predictors(["Sharpen"])[0])):
        def process(self, frames, core):
            np.empty(1 << 60, np.uint8)
            yield from super().process(frames, core)

    with pytest.raises(MachineError, match="too little memory for its frames"):
        restore(lossless, [Hungry()], tmp_path / "out.mkv")


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"[" * 1500, b"name: 2001-99-99", b"name: [&x {y: *x}]", b"name: " + b"9" * 6000]
    + [b"name: !!timestamp x", b"name: !!bool x", b"name: !!int x", b"? [1]\n: 2"],
)
def test_a_malformed_config_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_bytes(text)
    with pytest.raises(WeightsError) as refused:
        read_config(path)
    assert "\n" not in str(refused.value)


def test_a_frame_that_would_last_for_days_is_refused(tmp_path):
    film = make_film(tmp_path / "film.mkv", options=("-bf", "0"))
    late = tmp_path / "late.mkv"
    ffmpeg("-i", film, "-c", "copy", "-bsf:v", "setts=ts=PTS+gt(N\\,5)*1000000000", late)
    with pytest.raises(MediaError, match="one frame would last 277.8 hours"):
        Film.open(late)
