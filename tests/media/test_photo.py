from __future__ import annotations

import functools
import io
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from oldfilm.errors import MediaError
from oldfilm.media import read_photograph, write_photograph


def picture(height=6, width=9, channels=3):
    rng = np.random.default_rng(4)
    return rng.integers(0, 256, (height, width, channels)).astype(np.float32) / 255


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("channels", [3, 1])
def test_a_photograph_survives_writing_and_reading(tmp_path, suffix, channels):
    path = tmp_path / f"a{suffix}"
    assert write_photograph(path, picture(channels=channels)) == []
    photograph = read_photograph(path)
    assert photograph.alpha is None
    assert photograph.bits == 8
    truth = picture(channels=channels)
    if suffix == ".webp":  # lossy, and always in color
        assert photograph.image.shape == (6, 9, 3)
        return
    assert photograph.image.dtype == np.float32
    assert np.allclose(photograph.image, truth, atol=1e-6)


def test_channels_are_red_green_blue(tmp_path):
    Image.new("RGB", (4, 3), (255, 128, 0)).save(tmp_path / "a.png")
    assert np.allclose(read_photograph(tmp_path / "a.png").image[0, 0] * 255, [255, 128, 0])
    write_photograph(tmp_path / "b.png", np.zeros((3, 4, 3), np.float32) + [0, 0.5, 1])
    assert Image.open(tmp_path / "b.png").getpixel((0, 0)) == (0, 128, 255)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_survive(tmp_path, suffix):
    image = np.linspace(0, 1, 7 * 11 * 3, dtype=np.float32).reshape(7, 11, 3)
    write_photograph(tmp_path / f"a{suffix}", image, bits=16)
    photograph = read_photograph(tmp_path / f"a{suffix}")
    assert photograph.bits == 16
    assert np.abs(photograph.image - image).max() < 1e-5


def test_jpeg_reports_the_loss_of_transparency_and_of_sixteen_bits(tmp_path):
    notes = write_photograph(
        tmp_path / "a.jpg", picture(), alpha=np.ones((6, 9), np.float32), bits=16
    )
    assert len(notes) == 2
    assert read_photograph(tmp_path / "a.jpg").image.shape == (6, 9, 3)


@pytest.mark.parametrize("channels", [3, 1])
def test_transparency_survives(tmp_path, channels):
    alpha = np.linspace(0, 1, 54, dtype=np.float32).reshape(6, 9)
    write_photograph(tmp_path / "a.png", picture(channels=channels), alpha=alpha, bits=16)
    photograph = read_photograph(tmp_path / "a.png")
    assert np.allclose(photograph.image, picture(channels=channels), atol=1e-4)
    assert np.allclose(photograph.alpha, alpha, atol=1e-4)


def test_an_opaque_alpha_channel_is_dropped(tmp_path):
    Image.new("RGBA", (4, 3), (1, 2, 3, 255)).save(tmp_path / "a.png")
    assert read_photograph(tmp_path / "a.png").alpha is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_photograph_is_rotated_by_its_exif_orientation(tmp_path, orientation, suffix):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16], upright[:16, 32:] = [255, 0, 0], [0, 255, 0]
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, quality=95)
    assert np.abs(read_photograph(path).image - upright / 255).mean() < 0.02


def test_metadata_after_the_pixels_of_a_png_are_read(tmp_path):
    """The specification allows it for EXIF data and text, and exiftool wrote XMP there."""
    path = tmp_path / "a.png"
    Image.new("RGB", (48, 32)).save(path)
    exif = Image.Exif()
    exif[274], exif[0x010F] = 6, "Maker"
    data, end = path.read_bytes(), path.read_bytes().index(b"IEND") - 4
    body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(data[:end] + chunk + data[end:])
    photograph = read_photograph(path)
    assert photograph.image.shape[:2] == (48, 32)
    assert photograph.exif


def test_an_image_with_a_palette_is_read_in_color(tmp_path):
    image = Image.new("RGB", (4, 3), (255, 0, 0)).convert("P")
    image.save(tmp_path / "a.png")
    assert np.allclose(read_photograph(tmp_path / "a.png").image[0, 0], [1, 0, 0])


@pytest.mark.parametrize("name", ["missing.png", "text.png", "empty.jpg", "cut.png"])
def test_a_missing_or_damaged_photograph_is_refused_by_name(tmp_path, name):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    data = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (40, 40, 3)))[1]
    (tmp_path / "cut.png").write_bytes(data.tobytes()[:30])
    with pytest.raises(MediaError, match=name):
        read_photograph(tmp_path / name)


def test_an_unknown_format_is_refused(tmp_path):
    for name in ("a.xyz", "a", "no/a.png"):
        with pytest.raises(MediaError):
            write_photograph(tmp_path / name, picture())
    assert list(tmp_path.iterdir()) == []


CAMERA, ORIENTATION, CAMERA_PART, GPS_PART = 271, 274, 34665, 34853
TAKEN, WIDTH, LENS = 36867, 40962, 33437


