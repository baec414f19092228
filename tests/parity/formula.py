"""Reproducible pseudo-random weights and inputs, computed from a name and a shape.

Published weights cannot be shipped with tests. Instead, our network and the published code get the
same pseudo-random weights, and their outputs are compared. Next to each `.npz` file with published
outputs, a text describes how they were computed.
"""

from __future__ import annotations

import zlib

import numpy as np


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return float64 in [-1, 1) from SplitMix64 (Steele et al., 2014), seeded with the name."""
    count = int(np.prod(shape))
    seed = np.uint64(zlib.crc32(name.encode()))
    with np.errstate(over="ignore"):
        z = (np.arange(1, count + 1, dtype=np.uint64) + (seed << np.uint64(32))) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1).reshape(shape)


def weight(name: str, shape: tuple[int, ...], gain: float = 1.0) -> np.ndarray:
    """Return float32 weights for the key `name`, scaled so that signals neither vanish nor explode.

    Matrices and kernels have a standard deviation of gain / sqrt(fan in), with the fan in of
    [out, in, ...]. Among vectors, variances and scales (`*weight` of a norm) are in [0.5, 1.5],
    all others (biases, means) in [-0.1, 0.1].
    """
    values = uniform(name, shape)
    if len(shape) >= 2:
        values *= gain * np.sqrt(3 / np.prod(shape[1:]))
    elif name.endswith(("weight", "running_var", "_variance")):
        values = 1 + values / 2
    else:
        values *= 0.1
    return values.astype(np.float32)


def weights(shapes: dict[str, tuple[int, ...]], gain: float = 1.0) -> dict[str, np.ndarray]:
    """Return pseudo-random weights for every key of `shapes`."""
    return {name: weight(name, tuple(shape), gain) for name, shape in shapes.items()}


def picture(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 [..., h, w] in [0, 1), smooth along the last two axes like a picture."""
    rough = (uniform(name, shape) + 1) / 2
    for axis in (-1, -2):
        rough = (rough + np.roll(rough, 1, axis) + np.roll(rough, 2, axis)) / 3
    return rough.astype(np.float32)


def sampled(array: np.ndarray, count: int = 4096) -> np.ndarray:
    """Return at most `count` float32 values, spread evenly over an array, for a fixture."""
    flat = np.ascontiguousarray(array, np.float32).ravel()
    return flat[np.linspace(0, flat.size - 1, min(count, flat.size)).astype(np.int64)]


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference, relative to the largest deviation from the mean."""
    scale = np.abs(expected - expected.mean()).max()
    assert scale > 1e-3, "the expected output is constant, so the comparison is meaningless"
    return float(np.abs(found - expected).max() / scale)
