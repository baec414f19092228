"""DAIN and each of its modules compute the same as the authors' code (dain.md)."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from oldfilm.networks.dain import DAIN, warp  # noqa: E402
from tests.parity import formula  # noqa: E402
from tests.parity.dain import our_weights, predictor  # noqa: E402

HERE = Path(__file__).parent


@functools.cache
def network() -> DAIN:
    made = DAIN()
    made.set_state_dict(our_weights(made))
    made.eval()
    return made


def pictured(*shapes: tuple[str, int], size: tuple[int, int]) -> list[paddle.Tensor]:
    """Return a picture [1, channels, *size] for each (name, channels)."""
    return [paddle.to_tensor(formula.picture(name, (1, c, *size))) for name, c in shapes]


def error(found: paddle.Tensor, name: str) -> float:
    expected = np.load(HERE / "dain.npz")[name]
    return formula.relative_error(formula.sampled(found.numpy(), expected.size), expected)


def test_keys_match_the_published_file():
    made = DAIN()
    shapes = {key: tuple(value.shape) for key, value in made.state_dict().items()}
    assert shapes == {key: value.shape for key, value in our_weights(made).items()}


@pytest.mark.parametrize("size", [(64, 64), (128, 192)])
@paddle.no_grad()
def test_flow_estimation(size):
    flow = network().flownets(*pictured(("first", 3), ("second", 3), size=size))
    assert error(flow, f"flownets-{size[0]}x{size[1]}") < 1e-4


def test_correlation_at_all_displacements():
    """Pseudo-random weights give similar features, so the complete flow network hides errors."""
    one, other = (part - 0.5 for part in pictured(("one", 6), ("other", 6), size=(5, 7)))
    found = network().flownets.correlate(one, other).numpy()[0]
    around = np.pad(other.numpy()[0], ((0, 0), (4, 4), (4, 4)))
    moves = [(down, across) for down in range(9) for across in range(9)]
    means = [(one.numpy()[0] * around[:, d : d + 5, a : a + 7]).mean(0) for d, a in moves]
    expected = np.where(np.array(means) > 0, means, 0.1 * np.array(means))
    assert formula.relative_error(found, expected) < 1e-4


@pytest.mark.parametrize("size", [(16, 16), (64, 96)])
@paddle.no_grad()
def test_depth_estimation(size):
    depth = network().depthNet(*pictured(("first", 3), size=size))
    assert error(depth, f"depthNet-{size[0]}x{size[1]}") < 1e-4


@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
@paddle.no_grad()
def test_kernel_estimation(size):
    features = network().initScaleNets_filter(*pictured(("frames", 6), size=size))
    heads = network().initScaleNets_filter1, network().initScaleNets_filter2
    for number, head in enumerate(heads, 1):
        assert error(head(features), f"kernels{number}-{size[0]}x{size[1]}") < 1e-4


@pytest.mark.parametrize("size", [(7, 5), (48, 64)])
@paddle.no_grad()
def test_context_features_and_rectification(size):
    (image,) = pictured(("first", 3), size=size)
    context = paddle.concat([image, network().ctxNet(image)], 1)
    assert error(context, f"ctxNet-{size[0]}x{size[1]}") < 1e-4
    change = network().rectifyNet(*pictured(("seen", 437), size=size))
    assert error(change, f"rectifyNet-{size[0]}x{size[1]}") < 1e-4


def wild_flow(size: tuple[int, int]) -> paddle.Tensor:
    """Return flow with holes, collisions, and vectors that leave the frame."""
    (flow,) = pictured(("flow", 2), size=size)
    return (flow - 0.4) * size[1]


@pytest.mark.parametrize("size", [(7, 9), (37, 53)])
def test_depth_aware_flow_projection(size):
    (depth,) = pictured(("depth", 1), size=size)
    projected, _ = network().project(wild_flow(size), depth * 8 - 4)
    assert error(projected, f"project-{size[0]}x{size[1]}") < 1e-4


@pytest.mark.parametrize("size", [(7, 9), (37, 53)])
def test_adaptive_warping(size):
    image, kernels = pictured(("image", 5), ("kernels", 16), size=size)
    warped = warp(image, network().project.reads(wild_flow(size)), kernels - 0.4)
    assert error(warped, f"warp-{size[0]}x{size[1]}") < 1e-4


@pytest.mark.parametrize("size", [(21, 37), pytest.param((128, 128), marks=pytest.mark.slow)])
def test_the_complete_network_at_two_times(tmp_path, size):
    first, second = (
        formula.picture(name, (1, 3, *size))[0].transpose(1, 2, 0) for name in ("first", "second")
    )
    dain = predictor(tmp_path)
    pair = dain.prepare(first, second)
    for time in (0.5, 0.25):
        made = dain.between(pair, time).transpose(2, 0, 1)
        expected = np.load(HERE / "dain.npz")[f"{time}-{size[0]}x{size[1]}"]
        found = formula.sampled(made, expected.size)
        # Projection is discontinuous between pixels: a few values may differ by any amount.
        differences = np.abs(found - expected) / np.abs(expected - expected.mean()).max()
        assert np.percentile(differences, 99) < 1e-4
