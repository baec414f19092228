"""Every kind of TIFF file is read as it is meant, or refused in one line."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from oldfilm.errors import MediaError
from oldfilm.media import Photograph, read_photograph, write_pages, write_photograph

WIDTH, HEIGHT = 43, 31


def colors(depth=np.uint8):
    """Return a smooth picture with noise, [h, w, 3]."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 43
    rng = np.random.default_rng(7)
    image = np.stack([x, y, 0.5 + 0.4 * np.sin(6 * x * y)], -1) + rng.normal(0, 0.02, (1, WIDTH, 3))
    return np.rint(np.clip(image, 0, 1) * np.iinfo(depth).max).astype(depth)


def gray(depth=np.uint8):
    return np.ascontiguousarray(colors(depth)[..., 2])


def packed(values, bits):
    """Return integers of a few bits as TIFF stores them: each row begins with a new byte."""
    flags = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(flags.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def raw_tiff(path, tags, data, order="<", big=False):
    """Write a TIFF file of one strip by hand. tags: numbers by tag; values are LONG or lists."""
    tags = {256: WIDTH, 257: HEIGHT, 259: 1, 277: 1, 278: HEIGHT, 279: len(data), **tags, 273: 0}
    entry, head = (20, 24) if big else (12, 10)
    size = head + entry * len(tags) + (8 if big else 4)
    more, rows = b"", []
    for tag, value in sorted(tags.items()):
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        kind, code = (3, "H") if len(values) > 1 or tag in (258, 262, 284, 339) else (4, "I")
        content = struct.pack(f"{order}{len(values)}{code}", *values)
        rows.append([tag, kind, len(values), content])
    for row in rows:
        if len(row[3]) > (8 if big else 4):
            more += row[3]
            row[3] = struct.pack(order + ("Q" if big else "I"), size + len(more) - len(row[3]))
    place = struct.pack(f"{order}I", size + len(more))
    text = b"".join(
        struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count)
        + (place if tag == 273 else content).ljust(8 if big else 4, b"\0")
        for tag, kind, count, content in rows
    )
    name = b"II" if order == "<" else b"MM"
    start = (
        struct.pack(f"{order}HHHQQ", 43, 8, 0, 16, len(rows))
        if big
        else struct.pack(f"{order}HIH", 42, 8, len(rows))
    )
    path.write_bytes(name + start + text + bytes(8 if big else 4) + more + data)
    return path


def read(path):
    """Read a photograph and return its image in the integers of its depth."""
    found = read_photograph(path)
    most = 255 if found.bits == 8 else 65535
    return found, np.rint(found.image * most).astype(int)


