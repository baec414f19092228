"""The command line's flags, built from declared options, and their parser."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from oldfilm import __version__
from oldfilm.apps import stage_options
from oldfilm.errors import did_you_mean
from oldfilm.pipeline.options import job_options
from oldfilm.stage import Option

WRONG_USAGE = 2

PADDLEGAN_SPELLINGS = {"__proccess_order": "--process_order"}
"""Flags that PaddleGAN misspelled; programs still use them, and --help does not list them."""

_ESTABLISHED = """
address artistic audio basicvsr_weight basicvsrplusplus_weight checkpoint_name codec
colorization compare cpu crf crop dain_weight deepremaster_weight deinterlace deoldify_weight
device duration edvr_weight engine esrgan_weight flow_scale fps gpu grain height help hr
iconvsr_weight input input_folder input_fps keep_steps mindim no_audio no_faces no_steady
num_frames output output_folder overwrite pix_fmt ppmsvsr_weight ppmsvsrlarge_weight preset
process_order quiet realsr_weight reference_dir remove_duplicates render_factor restart
rife_weight save_frames sharpness slow_motion start strength superslomo_weight time_step
variant version with_scratch work_dir workers
"""

ESTABLISHED = frozenset(_ESTABLISHED.split())
"""The flags of the first version. What abbreviated one of them then still does, whatever flags
have been added since: scripts contain such abbreviations."""


class Parser(argparse.ArgumentParser):
    """A parser of one sub-command.

    Flags may be spelled with hyphens or underscores. For an unknown flag, the error suggests a
    similar one. Values stay text: `Option.convert` converts them. actions: of all flags.
    """

    def __init__(
        self,
        prog: str,
        usage: str,
        description: str,
        epilog: str | None = None,
        essential: Collection[str] = (),
        everything: Callable[[], Parser] | None = None,
    ) -> None:
        """usage: what follows `prog`. essential: the flags that --help lists, without hyphens; by
        default all. everything: builds the parser whose help --help-all prints.
        """
        super().__init__(
            prog=prog,
            usage=f"{prog} {usage}".rstrip(),
            description=description,
            epilog=epilog,
            add_help=False,
        )
        self.actions: list[argparse.Action] = []
        self._known: list[str] = []
        self._essential = essential
        self._headings: dict[str, Any] = {}
        self.flag("help", "-h", "--help", action="help", help="show this help")
        if everything is not None:
            self.flag(
                "help",
                "--help-all",
                action=_HelpAll,
                everything=everything,
                help="list all options",
            )
        version = f"oldfilm {__version__}"
        self.flag("help", "--version", action="version", version=version, help="show the version")

    def flag(self, group: str, *flags: str, **facts: Any) -> None:
        """Add a flag; facts: as `add_argument` takes them."""
        self._known += [flag for flag in flags if flag.startswith("-")]
        if group not in self._headings:
            self._headings[group] = self.add_argument_group(group)
        shown = not self._essential or group == "help"
        if not shown and not any(flag.lstrip("-") in self._essential for flag in flags):
            facts["help"] = argparse.SUPPRESS
        self.actions.append(self._headings[group].add_argument(*flags, **facts))

    def inputs(self, **facts: Any) -> None:
        """Add `--input PATH ...`; facts: as `add_argument` takes them."""
        self.flag("options", "--input", nargs="+", type=Path, metavar="PATH", **facts)

    def option(self, declared: Option, group: str = "") -> None:
        """Add the flag of a declared option."""
        facts: dict[str, Any] = {"dest": declared.name, "default": None, "help": _help(declared)}
        if declared.type is not bool:
            facts["metavar"] = declared.metavar or "|".join(map(str, declared.choices)) or "VALUE"
            facts.update({"nargs": "+"} if declared.several else {})
        elif declared.metavar:
            facts.update(nargs="?", const=True, metavar=declared.metavar)
        else:
            facts.update(action="store_const", const=not declared.default)
        self.flag(group or declared.group, *_flags(declared), **facts)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: D102 (inherited)
        found, rest = self.parse_known_args(self._spelled(args or ()), namespace)
        if rest:
            self.error(f"unexpected argument: {rest[0]}")
        return found

    def error(self, message: str) -> NoReturn:
        """Exit with the usage and the message."""
        self.exit(
            WRONG_USAGE, f"usage: {self.usage}\noldfilm: {message} (see {self.prog} --help)\n"
        )

    def _spelled(self, arguments: Iterable[str]) -> list[str]:
        """Return the arguments with each flag in its declared spelling."""
        arguments = list(arguments)
        end = arguments.index("--") if "--" in arguments else len(arguments)
        return [*map(self._as_declared, arguments[:end]), *arguments[end:]]

    def _as_declared(self, argument: str) -> str:
        name, equals, value = argument.partition("=")
        if not name.startswith("--") or " " in name:
            return argument
        name = PADDLEGAN_SPELLINGS.get(_key(name), name)
        return f"{self._meant(name)}{equals}{value}"

    def _meant(self, name: str) -> str:
        """Return the flag that is spelled or abbreviated as `name`."""
        for flag in self._known:
            if _key(flag) == _key(name):
                return flag
        close = [flag for flag in self._known if _key(flag).startswith(_key(name))]
        if not close:
            self.error(f"unknown option {name}{did_you_mean(name, self._known)}")
        established = [flag for flag in close if _key(flag)[2:] in ESTABLISHED]
        exact = [flag for flag in established if _as_argparse(flag).startswith(_as_argparse(name))]
        for meant in (exact, established, close):
            if len({_key(flag) for flag in meant}) == 1:
                return meant[0]
        return self.error(f"{name} is ambiguous: it may be {', '.join(close)}")


class _HelpAll(argparse.Action):
    """Prints the help of all options."""

    def __init__(self, everything: Callable[[], Parser], **facts: Any) -> None:
        super().__init__(nargs=0, dest=argparse.SUPPRESS, default=argparse.SUPPRESS, **_only(facts))
        self._everything = everything

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        self._everything().print_help()
        parser.exit()


def _only(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in ("option_strings", "help")}


def _help(declared: Option) -> str:
    default = declared.default
    if default is None or declared.type is bool:
        return declared.help
    return (
        f"{declared.help} ({default:g})"
        if declared.type is float
        else f"{declared.help} ({default})"
    )


def _key(flag: str) -> str:
    """Return a form that all spellings of a flag share, American and British ones included."""
    return re.sub("colou?r", "color", flag.replace("-", "_").lower())


def _as_argparse(flag: str) -> str:
    """Return a flag as the first version compared it: by its letters, capitals included."""
    return flag.replace("-", "_")


def _flags(declared: Option) -> tuple[str, ...]:
    """Return the flags of an option; messages use the first one."""
    own = f"--{declared.name}"
    if declared.flag is None:
        return (own,)
    is_negation = declared.type is bool and declared.default
    return (declared.flag,) if is_negation else (declared.flag, own)


def add_log(parser: Parser, group: str) -> None:
    """Add `--log FILE`, which `cli.main.execute` opens."""
    about = "also write everything that is reported to this file, with times"
    parser.flag(group, "--log", type=Path, metavar="FILE", help=about)


def add_job_options(parser: Parser) -> None:
    """Add the options of a job."""
    for declared in job_options():
        if declared.visible:
            parser.option(declared)


def add_stage_options(parser: Parser, leave_out: Sequence[str]) -> None:
    """Add the options of all stages except `leave_out`, grouped by the stages that have them."""
    for declared, stages in stage_options().values():
        if declared.name not in leave_out:
            parser.option(declared, ", ".join(stages))


_NAMED = re.compile(r"`(\w+)(?:=([^`]*))?`")


def in_flags(message: str) -> str:
    """Translate options that a message names as Python does: `crf=17` becomes --crf 17."""
    return _NAMED.sub(_as_flag, message)


def _as_flag(match: re.Match[str]) -> str:
    name, value = match.groups()
    if name not in _flag_names():
        return match[0]
    flag = _flag_names()[name]
    switched_off = value == "False" and flag.startswith("--no-")
    if value in (None, "True") or switched_off:
        return flag
    if value == "False":
        return f"no {flag}"
    return f"{flag} {value.strip(chr(34))}"


@lru_cache(maxsize=1)
def _flag_names() -> dict[str, str]:
    """The flags by their names in Python."""
    declared = [*job_options(), *(option for option, _ in stage_options().values())]
    own = {name: f"--{name}" for name in ("input", "output", "preset", "quiet")}
    own |= {
        name: f"--{name}" for name in ("progress", "log", "job", "save_job", "preview", "estimate")
    }
    own |= {name: f"--{name}" for name in ("task", "degradation", "protocol")}  # of evaluate
    own["purpose"] = "--for"  # of weights fetch
    named = {option.name: _flags(option)[0] for option in declared if option.visible}
    return {**named, **own, "order": "--process_order"}
