"""MkDocs: pages from outside docs/, and links that work as they do in the repository."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

logger = logging.getLogger("mkdocs.hooks.oldfilm")

TOP = Path(__file__).resolve().parents[2]

ADDED = {"README.md": "index.md", "README_cn.md": "index_cn.md", "CHANGELOG.md": "changelog.md"}
"""Files of the repository and their names on the site."""

_LINK = re.compile(r"(\]\()(?!\w+:|#)([^)\s#]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add the READMEs, the change log and the cards of the weights."""
    for path, name in _added().items():
        files.append(File.generated(config, name, abs_src_path=str(TOP / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to files of the repository into links to pages of the site."""
    name = page.file.src_uri
    paths = {site: path for path, site in _added().items()}
    folder = PurePosixPath(paths.get(name, f"docs/{name}")).parent

    def replaced(match: re.Match[str]) -> str:
        target = os.path.normpath(folder / match[2])
        return f"{match[1]}{_relative(target, name)}"

    return _LINK.sub(replaced, markdown)


def _added() -> dict[str, str]:
    cards = (path.relative_to(TOP).as_posix() for path in sorted(TOP.glob("weights/*.md")))
    return {**ADDED, **{card: card for card in cards}}


def _relative(target: str, page: str) -> str:
    """Return a link from a page to a file of the repository."""
    if target in _added():
        target = _added()[target]
    elif target.startswith("docs/"):
        target = target.removeprefix("docs/")
    else:
        logger.warning("%s links to %s, which is not on the site", page, target)
    return os.path.relpath(target, PurePosixPath(page).parent)
