"""`ppgan.utils.logger`."""

from __future__ import annotations

import logging


def get_logger(name: str = "ppgan", output: object = None) -> logging.Logger:
    """Return Python's logger of this name; the program configures it.

    output: a file in PaddleGAN; not used here.
    """
    return logging.getLogger(name)
