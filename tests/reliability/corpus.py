"""Reproducible damaged inputs, made from real files.

`damaged_inputs` lists them; `Damaged.write` writes one. Each has a random seed of its own.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save

from tests.films import ffmpeg, make_film
from tests.weights import torch_files

ROOT = Path(__file__).parents[2]
REAL_FILM = ROOT.parent / "shared" / "data" / "films" / "market-street-1906.mkv"
SIZE = (48, 32)

Change = Callable[[bytes, random.Random], bytes]
"""Damages the content of a file."""


@dataclass(frozen=True)
class Damaged:
    """One damaged input.

    kind: what reads it: "film", "photograph", "folder", "manifest", "config", "presets", "weights".
    original: the file that was damaged. damage: a short description. content: of the damaged file,
    or of the files in a folder by name.
    """

    kind: str
    original: str
    damage: str
    number: int
    content: Callable[[], bytes | dict[str, bytes]]
    name: str

    @property
    def title(self) -> str:
        return f"{self.original}, {self.damage} {self.number}"

    def write(self, folder: Path) -> Path:
        """Write the input into an empty folder; returns its path."""
        path, content = folder / self.name, self.content()
        if isinstance(content, bytes):
            path.write_bytes(content)
            return path
        path.mkdir()
        for name, data in content.items():
            (path / name).write_bytes(data)
        return path


# Originals: real files.

_FILMS = {
    "h264.mp4": ("-g", "5", "-c:a", "aac"),
    "h264.mov": ("-bf", "0", "-g", "4", "-c:a", "pcm_s16le"),
    "hevc.mp4": ("-c:v", "libx265", "-x265-params", "log-level=error:keyint=5", "-tag:v", "hvc1"),
    "prores.mov": ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le", "-c:a", "pcm_s16le"),
    "ffv1.mkv": ("-c:v", "ffv1", "-slicecrc", "1", "-g", "1", "-c:a", "flac"),
    "h264.mkv": ("-g", "5", "-c:a", "libmp3lame"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-b:v", "0", "-g", "5", "-c:a", "libopus"),
    "vp8.webm": ("-c:v", "libvpx", "-b:v", "200k", "-g", "5", "-c:a", "libvorbis"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-q:v", "3", "-g", "5", "-c:a", "libmp3lame"),
    "mpeg2.mpg": ("-c:v", "mpeg2video", "-q:v", "3", "-g", "5", "-c:a", "mp2"),
    "h264.ts": ("-g", "5", "-c:a", "aac"),
    "flv1.flv": ("-c:v", "flv", "-q:v", "3", "-g", "5", "-c:a", "libmp3lame"),
    "wmv2.wmv": ("-c:v", "wmv2", "-q:v", "3", "-g", "5", "-c:a", "wmav2"),
}
_EXACT = ("-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact")


class Originals:
    """Small real films, written to `folder` when they are first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def film(self, name: str) -> bytes:
        return self._kept(name, lambda path: self._make(path, name))

    def _make(self, path: Path, name: str) -> None:
        rate = "25" if name.endswith(".mpg") else "16"
        if name == "film.gif":
            make_film(path, 8, rate, SIZE, options=("-pix_fmt", "rgb24", *_EXACT))
        elif name == "real.mkv":
            ffmpeg("-i", REAL_FILM, "-frames:v", "6", "-c", "copy", *_EXACT, path)
        else:
            options = (*_FILMS[name], *_EXACT)
            make_film(path, 12, rate, SIZE, sound=True, options=options)

    def unusual(self, name: str, frames: int = 8, **options) -> bytes:
        """Return an intact but unusual film."""
        given = (*options.pop("options", ()), *_EXACT)
        size = options.pop("size", SIZE)
        return self._kept(
            name, lambda path: make_film(path, frames, size=size, options=given, **options)
        )

    def changed(self, name: str, source: str, *options: str) -> bytes:
        """Return a film that ffmpeg has converted with options."""
        self.film(source)
        return self._kept(
            name, lambda path: ffmpeg("-i", self.folder / source, *options, *_EXACT, path)
        )

    def _kept(self, name: str, make: Callable[[Path], object]) -> bytes:
        """Return a film; `make` writes it first if it does not exist.

        Several processes may write it at the same time, each to a file of its own.
        """
        path = self.folder / name
        if not path.exists():
            unfinished = path.with_name(f"{os.getpid()}-{name}")
            make(unfinished)
            unfinished.replace(path)
        return path.read_bytes()


