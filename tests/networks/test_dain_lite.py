"""DAINLite computes the same as the torch network for training, and starts as a plain blend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from oldfilm.networks.dain_lite import DAINLite  # noqa: E402

FIXTURE = Path(__file__).parent / "dain_lite.npz"
"""Output of the torch network for `formula_inputs` with `formula_weights`."""

CHANNELS = (4, 6, 8)


def formula(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return reproducible numbers in [-1, 1] that look random."""
    return np.sin(np.arange(np.prod(shape)) * 1.7 + seed).reshape(shape).astype(np.float32)


def formula_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    return {
        name: formula(shape, seed) / np.sqrt(np.prod(shape[1:]) / 3 + 1).astype(np.float32)
        for seed, (name, shape) in enumerate(sorted(shapes.items()))
    }


def formula_inputs(height: int = 11, width: int = 18) -> list[np.ndarray]:
    """Return candidates, flows, trust and time."""
    inputs = [
        formula((1, count, height, width), seed) / 2 + 0.5
        for seed, count in enumerate((12, 4, 2, 1))
    ]
    inputs[1] *= 9
    inputs[3][:] = 0.25
    return inputs


def shapes(network) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def run(network, inputs: list[np.ndarray]) -> np.ndarray:
    with paddle.no_grad():
        return network(*[paddle.to_tensor(array) for array in inputs]).numpy()


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@pytest.fixture
def network():
    network = DAINLite(CHANNELS)
    network.set_state_dict(formula_weights(shapes(network)))
    return network


def test_the_output_equals_the_stored_output_of_the_torch_network(network):
    assert difference(run(network, formula_inputs()), np.load(FIXTURE)["made"]) < 1e-4


def test_the_output_equals_that_of_the_torch_network(network):
    torch = pytest.importorskip("torch")
    from oldfilm.training import torch_networks

    twin = torch_networks.DAINLite(CHANNELS)
    assert shapes(twin) == shapes(network)
    weights = formula_weights(shapes(twin))
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    inputs = formula_inputs(17, 9)
    with torch.no_grad():
        theirs = twin(*[torch.from_numpy(array) for array in inputs]).numpy()
    assert difference(run(network, inputs), theirs) < 1e-4


def test_the_untrained_network_keeps_the_flow_and_blends_by_time():
    candidates, flows, trust, time = formula_inputs()
    trust[:] = 0.5
    candidates[:, 3:] = candidates[:, :3].repeat(3, axis=0).reshape(1, 9, *candidates.shape[2:])
    made = run(DAINLite(CHANNELS), [candidates, flows, trust, time])
    assert np.array_equal(made[:, :4], flows)
    assert np.allclose(made[:, 4], 0.75, atol=1e-5)
    assert made[:, 5].max() < 0.05
    assert np.allclose(made[:, 6:], candidates[:, :3], atol=1e-5)


def test_a_less_trusted_neighbor_has_a_smaller_weight():
    candidates, flows, trust, time = formula_inputs()
    trust[:, 0], trust[:, 1] = 0, 1
    made = run(DAINLite(CHANNELS), [candidates, flows, trust, time])
    assert made[:, 4].max() < 0.75


def test_the_soft_picture_replaces_candidates_that_disagree():
    candidates, flows, trust, time = formula_inputs()
    candidates[:, :6], candidates[:, 6:] = 0.1, 0.9
    assert run(DAINLite(CHANNELS), [candidates, flows, trust, time])[:, 5].min() > 0.9


def test_training_composes_frames_as_the_predictor_does():
    torch = pytest.importorskip("torch")
    from oldfilm.apps.dain.lite import synthesize
    from oldfilm.training import interpolation

    frames = np.stack([formula((50, 80, 3), seed) / 2 + 0.5 for seed in (0, 1)])
    made = run(DAINLite(CHANNELS), formula_inputs(30, 48))
    margin = 20
    around = np.pad(frames, ((0, 0), (margin,) * 2, (margin,) * 2, (0, 0)), "edge")
    around = torch.from_numpy(around.transpose(0, 3, 1, 2)[None])
    trained = interpolation.synthesize(around, torch.from_numpy(made), margin)[0].numpy()
    shown = synthesize(frames[0], frames[1], made[0].transpose(1, 2, 0))
    assert np.abs(trained.transpose(1, 2, 0).clip(0, 1) - shown).max() < 0.02
