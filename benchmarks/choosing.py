"""Enlarge scenes of real silent films with every available network, to compare them.

    python benchmarks/choosing.py --films FILMS --out FOLDER --sheet sheet.jpg --strip strip.jpg

Flicker, dust and grain are removed first, from whole frames. The networks then get a part of the
frame; `--whole` gives them one whole frame instead. Printed for each scene and method: CPU seconds
for a frame of 480x368; the change from frame to frame along the motion of the source, on a scale of
0 to 255, which is mostly flicker; and detail, the mean gradient of luma. A soft picture changes
little, so compare change with detail. The sheet shows one frame of each scene, the strip the same
part of eight consecutive frames. Pictures that are in the folder already are not made again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from oldfilm import media
from oldfilm.apps import predictor_class
from oldfilm.errors import WeightsError
from oldfilm.imaging.color import as_rgb
from oldfilm.imaging.metrics import change_along_motion
from oldfilm.repair.deflicker import Deflicker
from oldfilm.repair.denoise import Denoise
from oldfilm.repair.despot import Despot

SCALE = 4
REPAIR = 6
"""Frames before and after those that are compared, for the repair."""

AROUND = 3
"""Those of them that the networks see, too."""

Enlarge = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Scene:
    """Consecutive frames of a film, and the part that the slow networks get.

    box: left, top, width and height of the part. shown: the same of what the sheet shows.
    """

    film: str
    first: int
    box: tuple[int, int, int, int]
    shown: tuple[int, int, int, int]
    frames: int = 8


SCENES = {
    "face": Scene("within-our-gates-1920", 15, (168, 40, 144, 112), (188, 44, 64, 64)),
    "street": Scene("market-street-1906", 46, (96, 128, 160, 112), (150, 136, 64, 64)),
    "ruins": Scene("san-francisco-1906", 14, (208, 172, 160, 112), (262, 190, 64, 64)),
}

METHODS = {
    "bicubic": None,
    "PPMSVSR lite": ("PPMSVSR", "lite"),
    "animevideov3": ("ESRGAN", "realesr-animevideov3"),
    "x4plus anime": ("ESRGAN", "realesrgan-anime"),
    "BasicVSR reds": ("BasicVSR", "reds"),
    "BasicVSR vimeo90k": ("BasicVSR", "vimeo90k"),
    "BasicVSR vimeo90k-bd": ("BasicVSR", "vimeo90k-bd"),
    "x4plus": ("ESRGAN", "realesrgan"),
    "RealSR full": ("RealSR", "full"),
    "RealSR df2k": ("RealSR", "df2k"),
}
"""The stage and variant of each method, in the order in which they are run: the slow ones last."""

ALONE = ("animevideov3", "x4plus anime", "x4plus", "RealSR full", "RealSR df2k")
"""Methods that see no other frames."""

SHOWN = (
    *("bicubic", "BasicVSR vimeo90k-bd", "RealSR df2k", "RealSR full"),
    *("PPMSVSR lite", "animevideov3", "x4plus anime", "x4plus"),
)
"""Methods on the sheet and on the strip."""

SHOWN_FRAME = 3
"""The frame on the sheet."""

EYE = ("face", (214, 66, 30, 28))
"""The scene of the strip; left, top, width and height of what it shows."""


def bicubic(frames: np.ndarray) -> np.ndarray:
    """Enlarge [t, h, w, 1] four times."""
    height, width = (SCALE * side for side in frames.shape[1:3])
    large = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC) for frame in frames]
    return np.clip(np.stack(large), 0, 1)[..., None]


def repaired(root: Path, scene: Scene, out: Path) -> np.ndarray:
    """Return the scene's frames and those around them without dust and grain, [t, h, w, 1].

    They are kept in the folder `out`.
    """
    kept = out / f"{scene.film}-{scene.first}-{scene.frames}.npy"
    if kept.is_file():
        return np.load(kept)
    film = media.Film.open(root / f"{scene.film}.mkv")
    first, last = scene.first - REPAIR, scene.first + scene.frames + REPAIR
    frames = np.stack([frame.image for frame in media.decode(film, first, last)])
    clean = Denoise().predict(Despot().predict(Deflicker().predict(frames)))
    clean = clean[REPAIR - AROUND : AROUND - REPAIR]
    np.save(kept, clean)
    return clean


def cropped(frames: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Cut left, top, width, height out of [t, h, w, c]."""
    left, top, width, height = box
    return frames[:, top : top + height, left : left + width]


def method(name: str) -> Enlarge:
    """Return a method, ready to run.

    Raises:
        WeightsError: its weights are not on this machine.
    """
    if METHODS[name] is None:
        return bicubic
    stage, variant = METHODS[name]
    predictor = predictor_class(stage)(variant=variant, device="cpu")
    predictor.predict(np.zeros((2, 64, 64, 1), np.float32))  # exports the network
    return predictor.predict


