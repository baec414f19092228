"""Evaluation: the benchmarks' degradations, clips, tasks, scores, and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage, signal
from skimage import data

from oldfilm.cli.evaluate import main
from oldfilm.errors import MediaError, OptionError
from oldfilm.evaluation.clips import clips, triplets
from oldfilm.evaluation.degrade import blur_down, blur_down_duf, degraded
from oldfilm.evaluation.protocols import PROTOCOLS, Protocol
from oldfilm.evaluation.scoring import TRUTH, judge
from oldfilm.evaluation.tasks import task_for, task_name
from oldfilm.media import write_photograph
from oldfilm.stage import FilmInfo, Stage
from tests.films import make_film


def photograph(height: int, width: int, left: int = 150) -> np.ndarray:
    """A piece of a photograph, uint8 RGB."""
    return data.astronaut()[60 : 60 + height, left : left + width]


def moving_clip(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A camera that moves three pixels per frame: uint8 [t, h, w, 3]."""
    return np.stack([photograph(height, width, 150 + 3 * i) for i in range(count)])


def test_bd_is_basicvsrs_blur_of_twelve_pixels() -> None:
    image = photograph(24, 32)[..., :1].astype(np.float32) / 255
    kernel = signal.windows.gaussian(12, 1.6)
    # SciPy centers an even kernel one pixel after Matlab.
    blurred = image.astype(np.float64)
    for axis in (0, 1):
        blurred = ndimage.correlate1d(blurred, kernel / kernel.sum(), axis, mode="nearest")
    np.testing.assert_allclose(blur_down(image), blurred[2::4, 2::4], atol=1e-6)


def test_bd13_is_dufs_blur_of_thirteen_pixels() -> None:
    image = photograph(24, 32).astype(np.float32) / 255
    blurred = ndimage.gaussian_filter(
        image.astype(np.float64), (1.6, 1.6, 0), mode="mirror", truncate=3.75
    )
    np.testing.assert_allclose(blur_down_duf(image), blurred[::4, ::4], atol=1e-6)


def test_the_two_blurs_are_shifted_by_a_pixel_and_a_half() -> None:
    slope = np.broadcast_to(np.arange(64, dtype=np.float32)[None, :, None] / 64, (64, 64, 1))
    apart = (blur_down(slope) - blur_down_duf(slope))[4:-4, 4:-4] * 64
    np.testing.assert_allclose(apart, 1.5, atol=1e-3)


def test_blurs_exist_only_for_a_factor_of_four() -> None:
    with pytest.raises(OptionError, match="shrinks by 4, but this chain enlarges by 2"):
        degraded(photograph(24, 32), "bd", 2)
    assert degraded(photograph(24, 32), "bi", 2).shape == (12, 16, 3)


