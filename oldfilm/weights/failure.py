"""What goes wrong with weights although what was asked for was right."""

from __future__ import annotations

from oldfilm.errors import WeightsError


class TransferError(WeightsError):
    """Weights could not be downloaded, or not be written: the network, a server, a disk."""
