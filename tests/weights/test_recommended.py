"""`oldfilm weights fetch --for PURPOSE` and `oldfilm.fetch_weights`, from a folder of wheels."""

import pytest
import yaml
from safetensors.numpy import save

import oldfilm
from oldfilm.api import make_job
from oldfilm.apps.presets import purposes, recommended, variants_of
from oldfilm.cli import weights
from oldfilm.errors import OptionError
from oldfilm.networks.dain_lite import DAINLite
from oldfilm.system.files import sha256_of_file
from oldfilm.weights import TransferError, registry
from tests.weights.package_files import HERE, MEMBER, wheel

SETTINGS = {"channels": [4, 4, 4]}
PRESET = {
    "process_order": ["Despot", "DAIN"],
    "variant": ["DAIN=small"],
    "about": "1 MB to download; 2 s for a frame of 480x368",
}


@pytest.fixture
def checkout(tmp_path, monkeypatch, folder):
    """A checkout with one recommended variant, whose weights are in a folder of wheels."""
    top = tmp_path / "checkout"
    monkeypatch.setattr(registry, "PACKAGE", top / "oldfilm")
    (top / "configs" / "presets").mkdir(parents=True)
    network = {key: value.numpy() for key, value in DAINLite(**SETTINGS).state_dict().items()}
    (folder / f"sharp-1.0-{HERE}.whl").write_bytes(wheel({MEMBER: save(network)}))
    small = {
        "network": "dain_lite.DAINLite",
        "settings": SETTINGS,
        "predictor": {"implementation": "lite"},
        "weights": {
            "file": "dain-small.safetensors",
            "licence": "MIT",
            "source": "a paper",
            "urls": [f"package:Sharp==1.0/{MEMBER}"],
        },
    }
    config = {"name": "DAIN", "variants": {"small": small}}
    (top / "configs" / "dain.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    for name in ("best-film", "best-home-movies"):
        path = top / "configs" / "presets" / f"{name}.yaml"
        path.write_text(yaml.safe_dump(PRESET), encoding="utf-8")
    return top


@pytest.mark.parametrize("name", ["film", "best_home_movies"])
def test_the_recommended_weights_are_fetched_by_purpose(checkout, name, capsys, tmp_path):
    assert weights.main(["fetch", "--for", name]) == 0
    shown = capsys.readouterr()
    path, use = shown.out.splitlines()
    assert path == str(tmp_path / "cache" / "weights" / "net.safetensors")
    assert f"--preset {recommended(name).name}" in use
    assert PRESET["about"] in shown.err


def test_python_fetches_them_too_and_the_preset_uses_them(checkout, caplog):
    (path,) = oldfilm.fetch_weights("film")
    assert PRESET["about"] in caplog.text
    (stage,) = make_job(["DAIN"], {"device": "cpu"}, preset="best-film").stages
    assert stage.weights.path == path
    assert stage.weights.sha256 == sha256_of_file(path)


def test_what_is_on_this_machine_is_not_downloaded_again(checkout, folder, caplog):
    first = oldfilm.fetch_weights("film")
    for path in folder.iterdir():
        path.unlink()
    assert oldfilm.fetch_weights("film") == first


def test_size_and_speed_are_stated_before_the_download(checkout, monkeypatch, caplog):
    monkeypatch.setenv("OLDFILM_OFFLINE", "1")
    with pytest.raises(TransferError, match="OLDFILM_OFFLINE"):
        oldfilm.fetch_weights("film")
    assert PRESET["about"] in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--for", "flim"], "did you mean `film`? Choose from film, home-movies."),
        (["--for", "film", "dain"], "give a model, or --for, but not both"),
        ([], "name a model, such as deoldify, or a --for"),
    ],
)
def test_what_cannot_be_fetched_is_reported_in_one_line(checkout, arguments, message, capsys):
    assert weights.main(["fetch", *arguments]) == weights.WRONG_INPUT
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("purpose", purposes())
def test_recommended_weights_are_in_packages_and_their_cost_is_stated(purpose):
    preset = recommended(purpose)
    for_all, by_stage = variants_of(preset.variants)
    assert for_all is None
    assert by_stage.keys() <= set(preset.order)
    for stage, name in by_stage.items():
        assert registry.named_model(stage).variant(name).addresses[0].package
    assert "MB" in preset.about and "480x368" in preset.about


def test_a_purpose_must_be_known():
    with pytest.raises(OptionError, match="Choose from"):
        recommended("silent-film")
