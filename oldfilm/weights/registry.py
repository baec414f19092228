"""The models and their variants, as `configs/<model>.yaml` describes them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
import yaml

from oldfilm.errors import WeightsError

PACKAGE = Path(__file__).resolve().parent.parent
"""The folder of the package `oldfilm`, which holds or is next to `configs` and `weights`."""

Rule = tuple[str, str | None]
"""Pattern and replacement for `re.sub` on the keys of a published file; a replacement of None
drops the keys that match."""


_PACKAGE = re.compile(
    r"package:(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)/(?P<member>.+)"
)


@dataclass(frozen=True)
class Address:
    """Where a published file can be downloaded.

    url: https, or `package:NAME==VERSION/MEMBER` for a file inside a Python package.
    sha256, bytes: of the file; None where unknown.
    """

    url: str
    sha256: str | None = None
    bytes: int | None = None

    @property
    def name(self) -> str:
        """The file's name, as it is in the address."""
        return urlsplit(self.url).path.rpartition("/")[2]

    @property
    def package(self) -> tuple[str, str, str] | None:
        """Name and version of the package, and the file's path in it; None for a web address."""
        match = _PACKAGE.fullmatch(self.url)
        return (match["name"], match["version"], match["member"]) if match else None


@dataclass(frozen=True)
class Variant:
    """One set of weights, with the settings of its network.

    network: module and class in `oldfilm.networks`, such as "ppmsvsr_lite.PPMSVSRLite".
    settings: arguments of the network's constructor.
    predictor: facts that the predictor needs about this variant.
    file: name of the weight file in oldfilm's own format, `.safetensors`.
    urls: addresses of the published file, in order of preference; empty for shipped weights. They
        may end in `#sha256=...&bytes=...`, for files that differ from one address to another.
    layout: the entry of the published file that holds the network.
    bytes, sha256: of the published or shipped file; None where unknown.
    convert: rules that map the keys of a PyTorch file to those of the network.
    structure: hash of the names and shapes of the network's arrays, see `structure_of`; None where
    unknown.
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
    structure: str | None = None

    @property
    def shipped(self) -> bool:
        """Whether the weights are part of oldfilm."""
        return self.sha256 is not None and not self.urls

    @property
    def published_names(self) -> tuple[str, ...]:
        """Names that a downloaded copy of the published file may have.

        PaddleGAN keeps `%2B` from the address; browsers write `+`.
        """
        last = [address.name for address in self.addresses]
        return tuple(dict.fromkeys(name for raw in last for name in (raw, unquote(raw))))

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses of `urls`, with the hash and size that each states, or `weights` states."""
        found = []
        for url in self.urls:
            url, _, stated = url.partition("#")
            own = dict(parse_qsl(stated))
            size = int(own["bytes"]) if "bytes" in own else None
            if not own:
                own, size = {"sha256": self.sha256 or ""}, self.bytes
            found.append(Address(url, own.get("sha256") or None, size))
        return tuple(found)

    def sha256_of(self, name: str) -> str | None:
        """Return the sha256 of the shipped file, or of the published file with this name."""
        if not self.urls:
            return self.sha256
        named = [a.sha256 for a in self.addresses if name in (a.name, unquote(a.name))]
        return named[0] if named else None


@dataclass(frozen=True)
class Model:
    """A model and its variants.

    variants: by name. aliases: alternative names of variants; "full" always finds the published
    variant. config: name of its file in `configs/`, without the suffix.
    """

    name: str
    variants: dict[str, Variant]
    aliases: dict[str, str] = field(default_factory=dict)
    config: str = ""

    def variant(self, name: str) -> Variant:
        """Return the variant of this name or alias.

        Raises:
            WeightsError: the model has no such variant.
        """
        chosen = self.get(name)
        if chosen is None:
            names = ", ".join([*self.variants, *self.aliases])
            raise WeightsError(f"{self.name} has no variant {name!r}; it has: {names}.")
        return chosen

    def variants_with(self, sha256: str) -> list[Variant]:
        """Return the variants whose published file has this sha256."""
        return [
            variant
            for variant in self.variants.values()
            if sha256 in {address.sha256 for address in variant.addresses}
        ]

    def get(self, name: str) -> Variant | None:
        """Return the variant of this name or alias, or None."""
        return self.variants.get(self.aliases.get(name, name))


def data_folder(name: str) -> Path:
    """Return the folder `configs` or `weights` of the installed package or of the checkout."""
    installed = PACKAGE / "_data" / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def config_folders() -> list[Path]:
    """Return the folders of configs in search order: `$OLDFILM_CONFIGS`, then the shipped one."""
    named = os.environ.get("OLDFILM_CONFIGS")
    own = [Path(named).expanduser()] if named else []
    return [*own, data_folder("configs")]


def configs() -> list[str]:
    """Return the names of all configs in alphabetical order."""
    return sorted({path.stem for folder in config_folders() for path in folder.glob("*.yaml")})


def model(config: str) -> Model:
    """Read `<config>.yaml` from the first of `config_folders` that has it.

    Raises:
        WeightsError: the file is missing or invalid.
    """
    paths = [folder / f"{config}.yaml" for folder in config_folders()]
    for path in paths:
        if path.is_file():
            return read_config(path)
    raise WeightsError(f"{paths[-1]} is missing: reinstall oldfilm.")


def named_model(name: str) -> Model:
    """Find a model by its name in any common spelling: "PPMSVSR", "pp-msvsr", "basicvsr++".

    Raises:
        WeightsError: no model has this name.
    """
    models = [model(config) for config in configs()]
    for known in models:
        if _plain(name) in (_plain(known.name), _plain(known.config)):
            return known
    names = ", ".join(known.name for known in models)
    raise WeightsError(f"Unknown model {name!r}; choose from {names}.")


