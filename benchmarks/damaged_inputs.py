"""Restore thousands of damaged inputs, and print how each attempt ended.

    python benchmarks/damaged_inputs.py
    python benchmarks/damaged_inputs.py --match "h264.mp4, cut short"

`tests/reliability/corpus.py` makes the inputs, and `tests/reliability/corpus_run.py` defines what
counts as a failure. It needs a checkout, and Linux or macOS.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.reliability.corpus_run import main

if __name__ == "__main__":
    sys.exit(main())
