"""What the lite OldPhoto is trained on."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from oldfilm.training import photo_restoration  # noqa: E402
from oldfilm.training.damage import (  # noqa: E402
    VISIBLE,
    VISIBLE_CREASE,
    cracks,
    creased,
    damaged,
)
from oldfilm.training.fold import folded, unfolded  # noqa: E402
from oldfilm.training.photo_restoration import Samples, detection_loss  # noqa: E402
from oldfilm.training.torch_networks import OldPhotoLite  # noqa: E402

PARTS = ["detector", "creases", "restorer"]


def overlay() -> np.ndarray:
    made = np.full((100, 100, 4), 255, np.uint8)
    made[..., 3] = 0
    made[40:60, 30:70, 3] = 255
    return made


def test_damage_is_where_the_mask_says() -> None:
    clean = np.full((64, 64, 3), 0.5, np.float32)
    for seed in range(12):
        old, mask = damaged(clean, [overlay()], np.random.default_rng(seed))
        assert mask.any()
        assert 0 <= old.min() <= old.max() <= 1
        assert np.abs(old - clean)[mask == 0].max() < 4 * VISIBLE
        assert (np.abs(old - clean).max(axis=2)[mask > 0] > VISIBLE).all()


def test_cracks_are_thin_and_cross_the_picture() -> None:
    shares = [(cracks((128, 128), np.random.default_rng(seed)) > 0.3).mean() for seed in range(20)]
    assert 0 < np.mean(shares) < 0.15
    assert max(shares) < 0.3


def test_creases_are_thin_and_catch_the_light_beside_a_shadow() -> None:
    clean = np.full((128, 128, 3), 0.5, np.float32)
    brighter = darker = 0
    for seed in range(20):
        old, mask = creased(clean, np.random.default_rng(seed))
        changed = (old - clean)[..., 0]
        assert 0 <= old.min() <= old.max() <= 1
        assert np.abs(changed[mask == 0]).max() < 2 * VISIBLE_CREASE
        assert mask.mean() < 0.15
        brighter += (changed > VISIBLE_CREASE).any()
        darker += (changed < -VISIBLE_CREASE).any()
    assert brighter > 15
    assert darker > 10


def test_a_crease_fades_as_it_runs_out() -> None:
    clean = np.full((200, 200, 3), 0.5, np.float32)
    strongest, all_of_it = 0.0, []
    for seed in range(30):
        old, mask = creased(clean, np.random.default_rng(seed))
        change = np.abs(old - clean)[..., 0]
        strongest = max(strongest, change.max())
        all_of_it += list(change[mask > 0])
    assert strongest > 0.25
    assert np.median(all_of_it) < strongest / 3  # most of what is seen is faint


def test_samples_have_the_shapes_and_ranges_that_training_wants() -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    samples = Samples([photograph], [overlay()], patch=32)
    kept = 0
    for _ in range(24):
        drawn = samples.draw()
        old, apart, guess, damage, creases, mask, clean = drawn
        assert old.shape == apart.shape == guess.shape == clean.shape == (3, 32, 32)
        assert damage.shape == creases.shape == mask.shape == (1, 32, 32)
        assert all(part.dtype == np.float32 for part in drawn)
        assert set(np.unique(mask)) <= {0, 1}
        kept += (mask >= np.maximum(damage, creases)).all()
    assert 12 < kept < 24  # now and then a detector overlooks something


def test_large_photographs_are_drawn_more_often_but_do_not_crowd_out_small_ones() -> None:
    dark, bright = np.zeros((40, 40, 3), np.uint8), np.full((120, 120, 3), 255, np.uint8)
    samples = Samples([dark, bright], [overlay()], patch=16)
    drawn = np.mean([samples.draw()[-1].mean() > 0.5 for _ in range(300)])
    assert 0.65 < drawn < 0.85  # three times as often; by area it would be nine in ten


def test_finding_the_damage_costs_least() -> None:
    damage = torch.zeros(2, 1, 8, 8)
    damage[0, :, 2:4] = 1
    right, wrong, silent = (damage - 0.5) * 20, (0.5 - damage) * 20, torch.full_like(damage, -10)
    costs = [detection_loss(logits, damage).item() for logits in (right, silent, wrong)]
    assert costs == sorted(costs)
    assert costs[0] < 0.01


def test_other_damage_costs_a_detector_nothing_found_or_not() -> None:
    damage, creases = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    damage[..., 2:4], creases[..., 3:8] = 1, 1
    logits = (creases - 0.5) * 20
    other = logits.clone()
    other[..., 2] = 10
    costs = [
        photo_restoration.detection_loss(photo_restoration._but(one, damage, creases), creases)
        for one in (logits, other)
    ]
    assert costs[0] == costs[1] < 0.01
    other[..., 3] = -10  # where both are, it is to be found
    assert (
        photo_restoration.detection_loss(photo_restoration._but(other, damage, creases), creases)
        > 0.1
    )


def test_what_is_shipped_gives_what_was_trained() -> None:
    torch.manual_seed(0)
    settings = {"widths": (4, 6), "deeper": (0, 1), "creases": (4, 8)}
    trained, shipped = OldPhotoLite(**settings, norm=True), OldPhotoLite(**settings)
    for name, value in trained.state_dict().items():
        if name.endswith(("running_mean", "running_var", "norm.weight", "leave.weight")):
            value.uniform_(0.5, 1)
    shipped.load_state_dict(folded(trained.state_dict()))
    trained.eval()
    image, mask = torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16)
    with torch.no_grad():
        restored = [one.restorer(image, image, mask) for one in (trained, shipped)]
        found = [one.detector(image, image) for one in (trained, shipped)]
        creases = [one.creases(image, image) for one in (trained, shipped)]
    for both in (restored, found, creases):
        torch.testing.assert_close(*both, rtol=1e-5, atol=1e-4)


def test_what_is_shipped_can_be_trained_on() -> None:
    torch.manual_seed(0)
    settings = {"widths": (4, 6), "deeper": (0, 1), "creases": (4, 8)}
    shipped, trained = OldPhotoLite(**settings), OldPhotoLite(**settings, norm=True)
    for value in shipped.detector.body.leave.parameters():
        value.data.uniform_(-1, 1)
    image, mask = torch.rand(4, 3, 32, 32), torch.ones(4, 1, 32, 32)

    def found(network) -> torch.Tensor:
        with torch.no_grad():
            return network.detector(image, image)

    def see(network) -> None:
        network.detector(image, image)
        network.creases(image, image)
        network.restorer(image, image, mask)

    unfolded(shipped, trained, see)
    again, state = folded(trained.state_dict()), shipped.state_dict()
    assert again.keys() == state.keys()
    for name, value in state.items():
        torch.testing.assert_close(again[name], value, rtol=1e-4, atol=1e-4)
    # Both as it is used and as it is trained.
    for network in (trained.eval(), trained.train()):
        torch.testing.assert_close(found(network), found(shipped), rtol=1e-3, atol=1e-3)


def test_what_finds_creases_begins_as_what_finds_other_damage() -> None:
    network = OldPhotoLite((4, 6), (0, 1), creases=(4, 8), norm=True)
    every = network.state_dict()
    known = {name: value for name, value in every.items() if not name.startswith("creases.")}
    begun = photo_restoration._with_creases(known, network)
    network.load_state_dict(begun)  # all are there, of the right shapes
    enter, wider = "body.enter.conv.weight", "body.down.0.conv.weight"
    assert torch.equal(begun[f"creases.{enter}"], every[f"detector.{enter}"])
    assert torch.equal(begun[f"creases.{wider}"], every[f"creases.{wider}"])
    assert torch.equal(
        photo_restoration._with_creases(every, network)[f"creases.{enter}"],
        every[f"creases.{enter}"],
    )


def test_weights_lie_on_the_way_to_what_was_learned() -> None:
    begun = {"weight": torch.tensor([0.0, 2.0]), "seen": torch.tensor(3)}
    learned = {"weight": torch.tensor([1.0, 6.0]), "seen": torch.tensor(5)}
    mixed = photo_restoration._between(begun, learned, 0.5)
    assert mixed["weight"].tolist() == [0.5, 4.0]
    assert mixed["seen"] == 5
    assert torch.equal(photo_restoration._between(begun, learned, 1.0)["weight"], learned["weight"])


def test_a_recipe_is_trained_from_the_command_line(tmp_path) -> None:
    """A minute's beginning: what is shipped and what training goes on from are written."""
    import yaml
    from safetensors.torch import load_file

    settings = {"widths": [4, 6], "deeper": [0, 1], "creases": [4, 8]}
    recipe = {"settings": settings, "parts": PARTS, "patch": 16, "smallest": 32}
    recipe.update({"batch": 2, "rate": 1e-3, "last_rate": 1e-5, "clip": 1.0, "average": 0.9})
    recipe.update({"minutes": 0.01, "save_minutes": 5, "threads": 1, "workers": 1, "seed": 0})
    recipe.update({"creases": 0.5, "way": 1.0})
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    _small_data(tmp_path / "data")
    arguments = [str(tmp_path / "recipe.yaml"), "--data", str(tmp_path / "data"), "--output"]
    photo_restoration.main([*arguments, str(tmp_path / "made.safetensors")])
    shipped = load_file(tmp_path / "made.safetensors")
    assert {name: value.shape for name, value in shipped.items()} == {
        name: value.shape for name, value in OldPhotoLite(**settings).state_dict().items()
    }
    for start in ("made.safetensors", "made.unfolded.safetensors"):
        photo_restoration.main(
            [*arguments, str(tmp_path / "b.safetensors"), "--start", str(tmp_path / start)]
        )


def _small_data(root) -> None:
    import io
    import tarfile

    import cv2

    rng = np.random.default_rng(0)
    pictures = {
        root / "photos" / "a.tar": ("1.png", rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)),
        root / "film-damage.tar": ("hair/001.png", overlay()),
    }
    for archive, (name, picture) in pictures.items():
        archive.parent.mkdir(parents=True, exist_ok=True)
        coded = cv2.imencode(".png", picture)[1].tobytes()
        with tarfile.open(archive, "w") as tar:
            entry = tarfile.TarInfo(name)
            entry.size = len(coded)
            tar.addfile(entry, io.BytesIO(coded))