def _plain(name: str) -> str:
    return re.sub(r"[-_ .]", "", name.lower().replace("+", "plus"))


class _WeightsEntry(msgspec.Struct, forbid_unknown_fields=True):
    file: str
    licence: str
    source: str
    urls: tuple[str, ...] | None = None
    layout: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    structure: str | None = None


class _VariantEntry(msgspec.Struct, forbid_unknown_fields=True):
    network: str
    weights: dict[str, Any]
    settings: dict[str, Any] | None = None
    predictor: dict[str, Any] | None = None
    convert: tuple[Rule, ...] | None = None


class _ModelEntry(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    variants: dict[Any, Any]
    aliases: dict[str, str] | None = None


_Entry = TypeVar("_Entry", bound=msgspec.Struct)


class _ConfigError(Exception):
    """A config is invalid; the message names the field."""


def read_config(path: Path) -> Model:
    """Read a config.

    Raises:
        WeightsError: the config is invalid; the message names the field.
    """
    try:
        stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # YAML's constructors raise errors of many types.
        raise WeightsError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    try:
        return _model(path.stem, stated)
    except _ConfigError as error:
        raise WeightsError(f"{path}: {error}") from error


def _model(config: str, stated: Any) -> Model:
    entry = _checked(stated, _ModelEntry)
    variants = {str(name): _variant(str(name), facts) for name, facts in entry.variants.items()}
    aliases = entry.aliases or {}
    for alias, name in aliases.items():
        if alias in variants:
            raise _ConfigError(f"aliases.{alias}: a variant already has this name")
        if name not in variants:
            raise _ConfigError(f"aliases.{alias}: variant {name!r} does not exist")
    return Model(entry.name, variants, aliases, config)


def _variant(name: str, stated: Any) -> Variant:
    where = f"variants.{name}"
    entry = _checked(stated, _VariantEntry, where)
    weights = _checked(entry.weights, _WeightsEntry, f"{where}.weights")
    if not re.fullmatch(r"\w+\.\w+", entry.network):
        raise _ConfigError(f"{where}.network: {entry.network!r} is not of the form MODULE.CLASS")
    if not weights.file.endswith(".safetensors"):
        raise _ConfigError(f"{where}.weights.file: {weights.file!r} is not a .safetensors file")
    variant = Variant(
        name=name,
        network=entry.network,
        file=weights.file,
        licence=weights.licence,
        source=weights.source,
        sha256=weights.sha256,
        bytes=weights.bytes,
        urls=weights.urls or (),
        layout=weights.layout,
        settings=entry.settings or {},
        predictor=entry.predictor or {},
        convert=entry.convert or (),
        structure=weights.structure,
    )
    _check_names(variant, where)
    for number, rule in enumerate(variant.convert):
        _check_rule(rule, f"{where}.convert[{number}]")
    return variant


def _checked(stated: Any, schema: type[_Entry], where: str = "") -> _Entry:
    """Check a mapping against its schema: required fields, unknown fields, types.

    where: path of the mapping in its file, for the message.
    """
    try:
        return msgspec.convert(stated, schema)
    except msgspec.ValidationError as error:
        problem, _, inner = str(error).partition(" - at ")
        path = ".".join(part for part in (where, inner.strip("`").lstrip("$.")) if part)
        problem = problem[:1].lower() + problem[1:]
        if "unknown field" in problem:
            problem += f"; the fields are {', '.join(schema.__struct_fields__)}"
        raise _ConfigError(f"{path}: {problem}" if path else problem) from error


def _check_names(variant: Variant, where: str) -> None:
    """Refuse names that lead to another folder, and one hash for files of different formats."""
    for url in variant.urls:
        _check_address(url, f"{where}.weights.urls")
    suffixes = {Path(address.name).suffix for address in variant.addresses}
    if len(suffixes) > 1 and (variant.sha256 or variant.bytes):
        raise _ConfigError(
            f"{where}.weights.urls: files with the same `sha256` or `bytes` must have the same "
            "suffix; add `#sha256=...` to each address instead"
        )
    for file in (variant.file, *variant.published_names):
        if PureWindowsPath(file).name != file or file == ".." or not file.isprintable():
            raise _ConfigError(f"{where}.weights: {file!r} is not a plain file name")


def _check_address(url: str, where: str) -> None:
    plain, _, stated = url.partition("#")
    if stated and not re.fullmatch(r"sha256=[0-9a-f]{64}(&bytes=\d+)?|bytes=\d+", stated):
        raise _ConfigError(f"{where}: {url!r} must end in #sha256=... or #sha256=...&bytes=...")
    if not plain.startswith("package:"):
        try:
            _ = urlsplit(plain).port
        except ValueError as error:
            raise _ConfigError(f"{where}: {url!r} is not an address ({error})") from error
        return
    package = Address(plain).package
    if package is None:
        raise _ConfigError(f"{where}: {url!r} is not of the form package:NAME==VERSION/MEMBER")
    if {"", ".", ".."} & set(package[2].split("/")) or re.search(r"[\\?%]", plain):
        raise _ConfigError(f"{where}: {url!r} is not a path inside the package")


def _check_rule(rule: Rule, where: str) -> None:
    pattern, replacement = rule
    try:
        re.compile(pattern)
        if replacement is not None:
            # Detects a replacement that refers to a group that the pattern does not have.
            re.sub(f"(?:{pattern})?$", replacement, "")
    except (re.error, IndexError) as error:
        raise _ConfigError(f"{where}: {list(rule)} is not valid for re.sub ({error})") from error
