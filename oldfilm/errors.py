"""What oldfilm raises when it is the input, an option or the machine that is wrong."""

from __future__ import annotations

import errno

_SHORTAGES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EIO)


class OldfilmError(Exception):
    """The parent of all. Its message says what was wrong, with which file or option, what to do."""


class MediaError(OldfilmError):
    """A film or photograph cannot be read, or a result cannot be written."""


class MachineError(MediaError):
    """The machine failed, not what was asked of it: its disk is full, its memory short, a process
    was killed. Where that is put right, the same job goes on.
    """


def from_os(what: str, error: OSError) -> MediaError:
    """What to raise for an error of the operating system; the message begins with `what`."""
    kind = MachineError if error.errno in _SHORTAGES else MediaError
    return kind(f"{what}: {error.strerror or error}")


class WeightsError(OldfilmError):
    """Weights are missing, damaged, or not the ones of this network."""


class NetworkError(OldfilmError):
    """A network cannot be built or run: no Paddle, no such device, too little memory."""


class OptionError(OldfilmError):
    """An option, or a combination of options, that cannot work."""
