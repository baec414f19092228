"""The project's vocabulary: words that were replaced do not come back.

    python -m tests.test_words        # lists every place that still uses one

Each table maps a pattern to what to write instead. Patterns ignore case, match whole words, and
match across line breaks.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

TOP = Path(__file__).resolve().parents[1]

PROSE = {
    r"told": "reported, noted, said why",
    r"tell|tells|telling": "report, state, say why",
    r"anew": "again, from the beginning",
    r"whoever": "anyone who, the caller, the user",
    r"woven": "interlaced",
    r"(is|was|be|(?<!there\s)are|(?<!there\s)were) no(?! longer)": "is not a; no ... exists",
    r"that (is|are) none": "is not one",
    r"what else": "the rest, anything else",
    r"hear|hears|heard": "receive, read, notice",
    r"lie|lies|lain": "is at, is in",
    r"beside": "next to, besides, along with",
    r"lets? go": "releases",
    r"go on|goes on|going on|went on|gone on": "resume, continue",
    r"as far as": "up to, until, to the extent that",
    r"of (its|their) own accord": "by itself, automatically",
    r"(has|have) to be got": "must be downloaded, is needed",
    r"that (is|are) there": "that exists, existing",
    r"what is here": "what is available",
    r"thing|things": "name it",
    r"the (taker|maker)": "consumer, decoder, factory",
    r"makes? of it": "interprets it as",
    r"laid bare": "exposed",
    r"at hand": "available, current",
    r"afresh": "again, from the beginning",
    r"all the same": "anyway, still",
    r"without a word": "silently",
    r"by way of": "through, with",
    r"looked for": "searched for, detected",
    r"sought": "searched for, detected",
}
"""In comments, docstrings, messages, configurations, documentation, and inside names."""

SPELLING = {
    r"colour\w*": "color",
    r"grey\w*": "gray",
    r"neighbour\w*": "neighbor",
    r"centre(?!s)\w*": "center",  # `centres` is a parameter in shipped weights
    r"analyse\w*": "analyze",
    r"behaviour\w*": "behavior",
    r"honour\w*": "honor",
    r"favour\w*": "favor",
    r"recognis\w*": "recogniz...",
    r"optimis(e|es|ed|er|ing|ation)": "optimiz...",
}
"""American spelling, in the same places."""

NAMES = {
    "Assignment": "JobSpec",
    "Order": "SegmentTask",
    "Made": "TaskProgress",
    "Reached": "TaskProgress",
    "Report": "TaskProgress",
    "Workers": "Executor",
    "Maker": "InProcessExecutor",
    "Lost": "WorkerLost",
    "Worker": "WorkerProcess",
    "Apprentice": "TaskRunner",
    "Said": "WorkerMessage",
    "Teller": "MessageWriter",
    "Turn": "RetryState",
    "hired": "open_executor",
    "ENGINES": "EXECUTORS",
    "Work": "WorkDir",
    "work_on": "open_workdir",
    "making": "scratch",
    "placing": "staging",
    "is_whole": "is_intact",
    "identity": "fingerprint",
    "facts_of": "chain_fingerprint",
    "Fact": "FingerprintValue",
    "differences": "diff",
    "Restorer": "RunnableStage",
    "stretch": "slowdown",
    "followed": "motion_compensate",
    "unlike": "rank_order_outliers",
    "noise_between": "grain_sigma",
    "first_guess": "inpainting",
    "departures": "median_residual",
    "veiled": "is_overlay",
    "elsewhere": "match_nearby",
    "moves": "is_moving_object",
    "agreeing": "most_consistent_pair",
    "steadied": "temporally_smoothed",
    "FEW": "a field of a dataclass of thresholds",
    "MUCH": "a field of a dataclass of thresholds",
    "WITH_MUCH": "a field of a dataclass of thresholds",
    "STRIKING": "a field of a dataclass of thresholds",
    "BROAD": "a field of a dataclass of thresholds",
    "SURE": "a field of a dataclass of thresholds",
}
"""Names of classes, functions and constants; a leading underscore makes no difference."""

MODULES = {
    "oldfilm.pipeline.done": "completed_jobs",
    "oldfilm.pipeline.pieces": "segments",
    "oldfilm.repair.first_guess": "imaging.inpainting",
    "oldfilm.repair.neighbours": "imaging.motion_compensation",
    "oldfilm.training.size": "super_resolution",
    "oldfilm.training.rate": "interpolation",
    "oldfilm.training.color": "colorization",
    "oldfilm.training.colour": "colorization",
    "oldfilm.training.photo": "photo_restoration",
}
"""Modules by their full names."""

CODE = {
    r"engine\.exported": "engine.onnx",
    r"recipe\[\"rate\"\]": 'recipe["learning_rate"]',
}
"""Anywhere in a file."""

TEXT_SUFFIXES = {".md", ".yaml", ".toml", ".txt", ""}
COMMENT = re.compile(r"(?:^|\s)#+ ?(.*)")
NOT_OURS = {"LICENSE", "README_cn.md", "test_words.py"}


class Finding(NamedTuple):
    """A replaced word in a file."""

    path: Path
    line: int
    word: str
    better: str

    def __str__(self) -> str:
        place = f"{self.path.relative_to(TOP)}:{self.line}"
        return f"{place}: `{' '.join(self.word.split())}`: write {self.better}"


def main() -> int:
    """Print every finding; the exit status is 1 where there are any."""
    found = [*words(), *spellings(), *names(), *old_code()]
    print("\n".join(map(str, found)))
    print(f"{len(found)} found")
    return int(bool(found))


def files() -> list[Path]:
    """The project's texts: sources, configurations and documentation."""
    folders = (".ci", "benchmarks", "configs", "docs", "oldfilm", "tests", "tools", "weights")
    paths = [*TOP.glob("*"), *(p for folder in folders for p in (TOP / folder).rglob("*"))]
    suffixes = TEXT_SUFFIXES | {".py"}
    return sorted(
        p
        for p in paths
        if p.is_file()
        and p.suffix in suffixes
        and p.name not in NOT_OURS
        and not p.name.startswith(".")
    )


