"""`oldfilm photo` from a checkout: `python tools/restore-photo.py --help`."""

from oldfilm.cli.photo import main

if __name__ == "__main__":
    raise SystemExit(main())
