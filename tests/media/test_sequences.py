"""Film scans are read exactly, gaps are reported, and results can be sequences of scans."""

from __future__ import annotations

import shutil
import struct
import subprocess
from fractions import Fraction

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

import oldfilm
from oldfilm.errors import MediaError, OptionError
from oldfilm.media import Film, analyze, decode, read_photograph, sequence_notes, sources
from oldfilm.media.ffmpeg import executable

from .conftest import ffmpeg, images

WIDTH, HEIGHT = 32, 24


def ramp(shift=0):
    """Return uint16 [h, w, 3] with 0 and 65535 in the first two pixels."""
    codes = (np.arange(WIDTH * HEIGHT * 3).reshape(HEIGHT, WIDTH, 3) * 27 + 997 * shift) % 65536
    codes[0, 0], codes[0, 1] = 0, 65535
    return codes.astype(np.uint16)


def write(path, codes, *options):
    """Encode one picture of 16 bits with ffmpeg."""
    height, width = codes.shape[:2]
    command = [executable(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb48le", "-s"]
    command += [f"{width}x{height}", "-i", "-", *options, "-frames:v", "1", "-update", "1"]
    subprocess.run([*command, f"file:{path}"], input=codes.tobytes(), check=True)
    return path


def dpx(folder, numbers, name="reel_{:06}.dpx", bits=10, rate=None, transfer=None):
    folder.mkdir(exist_ok=True)
    pixels = {8: "rgb24", 10: "gbrp10be", 12: "gbrp12be", 16: "rgb48be"}[bits]
    for number in numbers:
        path = write(folder / name.format(number), ramp(number), "-pix_fmt", pixels)
        data = bytearray(path.read_bytes())
        if rate is not None:  # ffmpeg writes 1664 bytes, without the part that holds the rate
            data[1664:1664] = bytes(384)
            struct.pack_into(">I", data, 4, 2048)
            struct.pack_into(">I", data, 808, 2048)
            struct.pack_into(">f", data, 1724, rate)
        if transfer is not None:
            data[801] = transfer
        path.write_bytes(data)
    return folder


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_the_code_values_of_dpx_are_exact(tmp_path, bits):
    """White is 1 and black is 0."""
    folder = dpx(tmp_path / "scan", [86_400], bits=bits)
    found = read_photograph(next(folder.iterdir()))
    assert (found.image[0, 0].tolist(), found.image[0, 1].tolist()) == ([0] * 3, [1] * 3)
    assert found.bits == (8 if bits == 8 else 16)
    scaled = found.image * ((1 << bits) - 1)
    assert np.abs(scaled - np.rint(scaled)).max() < 1e-2
    assert np.abs(found.image - ramp(86_400) / 65535).max() < 2 / ((1 << bits) - 1)


@pytest.mark.parametrize(("order", "packing"), [(">", 1), ("<", 1), (">", 2), ("<", 2)])
def test_ten_bits_packed_by_hand_in_both_byte_orders(tmp_path, order, packing):
    """Three samples fill 32 bits, with two bits to spare at the bottom or at the top."""
    header = bytearray(2048)
    header[:8] = (b"SDPX" if order == ">" else b"XPDS") + struct.pack(f"{order}I", 2048)
    header[8:16] = b"V1.0".ljust(8, b"\0")
    header[768:780] = struct.pack(f"{order}HHII", 0, 1, 4, 2)
    header[800:808] = struct.pack(f"{order}BBBBHH", 50, 3, 1, 10, packing, 0)
    header[808:812] = struct.pack(f"{order}I", 2048)
    values = np.array([[1023, 0, 512], [1, 2, 3], [95, 685, 1022], [0, 1023, 0]] * 2, np.uint32)
    words = values[:, 0] << 20 | values[:, 1] << 10 | values[:, 2]
    words = words << 2 if packing == 1 else words
    (tmp_path / "a.dpx").write_bytes(bytes(header) + words.astype(f"{order}u4").tobytes())
    try:
        found = read_photograph(tmp_path / "a.dpx")
    except MediaError as error:  # refused in one line, never wrong
        assert packing == 2
        assert "\n" not in str(error)
        return
    assert np.array_equal(np.rint(found.image.reshape(-1, 3) * 1023), values)
    assert "logarithmic" in found.notes[0]


@pytest.mark.parametrize("half", [True, False])
def test_scene_linear_exr_gets_the_srgb_curve_with_a_note(tmp_path, half):
    options = ["-pix_fmt", "gbrpf32le", "-compression", "zip16"]
    path = write(tmp_path / "a.exr", ramp(), *options, "-format", "half" if half else "float")
    found = read_photograph(path)
    light = ramp() / 65535
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(found.image - curve).max() < (2e-3 if half else 5e-4)
    assert "sRGB curve" in found.notes[0]
    assert found.bits == 16


def numbered(folder, suffix, numbers=(8, 9, 10, 11)):
    """Write frames of a format; returns their code values."""
    folder.mkdir()
    for number in numbers:
        path, codes = folder / f"f{number}.{suffix}", ramp(number)
        if suffix == "tif":
            tifffile.imwrite(path, codes, photometric="rgb")
        elif suffix == "tga":
            Image.fromarray((codes >> 8).astype(np.uint8)).save(path)
        elif suffix == "exr":
            write(path, codes, "-pix_fmt", "gbrpf32le")
        elif suffix == "dpx":
            write(path, codes, "-pix_fmt", "rgb48be")
        elif suffix == "jp2":
            write(path, codes, "-c:v", "libopenjpeg", "-numresolution", "1", "-pix_fmt", "rgb48le")
        else:
            cv2.imwrite(str(path), codes[..., ::-1])
    return [ramp(number) for number in numbers]


@pytest.mark.parametrize("suffix", ["tif", "png", "jp2", "tga", "dpx", "exr"])
def test_a_folder_of_frames_is_a_film_from_any_number_on(tmp_path, suffix):
    expected = numbered(tmp_path / "scan", suffix)
    assert sources(tmp_path / "scan") == [tmp_path / "scan"]
    film = Film.open(tmp_path / "scan", Fraction(18))
    assert (film.frames, film.rate, film.bits) == (4, 18, 8 if suffix == "tga" else 16)
    if suffix == "exr":
        return
    for frame, codes in zip(decode(film), expected):
        codes = codes >> 8 << 8 if suffix == "tga" else codes
        tolerance = {"tga": 1 / 250, "jp2": 0.02}.get(suffix, 1e-6)
        assert np.abs(frame.image - codes / 65535).max() < tolerance


def test_the_rate_in_a_dpx_header_is_used_unless_one_is_given(tmp_path):
    folder = dpx(tmp_path / "scan", [1, 2, 3], rate=24000 / 1001)
    assert Film.open(folder).rate == Fraction(24000, 1001)
    assert Film.open(folder, Fraction(18)).rate == 18
    other = dpx(tmp_path / "other", [1, 2], rate=float("nan"))
    assert Film.open(other).rate == 25


def test_a_number_twice_is_refused(tmp_path):
    (tmp_path / "dup").mkdir()
    for name in ("f1", "f2", "f0001", "f0002"):
        Image.new("L", (32, 24)).save(tmp_path / "dup" / f"{name}.png")
    for look in (Film.open, sources):
        with pytest.raises(MediaError, match=r"f0001\.png and f1\.png have the same number"):
            look(tmp_path / "dup")


def test_a_gap_is_named(tmp_path):
    numbered(tmp_path / "gap", "tif", [1009, 1010, 1021, 1022, 1024])
    film = Film.open(tmp_path / "gap")
    assert film.frames == 5
    (note,) = sequence_notes(film.numbered)
    assert "11 numbers are missing (1011 to 1020, 1023)" in note


def test_frames_of_several_sizes_are_refused_by_name(tmp_path):
    numbered(tmp_path / "scan", "tif", [1, 2])
    tifffile.imwrite(
        tmp_path / "scan" / "f3.tif", np.zeros((9, 9, 3), np.uint16), photometric="rgb"
    )
    with pytest.raises(MediaError, match=r"f3\.tif: this frame is 9x9; the first is 32x24"):
        oldfilm.restore(tmp_path / "scan", "Sharpen", tmp_path / "out", progress=False)


def test_a_still_among_scans_is_not_a_frame(tmp_path):
    folder = dpx(tmp_path / "scan", [1, 2, 3])
    Image.new("RGB", (32, 24)).save(folder / "cover.jpg")
    assert Film.open(folder).frames == 3


@pytest.mark.parametrize("pattern", ["%06d.tif", "reel.%04d.dpx", "%d.png", "%08d.exr"])
def test_results_are_sequences_of_16_bits(tmp_path, pattern):
    folder = dpx(tmp_path / "scan", [7, 8, 9], rate=18, bits=16, transfer=3)
    output = tmp_path / "out" / pattern
    summary = oldfilm.restore(folder, "Sharpen", output, progress=False)
    assert summary.path == tmp_path / "out"
    assert sorted(p.name for p in summary.path.iterdir()) == [pattern % n for n in (1, 2, 3)]
    result = Film.open(tmp_path / "out")
    assert (result.frames, result.bits) == (3, 16)
    again = oldfilm.restore(folder, "Sharpen", tmp_path / "b" / "%08d.png", progress=False)
    for frame, other in zip(decode(result), decode(Film.open(again.path))):
        assert np.abs(frame.image - other.image).max() < 1e-4
    if pattern.endswith(".dpx"):
        data = (summary.path / (pattern % 1)).read_bytes()
        assert (result.rate, data[801]) == (18, 3)
    assert any("logarithmic" in note for note in summary.notes)


def test_a_film_in_8_bits_becomes_deep_scans(tmp_path):
    (tmp_path / "in").mkdir()
    for number in (1, 2, 3):
        Image.fromarray((ramp(number) >> 8).astype(np.uint8)).save(
            tmp_path / "in" / f"{number}.png"
        )
    for suffix, bits in (("dpx", 16), ("tif", 16), ("png", 8)):
        output = tmp_path / suffix / f"%06d.{suffix}"
        oldfilm.restore(tmp_path / "in", "Sharpen", output, input_fps=16, progress=False)
        assert Film.open(tmp_path / suffix).bits == bits
    oldfilm.restore(tmp_path / "in", "Sharpen", tmp_path / "c" / "%06d.dpx", pix_fmt="gbrp10le",
                    progress=False)  # fmt: skip
    assert (tmp_path / "c" / "000001.dpx").read_bytes()[803] == 10


def test_other_files_in_the_folder_of_a_sequence_are_never_replaced(tmp_path):
    numbered(tmp_path / "scan", "tif", [1, 2])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.tif").write_bytes(b"mine")
    with pytest.raises(MediaError, match="other files than numbered frames"):
        oldfilm.restore(
            tmp_path / "scan", "Sharpen", tmp_path / "out" / "%06d.tif", overwrite=True,
            progress=False,
        )  # fmt: skip
    assert (tmp_path / "out" / "mine.tif").read_bytes() == b"mine"
    with pytest.raises(MediaError, match="give a new folder"):  # also without overwrite=True
        oldfilm.restore(
            tmp_path / "scan", "Sharpen", tmp_path / "out" / "%06d.tif", progress=False
        )  # fmt: skip


def test_a_sequence_is_never_one_file(tmp_path):
    numbered(tmp_path / "scan", "tif", [1, 2])
    with pytest.raises(OptionError, match="many frames"):
        oldfilm.restore(tmp_path / "scan", "Sharpen", tmp_path / "one.dpx", progress=False)


def test_what_frames_have_and_the_film_lacks_is_named(tmp_path):
    gray = Image.new("L", (16, 8), 100)
    gray.save(tmp_path / "1.tif")
    gray.save(tmp_path / "2.tif", save_all=True, append_images=[gray])
    Image.new("RGB", (16, 8), (200, 10, 10)).save(tmp_path / "3.tif")
    Image.fromarray(np.full((8, 16), 25700, np.uint16)).save(tmp_path / "4.tif")
    gray.save(tmp_path / "5.tif", icc_profile=b"Adobe RGB" + bytes(140))
    gray.save(tmp_path / "6.tif")
    film = Film.open(tmp_path, Fraction(18))
    assert not film.gray
    said = [note.split(": ", 1)[1] for note in analyze(film).notes]
    assert said == [
        "left out of 1 of 6 frames (2.tif), since the frames of a film have no place for it: "
        "further pages",
        "left out of 1 of 6 frames (4.tif), since the first frame has 8: the bits beyond 8",
        "left out of 1 of 6 frames (5.tif), since the frames of a film have no place for it: "
        "color profile (ICC)",
    ]


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "bmp", "jp2", "dpx"])
@pytest.mark.parametrize("colored", [0, 7, 19])
def test_a_folder_is_in_color_if_any_frame_is(tmp_path, suffix, colored):
    picture = ["-f", "lavfi", "-i", "color=red:size=16x16,format=rgb24", "-frames:v", 1]
    ffmpeg(*picture, "-pix_fmt", "gray", tmp_path / f"gray.{suffix}")
    ffmpeg(*picture, "-pix_fmt", "rgb24", tmp_path / f"red.{suffix}")
    if suffix == "jpg":  # ffmpeg writes no gray ones.
        Image.new("L", (16, 16), 80).save(tmp_path / "gray.jpg")
    (tmp_path / "frames").mkdir()
    for number in range(20):
        name = f"{'red' if number == colored else 'gray'}.{suffix}"
        shutil.copy(tmp_path / name, tmp_path / "frames" / f"{number}.{suffix}")
    film = Film.open(tmp_path / "frames")
    assert not film.gray
    reds = [image[8, 8] for image in images(film)]
    assert [bool(red[0] - red[1] > 0.5) for red in reds] == [n == colored for n in range(20)]


def test_a_folder_of_gray_frames_is_gray(tmp_path):
    for number in (1, 2, 3):
        Image.new("L", (16, 8), 100).save(tmp_path / f"{number}.png")
    assert Film.open(tmp_path).gray


def test_cineon_is_refused_by_name(tmp_path):
    for number in (1, 2):
        (tmp_path / f"{number}.cin").write_bytes(b"\x80\x2a\x5f\xd7" + bytes(2000))
    with pytest.raises(MediaError, match="Cineon is not read: convert it to DPX first"):
        Film.open(tmp_path)