def refusal(path):
    with pytest.raises(MediaError) as caught:
        read_photograph(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("order", "<>")
def test_white_is_zero_in_16_bits(tmp_path, order):
    data = (65535 - gray(np.uint16)).astype(f"{order}u2").tobytes()
    path = raw_tiff(tmp_path / "miniswhite16.tif", {258: 16, 262: 0}, data, order)
    found, image = read(path)
    assert found.bits == 16
    assert np.array_equal(image[..., 0], gray(np.uint16))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_planes_that_are_stored_one_after_another(tmp_path, depth, tile):
    path = tmp_path / "planar16.tif"
    planes = np.moveaxis(colors(depth), 2, 0)
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", tile=tile)
    assert np.array_equal(read(path)[1], colors(depth))


@pytest.mark.parametrize("bits", [8, 16])
def test_cielab_becomes_srgb(tmp_path, bits):
    lab = cv2.cvtColor(cv2.blur(colors(), (5, 5)).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    unit, kind = (1, np.int8) if bits == 8 else (256, np.int16)
    most = 255 if bits == 8 else 65535
    stored = np.empty(lab.shape, f"u{bits // 8}")
    stored[..., 0] = np.rint(lab[..., 0] * most / 100)
    stored[..., 1:] = np.rint(lab[..., 1:] * unit).astype(kind).view(stored.dtype)
    tags = {258: [bits] * 3, 262: 8, 277: 3}
    found = read_photograph(raw_tiff(tmp_path / "lab.tif", tags, stored.tobytes()))
    picture = Image.fromarray(
        stored if bits == 8 else ((stored.astype(int) + 128) >> 8).astype(np.uint8)
    )
    lcms = ImageCms.profileToProfile(
        Image.frombytes("LAB", picture.size, picture.tobytes()),
        ImageCms.createProfile("LAB"),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    assert np.abs(found.image.mean((0, 1)) * 255 - np.array(lcms).mean((0, 1))).max() < 1.5
    assert found.icc is None


def test_transparency_that_is_not_premultiplied_leaves_the_colors_alone(tmp_path):
    path, alpha = tmp_path / "unassoc.tif", np.full((HEIGHT, WIDTH, 1), 128, np.uint8)
    tifffile.imwrite(
        path, np.dstack([colors(), alpha]), photometric="rgb", extrasamples=["unassalpha"]
    )
    found, image = read(path)
    assert np.array_equal(image, colors())
    assert set(np.rint(found.alpha * 255).ravel()) == {128}
    write_pages(tmp_path / "b.tif", [found])
    again, image = read(tmp_path / "b.tif")
    assert np.array_equal(image, colors())
    assert np.array_equal(again.alpha, found.alpha)


def test_premultiplied_colors_are_divided_by_their_transparency(tmp_path):
    alpha = np.full((HEIGHT, WIDTH, 1), 200, np.uint8)
    stored = np.rint(colors() * (200 / 255)).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.dstack([stored, alpha]),
        photometric="rgb",
        extrasamples=["assocalpha"],
    )
    assert np.abs(read(tmp_path / "a.tif")[1] - colors()).max() <= 1


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_infrared_is_kept_as_an_extra_channel(tmp_path, depth):
    path = tmp_path / "rgbi.tif"
    infrared = gray(depth)[..., None]
    tifffile.imwrite(
        path, np.dstack([colors(depth), infrared]), photometric="rgb", extrasamples=["unspecified"]
    )
    found, image = read(path)
    assert found.alpha is None
    assert np.array_equal(image, colors(depth))
    assert write_pages(tmp_path / "b.tif", [found]) == []
    with tifffile.TiffFile(tmp_path / "b.tif") as written:
        page = written.pages[0]
        assert [int(kind) for kind in page.extrasamples] == [0]
        assert np.array_equal(page.asarray()[..., 3], infrared[..., 0])
    (note,) = write_pages(tmp_path / "b.png", [found])
    assert "infrared" in note


def test_big_tiff_keeps_its_tags(tmp_path):
    path = tmp_path / "big.tif"
    tifffile.imwrite(
        path, colors(), bigtiff=True, photometric="rgb", description="A scan", metadata=None,
        resolution=(300, 300), resolutionunit=2, extratags=[(315, 2, None, "Ann", True)],
    )  # fmt: skip
    found, image = read(path)
    assert np.array_equal(image, colors())
    for name in ("b.tif", "b.png", "b.jpg"):
        write_pages(tmp_path / name, [found])
        with Image.open(tmp_path / name) as result:
            exif = result.getexif()
            assert (exif[270], exif[315], exif[282]) == ("A scan", "Ann", 300)
            assert tuple(round(n) for n in result.info["dpi"]) == (300, 300)
            assert not set(exif) - {*range(254, 340), 34665, 34853}


@pytest.mark.parametrize("order", "<>")
def test_a_big_tiff_by_hand_in_both_byte_orders(tmp_path, order):
    tags = {258: 16, 262: 1, 274: 6}
    data = gray(np.uint16).astype(f"{order}u2").tobytes()
    found, image = read(raw_tiff(tmp_path / "a.tif", tags, data, order, big=True))
    assert np.array_equal(image[..., 0], np.rot90(gray(np.uint16), -1))


def test_all_pages_are_read_and_written(tmp_path):
    with tifffile.TiffWriter(tmp_path / "multi.tif") as writer:
        for page in range(3):
            writer.write(np.roll(colors(), page, 1), photometric="rgb")
    first = read_photograph(tmp_path / "multi.tif")
    assert first.pages == 3
    pages = [read_photograph(tmp_path / "multi.tif", number) for number in range(3)]
    exif = Image.Exif()
    exif[271] = "Ernemann"
    metadata = {"exif": exif.tobytes()[6:], "icc": profile()}
    described = [Photograph(page.image, **metadata) for page in pages]
    write_pages(tmp_path / "b.tif", described)
    for number in range(3):
        written = read_photograph(tmp_path / "b.tif", number)
        assert written.pages == 3
        assert np.array_equal(written.image, pages[number].image)
    with Image.open(tmp_path / "b.tif") as result:
        assert (result.n_frames, result.getexif()[271]) == (3, "Ernemann")
        assert result.info["icc_profile"] == profile()


def profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()[:24] + bytes(600)


def test_a_preview_is_not_a_page(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(colors()[::4, ::4], photometric="rgb", subfiletype=1)
        writer.write(colors(), photometric="rgb")
    found, image = read(tmp_path / "a.tif")
    assert found.pages == 1
    assert np.array_equal(image, colors())


def test_sub_images_are_not_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(colors(), photometric="rgb", subifds=1)
        writer.write(colors()[::2, ::2], photometric="rgb", subfiletype=1)
    found, image = read(tmp_path / "a.tif")
    assert found.pages == 1
    assert np.array_equal(image, colors())


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 10, 12, 14])
def test_integers_of_any_bit_depth_fill_the_whole_range(tmp_path, bits):
    top = (1 << bits) - 1
    values = (gray(np.uint16).astype(int) * top) // 65535
    values[0, :2] = 0, top
    path = raw_tiff(tmp_path / "a.tif", {258: bits, 262: 1}, packed(values, bits))
    found, image = read(path)
    assert found.bits == (8 if bits < 8 else 16)
    assert np.abs(found.image[..., 0] - values / top).max() < 1 / 250 if bits < 8 else 1 / 65000
    assert (image.min(), image.max()) == (0, 255 if bits < 8 else 65535)


@pytest.mark.parametrize("fill_order", [1, 2])
def test_bits_in_both_orders(tmp_path, fill_order):
    values = (gray() > 128).astype(int)
    data = packed(values, 1)
    if fill_order == 2:
        flags = np.unpackbits(np.frombuffer(data, np.uint8))
        data = np.packbits(flags, bitorder="little").tobytes()
    path = raw_tiff(tmp_path / "a.tif", {258: 1, 262: 0, 266: fill_order}, data)
    assert np.array_equal(read(path)[1][..., 0] == 0, values == 1)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "packbits", "tiff_lzw"])
