"""Pages about jobs (`--report`), and how results show themselves in notebooks."""

import re
from fractions import Fraction
from html.parser import HTMLParser

import numpy as np
import pytest

import oldfilm
from oldfilm.cli.main import main
from oldfilm.media import Film, html, measure, write_photograph
from oldfilm.repair.sharpen import Sharpen
from tests.films import ffmpeg, make_film
from tests.repair.test_despot import film as film_with_grain
from tests.repair.test_despot import with_dust


class Page(HTMLParser):
    """The text of a page, its addresses, and the elements that are open at its end."""

    def __init__(self, content):
        super().__init__()
        self.text, self.addresses, self.open = "", [], []
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("img", "meta", "input", "path", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("path", "polyline"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "a <b> & film.mp4"
    return make_film(path, frames=20, rate="25", size=(64, 48), shots=2, sound=True)


def test_a_report_is_one_file_that_says_what_was_done(film, tmp_path, capsys):
    report = tmp_path / "pages" / "report.html"
    run = ["--input", str(film), "--output", str(tmp_path / "out.mp4"), "--crf", "30"]
    run += ["--process_order", "DeOldify", "Sharpen", "--variant", "lite"]
    assert main([*run, "--report", str(report)]) == 0
    assert f"also  {report}" in capsys.readouterr().err
    page = Page(report.read_text(encoding="utf-8"))
    assert page.open == []
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert len(page.addresses) == 2 * 10
    for text in (
        str(film),
        str(tmp_path / "out.mp4"),
        "64x48, 25 fps, 20 frames, 0.80 s",
        "deoldify-lite.safetensors",
        "license",
        "sha256 of the source",
        "crf30",
        "sharpness1.0",
        "Brightness",
        "Flicker",
        "Sharpness (",
        "(vertical lines): 1",
    ):
        assert text in page.text
    assert re.search("[0-9a-f]{64}", page.text)


def test_a_report_of_a_part_in_slow_motion_shows_frames_of_the_same_time(film, tmp_path):
    report = tmp_path / "report.html"
    options = {"start": "0.4", "duration": "0.4", "slow_motion": True, "variant": "lite"}
    oldfilm.restore(film, "DAIN", tmp_path / "out.mp4", report=report, **options)
    text = Page(report.read_text(encoding="utf-8")).text
    moments = [float(found) for found in re.findall(r"(\d\.\d\d) s(?=\d|At|Over|$)", text)]
    assert min(moments) >= 0.4 and max(moments) <= 0.8


def test_the_report_of_a_finished_job_shows_what_the_first_run_did(film, tmp_path):
    options = {"start": "0.2", "duration": "0.8"}  # The film ends after 0.6 seconds of it.
    oldfilm.restore(film, "Sharpen", tmp_path / "out.mp4", progress=False, **options)
    report = tmp_path / "report.html"
    summary = oldfilm.restore(
        film, "Sharpen", tmp_path / "out.mp4", progress=False, report=report, **options
    )
    assert "already up to date" in summary.notes[0]
    assert (summary.before.frames, summary.start) == (15, Fraction(1, 5))
    text = Page(report.read_text(encoding="utf-8")).text
    assert "(vertical lines): 1" in text
    assert "15 frames, 0.60 s" in text


@pytest.mark.parametrize("workers", [None, 2])
def test_a_report_shows_repaired_damage_over_time(tmp_path, workers):
    spotted = tmp_path / "spotted.mkv"
    pictures, dust = with_dust(film_with_grain(24), 12)
    raw = ["-f", "rawvideo", "-pixel_format", "gray", "-video_size", "160x120", "-framerate", "12"]
    data = (255 * pictures).astype(np.uint8).tobytes()
    ffmpeg(*raw, "-i", "pipe:0", "-c:v", "ffv1", spotted, data=data)
    report = tmp_path / "report.html"
    summary = oldfilm.restore(
        spotted,
        "Despot",
        tmp_path / "out.mkv",
        report=report,
        progress=False,
        workers=workers,
        segment_frames=10,
    )
    points = summary.restoration.repairs["Despot"]
    assert [time for time, _ in points] == pytest.approx([n / 12 for n in range(24)], abs=1e-3)
    assert max(points, key=lambda point: point[1])[0] == 1.0
    assert dust.mean() < max(share for _, share in points) < 5 * dust.mean()
    assert "Damage repaired (percent of the picture)" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.00 s"),
        (59.5, "59.50 s"),
        (59.999, "0:01:00.00"),
        (75, "0:01:15.00"),
        (9000, "2:30:00.00"),
    ],
)
def test_times_of_long_films_have_minutes_and_hours(seconds, shown):
    assert html.moment(seconds) == shown
    assert shown in html.plot("Brightness", {"before": ([0, seconds], [0.2, 0.3])})


def test_a_page_that_is_not_ours_is_kept(film, tmp_path):
    report = tmp_path / "report.html"
    report.write_text("mine", encoding="utf-8")
    with pytest.raises(oldfilm.OldfilmError, match="exists"):
        oldfilm.restore(film, "Sharpen", tmp_path / "out.mp4", report=report)
    assert report.read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "out.mp4").exists()


def test_results_show_themselves_in_notebooks(film, tmp_path):
    summary = oldfilm.restore(film, "Sharpen", tmp_path / "out.mp4", progress=False)
    page = Page(summary._repr_html_())
    assert page.open == []
    kinds = [address.split(";")[0] for address in page.addresses]
    assert kinds == ["data:video/mp4", "data:image/jpeg", "data:image/jpeg"]
    photograph = tmp_path / "photo.png"
    write_photograph(photograph, np.full((20, 30, 3), 0.5, np.float32))
    summary = oldfilm.restore(photograph, "Sharpen", tmp_path / "restored.png", progress=False)
    assert summary.stage_seconds["Sharpen"] > 0
    assert len(Page(summary._repr_html_()).addresses) == 2
    (tmp_path / "restored.png").unlink()
    assert "restored.png" in Page(summary._repr_html_()).text


def test_what_predictors_and_previews_return_shows_itself(film, tmp_path):
    found = Sharpen(output=tmp_path).run(film, save_frames=False, progress=False)
    assert "data:video/mp4" in found._repr_html_()
    photograph = Sharpen(output=tmp_path).run(np.full((20, 30, 3), 128, np.uint8))
    assert "data:image/jpeg" in photograph._repr_html_()
    seen = oldfilm.preview(film, "Sharpen", tmp_path, frames=2, progress=False)
    assert "data:image/png" in seen._repr_html_()


def test_flicker_is_measured_and_cuts_do_not_count(film, tmp_path):
    flickering = tmp_path / "flickering.mkv"
    flash = "eq=brightness='0.1*eq(mod(n,10),5)':eval=frame"
    ffmpeg("-i", film, "-vf", flash, "-c:v", "ffv1", flickering)
    steady, shaky = measure(Film.open(film)), measure(Film.open(flickering))
    assert len(steady.times) == 20
    assert max(steady.flicker) < 0.01
    assert max(shaky.flicker) > 0.05
    assert np.allclose(steady.brightness[:10], steady.brightness[0], atol=0.02)
    blurred = tmp_path / "blurred.mkv"
    ffmpeg("-i", film, "-vf", "boxblur=3", "-c:v", "ffv1", blurred)
    assert np.mean(measure(Film.open(blurred)).sharpness) < np.mean(steady.sharpness)
