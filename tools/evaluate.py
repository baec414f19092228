"""Judges predictors as the papers do: `python tools/evaluate.py --help`."""

from oldfilm.evaluation.command import main

if __name__ == "__main__":
    raise SystemExit(main())