def photograph(name: str) -> bytes:
    """Return a 40 x 30 photograph: `jpg`, `cmyk.jpg`, `png`, `alpha.png`, `16.png`, ..."""
    import io

    y, x = np.mgrid[:30, :40]
    codes = np.stack([6 * x, 8 * y, (x * y) % 256], -1).astype(np.uint8)
    kind, _, suffix = name.rpartition(".")
    if kind in _TIFFS:
        return _tiff(codes, kind)
    if suffix in ("dpx", "exr"):
        return _scan(codes, suffix)
    picture = Image.fromarray(codes)
    if kind == "cmyk":
        picture = picture.convert("CMYK")
    elif kind == "alpha":
        picture.putalpha(128)
    elif kind == "palette":
        picture = picture.quantize(16)
    elif kind == "16":
        picture = Image.fromarray(codes[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[274] = 6
    out = io.BytesIO()
    if kind == "fax":
        picture = picture.convert("1")
    form = {"jpg": "JPEG", "jfif": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}
    form = form.get(suffix, suffix.upper())
    more = {"exif": exif} if form in ("JPEG", "WEBP", "PNG") else {}
    more |= {"compression": "group4"} if kind == "fax" else {}
    picture.save(out, form, **more)
    return out.getvalue()


_TIFFS: dict[str, dict] = {
    "white": {"photometric": "miniswhite", "compression": "zlib"},
    "planes": {"photometric": "rgb", "planarconfig": "separate", "byteorder": ">"},
    "tiles": {"photometric": "rgb", "tile": (16, 16), "compression": "zlib", "predictor": True},
    "infrared": {"photometric": "rgb", "extrasamples": ["unspecified"], "bigtiff": True},
    "pages": {"photometric": "rgb", "rowsperstrip": 7},
}
"""How tifffile writes TIFF files of some kinds."""


def _tiff(codes: np.ndarray, kind: str) -> bytes:
    """Return a TIFF file of 16 bits. codes: uint8 [h, w, 3]."""
    import io

    import tifffile

    codes = codes.astype(np.uint16) * 257
    shaped = {
        "white": codes[..., 0],
        "planes": np.moveaxis(codes, 2, 0),
        "infrared": np.dstack([codes, codes[..., 0]]),
        "pages": np.stack([codes] * 3),
    }
    out = io.BytesIO()
    facts = {"metadata": None, "software": False, **_TIFFS[kind]}
    tifffile.imwrite(out, shaped.get(kind, codes), **facts)
    return out.getvalue()


def _scan(codes: np.ndarray, form: str) -> bytes:
    """Return a DPX or an OpenEXR file. codes: uint8 [h, w, 3]."""
    import av

    pixels = {"dpx": "gbrp10be", "exr": "gbrpf32le"}[form]
    encoder = av.CodecContext.create(form, "w")
    encoder.width, encoder.height, encoder.pix_fmt = codes.shape[1], codes.shape[0], pixels
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(codes, format="rgb24").reformat(format=pixels)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


PHOTOGRAPHS = (
    *("jpg", "cmyk.jpg", "png", "alpha.png", "palette.png", "16.png"),
    *("tif", "webp", "alpha.webp", "bmp"),
    *("white.tif", "planes.tif", "tiles.tif", "infrared.tif", "pages.tif", "fax.tif"),
    *("avif", "jp2", "tga", "dpx", "exr"),
)


def arrays() -> dict[str, np.ndarray]:
    """Return the weights of a small network."""
    chance = np.random.default_rng(0)
    shapes = {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "norm._mean": (4,)}
    return {n: chance.normal(size=shape).astype(np.float32) for n, shape in shapes.items()}


def torch_file() -> bytes:
    return torch_files.content({"state_dict": torch_files.tensors(arrays())})


def old_torch_file() -> bytes:
    """Return a file in the layout before torch 1.6."""
    return torch_files.content({"state_dict": torch_files.tensors(arrays())}, old=True)


# Damage for any file.


def cut_at(share: float) -> Change:
    return lambda data, _: data[: int(len(data) * share)]


def cut_to(count: int) -> Change:
    return lambda data, _: data[:count]


def beginning_lost(count: int) -> Change:
    return lambda data, _: data[count:]


def bits_flipped(count: int, within: int | None = None) -> Change:
    def change(data: bytes, chance: random.Random) -> bytes:
        out = bytearray(data)
        for _ in range(count if out else 0):
            out[chance.randrange(min(len(out), within or len(out)))] ^= 1 << chance.randrange(8)
        return bytes(out)

    return change


def filled(byte: int | None, share: float) -> Change:
    """Overwrite a part with one byte, or with random bytes."""

    def change(data: bytes, chance: random.Random) -> bytes:
        count = max(1, int(len(data) * share))
        at = chance.randrange(max(1, len(data) - count))
        fill = chance.randbytes(count) if byte is None else bytes([byte]) * count
        return data[:at] + fill + data[at + count :]

    return change


def lost(share: float) -> Change:
    def change(data: bytes, chance: random.Random) -> bytes:
        count = max(1, int(len(data) * share))
        at = chance.randrange(max(1, len(data) - count))
        return data[:at] + data[at + count :]

    return change


def twice(share: float) -> Change:
    def change(data: bytes, chance: random.Random) -> bytes:
        count = max(1, int(len(data) * share))
        at = chance.randrange(max(1, len(data) - count))
        return data[: at + count] + data[at:]

    return change


def numbers(*values: int, within: int) -> Change:
    """Overwrite four bytes near the beginning with a suspicious number."""

    def change(data: bytes, chance: random.Random) -> bytes:
        at = chance.randrange(max(1, min(within, len(data) - 4)))
        value = chance.choice(values)
        number = struct.pack(chance.choice("<>") + "I", value)
        return data[:at] + number + data[at + 4 :]

    return change


_SUSPICIOUS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 0xFFFF0000)

_ANY: tuple[tuple[str, tuple[Change, ...]], ...] = (
    ("cut short", tuple(cut_at(n / 20) for n in range(1, 20))),
    ("cut short", tuple(cut_to(n) for n in (0, 1, 3, 4, 8, 12, 16, 32, 64, 100, 200))),
    ("cut short", tuple(cut_at(1 - n / 1000) for n in (1, 3, 10, 30))),
    ("beginning lost", tuple(beginning_lost(n) for n in (1, 4, 16, 100, 1000))),
    ("bits flipped", tuple(bits_flipped(n) for n in (1, 1, 1, 1, 1, 3, 3, 10, 10, 30, 100, 1000))),
    ("header's bits flipped", tuple(bits_flipped(n, 200) for n in (1,) * 10 + (4,) * 3)),
    ("a part overwritten", tuple(filled(b, s) for b in (0, 255, None) for s in (0.01, 0.2))),
    ("a part lost", tuple(lost(s) for s in (0.001, 0.01, 0.1, 0.5))),
    ("a part twice", tuple(twice(s) for s in (0.001, 0.01, 0.1, 1))),
    ("absurd numbers", tuple(numbers(*_SUSPICIOUS, within=600) for _ in range(10))),
)


def _any_damage(
    kind: str, original: str, name: str, read: Callable[[], bytes]
) -> Iterator[Damaged]:
    for damage, changes in _ANY:
        for number, change in enumerate(changes):
            yield _damaged(kind, original, f"{damage}", number, name, read, change)


def _damaged(
    kind: str,
    original: str,
    damage: str,
    number: int,
    name: str,
    read: Callable[[], bytes],
    change: Change = lambda data, _: data,
) -> Damaged:
    seed = f"{original}/{damage}/{number}"
    return Damaged(
        kind, original, damage, number, lambda: change(read(), random.Random(seed)), name
    )


# Films.


def _films(originals: Originals) -> Iterator[Damaged]:
    names = [*_FILMS, "film.gif"]
    if REAL_FILM.exists():
        names.append("real.mkv")
    for name in names:
        suffix = Path(name).suffix
        read = _reader(originals, name)
        yield from _any_damage("film", name, f"film{suffix}", read)
        for number, other in enumerate(
            ("mpeg4.avi", "ffv1.mkv", "h264.mp4", "film.gif", "h264.ts")
        ):
            for count in (16, 400):
                swap = _headed(_reader(originals, other), count)
                yield _damaged(
                    "film",
                    name,
                    f"header of another ({count})",
                    number,
                    f"film{suffix}",
                    read,
                    swap,
                )
        for number, other in enumerate((".mp4", ".avi", ".gif", ".mpg", ".unknown", "")):
            yield _damaged("film", name, "another suffix", number, f"film{other}", read)
        for number, other in enumerate((".png", ".jpg")):
            yield _damaged("photograph", name, "called a picture", number, f"film{other}", read)
    yield from _boxes(originals)
    yield from _fields(originals)
    yield from _unusual(originals)
    yield from _not_films(originals)


def _reader(originals: Originals, name: str) -> Callable[[], bytes]:
    return lambda: originals.film(name)


def _headed(other: Callable[[], bytes], count: int) -> Change:
    return lambda data, _: other()[:count] + data[count:]


_NESTED = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"mvex"}


