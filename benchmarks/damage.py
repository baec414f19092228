"""Measure how well the repair stages remove known damage from clean held-out clips.

    python benchmarks/damage.py --data DATA
    python benchmarks/damage.py --data DATA --case flicker

Each case damages the clips, repairs them with nothing, with the closest ffmpeg filter and with our
stage, and prints a table. damage_repair.py and damage_photos.py hold more cases.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import damage_photos
import damage_repair
import numpy as np
from films import ffmpeg_filtered

from oldfilm.imaging.color import luma
from oldfilm.imaging.metrics import psnr
from oldfilm.media import Film, decode, deinterlaced
from oldfilm.media.ffmpeg import executable
from oldfilm.repair.deflicker import Deflicker
from oldfilm.repair.stabilize import Stabilize, shifted
from oldfilm.training import data

SIZE = (427, 240)
FRAMES = 50

Clips = dict[str, np.ndarray]
"""float32 [t, h, w, 3] in [0, 1], by name."""

Repair = Callable[[np.ndarray], np.ndarray]


def clean_clips(root: Path) -> Clips:
    return {
        name: np.stack(
            [cv2.resize(f, SIZE, interpolation=cv2.INTER_AREA) for f in clip[:FRAMES]]
        ).astype(np.float32)
        / 255
        for name, clip in data.clips(root, data.HELD_OUT)
    }


def nothing(clip: np.ndarray) -> np.ndarray:
    return clip


def filtered_by(*passes: str) -> Repair:
    """Repair a clip with ffmpeg: each pass filters the clip itself, and the last result counts.

    `{folder}` in a filter is a folder that the passes share.
    """

    def repair(clip: np.ndarray) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            for filters in passes:
                graph = f"format=yuv444p,{filters.format(folder=folder)}"
                restored = ffmpeg_filtered(clip, graph)
        return restored

    return repair


def print_table(title: str, columns: list[str], rows: dict[str, dict[str, list[float]]]) -> None:
    """Print a line per repair and clip, and the means; rows[repair][clip] are the figures."""
    print(f"\n{title}\n{'':26}" + "".join(f"{column:>14}" for column in columns))
    for repair, clips in rows.items():
        clips = {**clips, "mean": list(np.mean(list(clips.values()), axis=0))}
        for clip, figures in clips.items():
            values = "".join(f"{figure:14.4f}" for figure in figures)
            print(f"{repair:14}{clip:12}{values}", flush=True)


def flickering(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary brightness by 8 %, black by 2 % and twelve regions by 6 % in every frame."""
    damaged = np.empty_like(clip)
    for index, frame in enumerate(clip):
        gain, shift = 1 + rng.normal(0, 0.08), rng.normal(0, 0.02)
        regions = rng.normal(0, 0.06, (3, 4)).astype(np.float32)
        regions = cv2.resize(regions, frame.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        damaged[index] = np.clip((frame * gain + shift) * np.exp(regions)[..., None], 0, 1)
    return damaged


def mean_lumas(clip: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Mean luma in a grid of (columns, rows): [t, rows, columns]."""
    return np.stack(
        [
            cv2.resize(luma(frame), grid, interpolation=cv2.INTER_AREA).reshape(grid[::-1])
            for frame in clip
        ]
    )


def flicker_case(clips: Clips) -> None:
    repairs = {
        "nothing": nothing,
        "deflicker": filtered_by("deflicker=size=21:mode=am"),
        "Deflicker": Deflicker().predict,
    }
    rows: dict[str, dict[str, list[float]]] = {name: {} for name in repairs}
    for clip, clean in clips.items():
        damaged = flickering(clean, np.random.default_rng(0))
        for name, repair in repairs.items():
            restored = repair(damaged)
            errors = [
                float(np.abs(mean_lumas(restored, grid) - mean_lumas(clean, grid)).mean())
                for grid in ((1, 1), (8, 5))
            ]
            rows[name][clip] = [*errors, psnr(restored, clean), psnr(repair(clean), clean)]
    columns = ["luma error", "by region", "PSNR", "PSNR, clean"]
    print_table("Flicker: error of the mean luma", columns, rows)


BORDER = 8
"""Pixels cut off the clips after the weave: real weave shows what is next to the frame."""


def weave(frames: int, rng: np.random.Generator) -> np.ndarray:
    """The path of a worn gate: jitter of 1.2 px, and a sway of 1.5 px over 16 frames; [t, 2]."""
    sway = 2 * np.pi * np.arange(frames)[:, None] / 16 + rng.random(2) * 6
    return rng.normal(0, 1.2, (frames, 2)) + 1.5 * np.sin(sway)


def offsets(clip: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The offset of each frame from the other clip's, in its center: [t, 2], in pixels."""
    found = []
    for pair in zip(other, clip):
        middles = [luma(f)[20:-20, 24:-24].copy() for f in pair]
        start, stop = np.eye(2, 3, dtype=np.float32), (3, 100, 1e-6)
        ecc = cv2.findTransformECC(*middles, start, cv2.MOTION_TRANSLATION, stop, None, 5)
        found.append(ecc[1][:, 2])
    return np.array(found)


def weave_case(clips: Clips) -> None:
    """Compare the repaired clip with the clean clip after the same repair.

    The cameras of the clips shake themselves, so the clean clip alone is not the reference.
    """
    vidstab = filtered_by(
        "vidstabdetect=result={folder}/moves",
        "vidstabtransform=input={folder}/moves:optalgo=gauss:smoothing=14:optzoom=0:interpol=bicubic",
    )
    repairs = {"nothing": nothing, "vidstab": vidstab, "Stabilize": Stabilize().predict}
    rows: dict[str, dict[str, list[float]]] = {name: {} for name in repairs}
    inside = np.s_[:, BORDER:-BORDER, BORDER:-BORDER]
    for clip, clean in clips.items():
        path = weave(len(clean), np.random.default_rng(0))
        damaged = np.stack([shifted(frame, place) for frame, place in zip(clean, path)])[inside]
        for name, repair in repairs.items():
            left = offsets(repair(damaged), repair(clean[inside]))
            spread = np.sqrt(np.square(left - left.mean(axis=0)).sum(axis=1).mean())
            rows[name][clip] = [float(spread)]
    print_table("Weave: root mean square of the remaining offsets", ["pixels"], rows)


def stored(path: Path, source: list[str], filters: str) -> Film:
    """Store ffmpeg's input, filtered, as a lossless film; `path` may be the input itself."""
    unfinished = path.with_name("unfinished.mkv")
    command = [executable(), "-v", "error", *source, "-vf", filters, "-c:v", "ffv1"]
    subprocess.run([*command, str(unfinished)], check=True)
    return Film.open(unfinished.rename(path))


def shown(film: Film) -> np.ndarray:
    return np.stack([frame.image for frame in decode(film)])


def nearest_psnr(frames: np.ndarray, clean: np.ndarray) -> list[float]:
    """The PSNR of each frame against the better of the two clean frames closest in time."""
    places = np.arange(len(frames)) * (4 / 5 if len(frames) > 1.1 * len(clean) else 1)
    near = [{min(int(p), len(clean) - 1), min(int(p) + 1, len(clean) - 1)} for p in places + 1e-6]
    return [max(psnr(f, clean[i]) for i in each) for f, each in zip(frames, near)]


def deinterlace_case(clips: Clips) -> None:
    """Treat the clips as 48 fields per second, and as 24 frames that telecine turns into 30."""

    def through(filters: str) -> Callable[[Film], Film]:
        return lambda film: stored(film.path, ["-i", str(film.path)], filters)

    repairs: dict[str, Callable[[Film], Film]] = {
        "nothing": lambda film: film,
        "yadif": through("yadif=mode=send_frame:parity=tff"),
        "bwdif": through("bwdif=mode=send_frame:parity=tff"),
        "Deinterlace": lambda film: deinterlaced(film)[0],
    }
    rows: dict[str, dict[str, list[float]]] = {name: {} for name in repairs}
    for clip, clean in clips.items():
        for repair, repaired in repairs.items():
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                raw, width = folder / "clean.rgb", SIZE[0] // 2 * 2
                raw.write_bytes(np.rint(clean[:, :, :width] * 255).astype(np.uint8).tobytes())
                source = ["-f", "rawvideo", "-pixel_format", "rgb24", "-framerate", "24"]
                source += ["-video_size", f"{width}x{SIZE[1]}", "-i", str(raw)]
                truth = shown(stored(folder / "p.mkv", source, "format=yuv420p"))
                interleaved = "format=yuv420p,tinterlace=interleave_top"
                fields = repaired(stored(folder / "w.mkv", source, interleaved))
                telecined = stored(folder / "t.mkv", source, "format=yuv420p,telecine")
                film = repaired(telecined)
                interlaced = [psnr(*pair) for pair in zip(shown(fields), truth[::2])]
                near = nearest_psnr(shown(film), truth)
            telecine = -10 * np.log10(max(np.mean(np.power(10, np.array(near) / -10)), 1e-10))
            figures = [np.mean(interlaced), telecine, min(*near, 100), float(film.rate)]
            rows[repair][clip] = [float(figure) for figure in figures]
    columns = ["interlaced", "telecined", "worst frame", "its rate"]
    print_table("Fields: PSNR against the progressive clip", columns, rows)


CASES: dict[str, Callable[[Path], None]] = {
    "flicker": lambda root: flicker_case(clean_clips(root)),
    "weave": lambda root: weave_case(clean_clips(root)),
    "deinterlace": lambda root: deinterlace_case(clean_clips(root)),
    **{name.lower(): case for name, case in damage_repair.CASES.items()},
    "photographs": damage_photos.photograph_cases,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="video/, photos/, film-damage.tar")
    parser.add_argument("--case", choices=CASES, help="run only this case")
    given = parser.parse_args()
    for name in [given.case] if given.case else CASES:
        CASES[name](given.data)


if __name__ == "__main__":
    main()
