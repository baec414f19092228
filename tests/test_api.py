"""`oldfilm.restore`, `run()` and the command line: one job, the same options, the same result."""

import hashlib
import pickle
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import oldfilm
from oldfilm import pipeline
from oldfilm.api import make_job
from oldfilm.apps import STAGES, predictor_class
from oldfilm.cli.enhance import job_of, make_parser
from oldfilm.cli.main import main
from oldfilm.cli.options import in_flags
from oldfilm.errors import OldfilmError, OptionError
from oldfilm.media import Film, decode_alpha
from oldfilm.pipeline.options import job_options, restore_options
from oldfilm.repair.sharpen import Sharpen
from tests.films import facts, make_film

PADDLEGAN = [
    "DAINPredictor",
    "DeOldifyPredictor",
    "DeepRemasterPredictor",
    "RealSRPredictor",
    "EDVRPredictor",
    "PPMSVSRPredictor",
    "PPMSVSRLargePredictor",
    "BasicVSRPredictor",
    "BasiVSRPlusPlusPredictor",
    "IconVSRPredictor",
]

VALUES = {
    "start": ("0:00.1", Fraction(1, 10)),
    "duration": (0.2, Fraction(1, 5)),
    "input_fps": ("24000/1001", Fraction(24000, 1001)),
    "deinterlace": ("off", "off"),
    "height": ("12", 12),
    "codec": ("ffv1", "ffv1"),
    "crf": (40, 40),
    "pix_fmt": ("yuv444p", "yuv444p"),
    "audio": ("sound.wav", None),
    "keep_audio": (False, False),
    "compare": (True, True),
    "report": ("report.html", None),
    "excerpt": ("clip.gif", None),
    "excerpt_time": ("0.1-0.2", "0.1-0.2"),
    "save_frames": (True, True),
    "label": ("mine", "mine"),
    "stem": ("reel", "reel"),
    "overwrite": (True, True),
    "restart": (True, True),
    "work_dir": ("work", None),
    "segment_frames": (2, 2),
    "workers": ("2", 2),
    "engine": ("local", "local"),
    "address": ("nowhere", "nowhere"),
}
"""For every option: a value as users write it, and what it becomes unless it is a path."""

ALONE = ["input_fps", "crf", "keep_audio", "address", "label", "stem"]
TOGETHER = [[name for name in VALUES if name not in ALONE], *([name] for name in ALONE)]
"""Options given together, since every job takes seconds, and options that contradict others."""


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return make_film(path, frames=5, size=(32, 24), sound=True)


@pytest.fixture
def sound(tmp_path):
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.zeros(8000, "<i2").tobytes())


def flags(option, value):
    """The option as the command line takes it."""
    name = option.flag or f"--{option.name}"
    return [name] if option.type is bool else [name, str(value)]


def by_flag(film, output, given, capsys):
    arguments = ["--input", str(film), "--output", str(output), "--process_order", "Sharpen"]
    if main([*arguments, *(f for option in given for f in flags(option, VALUES[option.name][0]))]):
        raise OptionError(capsys.readouterr().err.removeprefix("oldfilm: ").rstrip())


def by_keyword(film, output, given, capsys):
    oldfilm.restore(film, "Sharpen", output, **{o.name: VALUES[o.name][0] for o in given})


def by_run(film, output, given, capsys):
    options = {option.name: VALUES[option.name][0] for option in given}
    Sharpen(output=output).run(film, **{"save_frames": False, **options})


def outcome(door, *arguments):
    """The suffixes and hashes of the files that a door writes, films decoded, or its error."""
    output = arguments[1]
    try:
        door(*arguments)
    except OldfilmError as error:
        return in_flags(str(error))
    files = sorted(path for path in output.rglob("*") if path.is_file())
    return sorted((path.suffix, digest(path)) for path in files)


def digest(path):
    content = path.read_bytes() if path.suffix == ".png" else facts(path)["images"].tobytes()
    return hashlib.sha256(content).hexdigest()


def test_every_option_has_a_value():
    assert VALUES.keys() == {option.name for option in job_options()}