def boxes(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int, bytes]]:
    """Yield (position, size, kind) of the boxes of an mp4, each before the boxes inside it."""
    at, stop = start, len(data) if stop is None else stop
    while at + 8 <= stop:
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if size < 8:
            return
        yield at, size, kind
        if kind in _NESTED:
            yield from boxes(data, at + 8, min(at + size, stop))
        at += size


def _boxes(originals: Originals) -> Iterator[Damaged]:
    for name in ("h264.mp4", "prores.mov"):
        read, called = _reader(originals, name), f"film{Path(name).suffix}"
        data = read()
        found = list(boxes(data))
        for number in range(len(found)):
            yield _damaged(
                "film", name, "a box removed", number, called, read, _box_removed(number)
            )
            yield _damaged("film", name, "a box twice", number, called, read, _box_twice(number))
            for size in (0, 0x7FFFFFFF):
                change = _box_sized(number, size)
                yield _damaged(
                    "film", name, f"a box of size {size:#x}", number, called, read, change
                )
            if found[number][2] not in _NESTED | {b"mdat", b"free", b"ftyp"}:
                for times in range(2):
                    change = _box_numbers(number)
                    damage = f"absurd numbers in {found[number][2].decode('latin1')}"
                    index = 10 * number + times
                    yield _damaged("film", name, damage, index, called, read, change)
        outer = sum(1 for at, size, _ in found if _is_outer(found, at))
        for number in range(6):
            yield _damaged("film", name, "boxes reordered", number, called, read, _reordered(outer))


def _is_outer(found: list[tuple[int, int, bytes]], at: int) -> bool:
    return not any(a < at < a + size for a, size, _ in found)


def _box_removed(number: int) -> Change:
    def change(data: bytes, _: random.Random) -> bytes:
        at, size, _kind = list(boxes(data))[number]
        return _resized(data, at, -size)[:at] + data[at + size :]

    return change


def _box_twice(number: int) -> Change:
    def change(data: bytes, _: random.Random) -> bytes:
        at, size, _kind = list(boxes(data))[number]
        return _resized(data, at, size)[: at + size] + data[at:]

    return change


def _resized(data: bytes, at: int, by: int) -> bytes:
    """Correct the sizes of the boxes around position `at`."""
    out = bytearray(data)
    for outer, size, _kind in boxes(data):
        if outer < at < outer + size:
            out[outer : outer + 4] = struct.pack(">I", size + by)
    return bytes(out)


def _box_sized(number: int, size: int) -> Change:
    def change(data: bytes, _: random.Random) -> bytes:
        at = list(boxes(data))[number][0]
        return data[:at] + struct.pack(">I", size) + data[at + 4 :]

    return change


