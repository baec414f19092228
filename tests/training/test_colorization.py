"""The parts of the colorization training, and a short run that is stopped and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from oldfilm.networks.efficientnet_blocks import BLOCKS  # noqa: E402
from oldfilm.training import loop  # noqa: E402
from oldfilm.training.colorization import Colorization, Recipe  # noqa: E402
from oldfilm.training.colorization_data import (  # noqa: E402
    SIDE,
    STORED_SIDE,
    OldLook,
    Pictures,
    Validation,
    looks_held_out,
)
from oldfilm.training.palette import Palette, chroma, find_centers  # noqa: E402
from oldfilm.training.torch_deoldify_lite import (  # noqa: E402
    DeOldifyLite,
    EfficientNetLite0,
    imagenet_encoder,
)
from tests.training.test_data import write_tar  # noqa: E402

RECIPE = Path(__file__).parents[2] / "configs" / "train" / "deoldify-lite.yaml"
SETTINGS = {"widths": (4, 6, 8, 10), "bins": 16}


def training(steps: int) -> Colorization:
    recipe = replace(Recipe.read(RECIPE), settings=SETTINGS, batch=4, steps=steps, threads=2)
    validation = Validation.of(pictures().rgb / 255)
    return Colorization(recipe, pictures(), look(), validation)


def pictures(count: int = 12) -> Pictures:
    generator = torch.Generator().manual_seed(0)
    rgb = torch.randint(256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
    rgb = rgb.repeat_interleave(STORED_SIDE // 8, 2).repeat_interleave(STORED_SIDE // 8, 3)
    return Pictures(rgb, count - 2)


def look() -> OldLook:
    return OldLook([np.full((16, 16, 4), 90, np.uint8)], share=0.5)


def palette(samples: torch.Tensor) -> Palette:
    return Palette(samples, find_centers(samples, bins=16, seed=0), rebalance=0.5)


def test_chroma_is_that_of_opencv() -> None:
    rgb = np.random.default_rng(0).random((9, 7, 3), dtype=np.float32)
    ours = chroma(torch.from_numpy(rgb).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[..., 1:], atol=0.3)


def test_the_right_color_with_certainty_costs_least() -> None:
    colors = palette(torch.randn(5000, 2) * 20)
    truth = colors.centers[3].reshape(1, 2, 1, 1)
    right, wrong = (torch.full((1, 16, 1, 1), -20.0) for _ in range(2))
    right[0, 3] = wrong[0, 8] = 20.0
    for good, bad in zip(colors.losses(right, truth), colors.losses(wrong, truth)):
        assert good < 0.1 * bad


def test_rare_colors_weigh_more() -> None:
    common, rare = torch.randn(5000, 2) * 3, torch.tensor([[60.0, 60.0]]).repeat(20, 1)
    colors = palette(torch.cat([common, rare]))
    of_common, of_rare = colors.weight_of(torch.tensor([[0.0, 0.0], [60.0, 60.0]]))
    assert of_rare > 2 * of_common


def test_old_looks_stay_in_range_and_leave_half_of_the_pictures_clean() -> None:
    torch.manual_seed(0)
    luma = torch.rand(100, 1, SIDE, SIDE)
    aged = look()(luma)
    clean = (aged == luma).flatten(1).all(1).float().mean()
    assert 0.35 < clean < 0.65
    assert aged.min() >= 0
    assert aged.max() <= 1


def test_a_stopped_run_resumes_where_it_was(tmp_path) -> None:
    loop.fit(training(steps=3), tmp_path / "a.safetensors")
    again = training(steps=3)
    checkpoint = tmp_path / "a.checkpoint"
    assert loop.fit(again, tmp_path / "b.safetensors", checkpoint) == 3
    stopped = loop.read_checkpoint(checkpoint)["network"]
    for name, value in again.network.state_dict().items():
        assert torch.equal(value, stopped[name])
    first, second = (load_file(tmp_path / f"{name}.safetensors") for name in "ab")
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_shipped_weights_fit_the_network_and_can_be_trained_on(tmp_path) -> None:
    loop.fit(training(steps=2), tmp_path / "a.safetensors")
    DeOldifyLite(**SETTINGS).load_state_dict(load_file(tmp_path / "a.safetensors"))
    again = training(steps=2)
    assert loop.fit(again, tmp_path / "b.safetensors", tmp_path / "a.safetensors") == 2
    centers = load_file(tmp_path / "a.safetensors")["centers.weight"].float()
    torch.testing.assert_close(again.network.centers.weight.detach(), centers)


def test_pictures_that_look_like_a_held_out_photograph_are_found(tmp_path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    held_out = cv2.resize(rng.integers(256, size=(8, 8, 3)).astype(np.uint8), (128, 128))
    write_tar(folder / "some.tar", {"00000.png": held_out})
    smaller = cv2.resize(held_out, (STORED_SIDE, STORED_SIDE), interpolation=cv2.INTER_AREA)
    smaller = torch.from_numpy(cv2.cvtColor(smaller, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
    squares = torch.cat([smaller[None], pictures(3).rgb])
    assert looks_held_out(squares, tmp_path).tolist() == [True, False, False, False]


def test_the_encoder_starts_from_published_weights_with_its_inputs_summed() -> None:
    theirs = {"_conv_stem.weight": torch.rand(32, 3, 3, 3)}
    norms = ["_bn0"]
    for index, (kernel, _, expansion, channels_in, channels) in enumerate(BLOCKS):
        wide, block = channels_in * expansion, f"_blocks.{index}"
        if expansion > 1:
            theirs[f"{block}._expand_conv.weight"] = torch.rand(wide, channels_in, 1, 1)
            norms.append(f"{block}._bn0:{wide}")
        theirs[f"{block}._depthwise_conv.weight"] = torch.rand(wide, 1, kernel, kernel)
        theirs[f"{block}._project_conv.weight"] = torch.rand(channels, wide, 1, 1)
        norms += [f"{block}._bn1:{wide}", f"{block}._bn2:{channels}"]
    for norm in norms:
        name, _, size = norm.partition(":")
        for part in ("weight", "bias", "running_mean", "running_var"):
            theirs[f"{name}.{part}"] = torch.rand(int(size or 32))
    encoder = EfficientNetLite0(norm=True)
    encoder.load_state_dict(imagenet_encoder(theirs))
    torch.testing.assert_close(encoder.stem.conv.weight[:, 0], theirs["_conv_stem.weight"].sum(1))
    assert torch.equal(encoder.blocks[3].expand.norm.bias, theirs["_blocks.3._bn0.bias"])
