"""The training loop, on a network of one number."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from oldfilm.errors import NetworkError, OptionError, WeightsError  # noqa: E402
from oldfilm.training import loop  # noqa: E402

RECIPE = {
    "settings": {},
    "batch": 1,
    "learning_rate": 0.1,
    "last_learning_rate": 0.001,
    "clip": 1.0,
    "average": 0.5,
    "save_minutes": 5,
    "threads": 1,
    "seed": 0,
}


class OneNumber(loop.Training):
    """Learns the number 3."""

    def __init__(self, **changes) -> None:
        super().__init__(loop.Recipe(**{**RECIPE, **changes}))
        self.network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.network.weight)

    def losses(self) -> dict:
        return {"loss": (self.network(torch.ones(1, 1)) - 3).square().mean()}


def shipped(path) -> float:
    return load_file(path)["weight"].item()


def test_training_reduces_the_loss(tmp_path) -> None:
    assert loop.fit(OneNumber(steps=400), tmp_path / "x.safetensors") == 400
    assert shipped(tmp_path / "x.safetensors") == pytest.approx(3, abs=0.05)


def test_a_run_ends_when_its_minutes_are_over(tmp_path) -> None:
    assert loop.fit(OneNumber(minutes=0.002), tmp_path / "x.safetensors") > 0


def test_a_run_of_no_steps_ships_the_starting_weights(tmp_path) -> None:
    loop.fit(OneNumber(steps=0), tmp_path / "x.safetensors")
    assert shipped(tmp_path / "x.safetensors") == 0


def test_the_learning_rate_rises_and_falls_to_its_last_value() -> None:
    training = OneNumber(steps=1000)
    rates = [training.learning_rate(step, step / 1000) for step in range(1001)]
    assert rates[0] == pytest.approx(0.001)
    assert max(rates) == pytest.approx(0.1, rel=0.05)
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(0.001)


def test_a_stopped_run_resumes_at_its_step_with_its_average(tmp_path) -> None:
    stopped = tmp_path / "stopped.safetensors"
    loop.fit(OneNumber(steps=30), stopped)
    checkpoint = stopped.with_suffix(".checkpoint")
    loop.fit(OneNumber(steps=30), tmp_path / "same.safetensors", checkpoint)
    assert shipped(tmp_path / "same.safetensors") == shipped(stopped)
    assert loop.fit(OneNumber(steps=60), tmp_path / "longer.safetensors", checkpoint) == 60
    assert shipped(tmp_path / "longer.safetensors") > shipped(stopped)


def test_a_run_can_start_from_weights(tmp_path) -> None:
    save_file({"weight": torch.tensor([[2.0]])}, tmp_path / "start.safetensors")
    loop.fit(OneNumber(steps=1), tmp_path / "x.safetensors", tmp_path / "start.safetensors")
    assert shipped(tmp_path / "x.safetensors") == pytest.approx(2, abs=0.1)


def test_weights_of_another_network_are_refused(tmp_path) -> None:
    save_file({"bias": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="other.safetensors"):
        loop.fit(OneNumber(steps=1), tmp_path / "x.safetensors", tmp_path / "other.safetensors")


@pytest.mark.parametrize("name", ["x.checkpoint", "x.safetensors"])
def test_a_damaged_start_is_refused(name, tmp_path) -> None:
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=name):
        loop.fit(OneNumber(steps=1), tmp_path / "y.safetensors", tmp_path / name)


def test_a_device_that_does_not_exist_is_refused() -> None:
    with pytest.raises(NetworkError, match="device=abacus"):
        loop.open_device("abacus")


def test_weights_are_mixed_with_those_at_the_start() -> None:
    begun = {"weight": torch.tensor([0.0, 2.0]), "seen": torch.tensor(3)}
    learned = {"weight": torch.tensor([1.0, 6.0]), "seen": torch.tensor(5)}
    mixed = loop.mixed(begun, learned, 0.5)
    assert mixed["weight"].tolist() == [0.5, 4.0]
    assert mixed["seen"] == 5
    assert torch.equal(loop.mixed(begun, learned, 1.0)["weight"], learned["weight"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch: 4", "missing keys: average, clip"),
        ("[1, 2]", "not a recipe"),
        ("a: [", "not YAML"),
    ],
)
def test_an_incomplete_recipe_is_refused(text, message, tmp_path) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(OptionError, match=message):
        loop.Recipe.read(tmp_path / "recipe.yaml")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("minutes: 1\nrate: 0.1", "unknown keys: rate"),
        ("minutes: 1\nsteps: 5", "either `minutes` or `steps`"),
        ("mix: 1.0", "either `minutes` or `steps`"),
    ],
)
def test_unknown_and_contradicting_keys_are_refused(line, message, tmp_path) -> None:
    known = "\n".join(f"{key}: {value}" for key, value in RECIPE.items())
    (tmp_path / "recipe.yaml").write_text(f"{known}\n{line}\n")
    with pytest.raises(OptionError, match=message):
        loop.Recipe.read(tmp_path / "recipe.yaml")
