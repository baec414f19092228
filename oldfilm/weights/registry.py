"""What `configs/<model>.yaml` says of every variant of a model."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from oldfilm.errors import WeightsError

_PACKAGE = Path(__file__).resolve().parent.parent

Rule = tuple[str, str | None]
"""A `re.sub` pair for the keys of the authors' file; None drops the keys that match."""


@dataclass(frozen=True)
class Variant:
    """One set of weights, with the settings of its network.

    network: the module and class in `oldfilm.networks`, such as "ppmsvsr_lite.PPMSVSRLite".
    settings: the network's constructor arguments. predictor: what the predictor needs to know of
    this variant. file: the weights' name once they are ours, a `.safetensors`.
    urls: where they are published, in order of preference; none: they are shipped.
    layout: which entry of the published file holds the network.
    bytes, sha256: of the published file, or of the shipped one; None where nobody states them.
    convert: how the keys of the authors' own PyTorch file become those of our network.
    """

    name: str
    network: str
    file: str
    licence: str
    source: str
    sha256: str | None = None
    bytes: int | None = None
    urls: tuple[str, ...] = ()
    layout: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    predictor: dict[str, Any] = field(default_factory=dict)
    convert: tuple[Rule, ...] = ()

    @property
    def shipped(self) -> bool:
        """Whether the weights come with oldfilm."""
        return self.sha256 is not None and not self.urls

    @property
    def published_names(self) -> tuple[str, ...]:
        """File names under which the published weights may lie on a disk.

        PaddleGAN keeps `%2B` as it stands in the address; browsers write `+`.
        """
        last = [urlsplit(url).path.rpartition("/")[2] for url in self.urls]
        return tuple(dict.fromkeys(name for raw in last for name in (raw, unquote(raw))))


@dataclass(frozen=True)
class Model:
    """All variants of one model, by name.

    aliases: other names of variants; the published variant is always found as `full`.
    config: the name of its file in `configs/`, without the suffix.
    """

    name: str
    variants: dict[str, Variant]
    aliases: dict[str, str] = field(default_factory=dict)
    config: str = ""

    def variant(self, name: str) -> Variant:
        """The variant of this name or alias.

        Raises:
            WeightsError: there is none.
        """
        chosen = self.get(name)
        if chosen is None:
            names = ", ".join([*self.variants, *self.aliases])
            raise WeightsError(f"{self.name} has no variant {name!r}; it has: {names}.")
        return chosen

    def get(self, name: str) -> Variant | None:
        """The variant of this name or alias, or None."""
        return self.variants.get(self.aliases.get(name, name))


