"""Measure how well DeOldify takes the colors of a clip from its first frame.

    python benchmarks/color_reference.py --clips VIDEOS [--save FOLDER]

Each held-out clip is made gray, its first frame is given in color, and the colors of the frames 10,
30 and 60 are compared with the true ones: PSNR of Cb and Cr (BT.601, range 1). Next to it: without
a reference, and plain flow propagation, which warps the chroma of every frame to the next one.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import av
import cv2
import numpy as np

from oldfilm.apps import DeOldifyPredictor
from oldfilm.imaging.color import with_luma
from oldfilm.imaging.flow import flow, warp

HELD_OUT = ("blackswan", "dog", "kite-surf", "soapbox")
FRAMES = (10, 30, 60)
REACH = 3
"""Frames on either side of the one that is colored; a film has more of them."""
METHODS = ("no reference", "flow propagation", "reference")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=Path, default=Path("../shared/data/train/video"))
    parser.add_argument("--names", nargs="+", default=HELD_OUT, help="clips; by default held-out")
    parser.add_argument("--frames", nargs="+", type=int, default=FRAMES)
    parser.add_argument("--save", type=Path, help="folder for pictures: gray, methods, truth")
    parser.add_argument("--no-steady", dest="steady", action="store_false")
    options = parser.parse_args()
    scores: dict[tuple[str, int], list[float]] = {}
    for name in options.names:
        clip = read(options.clips / f"{name}.mp4", max(options.frames) + 1 + REACH)
        for frame in (frame for frame in options.frames if frame < len(clip)):
            pictures = recovered(clip, frame, options.steady)
            found = [chroma_psnr(picture, clip[frame]) for picture in pictures]
            for method, score in zip(METHODS, found):
                scores.setdefault((method, frame), []).append(score)
            print(f"{name:12} {frame:3}", *(f"{score:8.2f}" for score in found), flush=True)
            if options.save:
                save(options.save / f"{name}-{frame:02}.png", [*pictures, clip[frame]])
    print_means(scores)


def print_means(scores: dict[tuple[str, int], list[float]]) -> None:
    """Print the mean over the clips that are long enough."""
    frames = sorted({frame for _, frame in scores})
    print("mean over", ", ".join(f"{len(scores[METHODS[0], f])} clips at {f}" for f in frames))
    for method in METHODS:
        means = (f"{np.mean(scores[method, frame]):6.2f}" for frame in frames)
        print(f"{method:18}", *means)


def recovered(clip: list[np.ndarray], index: int, steady: bool) -> list[np.ndarray]:
    """Color one frame by all methods, in the order of `METHODS`."""
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None] for frame in clip]
    first = max(index - REACH, 0)
    near = np.stack(gray[first : index + REACH + 1])
    plain, referring = (
        colored(near, index - first, steady=steady, color_reference=reference)
        for reference in (None, clip[0])
    )
    return [plain, propagated(clip[0], gray[: index + 1]), referring]


def colored(frames: np.ndarray, index: int, **options: object) -> np.ndarray:
    """Color one of the frames of a shot."""
    predictor = DeOldifyPredictor(device="cpu", variant="lite", **options)
    started = time.perf_counter()
    result = predictor.restore(frames, slice(index, index + 1))[0]
    print(f"  {(time.perf_counter() - started) / len(frames):.2f} s a frame", end="")
    return result


def propagated(first: np.ndarray, gray: list[np.ndarray]) -> np.ndarray:
    """Warp the chroma of the first frame, RGB, from frame to frame up to the last of `gray`."""
    chroma = cv2.cvtColor(first, cv2.COLOR_RGB2LAB)[..., 1:]
    for before, after in zip(gray, gray[1:]):
        chroma = warp(chroma, flow(after, before))
    return with_luma(gray[-1][..., 0], chroma)


def chroma_psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    """PSNR of Cb and Cr of two pictures, RGB [h, w, 3] in [0, 1]."""
    parts = [
        cv2.cvtColor(np.float32(rgb), cv2.COLOR_RGB2YCrCb)[..., 1:] for rgb in (picture, truth)
    ]
    return float(-10 * np.log10(np.square(parts[0] - parts[1]).mean()))


def read(path: Path, count: int) -> list[np.ndarray]:
    """Read the first frames of a clip, RGB, float32 [h, w, 3] in [0, 1]."""
    with av.open(str(path)) as container:
        decoded = container.decode(video=0)
        frames = [frame.to_ndarray(format="rgb24") for _, frame in zip(range(count), decoded)]
    return [frame.astype(np.float32) / 255 for frame in frames]


def save(path: Path, pictures: list[np.ndarray]) -> None:
    """Write pictures one below another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = np.rint(np.vstack(pictures) * 255).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
