"""PPMSVSRLite computes the same as the torch network for training, and its cells can be exported.

`ppmsvsr_lite.npz` contains the output of the torch network for `arguments()` with `weights()`; to
update it, run `python -m tests.networks.test_ppmsvsr_lite`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oldfilm.engine import open_graph

paddle = pytest.importorskip("paddle")

from oldfilm.networks.ops import warp  # noqa: E402
from oldfilm.networks.ppmsvsr_lite import PPMSVSRLite  # noqa: E402

STORED = Path(__file__).with_name("ppmsvsr_lite.npz")
SETTINGS = {"channels": 4, "backward_blocks": 1, "forward_blocks": 2}


def wave(shape: tuple[int, ...], step: float, size: float = 1.0) -> np.ndarray:
    """Return reproducible numbers without repetition."""
    steps = np.arange(np.prod(shape), dtype=np.float64)
    return (size * np.sin(step * steps + step)).reshape(shape).astype(np.float32)


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    names = sorted(shapes)
    return {name: wave(shapes[name], 0.7 + 0.01 * i, 0.3) for i, name in enumerate(names)}


def arguments() -> list[np.ndarray]:
    frames = wave((1, 3, 3, 6, 9), 0.3, 0.5) + 0.5
    return [frames, wave((1, 2, 2, 6, 9), 0.11, 2.5), wave((1, 2, 2, 6, 9), 0.17, 2.5)]


def network() -> PPMSVSRLite:
    made = PPMSVSRLite(**SETTINGS)
    made.set_state_dict(weights({k: tuple(v.shape) for k, v in made.state_dict().items()}))
    made.eval()
    return made


def torch_output() -> np.ndarray:
    torch = pytest.importorskip("torch")
    from oldfilm.training.torch_networks import PPMSVSRLite as Twin

    twin = Twin(**SETTINGS)
    values = weights({name: tuple(value.shape) for name, value in twin.state_dict().items()})
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    with torch.no_grad():
        return twin(*map(torch.from_numpy, arguments())).numpy()


def assert_close(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_the_output_equals_that_of_the_torch_network() -> None:
    with paddle.no_grad():
        ours = network()(*map(paddle.to_tensor, arguments())).numpy()
    assert_close(ours, np.load(STORED)["enlarged"])


def test_the_torch_network_still_gives_the_stored_output() -> None:
    assert_close(torch_output(), np.load(STORED)["enlarged"])


@pytest.mark.parametrize("part", ["backward_cell", "forward_cell"])
def test_an_exported_cell_runs_at_any_size(part, tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("OLDFILM_CACHE", str(tmp_path))
    cell = getattr(network(), part)
    inputs = {"pictures": (1, 6, None, None), "seen": (1, None, None, 4)}
    if part == "forward_cell":
        inputs["later"] = (1, None, None, 4)
    graph = open_graph(lambda: cell, inputs, part, "cpu")
    assert not caplog.records, "the export must succeed"
    for height, width in ((20, 31), (48, 17)):
        sizes = [[1, 6, height, width], *[[1, height, width, 4]] * 2]
        arrays = [wave(size, 0.1 + i) for i, size in enumerate(sizes[: len(inputs)])]
        with paddle.no_grad():
            expected = cell(*map(paddle.to_tensor, arrays))
        expected = expected if isinstance(expected, tuple) else (expected,)
        for ours, wanted in zip(graph(*arrays), expected):
            assert_close(ours, wanted.numpy())


def test_a_warp_follows_the_flow_and_is_zero_outside() -> None:
    image = np.arange(20, dtype=np.float32).reshape(1, 1, 4, 5)
    flow = np.zeros((1, 2, 4, 5), np.float32)
    flow[:, 0], flow[:, 1] = 1, -1
    warped = warp(paddle.to_tensor(image), paddle.to_tensor(flow)).numpy()
    expected = np.zeros_like(image)
    expected[..., 1:, :4] = image[..., :3, 1:]
    np.testing.assert_allclose(warped, expected, atol=1e-5)


def test_a_warp_by_half_a_pixel_is_bilinear() -> None:
    image = np.arange(20, dtype=np.float32).reshape(1, 1, 4, 5)
    flow = np.full((1, 2, 4, 5), 0.5, np.float32)
    warped = warp(paddle.to_tensor(image), paddle.to_tensor(flow)).numpy()
    np.testing.assert_allclose(warped[0, 0, 0, 0], image[0, 0, :2, :2].mean(), atol=1e-5)


if __name__ == "__main__":
    np.savez_compressed(STORED, enlarged=torch_output())