def words() -> Iterator[Finding]:
    yield from in_prose(PROSE)


def spellings() -> Iterator[Finding]:
    yield from in_prose(SPELLING)


def in_prose(table: dict[str, str]) -> Iterator[Finding]:
    patterns = compiled(table)
    (any_of_them, _), *_ = compiled({"|".join(table): ""})
    for path in files():
        for line, text in passages(path):
            if not any_of_them.search(text):
                continue
            for pattern, better in patterns:
                for match in pattern.finditer(text):
                    at = line + text.count("\n", 0, match.start())
                    yield Finding(path, at, match.group(), better)


def names() -> Iterator[Finding]:
    for path in files():
        if path.suffix != ".py":
            continue
        module = ".".join(path.relative_to(TOP).with_suffix("").parts)
        if better := MODULES.get(module):
            yield Finding(path, 1, module, better)
        for line, name in top_level_names(parsed(path)):
            if better := NAMES.get(name.lstrip("_")):
                yield Finding(path, line, name, better)


def old_code() -> Iterator[Finding]:
    for path in files():
        text = path.read_text(encoding="utf-8")
        for pattern, better in compiled(CODE):
            for match in pattern.finditer(text):
                yield Finding(path, text.count("\n", 0, match.start()) + 1, match.group(), better)


def compiled(table: dict[str, str]) -> list[tuple[re.Pattern[str], str]]:
    """Whole words; a space in a pattern also matches a line break."""
    found = []
    for pattern, better in table.items():
        spaced = pattern.replace(" ", r"\s+")
        found.append((re.compile(rf"(?<!\w)(?:{spaced})(?!\w)", re.IGNORECASE), better))
    return found


@functools.cache
def passages(path: Path) -> list[tuple[int, str]]:
    """The prose of a file, and the line where each passage begins."""
    return list(_passages(path))


def _passages(path: Path) -> Iterator[tuple[int, str]]:
    if path.suffix != ".py":
        yield 1, without_comment_signs(path.read_text(encoding="utf-8"))
        return
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value  # a single word is a key, not prose
        elif name := defined_name(node):
            yield node.lineno, name.replace("_", " ")
    yield from comments(path)


def without_comment_signs(text: str) -> str:
    return re.sub(r"^[ \t]*#", "", text, flags=re.MULTILINE)


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Comments; consecutive lines are one passage. A number sign in a string does no harm."""
    block: list[str] = []
    first = 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        comment = COMMENT.search(line)
        if comment is None:
            continue
        if number != first + len(block):
            yield first, "\n".join(block)
            first, block = number, []
        block.append(comment[1])
    yield first, "\n".join(block)


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def top_level_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Classes, functions and methods at any depth; variables and fields of modules and classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.lineno, node.name
        if isinstance(node, ast.ClassDef | ast.Module):
            for statement in node.body:
                if isinstance(statement, ast.Assign | ast.AnnAssign):
                    yield from all_names(statement)


def all_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that this file defines: those of other libraries are not ours to choose."""
    for node in ast.walk(tree):
        if name := defined_name(node):
            yield node.lineno, name


def defined_name(node: ast.AST) -> str | None:
    """The name that a node defines: of a class, a function, an argument, a variable or a field."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return node.name
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return node.attr
    return None


@pytest.mark.parametrize("search", [words, spellings, names, old_code])
def test_replaced_words_do_not_come_back(search):
    found = "\n".join(map(str, search()))
    assert not found


if __name__ == "__main__":
    raise SystemExit(main())
