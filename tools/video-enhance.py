"""`oldfilm enhance` from a checkout: `python tools/video-enhance.py --help`."""

from oldfilm.cli.enhance import main

if __name__ == "__main__":
    raise SystemExit(main())