def enlarge(root: Path, names: list[str], out: Path, whole: bool) -> None:
    """Run the methods that have not run, and write their pictures and times to `out`."""
    given = {scene: repaired(root, facts, out) for scene, facts in SCENES.items()}
    for name in names:
        run = None
        for scene, facts in SCENES.items():
            path = out / (stem(scene, name) + "-whole" * whole)
            if Path(f"{path}.json").is_file():
                continue
            try:
                run = run or method(name)
            except WeightsError as error:
                print(error)
                break
            frames = given[scene] if whole else cropped(given[scene], facts.box)
            if whole or name in ALONE:
                frames = frames[AROUND : AROUND + (1 if whole else facts.frames)]
            started = time.process_time()
            large = run(frames)
            spent = (time.process_time() - started) / len(frames)
            seconds = spent * given[scene][0].size / frames[0].size
            large = large[AROUND:-AROUND] if len(large) > facts.frames else large
            for number, image in enumerate(large):
                stored = np.rint(255 * image).astype(np.uint8)
                cv2.imwrite(f"{path}-{number}.png", stored)
            Path(f"{path}.json").write_text(json.dumps({"seconds": seconds}))
            print(f"{scene:8} {name:22} {seconds:8.1f} s", flush=True)


def stem(scene: str, name: str) -> str:
    """Return what the names of a scene's files have in common."""
    return f"{scene}-{name}".replace(" ", "-")


def pictures(out: Path, scene: str, name: str) -> np.ndarray | None:
    """Return what a method made of a scene, [t, h, w, 1] in [0, 1]; None if it has not run."""
    paths = [out / f"{stem(scene, name)}-{number}.png" for number in range(SCENES[scene].frames)]
    if not all(path.is_file() for path in paths):
        return None
    read = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]
    return np.stack(read)[..., None].astype(np.float32) / 255


def steadiness(frames: np.ndarray, guides: np.ndarray) -> tuple[float, float]:
    """Return the change along the motion of the guides, and the detail."""
    steps = [
        change_along_motion(as_rgb(a), as_rgb(b), (p, q)).luma
        for a, b, p, q in zip(frames, frames[1:], guides, guides[1:])
    ]
    rows, columns = np.gradient(255 * frames[..., 0], axis=(1, 2))
    return float(np.mean(steps)), float(np.hypot(rows, columns).mean())


def print_table(out: Path, names: list[str]) -> None:
    """Print time, change and detail of every method."""
    print(f"{'scene':8} {'method':22} {'seconds':>8} {'change':>7} {'detail':>7}")
    for scene in SCENES:
        guides = pictures(out, scene, "bicubic")
        for name in names:
            if guides is None or (frames := pictures(out, scene, name)) is None:
                continue
            stated = (out / f"{stem(scene, name)}.json").read_text()
            seconds = json.loads(stated)["seconds"]
            change, detail = steadiness(frames, guides)
            print(f"{scene:8} {name:22} {seconds:8.1f} {change:7.2f} {detail:7.2f}")


def write_sheet(out: Path, path: Path, quality: int = 80) -> None:
    """Write a JPEG: a row for each scene, a picture for each method, in pixels of the results."""
    rows = []
    for scene, facts in SCENES.items():
        parts = shown_parts(out, scene, facts.shown)
        row = [labelled(part[SHOWN_FRAME], name) for name, part in parts.items()]
        rows.append(np.hstack(row))
    widest = max(row.shape[1] for row in rows)
    sheet = [np.pad(row, ((0, 0), (0, widest - row.shape[1]))) for row in rows]
    cv2.imwrite(str(path), np.vstack(sheet), [cv2.IMWRITE_JPEG_QUALITY, quality])


def write_strip(out: Path, path: Path, quality: int = 80) -> None:
    """Write a JPEG: a row for each method, the same part of every frame from left to right."""
    parts = shown_parts(out, *EYE)
    rows = [labelled(np.hstack(list(part)), name) for name, part in parts.items()]
    cv2.imwrite(str(path), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, quality])


def shown_parts(out: Path, scene: str, shown: tuple[int, int, int, int]) -> dict[str, np.ndarray]:
    """Cut a part, in pixels of the film, out of what every shown method made: [t, h, w]."""
    left, top, width, height = shown
    first_column, first_row = SCENES[scene].box[:2]
    box = tuple(SCALE * n for n in (left - first_column, top - first_row, width, height))
    made = {name: pictures(out, scene, name) for name in SHOWN}
    return {name: cropped(p, box)[..., 0] for name, p in made.items() if p is not None}


def labelled(image: np.ndarray, name: str) -> np.ndarray:
    """Write the method's name into a picture [h, w]."""
    stored = np.rint(255 * image).astype(np.uint8)
    stored[:20] = 0
    place, face = (5, 15), cv2.FONT_HERSHEY_SIMPLEX
    return cv2.putText(stored, name, place, face, 0.45, 255, 1, cv2.LINE_AA)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--films", type=Path, default=Path("../shared/data/films"))
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--whole", action="store_true", help="enlarge one whole frame of each")
    parser.add_argument("--sheet", type=Path, help="JPEG to write: a frame of each scene")
    parser.add_argument("--strip", type=Path, help="JPEG to write: a face in motion")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    enlarge(options.films, options.methods, options.out, options.whole)
    print_table(options.out, options.methods)
    if options.sheet:
        write_sheet(options.out, options.sheet)
    if options.strip:
        write_strip(options.out, options.strip)


if __name__ == "__main__":
    main()
