"""DeblurLite computes the same as the torch network for training, and can be exported.

`deblur_lite.npz` contains the output of the torch network for `picture()` with `weights()`; to
update it, run `python -m tests.networks.test_deblur_lite`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oldfilm.engine import open_graph
from tests.networks.test_ppmsvsr_lite import assert_close, wave, weights

paddle = pytest.importorskip("paddle")

from oldfilm.networks.deblur_lite import MULTIPLE, DeblurLite  # noqa: E402

STORED = Path(__file__).with_name("deblur_lite.npz")
SETTINGS = {"widths": [4, 6, 8], "blocks": [1, 1, 2], "blocks_up": [1, 1]}


def picture(height: int = 3 * MULTIPLE, width: int = 2 * MULTIPLE) -> np.ndarray:
    return wave((1, 1, height, width), 0.3, 0.5) + 0.5


def network() -> DeblurLite:
    made = DeblurLite(**SETTINGS)
    made.set_state_dict(weights({k: tuple(v.shape) for k, v in made.state_dict().items()}))
    made.eval()
    return made


def torch_output() -> np.ndarray:
    torch = pytest.importorskip("torch")
    from oldfilm.training.torch_networks import DeblurLite as Twin

    twin = Twin(**SETTINGS)
    values = weights({name: tuple(value.shape) for name, value in twin.state_dict().items()})
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    with torch.no_grad():
        return twin(torch.from_numpy(picture())).numpy()


def test_the_output_equals_that_of_the_torch_network() -> None:
    with paddle.no_grad():
        ours = network()(paddle.to_tensor(picture())).numpy()
    assert_close(ours, np.load(STORED)["detail"])


def test_the_torch_network_still_gives_the_stored_output() -> None:
    assert_close(torch_output(), np.load(STORED)["detail"])


def test_the_exported_network_runs_at_any_size(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("OLDFILM_CACHE", str(tmp_path))
    made = network()
    graph = open_graph(lambda: made, {"luma": (1, 1, None, None)}, "deblur", "cpu")
    assert not caplog.records, "the export must succeed"
    for height, width in ((16, 40), (56, 8)):
        with paddle.no_grad():
            expected = made(paddle.to_tensor(picture(height, width))).numpy()
        assert_close(graph(picture(height, width))[0], expected)


if __name__ == "__main__":
    np.savez_compressed(STORED, detail=torch_output())
