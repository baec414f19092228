"""Lists, fetches, checks and converts weights: `python tools/weights.py --help`."""

from oldfilm.weights_cli import main

if __name__ == "__main__":
    raise SystemExit(main())
