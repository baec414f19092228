"""Score methods against ground truth, as the benchmarks of the field do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from oldfilm.errors import OptionError
from oldfilm.evaluation.degrade import eight_bits
from oldfilm.evaluation.protocols import Protocol
from oldfilm.evaluation.tasks import Method, Task
from oldfilm.imaging import metrics
from oldfilm.imaging.color import as_rgb, studio_luma

Scores = dict[str, float]
"""Figures by the names of `MEASURES`, without those that cannot be measured."""

MEASURES = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "interpolation_error": "IE",
    "absolute_error": "IE, absolute",
    "chroma_error": "a*b* error",
    "colorfulness": "colorfulness",
    "luma_flicker": "flicker, luma",
    "chroma_flicker": "flicker, a*b*",
}
"""All measures, with their headings in a table."""

TRUTH = "ground truth"


def judge(
    truth: np.ndarray, methods: Mapping[str, Method], task: Task, protocol: Protocol
) -> dict[str, Scores]:
    """Score the task's baselines and `methods` on one shot.

    truth: uint8 [t, h, w, c].
    Returns scores by method; nothing if the shot is too short or too small.

    Results are rounded to 8 bits, as in a film. A colorized gray film has no true colors to compare
    with: only colorfulness and flicker are measured.

    Raises:
        OptionError: a method returns another number or size of frames than the ground truth has.
    """
    truth, given = task.prepare(truth)
    compared = list(range(len(truth))[task.compared])
    if protocol.center:
        compared = [index for index in compared if index == len(truth) // 2]
    if not compared or not truth.size:
        return {}
    wanted = [as_rgb(image) for image in truth]
    scores = {TRUTH: _without_reference(wanted, compared, truth)}
    for name, method in {**task.baselines, **methods}.items():
        images = method(given.astype(np.float32) / 255)
        _check(images, truth, task, name)
        found = [as_rgb(eight_bits(image)) for image in images[: len(truth)]]
        scores[name] = _without_reference(found, compared, truth)
        if task.name != "color" or truth.shape[3] == 3:
            scores[name].update(_with_reference(found, wanted, compared, protocol))
    return scores


def _check(images: Sequence[np.ndarray], truth: np.ndarray, task: Task, name: str) -> None:
    count, (height, width) = len(truth) + task.extra, truth.shape[1:3]
    found_height, found_width = images[0].shape[:2] if len(images) else (0, 0)
    if (len(images), found_height, found_width) != (count, height, width):
        raise OptionError(
            f"{name} returns {len(images)} frames of {found_width}x{found_height}; the ground "
            f"truth needs {count} of {width}x{height}"
        )


def _unit(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / 255


def _with_reference(
    found: Sequence[np.ndarray],
    wanted: Sequence[np.ndarray],
    compared: Sequence[int],
    protocol: Protocol,
) -> Scores:
    """Measures that need ground truth, averaged over the compared frames."""
    rows = []
    for index in compared:
        image, truth = _unit(found[index]), _unit(wanted[index])
        pair = (studio_luma(image), studio_luma(truth)) if protocol.luma else (image, truth)
        row = {
            "psnr": metrics.psnr(*pair, crop=protocol.crop),
            "ssim": metrics.ssim(*pair, crop=protocol.crop),
            "interpolation_error": metrics.interpolation_error(image, truth),
            "absolute_error": metrics.absolute_error(image, truth),
            "chroma_error": metrics.chroma_error(image, truth),
        }
        rows.append(row)
    return mean_scores(rows)


def _without_reference(
    frames: Sequence[np.ndarray], compared: Sequence[int], guides: np.ndarray
) -> Scores:
    """Colorfulness of the compared frames, and flicker of all frames.

    guides: the frames that motion is computed on, uint8 [t, h, w, c].
    """
    images = [_unit(frames[index]) for index in compared]
    scores = mean_scores([{"colorfulness": metrics.colorfulness(image)} for image in images])
    steps = [
        metrics.change_along_motion(_unit(a), _unit(b), (_unit(p), _unit(q)))
        for a, b, p, q in zip(frames, frames[1:], guides, guides[1:])
    ]
    if steps:
        luma, chroma = np.mean(steps, axis=0)
        scores.update(luma_flicker=float(luma), chroma_flicker=float(chroma))
    return scores


def mean_scores(rows: Sequence[Scores]) -> Scores:
    """The mean of every measure over the rows that have it."""
    names = [name for name in MEASURES if any(name in row for row in rows)]
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
