import pytest
import yaml

from oldfilm.api import ignored_options
from oldfilm.apps.presets import presets
from oldfilm.cli.enhance import _arguments, _given, main
from tests.films import facts, make_film

INPUT = ["--input", "film.mp4"]


@pytest.fixture
def preset(tmp_path):
    """Writes a preset of one's own."""

    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_the_promised_presets_are_shipped():
    assert list(presets()) == ["photo", "silent-film", "tv-1990s"]


@pytest.mark.parametrize("name", presets())
def test_a_shipped_preset_says_a_chain_and_nothing_that_the_chain_does_not_take(name):
    arguments = _arguments([*INPUT, "--preset", name])
    content = yaml.safe_load(presets()[name].read_text(encoding="utf-8"))
    assert arguments.process_order == content["process_order"]
    assert ignored_options(arguments.process_order, _given(arguments)) == set()


def test_the_restorers_order():
    arguments = _arguments([*INPUT, "--preset", "silent-film"])
    repair = ["Stabilize", "Deflicker", "Despot", "Descratch", "Denoise"]
    assert arguments.process_order == [*repair, "DeOldify", "PPMSVSR", "DAIN"]
    assert 0 < arguments.grain < 1


def test_the_command_line_wins_wherever_it_stands():
    given = ["--grain", "0.9", "--process_order", "Denoise", "DAIN", "--fps", "60"]
    for order in ([*given, "--preset", "silent-film"], ["--preset=silent-film", *given]):
        arguments = _arguments([*INPUT, *order])
        assert arguments.process_order == ["Denoise", "DAIN"]
        assert (arguments.grain, arguments.fps) == (0.9, "60")
        assert arguments.remove_duplicates is True  # of the preset


def test_a_film_by_a_preset_of_ones_own(preset, tmp_path):
    film = make_film(tmp_path / "film.mp4")
    own = preset("process_order: Sharpen\nsharpness: 0.5\nheight: 24\nno-audio: true\ncrf: 20\n")
    assert main(["--input", str(film), "--output", str(tmp_path / "o.mp4"), "--preset", own]) == 0
    assert facts(tmp_path / "o.mp4")["size"] == (32, 24)


@pytest.mark.parametrize(("word", "meant"), [("on", "on"), ("off", "off"), ("double", "double")])
def test_on_and_off_are_words(preset, word, meant):
    own = preset(f"process_order: [Sharpen]\ndeinterlace: {word}\ncrop: off\n")
    arguments = _arguments([*INPUT, "--preset", own])
    assert (arguments.deinterlace, arguments.crop) == (meant, None)


def test_values_in_lists(preset):
    own = preset("process_order: [DeOldify, DAIN]\nvariant: [DeOldify=artistic, DAIN=lite]\n")
    assert _arguments([*INPUT, "--preset", own]).variant == ["DeOldify=artistic", "DAIN=lite"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("process_order: [Polish]", "there is no stage 'Polish'"),
        ("grian: 0.5", "there is no option 'grian'"),
        ("input: film.mp4", "there is no option 'input'"),
        ("gra: 0.5", "there is no option 'gra'"),
        ("grain: {a: 1}", "grain must be a value"),
        ("process_order:", "there is no stage None"),
        ("height: [", "not YAML"),
        ("Sharpen", "holds no options"),
        ("", "holds no options"),
    ],
)
def test_a_wrong_preset_is_told_in_one_line(preset, text, told, capsys):
    assert main([*INPUT, "--preset", preset(text)]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert told in shown
    assert "mine.yaml" in shown


def test_an_unknown_preset_is_told_with_those_that_there_are(capsys):
    assert main([*INPUT, "--preset", "silent"]) == 2
    assert "photo, silent-film, tv-1990s" in capsys.readouterr().err
