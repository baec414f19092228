"""Tries thousands of damaged inputs, and prints how each ended.

    python benchmarks/damaged_inputs.py
    python benchmarks/damaged_inputs.py --match "h264.mp4, cut short"

The inputs are made by `tests/reliability/corpus.py`; `tests/reliability/corpus_run.py` says what
counts as a failure. It wants a checkout, and Linux or macOS.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.reliability.corpus_run import main

if __name__ == "__main__":
    sys.exit(main())
