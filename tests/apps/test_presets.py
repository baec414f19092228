"""Tests of shipped presets and of preset files that users write."""

import pytest
import yaml

from oldfilm.api import ignored_options, make_job
from oldfilm.apps.presets import presets, read_preset
from oldfilm.cli.main import main
from oldfilm.errors import OptionError
from tests.films import facts, make_film


@pytest.fixture
def preset(tmp_path):
    """Return a function that writes a preset file and returns its path."""

    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_the_documented_presets_are_shipped():
    assert list(presets()) == ["best-film", "best-streets", "photo", "silent-film", "tv-1990s"]


@pytest.mark.parametrize("name", presets())
def test_shipped_presets_set_only_options_of_their_chain(name):
    preset = read_preset(name)
    content = yaml.safe_load(presets()[name].read_text(encoding="utf-8"))
    assert list(preset.order) == content["process_order"]
    assert ignored_options(preset.order, preset.options) == set()


def test_the_silent_film_preset_repairs_before_it_colorizes():
    preset = read_preset("silent-film")
    repair = ("Stabilize", "Deflicker", "Despot", "Descratch", "Denoise")
    assert preset.order == (*repair, "DeOldify", "PPMSVSR", "DAIN")
    assert 0 < preset.options["grain"] < 1


def test_explicit_options_override_the_preset():
    job = make_job(["Denoise", "DAIN"], {"grain": 0.9, "fps": "60"}, preset="silent-film")
    denoise, dain = job.stages
    assert (denoise.grain, dain.fps) == (0.9, 60)
    assert dain.remove_duplicates is True, "from the preset"
    assert job.options.label is None, "the chain differs from the preset's"


def test_the_result_is_named_after_the_preset(preset, tmp_path):
    film = make_film(tmp_path / "film.mp4")
    own = preset("process_order: Sharpen\nsharpness: 0.5\nheight: 24\nno-audio: true\ncrf: 20\n")
    assert main(["--input", str(film), "--output", str(tmp_path / "out"), "--preset", own]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["film_mine_out.mp4"]
    assert facts(tmp_path / "out" / "film_mine_out.mp4")["size"] == (32, 24)


@pytest.mark.parametrize(("word", "meaning"), [("on", "on"), ("off", "off"), ("double", "double")])
def test_on_and_off_are_accepted_as_option_values(preset, word, meaning):
    own = read_preset(preset(f"process_order: [Sharpen]\ndeinterlace: {word}\ncrop: off\n"))
    assert own.options == {"deinterlace": meaning, "crop": False}


def test_a_switch_accepts_its_flag_or_its_python_name(preset):
    own = read_preset(preset("no-audio: true\nno_steady: true\nHR: true\nsave_frames: yes\n"))
    assert own.options == {"keep_audio": False, "steady": False, "hr": True, "save_frames": True}
    own = read_preset(preset("keep-audio: false\nhr: true\ncpu: true\n"))
    assert own.options == {"keep_audio": False, "hr": True, "device": "cpu"}


def test_a_preset_can_list_variants(preset):
    own = preset("process_order: [DeOldify, DAIN]\nvariant: [DeOldify=lite, DAIN=lite]\n")
    assert read_preset(own).variants == ("DeOldify=lite", "DAIN=lite")
    assert [stage.variant for stage in make_job(None, {}, preset=own).stages] == ["lite", "lite"]


def test_variants_of_stages_outside_the_chain_are_ignored(preset):
    own = preset("process_order: [DeOldify, DAIN]\nvariant: [DeOldify=lite, DAIN=lite]\n")
    (stage,) = make_job("DAIN", {}, preset=own).stages
    assert stage.variant == "lite"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("process_order: [Polish]", "unknown stage `Polish`"),
        ("process_order: [Sharpem]", "did you mean `Sharpen`?"),
        ("grian: 0.5", "unknown option `grian` for presets; did you mean --grain?"),
        ("input: film.mp4", "unknown option --input for presets"),
        ("gra: 0.5", "unknown option `gra`"),
        ("grain: {a: 1}", "--grain must be a value"),
        ("grain: much", "--grain much: not a number"),
        ("process_order:", "unknown stage `None`"),
        ("height: [", "not valid YAML"),
        ("Sharpen", "has no options"),
        ("", "has no options"),
    ],
)
def test_an_invalid_preset_is_reported_in_one_line(preset, text, message, capsys):
    assert main(["--input", "tests", "--preset", preset(text)]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert message in shown
    assert "mine.yaml" in shown


def test_an_unknown_preset_is_reported_with_the_available_ones():
    with pytest.raises(
        OptionError, match="did you mean `silent-film`.*photo, silent-film, tv-1990s"
    ):
        read_preset("silentfilm")
