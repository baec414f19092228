"""Write results that consist of images: GIFs and folders of numbered images."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

from oldfilm.errors import MediaError
from oldfilm.media.codecs import PixelLayout, numbered_by
from oldfilm.media.color_conversion import with_alpha
from oldfilm.media.ffmpeg import reading, run, url
from oldfilm.media.image_sequence import DPX_HEADER, DPX_RATES
from oldfilm.media.output import scratch_folder, whole_output
from oldfilm.media.probe import pixel_format

_DPX_TRANSFER, _DPX_VIDEO = 801, b"\6\6"
"""Where a DPX file describes its code values, and ITU-R BT.709 for transfer and colors there."""
_GIF_RATE = Fraction(50)
"""Viewers play a GIF of a higher frame rate at ten frames per second."""


def write_images(video: Path, destination: Path, rate: Fraction, scan: Path | None = None) -> None:
    """Write the frames of a video as numbered images into a folder.

    destination: the folder and the pattern of the names, such as `folder/%06d.dpx`. rate: frames
    per second. scan: a DPX file; DPX results describe their code values as it does.

    Raises:
        MediaError: the folder holds other files, or the images cannot be written.
    """
    folder, suffix = destination.parent, destination.suffix.lower()
    with whole_output(folder) as unfinished:
        unfinished.mkdir()
        place = str(unfinished.absolute()).replace("%", "%%")
        options = _image_options(suffix, PixelLayout.of(pixel_format(video)))
        run(
            [*reading(video), *options, "-f", "image2", f"{place}/{destination.name}"],
            f"{folder}: the images cannot be written",
        )
        if suffix == ".dpx":
            for image in unfinished.iterdir():
                _describe_dpx(image, rate, scan)
        check_replaceable(destination)


def _image_options(suffix: str, video: PixelLayout) -> list[str]:
    """Return ffmpeg's arguments that write images of a format from the RGB of a video."""
    if suffix == ".exr":
        light = "zscale=transferin=iec61966-2-1:transfer=linear"
        linear = f"scale,format=gbrp16le,{light},format=gbrpf32le"
        if video.alpha:
            linear = with_alpha(linear, "gbrapf32le")
        return ["-vf", linear, "-format", "float", "-compression", "zip16"]
    order = "be" if suffix in (".png", ".dpx") else "le"
    pixels = f"rgba64{order}" if video.alpha else f"rgb48{order}"
    if suffix == ".dpx" and video.bits in (10, 12) and not video.alpha:
        pixels = f"gbrp{video.bits}be"
    elif video.bits <= 8:
        pixels = "rgba" if video.alpha else "rgb24"
    lossless = ["-compression_algo", "deflate"] if suffix in (".tif", ".tiff") else []
    return ["-pix_fmt", pixels, *lossless]


def _describe_dpx(image: Path, rate: Fraction, scan: Path | None) -> None:
    """Write rate, transfer characteristic and colors into the header of a DPX file (SMPTE 268M).

    ffmpeg leaves out the part of the header that holds the rate.
    """
    data = bytearray(image.read_bytes())
    order = "<" if data.startswith(b"XPDS") else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    if start < DPX_HEADER:
        data[start:start] = bytes(DPX_HEADER - start)
        struct.pack_into(f"{order}I", data, 4, DPX_HEADER)
        struct.pack_into(f"{order}I", data, 16, len(data))
        struct.pack_into(f"{order}I", data, 28, DPX_HEADER - start)
        struct.pack_into(f"{order}I", data, 808, DPX_HEADER)  # where the first element begins
    described = _DPX_VIDEO
    if scan is not None:
        with scan.open("rb") as stream:
            described = stream.read(_DPX_TRANSFER + 2)[_DPX_TRANSFER:]
    data[_DPX_TRANSFER : _DPX_TRANSFER + 2] = described
    for place in DPX_RATES:
        struct.pack_into(f"{order}f", data, place, float(rate))
    image.write_bytes(data)


def check_replaceable(destination: Path) -> None:
    """Raise MediaError unless a folder is missing, or holds nothing but images we numbered.

    destination: the folder and the pattern of the names.
    """
    folder, names = destination.parent, numbered_by(destination.name)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise MediaError(f"{folder}: this is a file, not a folder")
    if not all(names.fullmatch(path.name) for path in folder.iterdir()):
        raise MediaError(
            f"{folder}: this folder holds other files than numbered frames: give a new folder, as "
            f"in `output={folder / 'frames' / destination.name}`."
        )


def write_animation(video: Path, destination: Path, times: int) -> None:
    """Write an animated PNG or WebP, without loss.

    times: how often it plays, 0 for endless.

    Raises:
        MediaError: it cannot be written.
    """
    layout = PixelLayout.of(pixel_format(video))
    if destination.suffix.lower() == ".webp":
        options = ["-c:v", "libwebp_anim", "-lossless", "1", "-compression_level", "3"]
        options += ["-pix_fmt", "bgra", "-loop", str(times), "-f", "webp"]
    else:
        pixels = ("rgb24", "rgb48be", "rgba", "rgba64be")[
            2 * (layout.alpha > 0) + (layout.bits > 8)
        ]
        options = ["-c:v", "apng", "-pix_fmt", pixels, "-plays", str(times), "-f", "apng"]
    with whole_output(destination) as unfinished:
        run(
            [*reading(video), *options, url(unfinished)],
            f"{destination}: the animation cannot be written",
        )
        if layout.alpha and destination.suffix.lower() == ".webp":
            _mark_as_transparent(unfinished)


def _mark_as_transparent(webp: Path) -> None:
    """Set the flag for transparency, which libwebp forgets where no frame covers the canvas."""
    with webp.open("r+b") as file:
        header = file.read(21)
        if header[12:16] == b"VP8X":
            file.seek(20)
            file.write(bytes([header[20] | 0x10]))


def write_gif(video: Path, destination: Path, rate: Fraction, times: int = 0) -> list[str]:
    """Write a GIF in two passes, the first for the palette: one pass needs all frames in memory.

    rate: frames per second of `video`. times: how often it plays, 0 for endless. Returns a sentence
    if the GIF has fewer frames.

    Raises:
        MediaError: the GIF cannot be written.
    """
    slower = f"fps={_GIF_RATE}," if rate > _GIF_RATE else ""
    repetitions = times - 1 or -1 if times else 0  # ffmpeg takes -1 for none, 0 for endless.
    with scratch_folder(destination) as folder, whole_output(destination) as gif:
        palette = folder / "palette.png"
        purpose = f"{destination}: the GIF cannot be written"
        # -update makes ffmpeg take a % in the folder's name literally.
        run([*reading(video), "-vf", "palettegen", "-update", "1", url(palette)], purpose)
        run(
            [
                *(*reading(video), *reading(palette, "-f", "png_pipe")),
                *("-lavfi", f"{slower}paletteuse", "-loop", str(repetitions), url(gif)),
            ],
            purpose,
        )
    return [f"a GIF shows at most {_GIF_RATE} frames per second"] if slower else []
