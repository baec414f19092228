"""Stages without a network: they measure what age and damage did to a film, and undo it."""
