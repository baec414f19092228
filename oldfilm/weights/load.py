"""Load weights into a network, with every key and shape checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from oldfilm.errors import WeightsError

if TYPE_CHECKING:
    import paddle

_LARGEST = 1e8
"""No trained network holds larger numbers; a flipped bit of an exponent makes such."""


@dataclass(frozen=True)
class Mismatch:
    """The differences between weights and the keys and shapes of a network; false if none."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    misshapen: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.misshapen)

    def __len__(self) -> int:
        return len(self.missing) + len(self.extra) + len(self.misshapen)

    def summary(self, shown: int = 5) -> str:
        """Describe the differences; of each kind, name the first `shown` keys."""
        parts = [f"{kind}: {_listed(names, shown)}" for kind, names in vars(self).items() if names]
        return "; ".join(parts)


def find_mismatch(network: paddle.nn.Layer, weights: Mapping[str, np.ndarray]) -> Mismatch:
    """Compare the keys and shapes of `weights` with those of `network`."""
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    misshapen = [
        f"{name} is {list(found[name])}, not {list(wanted[name])}"
        for name in sorted(wanted.keys() & found.keys())
        if found[name] != wanted[name]
    ]
    return Mismatch(
        missing=tuple(sorted(wanted.keys() - found.keys())),
        extra=tuple(sorted(found.keys() - wanted.keys())),
        misshapen=tuple(misshapen),
    )


def load_strictly(network: paddle.nn.Layer, weights: dict[str, np.ndarray], origin: str) -> None:
    """Load `weights` into `network`; every key and shape must match.

    origin: the source of the weights, for the message.

    Raises:
        WeightsError: a key is missing or extra, or a shape differs; the message names them. Or a
            number cannot be one of a trained network.
    """
    if mismatch := find_mismatch(network, weights):
        raise WeightsError(
            f"{origin} does not fit {type(network).__name__}; it holds the weights of another "
            f"network, or of another variant ({mismatch.summary()})."
        )
    check_numbers(weights, origin)
    types = {
        key: str(value.dtype).rpartition(".")[2] for key, value in network.state_dict().items()
    }
    # Paddle accepts arrays, too, but no other type: a file may hold indices as other integers.
    fitting = {key: value.astype(types[key], copy=False) for key, value in weights.items()}
    network.set_state_dict(fitting)  # type: ignore[arg-type]


def check_numbers(weights: Mapping[str, np.ndarray], origin: str) -> None:
    """Refuse numbers that no trained network holds: those of a damaged file.

    origin: the source of the weights, for the message.

    Raises:
        WeightsError: a number is not finite, or far too large.
    """
    for name, value in weights.items():
        if value.dtype.kind == "f" and not np.abs(value).max(initial=0) < _LARGEST:
            raise WeightsError(
                f"{origin} is damaged: {name} holds numbers that no trained network holds."
            )


def _listed(names: tuple[str, ...], shown: int) -> str:
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest
