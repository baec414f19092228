"""`python -m oldfilm` is the program `oldfilm`."""

from oldfilm.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