def test_black_and_white_of_all_compressions(tmp_path, compression):
    picture = Image.fromarray(gray() > 128)
    picture.save(tmp_path / "a.tif", compression=compression)
    assert np.array_equal(read(tmp_path / "a.tif")[1][..., 0] > 0, gray() > 128)


@pytest.mark.parametrize(
    "compression", ["raw", "tiff_lzw", "packbits", "tiff_deflate", "tiff_adobe_deflate", "zstd"]
)
@pytest.mark.parametrize("predictor", [1, 2])
def test_lossless_compression(tmp_path, compression, predictor):
    path = tmp_path / "a.tif"
    picture = Image.fromarray(colors())
    picture.save(path, compression=compression, tiffinfo={317: predictor, 278: 5})
    assert np.array_equal(read(path)[1], colors())


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("compression", [None, "zlib", "lzma"])
def test_16_bits_in_both_byte_orders_in_strips_and_tiles(tmp_path, order, tile, compression):
    path, predictor = tmp_path / "a.tif", compression == "zlib"
    tifffile.imwrite(
        path, colors(np.uint16), photometric="rgb", byteorder=order, tile=tile,
        compression=compression, predictor=predictor, rowsperstrip=None if tile else 7,
    )  # fmt: skip
    assert np.array_equal(read(path)[1], colors(np.uint16))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_in_tiff(tmp_path, mode):
    smooth = Image.fromarray(cv2.blur(colors(), (9, 9))).convert(mode)
    smooth.save(tmp_path / "a.tif", compression="jpeg", quality=95)
    image = read(tmp_path / "a.tif")[1]
    assert np.abs(np.squeeze(image) - np.array(smooth).astype(int)).mean() < 4


def test_palettes_of_8_and_16_bits(tmp_path):
    picture = Image.fromarray(colors()).quantize(32)
    picture.save(tmp_path / "a.tif")
    found, image = read(tmp_path / "a.tif")
    assert found.bits == 8
    assert np.array_equal(image, np.array(picture.convert("RGB")))
    indices, table = gray() // 16, np.random.default_rng(0).integers(0, 65536, (3, 256))
    tags = {258: 8, 262: 3, 320: table.ravel().tolist()}
    found, image = read(raw_tiff(tmp_path / "b.tif", tags, indices.tobytes()))
    assert found.bits == 16
    assert np.array_equal(image, table.T[indices])


def test_cmyk_of_16_bits_becomes_rgb_of_16_bits(tmp_path):
    inks = np.zeros((HEIGHT, WIDTH, 4), np.uint16)
    inks[..., 0], inks[:5, :, 3] = 65535, 65535
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, inks, photometric="separated", planarconfig="contig")
    found, image = read(path)
    assert found.bits == 16
    assert (image[0, 0].tolist(), image[9, 9].tolist()) == ([0, 0, 0], [0, 65535, 65535])
    assert found.notes == ("CMYK was converted to sRGB",)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
