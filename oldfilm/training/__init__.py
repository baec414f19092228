"""Train the lite networks; see `python -m oldfilm.training --help`."""
