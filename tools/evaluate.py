"""`oldfilm evaluate` from a checkout: `python tools/evaluate.py --help`."""

from oldfilm.cli.evaluate import main

if __name__ == "__main__":
    raise SystemExit(main())
