"""Modules under other names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class ModuleAlias(MetaPathFinder, Loader):
    """Finds a package under a second name: `ppgan.apps` is then `oldfilm.apps`, not a copy of it.

    The second name stands for the package itself unless a package of that name is installed, or
    something else was imported under it.
    """

    def __init__(self, alias: str, package: str) -> None:
        self._alias = alias
        self._package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As `MetaPathFinder.find_spec`."""
        root, dot, _ = name.partition(".")
        if root != self._alias:
            return None
        if dot:
            ours = sys.modules.get(root) is sys.modules[self._package]
        else:
            others = (finder for finder in sys.meta_path if finder is not self)
            ours = all(finder.find_spec(name, path) is None for finder in others)
        return ModuleSpec(name, self) if ours else None

    def exec_module(self, module: ModuleType) -> None:
        """Put the real module in place of this one in `sys.modules`, which loading allows."""
        real = self._package + module.__name__.removeprefix(self._alias)
        sys.modules[module.__name__] = import_module(real)


class VirtualModules(MetaPathFinder, Loader):
    """Modules of a package that have no files; each holds some names of the package.

    The package may explain why it lacks a module or name; importing it raises the explanation.
    """

    def __init__(
        self,
        package: str,
        modules: Mapping[str, Sequence[str]],
        explain: Callable[[str], ImportError | None],
    ) -> None:
        """modules: the names in each module. explain: returns the error for the name of a module
        or, with `from package import name`, of something in the package.
        """
        self._package = package
        self._modules = modules
        self._explain = explain

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As `MetaPathFinder.find_spec`.

        Raises:
            ImportError: the package explains why it does not have this name.
        """
        package, _, short = name.rpartition(".")
        if package != self._package:
            return None
        if (error := self._explain(short)) is not None:
            raise error
        return ModuleSpec(name, self) if short in self._modules else None

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module with names of the package."""
        names = self._modules[module.__name__.rpartition(".")[2]]
        package: Any = sys.modules[self._package]
        vars(module).update({name: getattr(package, name) for name in names}, __all__=names)