def camera_exif(orientation=None):
    """Return EXIF data as a camera writes them."""
    exif = Image.Exif()
    exif[CAMERA] = "Voigtländer & Sohn"
    exif[282] = 300.0
    if orientation:
        exif[ORIENTATION] = orientation
    exif[CAMERA_PART] = {TAKEN: "1912:04:10 12:00:00", WIDTH: 9999, LENS: 2.8}
    exif[GPS_PART] = {1: "N", 2: (48.0, 51.0, 30.25)}
    written = Image.Exif()
    written.load(exif.tobytes())
    return written


def structure(exif):
    return exif.tobytes()[len(b"Exif\0\0") :]


def profile(colors="sRGB"):
    if colors == "gray":
        profile = bytearray(profile_bytes())
        profile[16:20] = b"GRAY"
        return bytes(profile)
    return profile_bytes()


@functools.cache  # It contains the time.
def profile_bytes():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("source", [".png", ".jpg", ".tif"])
def test_exif_data_and_color_profile_survive(tmp_path, source, suffix, bits):
    taken, made = tmp_path / f"a{source}", tmp_path / f"b{suffix}"
    Image.fromarray(np.uint8(cv2.blur(picture(32, 48), (9, 9)) * 255)).save(
        taken, exif=camera_exif(orientation=6), icc_profile=profile(), quality=95
    )
    photograph = read_photograph(taken)
    assert photograph.image.shape == (48, 32, 3)
    write_photograph(made, photograph.image, bits=bits, exif=photograph.exif, icc=photograph.icc)
    with Image.open(made) as result:
        assert result.info["icc_profile"] == profile()
        exif = result.getexif()
        assert exif[CAMERA].startswith("Voigtl")
        assert exif[282] == 300
        part = exif.get_ifd(CAMERA_PART)
        assert part[TAKEN] == "1912:04:10 12:00:00"
        assert part[LENS] == pytest.approx(2.8)
        assert [float(x) for x in exif.get_ifd(GPS_PART)[2]] == [48, 51, 30.25]
        assert exif.get(ORIENTATION, 1) == 1, "viewers would turn it again"
        assert part.get(WIDTH, 32) == 32
        assert result.size == (32, 48)
    again = read_photograph(made)
    assert again.bits == (8 if suffix == ".jpg" else bits)
    assert np.abs(again.image - photograph.image).mean() < (0.02 if suffix == ".jpg" else 1e-4)
    assert (again.exif is None, again.icc) == (False, profile())


def test_a_long_profile_is_split_into_several_jpeg_segments(tmp_path):
    long = profile() + np.random.default_rng(0).bytes(200_000)
    write_photograph(tmp_path / "a.jpg", picture(), icc=long)
    assert read_photograph(tmp_path / "a.jpg").icc == long


def test_exif_data_too_long_for_jpeg_are_reported(tmp_path):
    exif = camera_exif()
    exif[CAMERA_PART] = {37500: bytes(70_000)}
    notes = write_photograph(tmp_path / "a.jpg", picture(), exif=structure(exif), icc=profile())
    assert len(notes) == 1
    assert "EXIF" in notes[0]
    assert read_photograph(tmp_path / "a.jpg").icc == profile()
    assert write_photograph(tmp_path / "a.png", picture(), exif=structure(exif)) == []


def test_a_format_without_metadata_reports_the_loss(tmp_path):
    notes = write_photograph(
        tmp_path / "a.bmp", picture(), exif=structure(camera_exif()), icc=profile()
    )
    assert len(notes) == 2
    assert read_photograph(tmp_path / "a.bmp").exif is None


def test_a_gray_profile_is_not_written_to_an_image_in_color(tmp_path):
    notes = write_photograph(tmp_path / "a.png", picture(), icc=profile("gray"))
    assert "color profile" in notes[0]
    assert read_photograph(tmp_path / "a.png").icc is None
    assert write_photograph(tmp_path / "b.png", picture(channels=1), icc=profile("gray")) == []
    assert Image.open(tmp_path / "b.png").info["icc_profile"] == profile("gray")


def test_a_photograph_with_damaged_exif_data_can_be_read(tmp_path, caplog):
    Image.fromarray(np.uint8(picture(32, 48) * 255)).save(tmp_path / "a.jpg", exif=camera_exif())
    data = (tmp_path / "a.jpg").read_bytes()
    start = data.index(b"Exif\0\0") + 6
    (tmp_path / "a.jpg").write_bytes(data[:start] + b"XXXX" + data[start + 4 :])
    assert read_photograph(tmp_path / "a.jpg").exif is None
    assert "EXIF data are damaged" in caplog.text


def test_text_that_is_not_ascii_survives(tmp_path):
    exif = structure(camera_exif()).replace(b"Voigtl?nder", b"Voigtl\xc3\xa4nde")
    for suffix in (".png", ".tif", ".jpg"):
        write_photograph(tmp_path / f"a{suffix}", picture(), exif=exif)
        exif = read_photograph(tmp_path / f"a{suffix}").exif
        assert "Voigtlände & Sohn".encode() in exif


