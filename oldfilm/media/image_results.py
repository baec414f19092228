"""Write results that consist of images: GIFs and folders of numbered images."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

from oldfilm.errors import MediaError
from oldfilm.media.codecs import FRAMES_PATTERN, PixelLayout
from oldfilm.media.ffmpeg import reading, run, url
from oldfilm.media.output import scratch_folder, whole_output
from oldfilm.media.probe import pixel_format

_GIF_RATE = Fraction(50)
"""Viewers play a GIF of a higher frame rate at ten frames per second."""


def write_images(video: Path, folder: Path) -> None:
    """Write the frames of a video as numbered images into a folder.

    Raises:
        MediaError: the folder holds other files, or the images cannot be written.
    """
    with whole_output(folder) as unfinished:
        unfinished.mkdir()
        pattern = str(unfinished.absolute()).replace("%", "%%")
        pixels = "rgb48be" if PixelLayout.of(pixel_format(video)).bits > 8 else "rgb24"
        run(
            [*reading(video), "-pix_fmt", pixels, "-f", "image2", f"{pattern}/{FRAMES_PATTERN}"],
            f"{folder}: the images cannot be written",
        )
        _check_replaceable(folder)


def _check_replaceable(folder: Path) -> None:
    """Raise MediaError unless a folder is missing, or holds nothing but images we numbered."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise MediaError(f"{folder}: this is a file, not a folder")
    if not all(re.fullmatch(r"\d{8}\.png", path.name) for path in folder.iterdir()):
        raise MediaError(f"{folder}: this folder holds other files than numbered frames")


def write_gif(video: Path, destination: Path, rate: Fraction) -> list[str]:
    """Write a GIF in two passes, the first for the palette: one pass needs all frames in memory.

    rate: frames per second of `video`. Returns a sentence if the GIF has fewer.

    Raises:
        MediaError: the GIF cannot be written.
    """
    slower = f"fps={_GIF_RATE}," if rate > _GIF_RATE else ""
    with scratch_folder(destination) as folder, whole_output(destination) as gif:
        palette = folder / "palette.png"
        purpose = f"{destination}: the GIF cannot be written"
        # -update makes ffmpeg take a % in the folder's name literally.
        run([*reading(video), "-vf", "palettegen", "-update", "1", url(palette)], purpose)
        run(
            [
                *(*reading(video), *reading(palette, "-f", "png_pipe")),
                *("-lavfi", f"{slower}paletteuse", "-loop", "0", url(gif)),
            ],
            purpose,
        )
    return [f"a GIF shows at most {_GIF_RATE} frames per second"] if slower else []
