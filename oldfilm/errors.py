"""The exceptions that oldfilm raises when an input, an option or the machine is at fault."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from fractions import Fraction

_SHORTAGES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EIO)


class OldfilmError(Exception):
    """The base class. Its message says what is wrong, with which file or option, and what to do."""


class MediaError(OldfilmError):
    """A film or photograph cannot be read, or a result cannot be written."""


class MachineError(OldfilmError):
    """The machine failed: its disk is full, its memory is short, or a process was killed.

    The request itself was valid. Once the machine is in order, the same job resumes.
    """


class OptionError(OldfilmError):
    """An option, or a combination of options, is invalid."""


class NetworkError(OldfilmError):
    """A network cannot be built or run: Paddle, the device or enough memory is missing."""


class WeightsError(OldfilmError):
    """Weights are missing, damaged, or do not belong to this network."""


class TransferError(WeightsError):
    """Weights cannot be downloaded or stored: the connection, the server or the disk failed."""


class NotProvidedError(OldfilmError, AttributeError):
    """A name of `ppgan` that oldfilm does not have, as an attribute."""


class NotProvidedImport(OldfilmError, ImportError):  # noqa: N818 (the two are one error)
    """A name of `ppgan` that oldfilm does not have, in an import."""


def from_os(what: str, error: OSError) -> OldfilmError:
    """Turn an error of the operating system into ours; the message begins with `what`.

    Returns a `MachineError` for a full disk, short memory or a failing disk, else a `MediaError`.
    """
    kind = MachineError if error.errno in _SHORTAGES else MediaError
    return kind(f"{what}: {error.strerror or error}")


def written(value: object) -> str:
    """Return a value as people write it: 3/4 as 0.75, but 30000/1001 as it is."""
    if isinstance(value, Fraction):
        decimal = f"{float(value):.12f}".rstrip("0").rstrip(".")
        return decimal if Fraction(decimal) == value else str(value)
    return str(value)


_STAGE_WEIGHTS = frozenset(
    ["checkpoint", "model_path", "pretrained", "weight", "weight_path", "weights", "weights_path"]
)
"""Names for the weights of a single model, in PaddleGAN and other programs."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" with the most similar known name, or "" if none is similar.

    A name for the weights of a single model becomes the option of a stage.
    """
    known = list(known)
    of_stages = [word for word in known if word.endswith("_weight")]
    if of_stages and name.lower().replace("-", "_").strip("_") in _STAGE_WEIGHTS:
        dashes = "--" if of_stages[0].startswith("--") else ""
        return f"; name the stage: {dashes}<Stage>_weight, such as `{of_stages[0]}`"
    by_lower_case = {word.lower(): word for word in known}
    close = difflib.get_close_matches(name.lower(), by_lower_case, 1)
    return f"; did you mean `{by_lower_case[close[0]]}`?" if close else ""