@pytest.mark.filterwarnings("ignore::UserWarning")  # from Pillow
def test_randomly_damaged_exif_data_never_prevent_reading_or_writing(tmp_path):
    """Random bytes of the EXIF data are damaged, a hundred times."""
    rng = np.random.default_rng(0)
    Image.fromarray(np.uint8(picture(16, 24) * 255)).save(tmp_path / "a.jpg", exif=camera_exif(6))
    data = (tmp_path / "a.jpg").read_bytes()
    start = data.index(b"Exif\0\0") + 6
    for _ in range(100):
        damaged = bytearray(data)
        for place in rng.integers(start, start + len(structure(camera_exif())), 4):
            damaged[place] = rng.integers(256)
        (tmp_path / "b.jpg").write_bytes(damaged)
        photograph = read_photograph(tmp_path / "b.jpg")
        for name in ("c.png", "c.tif"):
            write_photograph(tmp_path / name, photograph.image, exif=photograph.exif)
            assert read_photograph(tmp_path / name).image.shape == photograph.image.shape


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_becomes_rgb(tmp_path, suffix):
    """The profile for ink is dropped."""
    bands = np.zeros((16, 64, 4), np.uint8)
    for index in range(4):
        bands[:, 16 * index : 16 * index + 16, index] = 255
    Image.fromarray(bands, "CMYK").save(tmp_path / f"a{suffix}", icc_profile=b"ink" * 100)
    photograph = read_photograph(tmp_path / f"a{suffix}")
    assert (photograph.alpha, photograph.icc, photograph.bits) == (None, None, 8)
    seen = photograph.image[8, 8::16]
    np.testing.assert_allclose(seen, [(0, 1, 1), (1, 0, 1), (1, 1, 0), (0, 0, 0)], atol=0.05)


def test_a_transparent_color_of_a_palette_is_alpha(tmp_path):
    image = Image.new("P", (4, 3), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.png", transparency=0)
    photograph = read_photograph(tmp_path / "a.png")
    assert photograph.alpha[0, 0] == 0
    assert (photograph.alpha.ravel()[1:] == 1).all()
    assert np.allclose(photograph.image[1, 1], [0, 0, 1])


@pytest.mark.parametrize("mode", ["L", "1", "I;16"])
def test_gray_stays_gray(tmp_path, mode):
    Image.new(mode, (4, 3), 1).save(tmp_path / "a.png")
    assert read_photograph(tmp_path / "a.png").image.shape == (3, 4, 1)


def test_a_folder_is_refused_as_a_photograph(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(MediaError, match="a.png: cannot be read"):
        read_photograph(tmp_path / "a.png")


def test_floating_point_samples_are_refused(tmp_path):
    Image.new("F", (4, 3), 0.5).save(tmp_path / "a.tif")
    with pytest.raises(MediaError, match="float32: save it with 8 or 16 bits"):
        read_photograph(tmp_path / "a.tif")


def test_an_impossibly_large_image_is_refused(tmp_path):
    """The header of a tiny file claims ten billion pixels."""
    file = io.BytesIO()
    Image.new("L", (4, 3)).save(file, "png")
    data = bytearray(file.getvalue())
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(MediaError, match="this photograph cannot be read"):
        read_photograph(tmp_path / "a.png")


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory usage from Linux")
def test_a_large_scan_needs_little_more_memory_than_its_pixels(tmp_path):
    """The pixels take 432 MB as float32."""
    code = f"""
import resource, sys
import numpy as np
from oldfilm.media import read_photograph, write_photograph
path = {str(tmp_path / "a.jpg")!r}
write_photograph(path, np.zeros((10, 10, 3), np.float32))
read_photograph(path)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
image = np.full((6000, 6000, 3), 0.5, np.float32)
before = peak()
write_photograph(path, image)
written = peak() - before
del image
again = read_photograph(path)
print(written, peak() - before)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    written, both = map(float, result.stdout.split())
    assert written < 300
    assert both < 400


def test_damage_to_a_readable_photograph_is_reported(tmp_path):
    path = tmp_path / "a.tif"
    write_photograph(path, picture(300, 300))
    assert read_photograph(path).damage is None
    data = path.read_bytes()
    half = len(data) // 2
    path.write_bytes(data[:half] + bytes(100) + data[half + 100 :])
    photograph = read_photograph(path)
    assert photograph.image.shape == (300, 300, 3)
    assert "damaged" in photograph.damage


def test_pillows_limit_of_pixels_is_neither_changed_nor_applied(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    write_photograph(tmp_path / "a.jpg", picture(), exif=structure(camera_exif()))
    photograph = read_photograph(tmp_path / "a.jpg")
    assert photograph.damage is None
    assert photograph.exif is not None
    assert Image.MAX_IMAGE_PIXELS == 5