def _box_numbers(number: int) -> Change:
    def change(data: bytes, chance: random.Random) -> bytes:
        at, size, _kind = list(boxes(data))[number]
        out = bytearray(data)
        for _ in range(2):
            place = at + 8 + 4 * chance.randrange(max(1, (size - 8) // 4))
            out[place : place + 4] = struct.pack(">I", chance.choice(_SUSPICIOUS))
        return bytes(out)

    return change


def _reordered(outer: int) -> Change:
    def change(data: bytes, chance: random.Random) -> bytes:
        found = list(boxes(data))
        parts = [data[at : at + size] for at, size, _ in found if _is_outer(found, at)]
        chance.shuffle(parts)
        return b"".join(parts)

    return change


def _after(marker: bytes, skip: int, value: bytes, which: int = 0) -> Change:
    """Write `value` at `skip` bytes after a marker."""

    def change(data: bytes, _: random.Random) -> bytes:
        at = -1
        for _n in range(which + 1):
            at = data.index(marker, at + 1)
        at += len(marker) + skip
        return data[:at] + value + data[at + len(value) :]

    return change


def _fields(originals: Originals) -> Iterator[Damaged]:
    """Damage sizes, rates and times in headers, at their positions in each format."""
    big = struct.pack
    fields: list[tuple[str, str, Change]] = []
    for value in (0, 1, 0xFFFF, 0x8000, 16384):
        fields += [
            ("h264.mp4", "absurd size", _after(b"avc1", 24, big(">HH", value, value))),
            ("prores.mov", "absurd size", _after(b"apch", 24, big(">HH", value, value))),
            ("film.gif", "absurd size", _after(b"GIF89a", 0, big("<HH", value, value))),
            ("mpeg4.avi", "absurd size", _after(b"avih", 36, big("<II", value, value))),
            ("mpeg4.avi", "absurd size", _after(b"strf", 8, big("<II", value, value))),
            ("ffv1.mkv", "absurd size", _after(b"\xb0\x81", -1, b"\x82" + big(">H", value))),
            ("ffv1.mkv", "absurd size", _after(b"\xba\x81", -1, b"\x82" + big(">H", value))),
            ("mpeg2.mpg", "absurd size", _after(b"\x00\x00\x01\xb3", 0, big(">I", value << 16))),
        ]
    for value in (0, 1, 2, 1000, 0x7FFFFFFF, 0xFFFFFFFF):
        fields += [
            ("h264.mp4", "absurd rate", _after(b"mdhd", 12, big(">I", value))),
            ("h264.mp4", "absurd rate", _after(b"mvhd", 12, big(">I", value))),
            ("h264.mp4", "absurd times", _after(b"stts", 12, big(">I", value))),
            ("h264.mp4", "absurd times", _after(b"ctts", 12, big(">I", value))),
            ("h264.mp4", "absurd times", _after(b"mdhd", 16, big(">I", value))),
            ("h264.mp4", "absurd times", _after(b"elst", 12, big(">I", value))),
            ("h264.mp4", "absurd counts", _after(b"stts", 4, big(">I", value))),
            ("h264.mp4", "absurd counts", _after(b"stsz", 8, big(">I", value))),
            ("h264.mp4", "absurd counts", _after(b"stco", 4, big(">I", value))),
            ("h264.mp4", "absurd counts", _after(b"stsc", 8, big(">I", value))),
            ("mpeg4.avi", "absurd rate", _after(b"vids", 16, big("<I", value))),
            ("mpeg4.avi", "absurd rate", _after(b"vids", 20, big("<I", value))),
            ("mpeg4.avi", "absurd counts", _after(b"vids", 28, big("<I", value))),
            ("mpeg4.avi", "absurd counts", _after(b"avih", 20, big("<I", value))),
            ("ffv1.mkv", "absurd rate", _after(b"\x2a\xd7\xb1\x83", 0, big(">I", value)[1:])),
            ("h264.mkv", "absurd rate", _after(b"\x2a\xd7\xb1\x83", 0, big(">I", value)[1:])),
            ("film.gif", "absurd times", _after(b"\x21\xf9\x04", 1, big(">I", value)[2:])),
        ]
    for number, (name, damage, change) in enumerate(fields):
        called = f"film{Path(name).suffix}"
        yield _damaged("film", name, damage, number, called, _reader(originals, name), change)


def _unusual(originals: Originals) -> Iterator[Damaged]:
    """Intact films that break assumptions."""
    o = originals
    made: dict[str, Callable[[], bytes]] = {
        "one frame.mp4": lambda: o.unusual("one.mp4", 1),
        "one frame.mkv": lambda: o.unusual("one.mkv", 1, sound=True),
        "one frame.gif": lambda: o.unusual("one.gif", 1, options=("-pix_fmt", "rgb24")),
        "two frames.mp4": lambda: o.unusual("two.mp4", 2),
        "no frame.mp4": lambda: o.changed("none.mp4", "h264.mp4", "-vn", "-c", "copy"),
        "no frame.mkv": lambda: o.changed("none.mkv", "h264.mp4", "-vn", "-c", "copy"),
        "no frame.avi": lambda: o.changed("zero.avi", "mpeg4.avi", "-c", "copy", "-frames:v", "0"),
        "no frame.ts": lambda: o.changed("zero.ts", "h264.ts", "-c", "copy", "-frames:v", "0"),
        "size 1x1.mkv": lambda: o.unusual("1x1.mkv", size=(1, 1), options=("-c:v", "ffv1")),
        "size 2x2.mp4": lambda: o.unusual("2x2.mp4", size=(2, 2)),
        "size 3x5.mkv": lambda: o.unusual("3x5.mkv", size=(3, 5), options=("-c:v", "ffv1")),
        "size 2x998.mkv": lambda: o.unusual("2x998.mkv", size=(2, 998), options=("-c:v", "ffv1")),
        "size 998x2.mkv": lambda: o.unusual("998x2.mkv", size=(998, 2), options=("-c:v", "ffv1")),
        "rate 1:1000.mkv": lambda: o.unusual("slow.mkv", rate="1/1000"),
        "rate 1000.mp4": lambda: o.unusual("fast.mp4", rate="1000"),
        "rate 1000000.mp4": lambda: o.unusual("faster.mp4", rate="1000000"),
        "rate 30000:1001.mp4": lambda: o.unusual("ntsc.mp4", rate="30000/1001"),
        "gray.mkv": lambda: o.unusual("gray.mkv", options=("-c:v", "ffv1", "-pix_fmt", "gray16le")),
        "rgb.avi": lambda: o.unusual("rgb.avi", options=("-c:v", "rawvideo", "-pix_fmt", "bgr24")),
        "float.mkv": lambda: o.unusual(
            "float.mkv", options=("-c:v", "ffv1", "-pix_fmt", "grayf32le")
        ),
        "turned.mp4": lambda: o.changed(
            "turned.mp4", "h264.mp4", "-c", "copy", "-metadata:s:v:0", "rotate=90"
        ),
        "sound longer.mp4": lambda: _with_sound(o, "longer.mp4", 8),
        "sound longer.mkv": lambda: _with_sound(o, "longer.mkv", 8),
        "sound longer.avi": lambda: _with_sound(o, "longer.avi", 8),
        "sound shorter.mp4": lambda: _with_sound(o, "shorter.mp4", 0.1),
        "sound shorter.mkv": lambda: _with_sound(o, "shorter.mkv", 0.1),
        "sound later.mkv": lambda: _with_sound(o, "later.mkv", 1, "-itsoffset", "5"),
        "sound earlier.mkv": lambda: _with_sound(o, "earlier.mkv", 1, "-itsoffset", "-5"),
    }
    made.update(_unusual_times(o))
    made.update(_unusual_tracks(o))
    made.update(_unfinished_or_encrypted(o))
    for number, (title, read) in enumerate(made.items()):
        suffix = Path(title).suffix
        yield _damaged("film", title, "as it is", number, f"film{suffix}", _or_empty(read))
    yield from _joined(o)


def _unusual_tracks(o: Originals) -> dict[str, Callable[[], bytes]]:
    """Films with unusual tracks, codecs and metadata, by title."""
    still = ("-f", "lavfi", "-i", "color=red:size=64x48:duration=0.04:rate=25")
    alpha = "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*gt(X,30)'"
    programs = ("-program", "st=0:st=1", "-program", "st=2:st=3")
    twice = ("-map", "0:v", "-map", "0:a", "-map", "0:v", "-map", "0:a")
    mpeg2 = ("-r", "25", "-c:v", "mpeg2video")
    made = {
        "two pictures.mkv": (*twice, "-c", "copy", "-disposition:v:1", "default"),
        "a still first.mkv": (
            *still,
            "-map",
            "1",
            "-map",
            "0",
            "-c:v:0",
            "mjpeg",
            "-c:v:1",
            "copy",
        ),
        "two programs.ts": (*twice, *programs, *mpeg2, "-c:a", "mp2"),
        "sound of a broadcast.ts": ("-c:v", "copy", "-c:a", "aac", "-mpegts_flags", "latm"),
        "sound of a DVD.vob": (*mpeg2, "-ar", "48000", "-ac", "2", "-c:a", "pcm_dvd"),
        "sound of a web page.flv": ("-c:v", "flv", "-ar", "22050", "-c:a", "nellymoser"),
        "timecode.mov": ("-c", "copy", "-timecode", "10:20:30:05"),
        "a cover.mp4": (
            *(*still, "-map", "0", "-map", "1", "-c", "copy", "-c:v:1", "mjpeg"),
            *("-disposition:v:1", "attached_pic"),
        ),
        "transparent.mov": ("-vf", alpha, "-c:v", "qtrle", "-pix_fmt", "argb"),
    }
    return {title: _changed(o, title, "h264.mp4", *options) for title, options in made.items()}


def _unfinished_or_encrypted(o: Originals) -> dict[str, Callable[[], bytes]]:
    """Films that nobody can decode, by title."""
    key = "76a6c65c5ea762046bd749a2e632ccbb"
    drm = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", key, "-encryption_kid", key)
    m2ts = ("-c", "copy", "-f", "mpegts", "-mpegts_m2ts_mode", "1")
    fragments = ("-c", "copy", "-movflags", "frag_keyframe+empty_moov")
    return {
        "encrypted.mp4": _changed(o, "encrypted.mp4", "h264.mp4", "-c", "copy", *drm),
        "encrypted.mov": _changed(o, "encrypted.mov", "h264.mp4", "-c", "copy", *drm),
        "encrypted fragments.mp4": _changed(o, "parts.mp4", "h264.mp4", *fragments, *drm),
        "index lost.mp4": lambda: _without_index(o.film("h264.mp4")),
        "index lost.mov": lambda: _without_index(o.film("h264.mov")),
        "index lost.avi": lambda: o.film("mpeg4.avi").partition(b"idx1")[0],
        "scrambled.ts": lambda: _scrambled(o.film("h264.ts"), 188),
        "scrambled.m2ts": lambda: _scrambled(o.changed("m2ts.m2ts", "h264.ts", *m2ts), 192),
        "scrambled in part.ts": lambda: _scrambled(o.film("h264.ts"), 188, after=0.6),
    }


def _without_index(data: bytes) -> bytes:
    """Return an MP4 film without its moov box, which is the last."""
    return data[: data.index(b"moov") - 4]


def _scrambled(data: bytes, size: int, after: float = 0.0) -> bytes:
    """Return a transport stream whose sound and pictures are marked as scrambled from some share.

    size: bytes of a packet.
    """
    out = bytearray(data)
    for at in range(size - 188, len(out) - 3, size):
        if at >= after * len(out) and int.from_bytes(out[at + 1 : at + 3], "big") & 0x1FFF > 31:
            out[at + 3] |= 0x80
    return bytes(out)


def _unusual_times(o: Originals) -> dict[str, Callable[[], bytes]]:
    """Films with unusual time stamps, by title."""
    times = {
        "negative": "PTS-100000",
        "very late": "PTS+4000000000",
        "all one": "0",
        "backwards": "1000000-PTS",
        "with a gap": "PTS+gt(N\\,5)*100000",
        "with a leap back": "PTS-gt(N\\,5)*3000",
        "at random": "floor(random(0)*100000)",
        "missing": "NOPTS",
        "ever slower": "PTS*N",
        "by pairs": "floor(N/2)*20",
        "with jitter": "PTS+floor((random(0)-0.5)*0.2*DURATION)",
    }
    made = {}
    for name in ("h264.mp4", "h264.mkv", "h264.ts", "mpeg4.avi", "ffv1.mkv", "mpeg2.mpg"):
        for number, (what, formula) in enumerate(times.items()):
            suffix = Path(name).suffix
            dts = "DTS" if name.startswith("h264") else "PTS"
            for index, expression in enumerate((f"setts=ts={formula}", f"setts=pts={formula}")):
                file = f"times-{number}-{index}-{dts}{suffix}"
                changed = _changed(o, file, name, "-c", "copy", "-bsf:v", expression)
                made[f"times {what}, {index}{suffix}"] = changed
    return made


def _joined(o: Originals) -> Iterator[Damaged]:
    """Films followed by other films in the same file."""
    joined = (("h264.ts", "mpeg2.mpg"), ("h264.ts", "h264.mp4"), ("mpeg2.mpg", "mpeg4.avi"))
    for number, (first, second) in enumerate(joined):
        read, other = _reader(o, first), _reader(o, second)
        yield _damaged(
            "film", first, "followed by another film", number, first, read, _followed_by(other)
        )
    for name in _FILMS:
        read = _reader(o, name)
        for number, share in enumerate((1, 0.6)):
            yield _damaged(
                "film", name, "followed by itself", number, name, read, _repeated(share),
            )  # fmt: skip
    fragments = ("-c", "copy", "-movflags", "frag_keyframe+empty_moov")
    for number, (name, options) in enumerate(
        {
            "a.nut": ("-c", "copy"),
            "a.ogv": ("-c:v", "libtheora", "-c:a", "libvorbis"),
            "a.ivf": ("-an", "-c:v", "libvpx"),
            "fragments.mp4": fragments,
        }.items()
    ):
        read = _changed(o, name, "h264.mp4", *options)
        yield _damaged("film", name, "as it is", number, name, read)
        yield _damaged("film", name, "followed by itself", number, name, read, _repeated(1))
    for number, offset in enumerate((30, 3600, 95443.0)):
        moved = _changed(
            o, f"moved-{offset}.ts", "h264.ts", "-c", "copy", "-output_ts_offset", str(offset)
        )
        yield _damaged(
            "film", "h264.ts", "followed by another clock", number, "film.ts",
            _reader(o, "h264.ts"), _followed_by(moved),
        )  # fmt: skip
        yield _damaged(
            "film", "h264.ts", "after another clock", number, "film.ts",
            moved, _followed_by(_reader(o, "h264.ts")),
        )  # fmt: skip
    for number, (rate, channels) in enumerate(((48000, 2), (22050, 1))):
        other = _changed(o, f"aac-{rate}.ts", "h264.ts", "-c:v", "copy", "-c:a", "aac",
                         "-ar", str(rate), "-ac", str(channels))  # fmt: skip
        yield _damaged(
            "film", "h264.ts", "followed by other sound", number, "film.ts",
            _reader(o, "h264.ts"), _followed_by(other),
        )  # fmt: skip
    for number, size in enumerate(((96, 64), (16, 16), (34, 50))):
        larger = _another_size(o, size)
        yield _damaged(
            "film", "h264.ts", "followed by another size", number, "film.ts",
            _reader(o, "h264.ts"), _followed_by(larger),
        )  # fmt: skip


def _with_sound(o: Originals, name: str, seconds: float, *before: str) -> bytes:
    return o.changed(
        name, "h264.mp4", *before, "-f", "lavfi", "-t", str(seconds), "-i", "sine=440",
        "-map", "0:v", "-map", "1:a", "-c:v", "copy",
    )  # fmt: skip


def _changed(o: Originals, *arguments: str) -> Callable[[], bytes]:
    return lambda: o.changed(*arguments)


def _or_empty(read: Callable[[], bytes]) -> Callable[[], bytes]:
    """Return an empty file if ffmpeg refuses to write the film."""
    import subprocess

    def content() -> bytes:
        try:
            return read()
        except subprocess.CalledProcessError:
            return b""

    return content


def _followed_by(other: Callable[[], bytes]) -> Change:
    return lambda data, _: data + other()


def _repeated(share: float) -> Change:
    """Join a file byte by byte with a copy of its first part."""
    return lambda data, _: data + data[: round(len(data) * share)]


def _another_size(o: Originals, size: tuple[int, int]) -> Callable[[], bytes]:
    return lambda: o.unusual(f"size-{size[0]}.ts", size=size)


def _not_films(originals: Originals) -> Iterator[Damaged]:
    contents = {
        "nothing": b"",
        "a zero": b"\0",
        "zeros": bytes(10_000),
        "noise": random.Random(0).randbytes(10_000),
        "text": b"This is not a film.\n" * 40,
        "a web page": b"<!DOCTYPE html><html><body>404</body></html>",
        "json": json.dumps({"film": [1, 2, 3]}).encode(),
        "a zip": b"PK\x05\x06" + bytes(18),
        "a pdf": b"%PDF-1.4\n%%EOF\n",
        "a program": b"\x7fELF" + bytes(200),
        "subtitles": b"1\n00:00:00,000 --> 00:00:01,000\nHello\n",
        "a photograph": photograph("jpg"),
        "sound": b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + bytes(20) + b"data" + bytes(4),
    }
    for what, content in contents.items():
        for number, suffix in enumerate((".mp4", ".mkv", ".avi", ".gif", ".png", ".ts")):
            kind = "photograph" if suffix == ".png" else "film"
            yield _damaged(kind, what, f"called {suffix}", number, f"film{suffix}", _of(content))


def _of(content: bytes) -> Callable[[], bytes]:
    return lambda: content


# Photographs, and folders of them.


def _photographs() -> Iterator[Damaged]:
    for name in PHOTOGRAPHS:
        suffix = name.rpartition(".")[2]
        read = _photograph_reader(name)
        yield from _any_damage("photograph", name, f"photo.{suffix}", read)
        for number, other in enumerate(("png", "jpg", "bmp", "tif", "webp")):
            swap = _headed(_photograph_reader(other), 24)
            yield _damaged(
                "photograph", name, "header of another", number, f"photo.{suffix}", read, swap
            )
            yield _damaged("photograph", name, "another suffix", number, f"photo.{other}", read)
        yield _damaged("film", name, "called a film", 0, "photo.mp4", read)
    sizes = ((0, 0), (1, 0), (65535, 65535), (30000, 30000), (2**31 - 1, 1), (2**31, 2**31))
    for number, (width, height) in enumerate(sizes):
        png = _png_sized(width, height)
        yield _damaged("photograph", "png", "absurd size", number, "photo.png", _of(png))
        bmp = _after(b"BM", 16, struct.pack("<II", width & 0xFFFFFFFF, height & 0xFFFFFFFF))
        yield _damaged(
            "photograph", "bmp", "absurd size", number, "photo.bmp",
            _photograph_reader("bmp"), bmp,
        )  # fmt: skip
        jpg = _after(b"\xff\xc0\x00\x11\x08", 0, struct.pack(">HH", height & 65535, width & 65535))
        yield _damaged(
            "photograph", "jpg", "absurd size", number, "photo.jpg",
            _photograph_reader("jpg"), jpg,
        )  # fmt: skip
    for number, size in enumerate(((14_000, 14_000), (8_000, 8_000), (1_000_000, 30))):
        bomb = _blank_png(*size)
        yield _damaged("photograph", "png", "blank and huge", number, "photo.png", bomb)


def _photograph_reader(name: str) -> Callable[[], bytes]:
    return lambda: photograph(name)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_sized(width: int, height: int) -> bytes:
    """Return a PNG of 40 x 30 pixels that declares another size, with a correct checksum."""
    data = photograph("png")
    header = struct.pack(">II", width, height) + data[24:29]
    return data[:8] + _chunk(b"IHDR", header) + data[33:]


def _blank_png(width: int, height: int) -> Callable[[], bytes]:
    """Return a valid black PNG whose image is much larger than the file."""

    def content() -> bytes:
        squeeze = zlib.compressobj(9)
        rows = bytes((width + 7) // 8 + 1)
        packed = b"".join(squeeze.compress(rows) for _ in range(height)) + squeeze.flush()
        header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
        signature = b"\x89PNG\r\n\x1a\n"
        parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b""))
        return signature + b"".join(parts)

    return content


def _folders() -> Iterator[Damaged]:
    def frames(suffix: str = "png", count: int = 4) -> dict[str, bytes]:
        return {f"{n:04d}.{suffix}": photograph(suffix) for n in range(1, count + 1)}

    def with_one(which: int, content: bytes, suffix: str = "png") -> dict[str, bytes]:
        out = frames(suffix)
        out[sorted(out)[which]] = content
        return out

    contents = {
        "an empty picture": _of(b""),
        "a picture cut short": lambda: photograph("png")[:200],
        "a picture of text": _of(b"text"),
        "a picture of another kind": _photograph_reader("jpg"),
        "a picture of another size": _blank_png(64, 16),
        "a gray picture": _photograph_reader("16.png"),
        "a picture with transparency": _photograph_reader("alpha.png"),
        "a picture of absurd size": lambda: _png_sized(65535, 65535),
        "a huge picture": _blank_png(14_000, 14_000),
        "a film in place of a picture": _of(b"\0\0\0\x18ftypmp42" + bytes(100)),
    }
    folders: list[tuple[str, Callable[[], dict[str, bytes]]]] = []
    for what, content in contents.items():
        folders += [(what, lambda c=content, w=which: with_one(w, c())) for which in range(4)]
    for cut in range(8):
        data = photograph("jpg")
        short = data[: len(data) * (cut + 1) // 9]
        folders.append(("a picture cut short", lambda c=short: with_one(2, c, "jpg")))
    folders += [
        ("empty", dict),
        ("one picture", lambda: frames(count=1)),
        ("gaps", lambda: {f"{n}.png": photograph("png") for n in (1, 5, 1000, 10**30)}),
        ("the same number twice", lambda: {n: photograph("png") for n in ("1.png", "01.png")}),
        ("other names", lambda: {**frames(), "other5.png": photograph("png")}),
        ("no numbers", lambda: {"a.png": photograph("png"), "b.png": photograph("png")}),
        ("other files", lambda: {**frames(), "notes.txt": b"text", ".hidden.png": b""}),
        ("odd names", lambda: {f"a%d {n}'.png": photograph("png") for n in range(3)}),
        ("odd digits", lambda: {f"{c}.png": photograph("png") for c in "²٣४"}),
        ("two kinds", lambda: {**frames("png"), **frames("jpg")}),
    ]
    for number, (damage, content) in enumerate(folders):
        yield Damaged("folder", "frames", damage, number, content, "frames")


# Other files: work folders, configs, presets, weights.

MANIFEST_FRAMES = 12


def _manifests() -> Iterator[Damaged]:
    """Descriptions (`damage.json`) of what to do to the work folder of a stopped job."""
    changes = [
        *(("cut short", {"cut": n / 12}) for n in range(12)),
        *(("bits flipped", {"flip": n}) for n in (1, 1, 1, 2, 4, 16, 64, 256)),
        *(("text", {"text": t}) for t in ("", "{}", "[]", "null", "[" * 5000, "\u00e9", "1e999")),
        ("removed", {"remove": True}),
        ("a folder", {"folder": True}),
        *(("a link", {"link": where}) for where in ("outside", "nowhere")),
    ]
    for file in ("manifest.json", "finished.json", "00000000.mp4"):
        for number, (damage, change) in enumerate(changes):
            what = json.dumps({"file": file, "seed": number, **change}).encode()
            yield _damaged("manifest", file, damage, number, "damage.json", _of(what))
    yield from _forged("manifest.json", _FALSE_MANIFEST)
    yield from _forged("finished.json", _FALSE_FINISHED)


def _forged(file: str, values: Sequence[tuple[str, str | None, object]]) -> Iterator[Damaged]:
    """Records with false values and a correct checksum, as if written on purpose."""
    for number, (part, key, value) in enumerate(values):
        what = {"file": file, "part": part, "key": key, "value": value}
        content = _of(json.dumps(what).encode())
        yield _damaged("manifest", file, "false values", number, "damage.json", content)


_FALSE_MANIFEST = (
    *(("plan", "part", v) for v in ([], [0], [0, 10**12], [5, 2], [-3, 9], ["a", "b"], None)),
    *(("plan", "segments", v) for v in ([], [[0, 99, 0, 99]], [[0, 1]], "x", [[5, 2, 9, 1]])),
    ("plan", "segments", [[0, 4, 0, 4]]),
    ("plan", "segments", [[0, 10**9, 0, 10**9]]),
    *(("plan", "cuts", v) for v in (["1/0"], ["x"], [None], 7, ["-1"], ["9" * 5000])),
    *(("plan", "brightness", v) for v in ([], ["a"], [None] * 12, 3)),
    *(("plan", "notes", v) for v in ([1, 2], 5, [None])),
    *(("plan", "repeats", v) for v in (["1/0"], [[]], {"a": 1})),
    ("plan", None, None),
    ("plan", None, []),
    ("job", None, None),
    ("job", None, []),
    ("job", None, {}),
)  # fmt: skip

_FALSE_FINISHED = (
    *(("pieces", None, v) for v in ({"x": {}}, [], None, {"0": 5}, {"0": {"frames": 3}})),
    *(("pieces", "0", v) for v in (None, {}, {"frames": 10**9, "bytes": 1, "sha256": ""})),
    ("pieces", "../../x", {"frames": 4, "bytes": 1, "sha256": "", "pictures": ""}),
    *(("video", None, v) for v in ({}, [], 7, "x")),
    *(("placing", None, v) for v in (True, "yes", [])),
)  # fmt: skip

_CONFIG = b"""\
name: Test
variants:
  full:
    network: test.Test
    settings: {width: 3}
    convert: [['^a', 'b'], ['c$', null]]
    weights:
      file: test-full.safetensors
      urls: ['https://example.org/test.pdparams']
      layout: generator
      bytes: 100
      sha256: '0000'
      licence: MIT
      source: https://example.org
aliases: {usual: full}
"""

_YAML = (
    *(b"", b"\0", b"\xff\xfe", b"a: b: c", b"- 1\n- 2", b"null", b"7", b"text", b"%YAML 9.9\n---"),
    *(b"[" * 3000, b"{a: " * 3000, b"!!python/object/apply:os.system ['touch written']"),
    *(b"!!python/name:os.system", b"!!python/module:os", b"!unknown x", b"&a [*a]", b"? [1]\n: 2"),
    *(b"a: 2001-99-99", b"a: 1:99:99:99", b"a: " + b"9" * 6000, b"a: !!binary x", b"*none"),
    *(b"a: .inf", b"a: .nan", b"name: [&x {y: *x}]", b"a: !!timestamp x", b"a: !!int x"),
    b"\n".join(
        [b"a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        + [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)]
        + [b"name: *a11", b"variants: *a11"]
    ),
    b"\n".join(
        [b"a0: &a0 {k: v}"]
        + [b"a%d: &a%d {<<: [%s]}" % (n, n, b",".join([b"*a%d" % (n - 1)] * 8)) for n in range(9)]
    ),
)  # fmt: skip

_FALSE_CONFIG = (
    *((b"test-full.safetensors", v) for v in (b"../x.safetensors", b"/tmp/x.safetensors")),
    *((b"test-full.safetensors", v) for v in (b"a/b.safetensors", b"'..\\x.safetensors'")),
    *((b"test-full.safetensors", v) for v in (b"'.safetensors'", b"7", b"[]", b"C:x.safetensors")),
    *((b"https://example.org/test.pdparams", v) for v in (b"https://e.org/%2e%2e%2fx.pdparams",)),
    *((b"https://example.org/test.pdparams", v) for v in (b"http://[x", b"", b"file:///etc/x")),
    *((b"['https://example.org/test.pdparams']", v) for v in (b"[7]", b"x", b"{}", b"[[]]")),
    *((b"100", v) for v in (b"-1", b"1e99", b"yes", b"99999999999999999999", b"[]")),
    *((b"['^a', 'b']", v) for v in (b"['(', 'b']", b"['a', '\\2']", b"[1, 2]", b"[a]", b"x")),
    (b"['^a', 'b']", b"['(a+)+$', 'b']"),
    *((b"test.Test", v) for v in (b"os.system", b"7", b"'..x.y'", b"''")),
    *((b"{width: 3}", v) for v in (b"7", b"[]", b"{7: 8}", b"{width: {}}")),
    *((b"{usual: full}", v) for v in (b"{usual: no}", b"{full: full}", b"[]", b"{[]: full}", b"7")),
    *((b"variants:\n", v) for v in (b"variants: 7\nx:\n", b"variants: []\nx:\n")),
)  # fmt: skip


_PRESET = b"""\
process_order: [DeOldify, Sharpen]
grain: 0.3
deinterlace: off
variant: [DeOldify=lite]
height: 720
"""

_FALSE_PRESET = (
    *((b"[DeOldify, Sharpen]", v) for v in (b"[]", b"7", b"{}", b"[[]]", b"[No]", b"DeOldify")),
    *((b"0.3", v) for v in (b"much", b"[]", b"{a: b}", b"null", b".nan", b"1e400", b"true")),
    *((b"720", v) for v in (b"-1", b"0", b"720.5", b"99999999999999999999", b"'720'", b"~")),
    *((b"off", v) for v in (b"sometimes", b"[on, off]", b"1")),
    *((b"height: 720", v) for v in (b"output: /x", b"preset: x", b"'-i': x", b"7: 8", b"? [a]: b")),
    *((b"[DeOldify=lite]", v) for v in (b"[--output, x]", b"[a, --output=x]", b"--output=x")),
)  # fmt: skip


def _texts(kind: str, original: str, whole: bytes, false: tuple = ()) -> Iterator[Damaged]:
    for number, text in enumerate(_YAML):
        yield _damaged(kind, original, "another text", number, original, _of(text))
    for number, (here, value) in enumerate(false):
        text = whole.replace(here, value, 1)
        yield _damaged(kind, original, "false values", number, original, _of(text))
    yield from _any_damage(kind, original, original, _of(whole))


def _weights() -> Iterator[Damaged]:
    whole = save(arrays())
    read = _of(whole)
    yield from _any_damage("weights", "safetensors", "weights.safetensors", read)
    size = struct.unpack("<Q", whole[:8])[0]
    header, body = json.loads(whole[8 : 8 + size]), whole[8 + size :]
    false: list[bytes] = []
    for length in (0, 1, size - 1, size + 1, 2**31, 2**40, 2**63, 2**64 - 1):
        false.append(struct.pack("<Q", length) + whole[8:])
    changes = [
        *({"data_offsets": v} for v in ([0, 2**62], [0, 0], [8, 4], [-4, 16], [0], "x", [0, 15])),
        *({"shape": v} for v in ([2**40], [2**62, 4], [0], [], [-4], "x", [4.5], [2**64])),
        *({"dtype": v} for v in ("F64", "BF16", "F8_E5M2", "I64", "BOOL", "X", None, 7)),
        *({k: None} for k in ("data_offsets", "shape", "dtype")),
    ]
    for change in changes:
        declared = {**header, "conv.bias": {**header["conv.bias"], **change}}
        false.append(_safetensors(declared, body))
    false += [
        _safetensors([], body),
        _safetensors({}, body),
        _safetensors({"__metadata__": {"a": 1}, **header}, body),
        _safetensors({**header, "x": header["conv.bias"]}, body),
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        struct.pack("<Q", 90_000_000) + b"{",
    ]
    for number, content in enumerate(false):
        yield _damaged(
            "weights", "safetensors", "false values", number, "weights.safetensors", _of(content)
        )
    for protocol in (2, 4):
        name = f"pdparams of protocol {protocol}"
        stored = _of(pickle.dumps({"generator": arrays(), "epoch": 3}, protocol))
        yield from _any_damage("weights", name, "weights.pdparams", stored)
    for number, content in enumerate(_pickles()):
        yield _damaged(
            "weights", "pdparams", "false values", number, "weights.pdparams", _of(content)
        )
    for name, make in (("torch", torch_file), ("torch before 1.6", old_torch_file)):
        yield from _any_damage("torch", name, "weights.pth", make)


def _safetensors(header: object, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


class _Calls:
    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def _pickles() -> Iterator[bytes]:
    reconstruct = np.zeros(1).__reduce__()[0]
    scalar = np.float32(0).__reduce__()[0]
    for shape in ((2**28,), (2**33,), (2**62,), (-1,), ("x",), (0,) * 100):
        yield pickle.dumps({"a": _Calls(reconstruct, np.ndarray, shape, b"b")}, 2)
        yield pickle.dumps({"a": _Calls(np.ndarray, shape)}, 2)
    for kind in ("O", "V999999999", "S2147483647", "x"):
        yield pickle.dumps({"a": _Calls(np.dtype, kind)}, 4)
        yield pickle.dumps({"a": _Calls(np.ndarray, (4,), kind)}, 4)
    yield pickle.dumps({"a": _Calls(scalar, np.dtype("O"), b"12345678")}, 4)
    yield pickle.dumps({"a": _Calls(bytes, 2**34)}, 4)
    yield pickle.dumps({"a": _Calls(list, range(2**34))}, 4)
    yield pickle.dumps({"UnpackBigParamInfor@@": {"a": {"OriginShape": (2**40,), "slices": []}}}, 2)
    yield pickle.dumps({"UnpackBigParamInfor@@": 7, "a": 1}, 2)
    yield pickle.dumps({"UnpackBigParamInfor@@": {"a": {"slices": ["b"]}}}, 2)
    yield pickle.dumps([1, 2, 3], 2)
    yield pickle.dumps(None, 2)
    looped: dict = {}
    looped["a"] = looped
    yield pickle.dumps(looped, 2)
    deep: dict = {}
    for _ in range(300):
        deep = {"a": deep}
    yield pickle.dumps(deep, 2)
    yield b"\x80\x02" + b"(" * 100_000 + b"."
    yield b"\x80\x02" + b"]" + b"(]" * 50_000 + b"."
    yield b"\x80\x02}" + b"r\xff\xff\xff\x7f" + b"."  # memo index 2**31
    yield b"\x80\x02}" + b"r\x00\x00\x00\x10" + b"."
    yield b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"abc."
    yield b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"abc."
    yield b"\x80\x02\x8b" + struct.pack("<I", 0x7FFFFFFF) + b"abc."
    yield b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"}."
    yield b"\x80\x04]" + b"2e" * 10


def damaged_inputs(folder: Path) -> list[Damaged]:
    """Return all damaged inputs in a fixed order. folder: for the original films."""
    originals = Originals(folder)
    return [
        *_films(originals),
        *_photographs(),
        *_folders(),
        *_manifests(),
        *_texts("config", "config.yaml", _CONFIG, _FALSE_CONFIG),
        *_texts("presets", "presets.yaml", _PRESET, _FALSE_PRESET),
        *_weights(),
    ]
