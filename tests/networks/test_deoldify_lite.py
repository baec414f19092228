"""DeOldifyLite computes the same as the torch network for training, and can be exported.

`deoldify_lite.npz` contains the output of the torch network for `luma()` with `weights()`; to
update it, run `python -m tests.networks.test_deoldify_lite`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oldfilm.engine import open_graph

paddle = pytest.importorskip("paddle")

from oldfilm.networks.deoldify_lite import DeOldifyLite  # noqa: E402

STORED = Path(__file__).with_name("deoldify_lite.npz")
SETTINGS = {"widths": (4, 6, 8, 10), "bins": 7}


def wave(shape: tuple[int, ...], step: float, size: float = 1.0) -> np.ndarray:
    """Return reproducible numbers without repetition."""
    steps = np.arange(np.prod(shape), dtype=np.float64)
    return (size * np.sin(step * steps + step)).reshape(shape).astype(np.float32)


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    names = sorted(shapes)
    return {name: wave(shapes[name], 0.7 + 0.01 * i, 0.4) for i, name in enumerate(names)}


def luma() -> np.ndarray:
    return wave((2, 1, 64, 96), 0.3, 0.5) + 0.5


def network() -> DeOldifyLite:
    made = DeOldifyLite(**SETTINGS)
    made.set_state_dict(weights({k: tuple(v.shape) for k, v in made.state_dict().items()}))
    made.eval()
    return made


def torch_output() -> np.ndarray:
    torch = pytest.importorskip("torch")
    from oldfilm.training.torch_deoldify_lite import DeOldifyLite as Twin

    twin = Twin(**SETTINGS)
    values = weights({name: tuple(value.shape) for name, value in twin.state_dict().items()})
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    with torch.no_grad():
        return twin(torch.from_numpy(luma())).numpy()


def assert_close(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_the_output_equals_that_of_the_torch_network() -> None:
    with paddle.no_grad():
        ours = network()(paddle.to_tensor(luma())).numpy()
    assert_close(ours, np.load(STORED)["chroma"])


def test_the_torch_network_still_gives_the_stored_output() -> None:
    assert_close(torch_output(), np.load(STORED)["chroma"])


def test_the_exported_network_runs_at_any_size(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("OLDFILM_CACHE", str(tmp_path))
    color = network()
    graph = open_graph(lambda: color, {"luma": (1, 1, None, None)}, "deoldify", "cpu")
    assert not caplog.records, "the export must succeed"
    for size in ((32, 96), (128, 64)):
        luma = wave((1, 1, *size), 0.3, 0.5) + 0.5
        with paddle.no_grad():
            expected = color(paddle.to_tensor(luma)).numpy()
        assert_close(graph(luma)[0], expected)


def test_folding_removes_batch_normalization_and_keeps_the_output() -> None:
    torch = pytest.importorskip("torch")
    from oldfilm.training.fold import folded
    from oldfilm.training.torch_deoldify_lite import DeOldifyLite as Twin

    torch.manual_seed(0)
    trained = Twin(**SETTINGS, norm=True)
    for _ in range(3):
        trained(torch.rand(4, 1, 64, 64))
    for module in trained.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, 1, 0.3)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    trained.eval()
    plain = Twin(**SETTINGS)
    plain.load_state_dict(folded(trained.state_dict(), trained))
    picture = torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        assert_close(plain(picture).numpy(), trained(picture).numpy())


if __name__ == "__main__":
    np.savez_compressed(STORED, chroma=torch_output())
