"""Samples, losses and a short run of the photo restoration training."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

import oldfilm.training.__main__ as command_line  # noqa: E402
from oldfilm.training.damage import (  # noqa: E402
    VISIBLE,
    VISIBLE_CREASE,
    cracks,
    creased,
    damaged,
)
from oldfilm.training.fold import folded, unfold_into  # noqa: E402
from oldfilm.training.photo_restoration import (  # noqa: E402
    Samples,
    detection_loss,
    ignoring,
    with_creases,
)
from oldfilm.training.torch_networks import OldPhotoLite  # noqa: E402
from tests.training.test_data import write_tar  # noqa: E402

PARTS = ["detector", "creases", "restorer"]


def overlay() -> np.ndarray:
    made = np.full((100, 100, 4), 255, np.uint8)
    made[..., 3] = 0
    made[40:60, 30:70, 3] = 255
    return made


def test_the_mask_marks_the_damage() -> None:
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


def test_creases_are_thin_with_light_and_shadow() -> None:
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


def test_a_crease_fades_toward_its_end() -> None:
    clean = np.full((200, 200, 3), 0.5, np.float32)
    strongest, all_of_it = 0.0, []
    for seed in range(30):
        old, mask = creased(clean, np.random.default_rng(seed))
        change = np.abs(old - clean)[..., 0]
        strongest = max(strongest, change.max())
        all_of_it += list(change[mask > 0])
    assert strongest > 0.25
    assert np.median(all_of_it) < strongest / 3  # Most of a crease is faint.


def test_samples_have_the_shapes_and_ranges_that_training_needs() -> None:
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
    assert 12 < kept < 24  # Now and then a detector misses something.


def test_large_photographs_are_drawn_more_often_but_do_not_crowd_out_small_ones() -> None:
    dark, bright = np.zeros((40, 40, 3), np.uint8), np.full((120, 120, 3), 255, np.uint8)
    samples = Samples([dark, bright], [overlay()], patch=16)
    drawn = np.mean([samples.draw()[-1].mean() > 0.5 for _ in range(300)])
    assert 0.65 < drawn < 0.85  # Three times as often; by area it would be nine in ten.


def test_finding_exactly_the_damage_costs_least() -> None:
    damage = torch.zeros(2, 1, 8, 8)
    damage[0, :, 2:4] = 1
    right, wrong, silent = (damage - 0.5) * 20, (0.5 - damage) * 20, torch.full_like(damage, -10)
    costs = [detection_loss(logits, damage).item() for logits in (right, silent, wrong)]
    assert costs == sorted(costs)
    assert costs[0] < 0.01


def test_a_detector_is_not_judged_by_the_other_kind_of_damage() -> None:
    damage, creases = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    damage[..., 2:4], creases[..., 3:8] = 1, 1
    logits = (creases - 0.5) * 20
    other = logits.clone()
    other[..., 2] = 10
    costs = [detection_loss(ignoring(x, damage, creases), creases) for x in (logits, other)]
    assert costs[0] == costs[1] < 0.01
    other[..., 3] = -10  # A pixel with both kinds of damage must be found.
    assert detection_loss(ignoring(other, damage, creases), creases) > 0.1


def test_folding_does_not_change_the_output() -> None:
    torch.manual_seed(0)
    settings = {"widths": (4, 6), "deeper": (0, 1), "creases": (4, 8)}
    trained, shipped = OldPhotoLite(**settings, norm=True), OldPhotoLite(**settings)
    for name, value in trained.state_dict().items():
        if name.endswith(("running_mean", "running_var", "norm.weight", "leave.weight")):
            value.uniform_(0.5, 1)
    shipped.load_state_dict(folded(trained.state_dict(), trained))
    trained.eval()
    image, mask = torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16)
    with torch.no_grad():
        restored = [one.restorer(image, image, mask) for one in (trained, shipped)]
        found = [one.detector(image, image) for one in (trained, shipped)]
        creases = [one.creases(image, image) for one in (trained, shipped)]
    for both in (restored, found, creases):
        torch.testing.assert_close(*both, rtol=1e-5, atol=1e-4)


def test_shipped_weights_can_be_trained_on() -> None:
    torch.manual_seed(0)
    settings = {"widths": (4, 6), "deeper": (0, 1), "creases": (4, 8)}
    shipped, trained = OldPhotoLite(**settings), OldPhotoLite(**settings, norm=True)
    for value in shipped.detector.body.leave.parameters():
        value.data.uniform_(-1, 1)
    image, mask = torch.rand(4, 3, 32, 32), torch.ones(4, 1, 32, 32)

    def found(network) -> torch.Tensor:
        with torch.no_grad():
            return network.detector(image, image)

    def show_samples(network) -> None:
        network.detector(image, image)
        network.creases(image, image)
        network.restorer(image, image, mask)

    unfold_into(trained, shipped, show_samples)
    again, state = folded(trained.state_dict(), trained), shipped.state_dict()
    assert again.keys() == state.keys()
    for name, value in state.items():
        torch.testing.assert_close(again[name], value, rtol=1e-4, atol=1e-4)
    # In both modes: eval for use, train for training.
    for network in (trained.eval(), trained.train()):
        torch.testing.assert_close(found(network), found(shipped), rtol=1e-3, atol=1e-3)


def test_the_crease_detector_starts_as_the_damage_detector() -> None:
    network = OldPhotoLite((4, 6), (0, 1), creases=(4, 8), norm=True)
    every = network.state_dict()
    known = {name: value for name, value in every.items() if not name.startswith("creases.")}
    begun = with_creases(known, network)
    network.load_state_dict(begun)  # All keys exist, with the right shapes.
    enter, wider = "body.enter.conv.weight", "body.down.0.conv.weight"
    assert torch.equal(begun[f"creases.{enter}"], every[f"detector.{enter}"])
    assert torch.equal(begun[f"creases.{wider}"], every[f"creases.{wider}"])
    kept = with_creases(every, network)
    assert torch.equal(kept[f"creases.{enter}"], every[f"creases.{enter}"])


def test_a_recipe_runs_from_the_command_line(tmp_path) -> None:
    """Another run can start from each file that a run writes."""
    settings = {"widths": [4, 6], "deeper": [0, 1], "creases": [4, 8]}
    recipe = {"settings": settings, "parts": PARTS, "patch": 16, "smallest": 32}
    recipe.update({"batch": 2, "learning_rate": 1e-3, "last_learning_rate": 1e-5, "clip": 1.0})
    recipe.update({"average": 0.9, "minutes": 60, "save_minutes": 5, "threads": 1, "workers": 1})
    recipe.update({"seed": 0, "creases": 0.5})
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    _small_data(tmp_path / "data")
    given = ["photo_restoration", str(tmp_path / "recipe.yaml"), "--limit", "2"]
    given += ["--data", str(tmp_path / "data"), "--output"]
    assert command_line.main([*given, str(tmp_path / "made.safetensors")]) == 0
    shipped = load_file(tmp_path / "made.safetensors")
    assert {name: value.shape for name, value in shipped.items()} == {
        name: value.shape for name, value in OldPhotoLite(**settings).state_dict().items()
    }
    for start in ("made.safetensors", "made.unfolded.safetensors", "made.checkpoint"):
        output = str(tmp_path / "b.safetensors")
        assert command_line.main([*given, output, "--start", str(tmp_path / start)]) == 0


def _small_data(root) -> None:
    rng = np.random.default_rng(0)
    photograph = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    (root / "photos").mkdir(parents=True)
    write_tar(root / "photos" / "a.tar", {"1.png": photograph})
    write_tar(root / "film-damage.tar", {"hair/001.png": overlay()})
