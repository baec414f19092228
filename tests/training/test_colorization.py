"""The parts of the color training, and a run of a few steps that is stopped and gone on with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")

from oldfilm.training import colorization  # noqa: E402
from tests.training.test_data import write_tar  # noqa: E402

RECIPE = Path(__file__).parents[2] / "configs" / "train" / "deoldify-lite.yaml"


def recipe(**changes) -> colorization.Recipe:
    made = colorization.Recipe(**yaml.safe_load(RECIPE.read_text(encoding="utf-8")))
    settings = {"widths": (4, 6, 8, 10), "detail": 8, "bins": 16}
    return replace(made, settings=settings, batch=4, **changes)


def pictures(count: int = 12) -> colorization.Pictures:
    generator = torch.Generator().manual_seed(0)
    rgb = torch.randint(256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
    rgb = rgb.repeat_interleave(8, 2).repeat_interleave(8, 3)
    return colorization.Pictures(rgb, torch.arange(count) % 3 - 1)


def look() -> colorization.OldLook:
    return colorization.OldLook([np.full((16, 16, 4), 90, np.uint8)])


def test_chroma_is_that_of_opencv() -> None:
    rgb = np.random.default_rng(0).random((9, 7, 3), dtype=np.float32)
    ours = (
        colorization.chroma(torch.from_numpy(rgb).permute(2, 0, 1)[None])[0]
        .permute(1, 2, 0)
        .numpy()
    )
    np.testing.assert_allclose(ours, cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[..., 1:], atol=0.3)


def test_a_sure_and_right_belief_costs_least() -> None:
    samples = torch.randn(5000, 2) * 20
    colors = colorization.Colors(samples, bins=16, rebalance=0.5, seed=0)
    truth = colors.centers[3].reshape(1, 2, 1, 1)
    right, wrong = (torch.full((1, 16, 1, 1), -20.0) for _ in range(2))
    right[0, 3] = wrong[0, 8] = 20.0
    for good, bad in zip(colors.losses(right, truth), colors.losses(wrong, truth)):
        assert good < 0.1 * bad


def test_rare_colors_weigh_more() -> None:
    common, rare = torch.randn(5000, 2) * 3, torch.tensor([[60.0, 60.0]]).repeat(20, 1)
    colors = colorization.Colors(torch.cat([common, rare]), bins=16, rebalance=0.5, seed=0)
    weight = colors.weights[colors._cell(torch.tensor([[0.0, 0.0], [60.0, 60.0]]))]
    assert weight[1] > 2 * weight[0]


def test_old_looks_stay_in_range_and_leave_half_clean() -> None:
    torch.manual_seed(0)
    luma = torch.rand(200, 1, colorization.SIDE, colorization.SIDE)
    aged = look()(luma)
    clean = (aged == luma).flatten(1).all(1).float().mean()
    assert 0.35 < clean < 0.65
    assert aged.min() >= 0
    assert aged.max() <= 1


def test_a_stopped_run_goes_on_where_it_was(tmp_path) -> None:
    run = colorization.Run(recipe(seconds=0.5, threads=1), pictures(), look(), tmp_path)
    list(run.train())
    run.save()
    assert run.step > 0
    again = colorization.Run(recipe(seconds=0.5, threads=1), pictures(), look(), tmp_path)
    assert (again.step, again.spent) == (run.step, run.spent)
    for name, value in run.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name])


def test_what_looks_like_a_held_out_photograph_is_found(tmp_path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    held_out = cv2.resize(rng.integers(256, size=(8, 8, 3)).astype(np.uint8), (128, 128))
    write_tar(folder / "some.tar", {"00000.png": held_out})
    smaller = cv2.resize(
        held_out, (colorization.SIDE, colorization.SIDE), interpolation=cv2.INTER_AREA
    )
    smaller = torch.from_numpy(cv2.cvtColor(smaller, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
    squares = torch.cat([smaller[None], pictures(3).rgb])
    assert colorization._looks_held_out(squares, tmp_path).tolist() == [True, False, False, False]
