"""Stages without a network: what age and damage do to film, undone by measurement."""
