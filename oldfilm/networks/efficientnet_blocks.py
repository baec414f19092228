"""Structure of EfficientNet-Lite0 (Tan and Le, ICML 2019), without a framework."""

from __future__ import annotations

BLOCKS = (
    (3, 1, 1, 32, 16),
    (3, 2, 6, 16, 24),
    (3, 1, 6, 24, 24),
    (5, 2, 6, 24, 40),
    (5, 1, 6, 40, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 80),
    (3, 1, 6, 80, 80),
    (5, 1, 6, 80, 112),
    (5, 1, 6, 112, 112),
    (5, 1, 6, 112, 112),
    (5, 2, 6, 112, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (3, 1, 6, 192, 320),
)
"""Kernel, stride, expansion, channels in and channels out of each block."""

TAPS = (2, 4, 10, 15)
"""The last blocks at 1/4, 1/8, 1/16 and 1/32 of the size."""