def write_frames(folder: Path, frames: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(frames):
        write_photograph(folder / f"{number:03d}.png", image.astype(np.float32) / 255)
    return folder


def test_every_shot_of_a_film_is_a_clip(tmp_path) -> None:
    film = make_film(tmp_path / "film.mkv", frames=40, shots=2)
    found = list(clips(film, 100))
    assert [(clip.name, len(clip.frames)) for clip in found] == [("film:0", 20), ("film:1", 20)]
    dark, bright = (clip.frames.mean(axis=(1, 2, 3)) for clip in found)
    assert dark.max() + 60 < bright.min()
    assert [len(clip.frames) for clip in clips(film, 7)] == [7, 7]


def test_folders_of_numbered_frames_are_clips(tmp_path) -> None:
    for name in ("000", "011"):
        write_frames(tmp_path / "REDS4" / name, moving_clip(3))
    found = list(clips(tmp_path / "REDS4", 100))
    assert [clip.name for clip in found] == ["REDS4/000", "REDS4/011"]
    np.testing.assert_array_equal(found[0].frames, moving_clip(3))


def test_numbered_photographs_can_be_clips_of_their_own(tmp_path) -> None:
    folder = write_frames(tmp_path / "DIV2K", moving_clip(1))
    write_photograph(folder / "001.png", photograph(20, 30).astype(np.float32) / 255)
    found = list(clips(folder, 100, photographs=True))
    assert [clip.frames.shape for clip in found] == [(1, 48, 64, 3), (1, 20, 30, 3)]


MIDDLEBURY = {
    "other-data/Venus/frame10.png": 0,
    "other-data/Venus/frame11.png": 2,
    "other-gt-interp/Venus/frame10i11.png": 1,
}
UCF101 = {"7/frame_00.png": 0, "7/frame_01_gt.png": 1, "7/frame_02.png": 2}
VIMEO = {"sequences/00001/0389/im1.png": 0, "sequences/00001/0389/im2.png": 1}
VIMEO |= {"sequences/00001/0389/im3.png": 2}


def write_triplet(folder: Path, files: dict[str, int]) -> Path:
    frames = moving_clip(3)
    for name, number in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_photograph(folder / name, frames[number].astype(np.float32) / 255)
    return folder


@pytest.mark.parametrize(
    ("files", "name"),
    [(MIDDLEBURY, "other-data/Venus"), (UCF101, "7"), (VIMEO, "sequences/00001/0389")],
)
def test_triplets_are_found_in_the_folders_of_benchmarks(tmp_path, files, name) -> None:
    (found,) = triplets(write_triplet(tmp_path, files))
    assert found.name == name
    np.testing.assert_array_equal(found.frames, moving_clip(3))


def test_a_triplet_without_its_true_frame_is_left_out(tmp_path) -> None:
    write_triplet(tmp_path, UCF101)
    write_triplet(tmp_path, {"8/frame_00.png": 0, "8/frame_02.png": 2})
    assert [clip.name for clip in triplets(tmp_path)] == ["7"]
    with pytest.raises(MediaError, match="there are no triplets in this folder"):
        list(triplets(tmp_path / "8"))


def test_a_triplet_of_frames_of_different_sizes_is_refused(tmp_path) -> None:
    write_triplet(tmp_path, UCF101)
    write_photograph(tmp_path / "7" / "frame_02.png", np.zeros((20, 30, 3), np.float32))
    with pytest.raises(MediaError, match="differ in size"):
        list(triplets(tmp_path))


class Changing(Stage):
    """A stage that only describes its result."""

    name = "Changing"

    def __init__(self, width: int = 1, frames: int = 1, channels: int = 1) -> None:
        self.factors = width, frames, channels

    def describe(self, info):
        width, frames, channels = self.factors
        return FilmInfo(
            info.width * width,
            info.height * width,
            info.rate * frames,
            info.frames * frames,
            channels,
        )

    def process(self, frames, core):
        return frames[core]


SIZE = [Changing(width=4)]
RATE = [Changing(frames=2)]
COLOR = [Changing(channels=3)]


def test_the_task_follows_from_what_the_chain_changes() -> None:
    assert [task_for(stages, None).name for stages in (SIZE, RATE, COLOR)] == [
        "size",
        "rate",
        "color",
    ]
    assert task_for([Changing(4, 1, 3)], "color").name == "color"
    with pytest.raises(OptionError, match="size and color: choose `task=size` or `task=color`"):
        task_for([Changing(4, 1, 3)], None)
    with pytest.raises(OptionError, match="does not change the rate"):
        task_for(SIZE, "rate")


def test_the_british_spelling_of_a_task_is_accepted() -> None:
    assert task_name("colour") == "color"
    assert task_for(COLOR, "colour").name == "color"
    with pytest.raises(OptionError, match="choose from size, rate, color"):
        task_for(COLOR, "sound")


def test_a_chain_without_a_task_is_refused() -> None:
    with pytest.raises(OptionError, match="changes none of size, rate and color"):
        task_for([Changing()], None)


def test_a_perfect_enlargement_beats_bicubic() -> None:
    truth = moving_clip(3, 50, 66)
    whole = truth[:, :48, :64].astype(np.float32) / 255
    scores = judge(truth, {"perfect": lambda frames: list(whole)}, task_for(SIZE, None), Protocol())
    assert scores["perfect"]["psnr"] == float("inf")
    assert scores["perfect"]["ssim"] == pytest.approx(1)
    assert scores["perfect"]["luma_flicker"] == scores[TRUTH]["luma_flicker"]
    assert 20 < scores["bicubic"]["psnr"] < 35
    assert scores["bicubic"]["interpolation_error"] > 1


def test_a_shifted_degradation_costs_decibels() -> None:
    truth = moving_clip(1, 96, 96)
    found = {
        kind: judge(truth, {}, task_for(SIZE, None, kind), Protocol(crop=8))["bicubic"]["psnr"]
        for kind in ("bi", "bd", "bd13")
    }
    assert found["bi"] > found["bd"] > found["bd13"] + 1


def test_protocols_compare_luma_without_borders_and_the_middle_frame_only() -> None:
    truth = moving_clip(7)
    task = task_for(SIZE, None)
    seen = []

    def damaged(frames):
        """Correct only in the luma of the middle frame, away from the border."""
        gray = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY)[..., None] for f in truth]
        images = np.stack(gray).astype(np.float32) / 255
        images[[0, 1, 2, 4, 5, 6]] = 0
        images[:, :4] = 0
        seen.append(len(frames))
        return list(images)

    protocols = [Protocol(luma=True, crop=4, center=True), Protocol(luma=True, center=True)]
    protocols += [Protocol(luma=True, crop=4), Protocol(crop=4, center=True)]
    right, *wrong = (judge(truth, {"it": damaged}, task, p)["it"]["psnr"] for p in protocols)
    assert right > 45
    assert max(wrong) < 30
    assert seen == [7] * 4


