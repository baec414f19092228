"""The documentation: it builds as a web site, its links work, and the Chinese pages match."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
PAGES = sorted(
    page for pattern in ("*.md", "docs/*.md", "weights/*.md") for page in TOP.glob(pattern)
)
TWINS = [page for page in PAGES if page.stem.endswith("_cn")]


def build(top, site):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    command += ["-f", top / "docs" / "site" / "mkdocs.yml", "-d", site]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_site_builds_without_a_warning(tmp_path):
    done = build(TOP, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    for name in ("index.html", "index_cn.html", "methods_cn.html", "weights/dain-lite.html"):
        assert (tmp_path / "site" / name).is_file()


def test_a_broken_link_stops_the_build(tmp_path):
    for page in PAGES:
        copy = tmp_path / "top" / page.relative_to(TOP)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, copy)
    shutil.copytree(TOP / "docs", tmp_path / "top" / "docs", dirs_exist_ok=True)
    links = "\n[a](nowhere.md) [b](presets.md#nowhere) [c](../setup.py)\n"
    with (tmp_path / "top" / "docs" / "scale.md").open("a", encoding="utf-8") as page:
        page.write(links)
    done = build(tmp_path / "top", tmp_path / "site")
    assert done.returncode == 1
    for named in ("nowhere.md", "presets.md#nowhere", "setup.py, which is not on the site"):
        assert named in done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(TOP).as_posix())
def test_links_work_in_the_repository_too(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def anchors(page):
    """Return the anchors of a page's headings, as GitHub forms them."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(TOP).as_posix())
def test_lists_follow_an_empty_line(page):
    """Without one, MkDocs shows a list as running text."""
    item = r"(?:[-*]|\d+\.) "
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    lines = text.splitlines()
    for before, line in zip(lines, lines[1:]):
        in_list = re.match(rf"\s*{item}|\s+\S", before)
        assert not re.match(item, line) or not before.strip() or in_list, line


@pytest.mark.parametrize("page", TWINS, ids=lambda page: page.name)
def test_a_chinese_page_has_the_commands_and_sections_of_the_english_one(page):
    english = page.with_name(page.name.replace("_cn", ""))
    texts = [each.read_text(encoding="utf-8") for each in (page, english)]
    for pattern in (r"^#+ ", r"^oldfilm (?:enhance|photo|weights) .*?(?= *#|$)", r"^\|"):
        chinese, original = (re.findall(pattern, text, re.M) for text in texts)
        assert chinese == original
    assert page.name in texts[1]
    assert english.name in texts[0]
