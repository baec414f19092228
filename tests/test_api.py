import pytest

import oldfilm
from oldfilm import pipeline
from oldfilm.apps import predictor_class
from oldfilm.errors import OptionError
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


@pytest.fixture
def film(tmp_path):
    return make_film(tmp_path / "film.mp4", frames=5)


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
    assert [report.done for report in restoring] == list(range(1, 14))
    assert restoring[-1].total == 13
    assert restoring[-1].speeds["DAIN"] > 0


def test_an_option_that_no_stage_takes_is_refused(film, tmp_path):
    with pytest.raises(OptionError, match="render_facter"):
        oldfilm.restore(film, ["DeOldify", "DAIN"], tmp_path, render_facter=10)


def test_paddlegans_names_are_there():
    for name in PADDLEGAN:
        predictor = getattr(oldfilm.apps, name)
        assert getattr(oldfilm, name) is predictor
        assert predictor_class(predictor.name) is predictor
    with pytest.raises(AttributeError):
        oldfilm.apps.NoSuchPredictor  # noqa: B018