@pytest.mark.parametrize("together", TOGETHER, ids=" ".join)
def test_options_have_the_same_effect_through_all_three_doors(
    together, film, sound, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    given = [option for option in job_options() if option.name in together]
    visible = all(option.visible for option in given)
    doors = [by_flag, by_keyword, by_run] if visible else [by_keyword, by_run]
    outcomes = [outcome(door, film, tmp_path / door.__name__, given, capsys) for door in doors]
    assert outcomes[0], "nothing was written"
    assert all(found == outcomes[0] for found in outcomes)


@pytest.mark.parametrize("option", job_options(), ids=lambda option: option.name)
def test_every_option_is_read_alike_by_flag_and_by_keyword(option):
    value, expected = VALUES[option.name]
    options = restore_options({option.name: value})
    assert getattr(options, option.name) == (Path(value) if expected is None else expected)
    if option.visible:
        given = ["--input", "film.mp4", "--process_order", "Sharpen", *flags(option, value)]
        assert job_of(make_parser().parse_args(given), None).options == options
    assert make_job("Sharpen", {option.name: value}).options == options


def test_a_chain_by_the_names_of_its_stages(film, tmp_path):
    reports = []
    summary = oldfilm.restore(
        film, ["DAIN"], tmp_path / "out.mp4", fps="40", progress=reports.append
    )
    assert facts(summary.path)["frames"] == summary.after.frames == 13
    assert {report.part for report in reports} == {
        pipeline.ANALYZING,
        pipeline.RESTORING,
        pipeline.JOINING,
    }
    restoring = [report for report in reports if report.part == pipeline.RESTORING]
    assert [report.done for report in restoring] == list(range(14))
    assert restoring[-1].total == 13
    assert restoring[-1].speeds["DAIN"] > 0


def test_a_preset_by_its_name(film, tmp_path):
    preset = tmp_path / "soft.yaml"
    preset.write_text("process_order: Sharpen\nsharpness: 0.5\n")
    summary = oldfilm.restore(film, output=tmp_path, preset=str(preset), progress=False)
    assert summary.path == tmp_path / "film_soft_out.mp4"


def test_progress_is_shown_unless_it_is_turned_off(film, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("oldfilm.pipeline.progress.SHORTEST_SECONDS", 0)
    for run in (
        lambda name, **more: oldfilm.restore(film, "Sharpen", tmp_path / name, **more),
        lambda name, **more: Sharpen(output=tmp_path / name).run(film, **more),
    ):
        run("a.mp4", overwrite=True)
        assert "Restoring: 5 of 5 frames (100%)" in capsys.readouterr().err
        run("b.mp4", overwrite=True, progress=False)
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("order", "option", "message"),
    [
        (["DeOldify", "DAIN"], "render_facter", "did you mean `render_factor`?"),
        ("Sharpen", "overwright", "did you mean `overwrite`?"),
        ("Sharpen", "grain", "an option of Denoise: add it to `order`"),
        ("Sharpen", "fps", "an option of DAIN, RIFE, SuperSloMo: add one of them to `order`"),
        ("Sharpen", "variant", "no stage of this chain has the option `variant`"),
        ("Sharpen", "xyz", "unknown option `xyz`$"),
    ],
)
def test_an_unknown_option_is_refused_with_the_one_that_was_meant(film, order, option, message):
    with pytest.raises(OptionError, match=message.replace("?", r"\?")):
        oldfilm.restore(film, order, **{option: 10})


def test_run_refuses_options_that_it_does_not_have(film):
    with pytest.raises(OptionError, match="did you mean `overwrite`"):
        Sharpen().run(film, overwrit=True)
    with pytest.raises(OptionError, match=r"`sharpness` is an argument of Sharpen\(\)"):
        Sharpen().run(film, sharpness=2)


def test_a_chain_needs_stages(film):
    with pytest.raises(OptionError, match="name the stages"):
        oldfilm.restore(film)


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_can_be_built_in_another_process(name):
    stage = predictor_class(name)
    assert pickle.loads(pickle.dumps(stage)) is stage


def test_paddlegans_names_exist():
    for name in PADDLEGAN:
        predictor = getattr(oldfilm.apps, name)
        assert getattr(oldfilm, name) is predictor
        assert predictor_class(predictor.name) is predictor
    with pytest.raises(AttributeError):
        oldfilm.apps.NoSuchPredictor  # noqa: B018


def test_a_transparent_film_stays_transparent_through_a_chain_of_segments(tmp_path):
    source = tmp_path / "a.mov"
    fade = "format=rgba,colorchannelmixer=aa=0.5"
    make_film(source, options=["-vf", fade, "-c:v", "qtrle", "-pix_fmt", "argb"])
    options = {"segment_frames": 5, "height": 96, "progress": False}
    summary = oldfilm.restore(source, ["Sharpen"], tmp_path / "out.mov", **options)
    assert summary.notes == ()
    film = Film.open(summary.path)
    assert (film.width, film.height, film.alpha) == (128, 96, True)
    opacity = [frame.image for frame in decode_alpha(film)]
    assert len(opacity) == 12
    assert max(np.abs(image - 0.5).max() for image in opacity) < 0.005
