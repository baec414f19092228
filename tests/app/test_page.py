"""The page in headless Chromium. Screenshots go to `$OLDFILM_SCREENSHOTS`, if it is set."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.films import facts, make_film

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed", allow_module_level=True)

SAMPLE = Path(__file__).parents[2] / "docs" / "sample.mp4"
SECONDS = 400
"""How long the page may take: machines that test may be busy."""

expect = sync_api.expect
expect.set_options(timeout=1000 * SECONDS)


class Server:
    """A running `oldfilm app`."""

    def __init__(self, folder, *options, port=0):
        command = [sys.executable, "-m", "oldfilm", "app", "--folder", folder, *options]
        command += ["--port", port] if port else []
        self._process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        self.folder = folder
        self.address = self._process.stdout.readline().strip()
        self.port = int(re.search(r":(\d+)", self.address)[1])

    def end(self, number=signal.SIGTERM):
        self._process.send_signal(number)
        return self._process.wait(SECONDS)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("app") / "films", "--max-size", "0.002")
    yield server
    assert server.end() == 130
    assert not list(server.folder.glob("*/*/results/.*.oldfilm/unfinished-*"))


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open the page as another visitor; returns the tab."""
    contexts = []

    def opened(address, language="en-US"):
        contexts.append(
            browser.new_context(locale=language, viewport={"width": 1280, "height": 1000})
        )
        page = contexts[-1].new_page()
        page.set_default_timeout(1000 * SECONDS)
        page.goto(address)
        expect(page.locator("#intro")).not_to_be_empty()
        return page

    yield opened
    for context in contexts:
        context.close()


def upload(page, film):
    page.set_input_files("#upload input[type=file]", film)
    expect(page.locator("#film input")).to_have_value(re.compile(re.escape(film.name)))
    page.locator("#hints > button").first.click()
    expect(page.locator("#frame img")).to_be_visible()


def choose(page, *stages):
    """Choose stages in order, in place of the preset."""
    for stage in stages:
        page.locator("#order input").fill(stage)
        page.get_by_role("option", name=stage, exact=True).click()
    page.keyboard.press("Escape")
    expect(page.locator("#order")).to_contain_text(stages[-1])


def keep(page, name):
    folder = os.environ.get("OLDFILM_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_a_visitor_previews_restores_looks_and_downloads(server, visit, tmp_path):
    page = visit(server.address)
    upload(page, SAMPLE)
    choose(page, "Grade", "Sharpen")
    page.locator("#preview").click()
    expect(page.locator("#compare img")).to_have_count(2)
    expect(page.locator("#which label")).to_have_count(3)
    keep(page, "app-preview")
    page.locator("#restore").click()
    expect(page.locator("#status")).to_contain_text("Done")
    assert page.locator("#result video").evaluate("video => video.readyState") >= 0
    page.wait_for_function("document.querySelector('#result video').duration > 2")
    widths = page.locator("#compare img").evaluate_all("all => all.map(img => img.naturalWidth)")
    assert widths == [320, 320]
    page.locator("#which label").nth(1).click()
    keep(page, "app-done")
    for button, suffix in (("#download", ".mp4"), ("#report", ".html")):
        with page.expect_download() as downloading:
            page.locator(button).click()
        file = tmp_path / f"downloaded{suffix}"
        downloading.value.save_as(file)
        assert downloading.value.suggested_filename.startswith("sample_")
    assert facts(tmp_path / "downloaded.mp4")["size"] == facts(SAMPLE)["size"]
    assert "Grade" in (tmp_path / "downloaded.html").read_text()
    page.reload()  # a visitor who comes back finds everything
    expect(page.locator("#status")).to_contain_text("Done")
    expect(page.locator("#order")).to_contain_text("Sharpen")
    page.locator("#delete").click()
    expect(page.locator("#film input")).to_have_value("")
    assert not list(server.folder.glob("*/*/source/sample.mp4"))


def test_a_click_on_a_frame_gives_a_color_hint(server, visit):
    page = visit(server.address)
    upload(page, SAMPLE)
    before = page.locator("#frame img").get_attribute("src")
    page.locator("#frame img").click(position={"x": 60, "y": 40})
    expect(page.locator("#frame img")).not_to_have_attribute("src", before)
    keep(page, "app-hints")
    page.locator("#clear").click()
    expect(page.locator("#frame img")).to_have_attribute("src", before)


def test_two_visitors_do_not_see_each_other(server, visit, tmp_path):
    names = [make_film(tmp_path / f"{name}.mp4", frames=24) for name in ("mine", "yours")]
    pages = [visit(server.address), visit(server.address, "zh-CN")]
    for page, film in zip(pages, names):
        upload(page, film)
        choose(page, "Sharpen")
    for page in pages:
        page.locator("#restore").click()
    expect(pages[0].locator("#status")).to_contain_text("Done")
    expect(pages[1].locator("#status")).to_contain_text("完成")
    expect(pages[1].locator("#restore")).to_contain_text("开始修复")
    keep(pages[1], "app-chinese")
    for page, own, other in zip(pages, ("mine", "yours"), ("yours", "mine")):
        page.locator("#film input").click()
        options = page.get_by_role("option").all_inner_texts()
        assert any(own in option for option in options)
        assert not any(other in option for option in options)
    address = pages[0].locator("#result video").get_attribute("src")
    folder = re.search(r"file=(.*)/results/", address)[1]
    for path in (f"{folder}/project.json/..", f"{server.folder}/", "/etc/passwd"):
        reply = pages[1].request.get(f"{server.address}gradio_api/file={path}")
        assert reply.status in (403, 404), path


def test_a_file_that_is_too_large_or_not_a_film_is_refused_in_a_line(server, visit, tmp_path):
    page = visit(server.address)
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(3_000_000))
    page.set_input_files("#upload input[type=file]", large)
    expect(page.locator(".toast-body").first).to_contain_text("size")
    keep(page, "app-large")
    assert not [file for file in server.folder.rglob("*") if _bytes(file) > 2_000_000]
    page.reload()
    text = tmp_path / "text.mp4"
    text.write_text("not a film")
    page.set_input_files("#upload input[type=file]", text)
    expect(page.locator(".toast-body").first).to_contain_text("text.mp4")
    assert str(server.folder) not in page.locator(".toast-body").first.inner_text()


def _bytes(file):
    return file.stat().st_size if file.is_file() else 0


def test_a_canceled_job_resumes_also_after_the_server_was_killed(visit, tmp_path):
    server = Server(tmp_path / "films")
    try:
        page = visit(server.address)
        upload(page, make_film(tmp_path / "long.mp4", frames=150, size=(160, 120)))
        choose(page, "Despot", "Denoise")
        page.locator("#restore").click()
        expect(page.locator("#status")).to_contain_text("left")
        keep(page, "app-running")
        page.locator("#cancel").click()
        expect(page.locator("#status")).to_contain_text("Canceled")
        page.locator("#resume").click()
        expect(page.locator("#status")).to_contain_text("left")
        server.end(signal.SIGKILL)
        server = Server(tmp_path / "films", port=server.port)
        page = page.context.new_page()  # Gradio may be reloading the other one itself.
        page.goto(server.address)
        expect(page.locator("#status")).to_contain_text("Restoring")
    finally:
        server.end()