def test_ycbcr_becomes_rgb(tmp_path, compression):
    ycbcr = Image.fromarray(cv2.blur(colors(), (9, 9))).convert("YCbCr")
    ycbcr.save(tmp_path / "a.tif", compression=compression)
    image = read(tmp_path / "a.tif")[1]
    assert np.abs(image - np.array(ycbcr.convert("RGB")).astype(int)).max() == 0


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((9, 9), np.float32), "float32: save it with 8 or 16 bits"),
        (np.zeros((9, 9, 3), np.float16), "float16: save it with 8 or 16 bits"),
        (np.zeros((9, 9), np.int16), "int16: save it with 8 or 16 bits"),
        (np.zeros((9, 9), np.uint32), "uint32: save it with 8 or 16 bits"),
        (np.zeros((9, 9), np.complex64), "save it with 8 or 16 bits"),
    ],
)
def test_samples_that_are_not_positive_integers_are_refused(tmp_path, array, message):
    photometric = "rgb" if array.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=photometric)
    assert message in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({258: 16, 262: 32803}, "develop it to a TIFF"),
        ({258: 16, 262: 1, 50706: 0x401}, "develop it to a TIFF"),
        ({258: 16, 262: 32844}, "its colors (LogL) are not read: save it in RGB"),
        ({258: 8, 262: 4}, "its colors (a mask) are not read"),
        ({258: 8, 262: 1, 259: 33000}, "save it with LZW compression"),
        ({258: 8, 262: 5}, "inks other than CMYK"),
        ({258: 8, 262: 1, 256: 100_000, 257: 100_000}, "too many pixels"),
    ],
)
def test_other_kinds_are_refused_in_one_line(tmp_path, tags, message):
    data = bytes(2 * WIDTH * HEIGHT)
    assert message in refusal(raw_tiff(tmp_path / "a.tif", tags, data))


def test_damage_in_one_strip_leaves_the_others(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colors(), photometric="rgb", compression="zlib", rowsperstrip=5)
    with tifffile.TiffFile(path) as file:
        place, length = (
            tags[2] for tags in (file.pages[0].dataoffsets, file.pages[0].databytecounts)
        )
    data = bytearray(path.read_bytes())
    data[place : place + length] = b"\xff" * length
    path.write_bytes(data)
    found, image = read(path)
    assert "1 parts of the image cannot be decoded" in found.damage
    intact = np.r_[:10, 15:HEIGHT]
    assert np.array_equal(image[intact], colors()[intact])


def test_a_single_strip_that_is_cut_short_is_read_up_to_there(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colors(), photometric="rgb", compression="zlib", rowsperstrip=HEIGHT)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    found, image = read(path)
    assert "cannot be decoded" in found.damage
    assert np.array_equal(image[:10], colors()[:10])
    assert not image[-1].any()


def test_xmp_iptc_resolution_and_profile_survive(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6">Ann</r></x:xmpmeta>'
    iptc = b"\x1c\x02\x78\x00\x0bA town hall."[:-1]
    exif = Image.Exif()
    exif[271], exif[274] = "Ernemann", 6
    Image.fromarray(colors()).save(
        tmp_path / "a.tif", exif=exif, dpi=(600, 300), icc_profile=profile(),
        tiffinfo={700: xmp, 33723: iptc},
    )  # fmt: skip
    found = read_photograph(tmp_path / "a.tif")
    upright = xmp.replace(b'"6"', b'"1"')
    assert (found.xmp, found.iptc, found.icc) == (upright, iptc, profile())
    for name in ("b.tif", "b.jpg", "b.png"):
        notes = write_pages(tmp_path / name, [found])
        assert notes == (
            ["b.png: the IPTC data was left out: png cannot hold it"] if name == "b.png" else []
        )
        again = read_photograph(tmp_path / name)
        assert (again.xmp, again.icc) == (upright, profile())
        assert again.iptc == (None if name == "b.png" else iptc)
        with Image.open(tmp_path / name) as result:
            assert tuple(round(n) for n in result.info["dpi"]) == (600, 300)


def test_the_resolution_of_a_jpeg_or_png_without_exif_survives(tmp_path):
    for name in ("a.jpg", "a.png"):
        Image.fromarray(colors()).save(tmp_path / name, dpi=(400, 400))
        found = read_photograph(tmp_path / name)
        for result in ("b.tif", "b.png", "b.jpg"):
            write_pages(tmp_path / result, [found])
            assert round(Image.open(tmp_path / result).info["dpi"][0]) == 400


def test_a_written_tiff_is_read_alike_by_other_libraries(tmp_path):
    for depth, bits in ((np.uint8, 8), (np.uint16, 16)):
        image = colors(depth).astype(np.float32) / np.iinfo(depth).max
        write_photograph(tmp_path / "a.tif", image, bits=bits)
        assert np.array_equal(cv2.imread(str(tmp_path / "a.tif"), -1)[..., ::-1], colors(depth))
    out = io.BytesIO()
    Image.open(tmp_path / "a.tif").save(out, "PNG")
    assert zlib.crc32(out.getvalue())