def data_folder(name: str) -> Path:
    """The folder `configs` or `weights`: of an installed package, else at the checkout's top."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def configs() -> list[str]:
    """The names of all configs, in alphabetical order."""
    return sorted(path.stem for path in data_folder("configs").glob("*.yaml"))


def model(config: str) -> Model:
    """Read `configs/<config>.yaml`.

    Raises:
        WeightsError: it is missing, or not written as it must be.
    """
    path = data_folder("configs") / f"{config}.yaml"
    if not path.is_file():
        raise WeightsError(f"{path} is missing: install oldfilm again.")
    return read_config(path)


def named_model(name: str) -> Model:
    """The model of this name, as people write it: "PPMSVSR", "ppmsvsr", "basicvsr++".

    Raises:
        WeightsError: there is none.
    """
    models = [model(config) for config in configs()]
    for known in models:
        if _plain(name) in (_plain(known.name), _plain(known.config)):
            return known
    names = ", ".join(known.name for known in models)
    raise WeightsError(f"there is no model {name!r}; the models are: {names}.")


def _plain(name: str) -> str:
    return re.sub(r"[-_ .]", "", name.lower().replace("+", "plus"))


def read_config(path: Path) -> Model:
    """Read a config.

    Raises:
        WeightsError: it is not written as it must be; the message says where.
    """
    try:
        stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # A damaged text raises whatever its words happen to mean.
        raise WeightsError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    try:
        return _model(path.stem, stated)
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error


class _Wrong(ValueError):
    """A config is not written as it must be."""


_TEXT = {"name", "network", "file", "licence", "source", "layout", "sha256"}
_MAPPINGS = {"variants", "aliases", "settings", "predictor", "weights"}
_LISTS = {"urls", "convert"}


def _model(config: str, stated: Any) -> Model:
    _check(stated, "the file", {"name", "variants"}, {"aliases"})
    stated_variants = {str(name): facts for name, facts in stated["variants"].items()}
    variants = {name: _variant(name, facts) for name, facts in stated_variants.items()}
    aliases = stated.get("aliases") or {}
    for alias, name in aliases.items():
        if alias in variants or not isinstance(name, str) or name not in variants:
            raise _Wrong(f"aliases: {alias} must be a new name for a variant, not {_told(name)}.")
    return Model(stated["name"], variants, aliases, config)


def _variant(name: str, facts: Any) -> Variant:
    where = f"variants.{name}"
    _check(facts, where, {"network", "weights"}, {"settings", "predictor", "convert"})
    if not re.fullmatch(r"\w+\.\w+", facts["network"]):
        raise _Wrong(f"{where}.network: {facts['network']!r} is no MODULE.CLASS.")
    weights = facts["weights"]
    optional = {"urls", "layout", "bytes", "sha256"}
    _check(weights, f"{where}.weights", {"file", "licence", "source"}, optional)
    if not weights["file"].endswith(".safetensors"):
        raise _Wrong(f"{where}.weights.file: {weights['file']} is no .safetensors.")
    urls = weights.get("urls") or ()
    if strange := [url for url in urls if not isinstance(url, str)]:
        raise _Wrong(f"{where}.weights.urls: {_told(strange[0])} is no address.")
    if len({Path(urlsplit(url).path).suffix for url in urls}) > 1:
        raise _Wrong(
            f"{where}.weights.urls are of files of different kinds; they must be the same."
        )
    variant = Variant(
        name=name,
        network=facts["network"],
        file=weights["file"],
        licence=weights["licence"],
        source=weights["source"],
        sha256=weights.get("sha256"),
        bytes=weights.get("bytes"),
        urls=tuple(urls),
        layout=weights.get("layout"),
        settings=facts.get("settings") or {},
        predictor=facts.get("predictor") or {},
        convert=tuple(_rule(rule, where) for rule in facts.get("convert") or ()),
    )
    for file in (variant.file, *variant.published_names):
        if not _is_plain_name(file):
            raise _Wrong(f"{where}.weights: {file!r} is no plain name of a file.")
    return variant


def _is_plain_name(name: str) -> bool:
    """Whether a file of this name lies in the folder that it is looked for in, on any system."""
    return PureWindowsPath(name).name == name and name != ".." and name.isprintable()


def _rule(rule: Any, where: str) -> Rule:
    if not isinstance(rule, list) or len(rule) != 2:
        raise _Wrong(f"{where}.convert: {_told(rule)} is no [pattern, replacement].")
    pattern, replacement = rule
    try:
        re.compile(pattern)
        if replacement is not None:
            # Finds a replacement that speaks of a group that the pattern has not.
            re.sub(f"(?:{pattern})?$", replacement, "")
    except (re.error, TypeError, IndexError) as error:
        raise _Wrong(f"{where}.convert: {_told(rule)} is no rule for re.sub ({error}).") from error
    return pattern, replacement


def _check(facts: Any, where: str, required: set[str], optional: set[str]) -> None:
    """Refuse what is missing, unknown or of another type."""
    if not isinstance(facts, Mapping):
        raise _Wrong(f"{where} is no mapping.")
    if missing := sorted(required - facts.keys()):
        raise _Wrong(f"{where} lacks {', '.join(missing)}.")
    if unknown := sorted(str(key) for key in facts.keys() - required - optional):
        known = ", ".join(sorted(required | optional))
        raise _Wrong(f"{where} has {', '.join(unknown)}; what may stand there: {known}.")
    for key, value in facts.items():
        wanted = _kind(key)
        if not isinstance(value, wanted) and not (value is None and key in optional):
            raise _Wrong(f"{where}.{key} is {_told(value)}, which is no {wanted.__name__}.")


def _told(value: Any) -> str:
    """A value in a few words: written out, one that speaks of itself may have no end."""
    return reprlib.repr(value)


def _kind(key: str) -> type:
    if key in _TEXT:
        return str
    if key in _MAPPINGS:
        return dict
    return list if key in _LISTS else int
