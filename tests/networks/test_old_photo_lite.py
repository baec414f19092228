"""OldPhotoLite computes the same as the torch network for training, and can be exported.

`old_photo_lite.npz` contains the output of the torch network for `arguments()` with `weights()`; to
update it, run `python -m tests.networks.test_old_photo_lite`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oldfilm.engine import open_graph
from tests.networks.test_ppmsvsr_lite import assert_close, wave, weights

paddle = pytest.importorskip("paddle")

from oldfilm.networks.old_photo_lite import OldPhotoLite  # noqa: E402

STORED = Path(__file__).with_name("old_photo_lite.npz")
WIDTHS, DEEPER, CREASES = (4, 6, 8), (0, 1, 2), (4, 8)
PARTS = ["detector", "creases", "restorer"]


def arguments(height: int = 16, width: int = 24) -> dict[str, dict[str, np.ndarray]]:
    """Return the arguments of each part, by name."""
    image = wave((1, 3, height, width), 0.3, 0.5) + 0.5
    mask = (wave((1, 1, height, width), 0.11) > 0.5).astype(np.float32)
    both = {"image": image, "filled": image * (1 - mask), "mask": mask}
    apart = {"image": image, "departures": wave(image.shape, 0.07, 0.3)}
    return {"detector": apart, "creases": apart, "restorer": both}


def network() -> OldPhotoLite:
    made = OldPhotoLite(WIDTHS, DEEPER, CREASES)
    made.set_state_dict(weights({k: tuple(v.shape) for k, v in made.state_dict().items()}))
    made.eval()
    return made


def torch_outputs() -> dict[str, np.ndarray]:
    torch = pytest.importorskip("torch")
    from oldfilm.training.torch_networks import OldPhotoLite as Twin

    twin = Twin(WIDTHS, DEEPER, CREASES)
    values = weights({name: tuple(value.shape) for name, value in twin.state_dict().items()})
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    with torch.no_grad():
        return {
            part: getattr(twin, part)(*map(torch.from_numpy, given.values())).numpy()
            for part, given in arguments().items()
        }


@pytest.mark.parametrize("part", PARTS)
def test_the_output_equals_that_of_the_torch_network(part: str) -> None:
    with paddle.no_grad():
        ours = getattr(network(), part)(*map(paddle.to_tensor, arguments()[part].values())).numpy()
    assert_close(ours, np.load(STORED)[part])


@pytest.mark.parametrize("part", PARTS)
def test_the_torch_network_still_gives_the_stored_output(part: str) -> None:
    assert_close(torch_outputs()[part], np.load(STORED)[part])


@pytest.mark.parametrize("part", PARTS)
def test_the_exported_network_runs_at_any_size(part: str, tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("OLDFILM_CACHE", str(tmp_path))
    layer = getattr(network(), part)
    shapes = {name: (1, a.shape[1], None, None) for name, a in arguments()[part].items()}
    graph = open_graph(lambda: layer, shapes, part, "cpu")
    assert not caplog.records, "the export must succeed"
    for size in ((24, 32), (48, 16)):
        arrays = list(arguments(*size)[part].values())
        with paddle.no_grad():
            expected = layer(*map(paddle.to_tensor, arrays)).numpy()
        assert_close(graph(*arrays)[0], expected)


if __name__ == "__main__":
    np.savez_compressed(STORED, **torch_outputs())