def test_only_dropped_frames_are_compared() -> None:
    truth = moving_clip(8)
    task = task_for(RATE, None)

    def perfect(frames):
        assert len(frames) == 4
        return [*truth[:7].astype(np.float32) / 255, frames[-1]]

    def repeated(frames):
        return list(np.repeat(frames, 2, axis=0))

    methods = {"perfect": perfect, "repeated": repeated}
    scores = judge(truth, methods, task, PROTOCOLS["rgb"])
    assert scores["perfect"]["psnr"] == float("inf")
    assert scores["DIS flow"]["psnr"] > scores["average"]["psnr"] + 3
    assert scores["average"]["psnr"] > scores["repeated"]["psnr"]
    assert scores["repeated"]["luma_flicker"] > 2 * scores[TRUTH]["luma_flicker"]
    assert judge(truth[:2], {}, task, PROTOCOLS["rgb"]) == {}
    assert judge(truth[:, :3], {}, task_for(SIZE, None), PROTOCOLS["rgb"]) == {}


def test_colors_are_compared_with_the_true_ones() -> None:
    truth = moving_clip(3)
    task = task_for(COLOR, None)

    def perfect(frames):
        assert frames.shape == (3, 48, 64, 1)
        return list(truth.astype(np.float32) / 255)

    scores = judge(truth, {"perfect": perfect}, task, PROTOCOLS["rgb"])
    assert scores["perfect"]["chroma_error"] == 0
    assert scores["gray"]["chroma_error"] > 3
    assert scores["gray"]["colorfulness"] == 0
    assert scores["perfect"]["colorfulness"] == scores[TRUTH]["colorfulness"] > 10


def test_a_gray_film_is_scored_by_colorfulness_and_flicker_only() -> None:
    truth = moving_clip(3)[..., 1:2]
    scores = judge(truth, {}, task_for(COLOR, None), PROTOCOLS["rgb"])
    assert set(scores["gray"]) == {"colorfulness", "luma_flicker", "chroma_flicker"}


def test_a_result_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(
        OptionError, match="it returns 3 frames of 32x24; the ground truth needs 3 of 64x48"
    ):
        judge(
            moving_clip(3),
            {"it": lambda frames: [np.zeros((24, 32, 3), np.float32)] * 3},
            task_for(SIZE, None),
            Protocol(),
        )


