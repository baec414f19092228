"""`oldfilm weights` from a checkout: `python tools/weights.py --help`."""

from oldfilm.cli.weights import main

if __name__ == "__main__":
    raise SystemExit(main())
