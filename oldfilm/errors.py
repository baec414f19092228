"""What oldfilm raises when it is the input, an option or the machine that is wrong."""

from __future__ import annotations


class OldfilmError(Exception):
    """The parent of all. Its message says what was wrong, with which file or option, what to do."""


class MediaError(OldfilmError):
    """A film or photograph cannot be read, or a result cannot be written."""


class WeightsError(OldfilmError):
    """Weights are missing, damaged, or not the ones of this network."""


class NetworkError(OldfilmError):
    """A network cannot be built or run: no Paddle, no such device, too little memory."""


class OptionError(OldfilmError):
    """An option, or a combination of options, that cannot work."""