@pytest.mark.parametrize(
    ("order", "baseline"),
    [("PPMSVSR", "bicubic"), ("DAIN", "DIS flow"), ("DeOldify", "gray")],
)
def test_the_command_scores_the_lite_models(tmp_path, capsys, order, baseline) -> None:
    pytest.importorskip("paddle")
    clip = write_frames(tmp_path / "clip", moving_clip(5, 64, 96))
    report = tmp_path / "report.json"
    arguments = ["--input", str(clip), "--process_order", order, "--variant", "lite", "--quiet"]
    assert main([*arguments, "--json", str(report)]) == 0
    table = capsys.readouterr().out
    found = json.loads(report.read_text())
    for name in (TRUTH, baseline, f"{order} (lite)"):
        assert f"| {name} |" in table
        assert name in found["mean"]
    scores = found["mean"][f"{order} (lite)"]
    assert scores["psnr"] > 15
    assert found["clips"][0]["frames"] == 5
    assert found["clips"][0]["scores"][baseline]["ssim"] == found["mean"][baseline]["ssim"]
    assert found["stages"][0]["stage"].endswith("(lite)")


def measured(tmp_path: Path, folder: Path, *given: str) -> dict:
    report = tmp_path / "report.json"
    options = ["--variant", "lite", "--quiet", "--json", str(report)]
    assert main(["--input", str(folder), *given, *options]) == 0
    return json.loads(report.read_text())


def test_a_protocol_states_the_degradation_and_the_clips(tmp_path, capsys) -> None:
    pytest.importorskip("paddle")
    for name in ("city", "another", "walk"):
        write_frames(tmp_path / "Vid4" / name, moving_clip(2, 64, 96))
    given = ["--process_order", "PPMSVSR", "--protocol"]
    found = measured(tmp_path, tmp_path / "Vid4", *given, "vid4-bd-y")
    assert [clip["name"] for clip in found["clips"]] == ["Vid4/city", "Vid4/walk"]
    assert (found["task"], found["degradation"]) == ("size", "bd")
    table = capsys.readouterr().out
    assert "test_BasicVSR_Vimeo90K_BDx4.yml" in table
    assert "the input lacks calendar, foliage" in table
    open_one = measured(tmp_path, tmp_path / "Vid4" / "city", *given, "y", "--degradation", "bd")
    assert open_one["mean"]["bicubic"] == pytest.approx(found["clips"][0]["scores"]["bicubic"])


def test_triplets_are_scored_by_the_frame_in_the_middle(tmp_path) -> None:
    pytest.importorskip("paddle")
    folder = write_triplet(tmp_path / "other", MIDDLEBURY)
    found = measured(tmp_path, folder, "--process_order", "DAIN", "--protocol", "middlebury-other")
    first, truth, second = moving_clip(3).astype(np.float64)
    average = np.rint((first + second) / 2)
    scores = found["mean"]["average"]
    assert scores["absolute_error"] == pytest.approx(np.abs(average - truth).mean(), rel=1e-2)
    mean_square = np.square(average - truth).mean()
    assert scores["interpolation_error"] == pytest.approx(np.sqrt(mean_square), rel=1e-2)
    assert scores["psnr"] == pytest.approx(10 * np.log10(255**2 / mean_square), rel=1e-2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["--process_order", "PPMSVSR", "--protocol", "vid4-bd-y", "--degradation", "bi"],
            "--protocol vid4-bd-y is measured with --degradation bd: leave --degradation out",
        ),
        (
            ["--process_order", "PPMSVSR", "--protocol", "ucf101"],
            "does not change the rate",
        ),
        (["--process_order", "Nobody"], "unknown stage `Nobody`"),
        (["--process_order", "PPMSVSR", "--option", "speed=3"], "unknown option `speed`"),
        (["--process_order", "PPMSVSR", "--task", "rate"], "does not change the rate"),
        (["--process_order", "PPMSVSR", "--json", "no/such/folder/r.json"], "no such folder"),
    ],
)
def test_wrong_options_are_reported_in_one_line(tmp_path, capsys, given, message) -> None:
    pytest.importorskip("paddle")
    clip = write_frames(tmp_path / "clip", moving_clip(1))
    assert main(["--input", str(clip), "--quiet", "--variant", "lite", *given]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_a_folder_without_pictures_is_refused(tmp_path, capsys) -> None:
    pytest.importorskip("paddle")
    order = ["--process_order", "PPMSVSR", "--variant", "lite", "--quiet"]
    assert main(["--input", str(tmp_path), *order]) == 2
    assert "no film and no photograph" in capsys.readouterr().err
